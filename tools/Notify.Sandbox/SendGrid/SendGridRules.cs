namespace Notify.Sandbox.SendGrid;

using System.Text;
using System.Text.Json;

/// <summary>Rules for a mail that SendGrid accepts; every fault is reported. One instance checks one mail.</summary>
public sealed class SendGridRules
{
    /// <summary>Bytes of a request at most.</summary>
    public const int MaximumBody = 30 * 1024 * 1024;

    private const int MaximumRecipients = 1_000;
    private const int MaximumCustomArgs = 10_000,
        MaximumSubstitutions = 10_000;
    private static readonly TimeSpan LongestDelay = TimeSpan.FromHours(72);

    private static readonly HashSet<string> Known = new(StringComparer.Ordinal)
    {
        "personalizations",
        "from",
        "reply_to",
        "reply_to_list",
        "subject",
        "content",
        "attachments",
        "template_id",
        "headers",
        "categories",
        "custom_args",
        "send_at",
        "batch_id",
        "asm",
        "ip_pool_name",
        "mail_settings",
        "tracking_settings",
        "sections",
    };

    private static readonly HashSet<string> KnownPersonal = new(StringComparer.Ordinal)
    {
        "from",
        "to",
        "cc",
        "bcc",
        "subject",
        "headers",
        "substitutions",
        "dynamic_template_data",
        "custom_args",
        "send_at",
    };

    private static readonly HashSet<string> ReservedHeaders = new(StringComparer.OrdinalIgnoreCase)
    {
        "x-sg-id",
        "x-sg-eid",
        "received",
        "dkim-signature",
        "Content-Type",
        "Content-Transfer-Encoding",
        "To",
        "From",
        "Subject",
        "Reply-To",
        "CC",
        "BCC",
    };

    private readonly List<SendGridError> _errors = [];
    private readonly DateTimeOffset _now;

    private SendGridRules(DateTimeOffset now) => _now = now;

    /// <summary>The faults of a mail, in the order of its parts; and the sender's address, where it is one.</summary>
    public static (IReadOnlyList<SendGridError> Errors, string? From) Check(JsonElement mail, DateTimeOffset now)
    {
        if (mail.ValueKind != JsonValueKind.Object)
            return ([SendGridError.BadRequest], null);
        var rules = new SendGridRules(now);
        var from = rules.CheckMail(mail);
        return (rules._errors, from);
    }

    private string? CheckMail(JsonElement mail)
    {
        RefuseUnknown(mail, Known, "");
        CheckPersonalizations(mail);
        var from = mail.TryGetProperty("from", out var sender)
            ? SendGridAddress.Check(sender, "from", _errors)
            : Fault("from.email", "The from object must be provided for every email send.");
        CheckReplies(mail);
        CheckSubjects(mail);
        CheckContent(mail);
        CheckCategories(mail);
        CheckHeaders(mail, "");
        CheckSendAt(mail, "");
        if (mail.TryGetProperty("attachments", out var attachments))
            CheckAttachments(attachments);
        return from;
    }

    private void CheckPersonalizations(JsonElement mail)
    {
        if (!mail.TryGetProperty("personalizations", out var all) || all.ValueKind != JsonValueKind.Array || all.GetArrayLength() == 0)
        {
            Fault("personalizations", "The personalizations field is required and must have at least one personalization.");
            return;
        }

        if (all.GetArrayLength() > MaximumRecipients)
            Fault("personalizations", $"The personalization block is limited to {MaximumRecipients} personalizations per API request.");
        var (index, recipients) = (0, 0);
        foreach (var one in all.EnumerateArray())
        {
            var field = $"personalizations.{index++}";
            if (one.ValueKind != JsonValueKind.Object)
            {
                Fault(field, "Invalid type. Expected: object.");
                continue;
            }

            RefuseUnknown(one, KnownPersonal, field + ".");
            recipients += CheckRecipients(one, field);
            if (one.TryGetProperty("from", out var from))
                SendGridAddress.Check(from, $"{field}.from", _errors);
            CheckHeaders(one, field + ".");
            CheckSendAt(one, field + ".");
            CheckCustomArgs(mail, one, field);
            CheckSubstitutions(one, field);
        }

        if (recipients > MaximumRecipients)
            Fault("personalizations", $"There is a limit of {MaximumRecipients} total recipients (to + cc + bcc) per request.");
    }

