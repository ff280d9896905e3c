using System.Text.Json;
using Notify.Domain.Recipients;

namespace Notify.Domain.Notifications;

/// <summary>The content of a notification, as the sender wrote it.</summary>
/// <param name="Title">Heading of a push, subject of an email; at most 1,000 characters.</param>
/// <param name="Body">Text of a push or SMS, plain text of an email.</param>
/// <param name="Html">HTML of an email.</param>
/// <param name="Data">Key-value data handed to the app with a push.</param>
/// <param name="Url">The address that a tap opens; https.</param>
/// <param name="Push">Appearance, sound and behaviour of a push.</param>
/// <param name="Attachments">Files of an email.</param>
/// <param name="Track">The tracking of its opens and links.</param>
public sealed record NotificationContent(
    string? Title = null,
    string? Body = null,
    string? Html = null,
    JsonElement? Data = null,
    string? Url = null,
    PushOptions? Push = null,
    IReadOnlyList<EmailAttachment>? Attachments = null,
    TrackOptions? Track = null
)
{
    /// <summary>Whether a push of it has something to show; else it is data for the app alone.</summary>
    public bool IsShown => this is { Title.Length: > 0 } or { Body.Length: > 0 };
}

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
