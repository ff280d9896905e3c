namespace Notify.Dispatch.Providers.Email;

using Notify.Domain.Content;

/// <summary>The files of an email in the form that is valid in a mail's headers, for all names.</summary>
public static class EmailFiles
{
    /// <summary>The name of a file whose own name leaves nothing to be sent.</summary>
    public const string Unnamed = "attachment";

    /// <summary>The files, with names, types and content IDs that cannot begin another header.</summary>
    public static IReadOnlyList<EmailAttachment> Of(NotificationContent content) =>
        [
            .. (content.Attachments ?? []).Select(f =>
                f with
                {
                    Filename = AttachmentRules.Clean(f.Filename) ?? Unnamed,
                    ContentType = AttachmentRules.IsType(f.ContentType) ? f.ContentType : AttachmentRules.AnyType,
                    // Only HTML can show it.
                    ContentId = f.ContentId is { } id && content.Html is { Length: > 0 } && AttachmentRules.IsContentId(id) ? id : null,
                }
            ),
        ];
}
