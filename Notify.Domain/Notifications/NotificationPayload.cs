namespace Notify.Domain.Notifications;

using System.Text.Json;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Recipients;

/// <summary>The addresses of a person who is not registered.</summary>
/// <param name="Email">An email address.</param>
/// <param name="Phone">A phone number; E.164 once accepted.</param>
/// <param name="Device">A push token or subscription.</param>
public sealed record UnregisteredRecipient(string? Email = null, string? Phone = null, DeviceAddress? Device = null);

/// <summary>A device as an app names it.</summary>
/// <param name="Platform">iOS, Android or web.</param>
/// <param name="Token">The provider's token; hexadecimal for iOS.</param>
/// <param name="App">The app that the token belongs to; <c>null</c>: none is named.</param>
public sealed record DeviceAddress(Platform Platform, string? Token = null, DeviceApp? App = null);

/// <summary>The personal part of a request: stored only as <see cref="Privacy.Sealed"/>.</summary>
/// <param name="Content">Empty where a template gives it.</param>
/// <param name="Params">The template's parameters.</param>
/// <param name="ByChannel">The content of a digest, by the channel's name.</param>
public sealed record NotificationPayload(
    NotificationContent Content,
    UnregisteredRecipient? To = null,
    JsonElement? Metadata = null,
    JsonElement? Params = null,
    IReadOnlyDictionary<string, ChannelWords>? ByChannel = null
);

/// <summary>The content of a digest on one channel.</summary>
/// <param name="Content">Plain text; <c>null</c> where a template gives it.</param>
/// <param name="Params">The template's parameters.</param>
public sealed record ChannelWords(NotificationContent? Content, JsonElement? Params = null);
