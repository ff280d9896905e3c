namespace Notify.Dispatch.Dispatching;

using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Notify.Domain.Content;
using Notify.Infrastructure.Json;

/// <summary>The input of a content's keyed hash. It never changes for existing content, so that old hashes stay comparable.</summary>
public static class ContentFingerprint
{
    /// <summary>The text: every part that the recipient gets, files by their SHA-256.</summary>
    public static string TextOf(NotificationContent content)
    {
        var text = new StringBuilder($"{content.Title}\n{content.Body}\n{content.Url}\n{content.Data}");
        if (content.Html is { } html)
            text.Append('\n').Append(html);
        if (content.Push is { } push)
            text.Append("\npush ").Append(JsonSerializer.Serialize(push, NotifyJson.Options));
        foreach (var file in content.Attachments ?? [])
            text.Append("\nfile ")
                .Append(file.Filename)
                .Append('\n')
                .Append(file.ContentType)
                .Append('\n')
                .Append(file.ContentId)
                .Append('\n')
                .Append(Convert.ToHexString(SHA256.HashData(file.Content)));
        return text.ToString();
    }
}