    private int CheckRecipients(JsonElement personalization, string field)
    {
        var seen = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        var count = 0;
        foreach (var kind in new[] { "to", "cc", "bcc" })
        {
            if (!personalization.TryGetProperty(kind, out var list) || list.ValueKind != JsonValueKind.Array || list.GetArrayLength() == 0)
            {
                if (kind == "to")
                    Fault(
                        $"{field}.to",
                        "The to array is required for all personalization objects, and must have at least one email object "
                            + "with a valid email address."
                    );
                continue;
            }

            foreach (var (index, address) in list.EnumerateArray().Index())
            {
                count++;
                if (SendGridAddress.Check(address, $"{field}.{kind}.{index}", _errors) is { } email && !seen.Add(email))
                    Fault(
                        field,
                        "Each email address in the personalization block should be unique between to, cc, and bcc. We found "
                            + $"the first duplicate instance of [{email}] in the {field}.{kind} field."
                    );
            }
        }

        return count;
    }

    private void CheckReplies(JsonElement mail)
    {
        var one = mail.TryGetProperty("reply_to", out var reply);
        if (one)
            SendGridAddress.Check(reply, "reply_to", _errors);
        if (!mail.TryGetProperty("reply_to_list", out var list))
            return;
        if (one)
            Fault("reply_to", "Only one of reply_to and reply_to_list may be used.");
        if (list.ValueKind != JsonValueKind.Array)
            Fault("reply_to_list", "Invalid type. Expected: array.");
        else
            foreach (var (index, address) in list.EnumerateArray().Index())
                SendGridAddress.Check(address, $"reply_to_list.{index}", _errors);
    }

    private void CheckSubjects(JsonElement mail)
    {
        var everywhere = CheckSubject(mail, "subject");
        var each = mail.TryGetProperty("personalizations", out var all) && all.ValueKind == JsonValueKind.Array && all.GetArrayLength() > 0;
        if (each)
            foreach (var (index, one) in all.EnumerateArray().Index())
                each &= one.ValueKind == JsonValueKind.Object && CheckSubject(one, $"personalizations.{index}.subject");
        if (!everywhere && !each && !mail.TryGetProperty("template_id", out _))
            Fault(
                "subject",
                "The subject is required. You can get around this requirement if you use a template with a subject defined or "
                    + "if every personalization has a subject defined."
            );
    }

    private bool CheckSubject(JsonElement of, string field)
    {
        if (!of.TryGetProperty("subject", out var subject))
            return false;
        if (Text(subject) is not { Length: > 0 } text)
            Fault(field, "The subject must be a string at least one character in length.");
        else if (text.AsSpan().ContainsAny('\r', '\n'))
            Fault(field, "The subject cannot contain CRLF characters.");
        return true;
    }

    private void CheckContent(JsonElement mail)
    {
        if (!mail.TryGetProperty("content", out var content) || content.ValueKind != JsonValueKind.Array || content.GetArrayLength() == 0)
        {
            if (!mail.TryGetProperty("template_id", out _))
                Fault(
                    "content",
                    "Unless a valid template_id is provided, the content parameter is required. There must be at least one "
                        + "defined content block."
                );
            return;
        }

        var types = new List<string>();
        foreach (var (index, part) in content.EnumerateArray().Index())
        {
            if (Text(part, "type") is not { Length: > 0 } type)
                Fault($"content.{index}.type", "The content type must be a string at least one character in length.");
            else if (type.AsSpan().IndexOfAny(";\r\n") >= 0)
                Fault($"content.{index}.type", "The content type cannot contain ';', or CRLF characters.");
            else
                types.Add(type);
            if (Text(part, "value") is not { Length: > 0 })
                Fault($"content.{index}.value", "The content value must be a string at least one character in length.");
        }

        static int Rank(string type) =>
            type switch
            {
                "text/plain" => 0,
                "text/html" => 1,
                _ => 2,
            };
        if (types.Count(t => t == "text/plain") > 1 || types.Count(t => t == "text/html") > 1)
            Fault("content", "If present, text/plain and text/html may only be provided once.");
        if (!types.Select(Rank).Order().SequenceEqual(types.Select(Rank)))
            Fault("content", "If present, text/plain must be first, followed by text/html, followed by any other content.");
    }

    private void CheckCategories(JsonElement mail)
    {
        if (!mail.TryGetProperty("categories", out var list))
            return;
        var names = list.ValueKind == JsonValueKind.Array ? list.EnumerateArray().Select(Text).ToList() : [null];
        if (names.Count > 10)
            Fault("categories", "You can only have 10 categories per message.");
        if (names.Exists(n => n is not { Length: > 0 and <= 255 }))
            Fault("categories", "Each category must be a string of 1 to 255 characters.");
        if (names.Distinct().Count() < names.Count)
            Fault("categories", "The categories must be unique.");
    }

