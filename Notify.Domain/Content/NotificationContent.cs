namespace Notify.Domain.Content;

using System.Text.Json;

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
