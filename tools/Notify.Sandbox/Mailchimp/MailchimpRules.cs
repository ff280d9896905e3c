namespace Notify.Sandbox.Mailchimp;

using System.Globalization;
using System.Text.Json;

/// <summary>Rules for a request to <c>messages/send</c>: every field has its documented type.</summary>
public static class MailchimpRules
{
    /// <summary>Bytes of a request at most.</summary>
    public const int MaximumBody = 25 * 1024 * 1024;

    private static readonly string[] Texts =
    [
        "html",
        "text",
        "subject",
        "from_email",
        "from_name",
        "bcc_address",
        "tracking_domain",
        "signing_domain",
        "return_path_domain",
        "merge_language",
        "subaccount",
    ];

    private static readonly string[] Flags =
    [
        "important",
        "track_opens",
        "track_clicks",
        "auto_text",
        "auto_html",
        "inline_css",
        "url_strip_qs",
        "preserve_recipients",
        "view_content_link",
        "merge",
    ];

    private static readonly string[] Objects = ["headers", "metadata"];

    private static readonly string[] Arrays =
    [
        "global_merge_vars",
        "merge_vars",
        "tags",
        "google_analytics_domains",
        "recipient_metadata",
        "attachments",
        "images",
    ];

    /// <summary>The first fault, by the field's name; null for a request as it should be.</summary>
    public static MailchimpError? Check(JsonElement request)
    {
        if (!request.TryGetProperty("message", out var message) || message.ValueKind != JsonValueKind.Object)
            return MailchimpError.Invalid("message", "Please enter an array");
        return CheckTypes(message) ?? CheckRecipients(message) ?? CheckFiles(message) ?? CheckDate(request);
    }

    private static MailchimpError? CheckTypes(JsonElement message)
    {
        foreach (
            var (names, kinds, wanted) in new (string[], JsonValueKind[], string)[]
            {
                (Texts, [JsonValueKind.String], "a string"),
                (Flags, [JsonValueKind.True, JsonValueKind.False], "a boolean"),
                (Objects, [JsonValueKind.Object], "an object"),
                (Arrays, [JsonValueKind.Array], "an array"),
            }
        )
        {
            foreach (var name in names)
            {
                if (
                    message.TryGetProperty(name, out var value)
                    && value.ValueKind != JsonValueKind.Null
                    && !kinds.Contains(value.ValueKind)
                )
                    return MailchimpError.Invalid(name, $"Please enter {wanted}");
            }
        }

        if (Text(message, "from_email") is not { Length: > 0 })
            return MailchimpError.Invalid("from_email", "A from_email must be provided");
        return new[] { "from_name", "subject" }.Any(name => Text(message, name)?.AsSpan().ContainsAny('\r', '\n') == true)
            ? MailchimpError.Invalid("message", "Line breaks are not allowed in headers")
            : null;
    }

    private static MailchimpError? CheckRecipients(JsonElement message)
    {
        if (!message.TryGetProperty("to", out var to) || to.ValueKind != JsonValueKind.Array || to.GetArrayLength() == 0)
            return MailchimpError.Invalid("to", "Please enter an array of recipients");
        foreach (var recipient in to.EnumerateArray())
        {
            if (recipient.ValueKind != JsonValueKind.Object || Text(recipient, "email") is not { } email)
                return MailchimpError.Invalid("email", "Please enter an email address");
            if (email.Count(c => c == '@') != 1)
                return MailchimpError.Invalid("email", "An email address must contain a single @");
            if (
                recipient.TryGetProperty("type", out var type)
                && type.ValueKind != JsonValueKind.Null
                && Text(recipient, "type") is not ("to" or "cc" or "bcc")
            )
                return MailchimpError.Invalid("type", "Please enter to, cc or bcc");
            if (recipient.TryGetProperty("name", out var name) && name.ValueKind is not (JsonValueKind.Null or JsonValueKind.String))
                return MailchimpError.Invalid("name", "Please enter a string");
        }

        return null;
    }

    private static MailchimpError? CheckFiles(JsonElement message)
    {
        foreach (var list in new[] { "attachments", "images" })
        {
            if (!message.TryGetProperty(list, out var files) || files.ValueKind == JsonValueKind.Null)
                continue;
            foreach (var file in files.EnumerateArray())
            {
                if (Text(file, "type") is not { } type || (list == "images" && !type.StartsWith("image/", StringComparison.Ordinal)))
                    return MailchimpError.Invalid("type", "Please enter a MIME type");
                if (Text(file, "name") is null || Text(file, "content") is not { } content || !System.Buffers.Text.Base64.IsValid(content))
                    return MailchimpError.Invalid("content", "Please enter a name and base64");
            }
        }

        return null;
    }

    private static MailchimpError? CheckDate(JsonElement request)
    {
        if (
            request.TryGetProperty("async", out var later)
            && later.ValueKind is not (JsonValueKind.True or JsonValueKind.False or JsonValueKind.Null)
        )
            return MailchimpError.Invalid("async", "Please enter a boolean");
        return
            request.TryGetProperty("send_at", out var at)
            && at.ValueKind != JsonValueKind.Null
            && !DateTime.TryParseExact(
                Text(request, "send_at"),
                "yyyy-MM-dd HH:mm:ss",
                CultureInfo.InvariantCulture,
                DateTimeStyles.None,
                out _
            )
            ? MailchimpError.Invalid("send_at", "Please enter a date as YYYY-MM-DD HH:MM:SS")
            : null;
    }

    internal static string? Text(JsonElement of, string name) =>
        of.ValueKind == JsonValueKind.Object && of.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String
            ? value.GetString()
            : null;
}