    private void CheckHeaders(JsonElement of, string prefix)
    {
        if (!of.TryGetProperty("headers", out var headers))
            return;
        if (headers.ValueKind != JsonValueKind.Object)
        {
            Fault(prefix + "headers", "Invalid type. Expected: object.");
            return;
        }

        foreach (var header in headers.EnumerateObject())
        {
            if (ReservedHeaders.Contains(header.Name))
                Fault(prefix + "headers", $"The header {header.Name} is reserved and cannot be used.");
            if (header.Name.Length == 0 || header.Name.Any(c => c is <= ' ' or > '~' or ':'))
                Fault(prefix + "headers", "A header's name must be printable ASCII without colon and blanks.");
            if (Text(header.Value) is not { } value || value.AsSpan().ContainsAny('\r', '\n'))
                Fault(prefix + "headers", "A header's value must be a string without line breaks.");
        }
    }

    // Those of the mail and of the personalization count together, the latter over the former.
    private void CheckCustomArgs(JsonElement mail, JsonElement personalization, string field)
    {
        var merged = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (of, name) in new[] { (mail, "custom_args"), (personalization, $"{field}.custom_args") })
        {
            if (!of.TryGetProperty("custom_args", out var args))
                continue;
            if (args.ValueKind != JsonValueKind.Object)
                Fault(name, "Invalid type. Expected: object.");
            else
                foreach (var arg in args.EnumerateObject())
                {
                    if (Text(arg.Value) is { } value)
                        merged[arg.Name] = value;
                    else
                        Fault($"{name}.{arg.Name}", "Invalid type. Expected: string.");
                }
        }

        if (merged.Sum(a => Encoding.UTF8.GetByteCount(a.Key) + Encoding.UTF8.GetByteCount(a.Value)) >= MaximumCustomArgs)
            Fault($"{field}.custom_args", $"The combined size of custom arguments must be less than {MaximumCustomArgs} bytes.");
    }

    private void CheckSubstitutions(JsonElement personalization, string field)
    {
        if (!personalization.TryGetProperty("substitutions", out var tags))
            return;
        if (tags.ValueKind != JsonValueKind.Object)
            Fault($"{field}.substitutions", "Invalid type. Expected: object.");
        else if (tags.EnumerateObject().Any(t => t.Value.ValueKind != JsonValueKind.String))
            Fault($"{field}.substitutions", "Invalid type. Expected: string.");
        else if (
            tags.EnumerateObject().Sum(t => Encoding.UTF8.GetByteCount(t.Name) + Encoding.UTF8.GetByteCount(Text(t.Value)!))
            > MaximumSubstitutions
        )
            Fault(
                $"{field}.substitutions",
                $"The total size of the substitutions must not exceed {MaximumSubstitutions} bytes per personalization."
            );
    }

    private void CheckSendAt(JsonElement of, string prefix)
    {
        if (!of.TryGetProperty("send_at", out var at))
            return;
        if (at.ValueKind != JsonValueKind.Number || !at.TryGetInt64(out var seconds))
            Fault(prefix + "send_at", "Invalid type. Expected: integer.");
        else if (seconds > (_now + LongestDelay).ToUnixTimeSeconds())
            Fault(prefix + "send_at", "Scheduling more than 72 hours in advance is forbidden.");
    }

    private void CheckAttachments(JsonElement attachments)
    {
        if (attachments.ValueKind != JsonValueKind.Array)
            Fault("attachments", "Invalid type. Expected: array.");
        else
            foreach (var (index, file) in attachments.EnumerateArray().Index())
            {
                if (Text(file, "content") is not { Length: > 0 } content || !System.Buffers.Text.Base64.IsValid(content))
                    Fault($"attachments.{index}.content", "The attachment content must be base64 encoded.");
                if (Text(file, "filename") is not { Length: > 0 })
                    Fault($"attachments.{index}.filename", "The filename of the attachment is a required parameter.");
            }
    }

    private void RefuseUnknown(JsonElement of, HashSet<string> known, string prefix)
    {
        foreach (var property in of.EnumerateObject().Where(p => !known.Contains(p.Name)))
            Fault(prefix + property.Name, $"Additional property {property.Name} is not allowed");
    }

    private string? Fault(string field, string message)
    {
        _errors.Add(new(field, message));
        return null;
    }

    private static string? Text(JsonElement value) => value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static string? Text(JsonElement of, string name) =>
        of.ValueKind == JsonValueKind.Object && of.TryGetProperty(name, out var value) ? Text(value) : null;
}
