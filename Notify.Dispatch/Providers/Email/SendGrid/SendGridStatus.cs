namespace Notify.Dispatch.Providers.Email.SendGrid;

using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.RegularExpressions;
using Notify.Domain.Notifications;

/// <summary>What SendGrid's answers mean.</summary>
/// <remarks>SendGrid: Mail Send; Mail Send errors; Rate limits.</remarks>
public static partial class SendGridStatus
{
    // A reset further away is a mistake in its unit, and would put a delivery off for years.
    private static readonly TimeSpan LongestWait = TimeSpan.FromHours(1);

    /// <summary>The outcome of an answer to <c>POST /v3/mail/send</c>.</summary>
    /// <param name="fields">The fields that the body's errors name.</param>
    /// <param name="messageId">The answer's <c>X-Message-Id</c>.</param>
    /// <param name="hasDocument">Whether the body is SendGrid's own error document; see <see cref="IsDocument"/>.</param>
    public static AttemptOutcome Outcome(
        HttpStatusCode status,
        IReadOnlyList<string> fields,
        string? messageId,
        TimeSpan? retryAfter,
        bool hasDocument
    )
    {
        var code = fields.Count > 0 ? $"{(int)status} {fields[0]}" : ((int)status).ToString(CultureInfo.InvariantCulture);
        return (int)status switch
        {
            // SendGrid, Mail Send: «202 Accepted», with the message's ID in X-Message-Id. Any other yes is not Mail Send's own.
            202 when messageId is { Length: > 0 } => new AttemptOutcome.Accepted(messageId),
            400 when fields.Any(f => IsOf("from", f)) => new AttemptOutcome.Halted(code),
            400 when fields.Any(f => Recipient().IsMatch(f)) => new AttemptOutcome.Rejected(Reasons.BadAddress, code),
            // SendGrid, Mail Send errors: «500: internal server error», «503: the SendGrid v3 Web API is not available», each with
            // an ErrorResponse, { errors: [{ message }] }. 401, 403, 404, 405: the sender or the account, not the message.
            _ => HttpAnswers.OfMessage((int)status, hasDocument, code, retryAfter),
        };
    }

    /// <summary>Reads the fields that an error's body names, such as <c>personalizations.0.to.0.email</c>; a malformed body names
    /// none.</summary>
    /// <remarks>The messages next to them are not read: they repeat addresses.</remarks>
    public static IReadOnlyList<string> Read(byte[] body)
    {
        try
        {
            using var json = ProviderJson.Parse(body);
            if (
                json.RootElement.ValueKind != JsonValueKind.Object
                || !json.RootElement.TryGetProperty("errors", out var errors)
                || errors.ValueKind != JsonValueKind.Array
            )
                return [];
            return
            [
                .. errors
                    .EnumerateArray()
                    .Select(e =>
                        e.ValueKind == JsonValueKind.Object && e.TryGetProperty("field", out var f) && f.ValueKind == JsonValueKind.String
                            ? f.GetString()
                            : null
                    )
                    .OfType<string>()
                    .Where(f => f != "null" && FieldName().IsMatch(f)),
            ];
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException) // the latter: half a surrogate pair
        {
            return [];
        }
    }

    /// <summary>Whether a body is SendGrid's error document: <c>errors</c>, each with a <c>message</c>.</summary>
    public static bool IsDocument(byte[] body)
    {
        try
        {
            using var json = ProviderJson.Parse(body);
            return json.RootElement.ValueKind == JsonValueKind.Object
                && json.RootElement.TryGetProperty("errors", out var errors)
                && errors.ValueKind == JsonValueKind.Array
                && errors.GetArrayLength() > 0
                && errors.EnumerateArray().All(e => e.ValueKind == JsonValueKind.Object && e.TryGetProperty("message", out _));
        }
        catch (JsonException)
        {
            return false;
        }
    }

    /// <summary>Whose mails a refusal names, by their places; empty when it names something that all share, or nothing.</summary>
    /// <param name="count">How many there were.</param>
    public static IReadOnlyCollection<int> Refused(IReadOnlyList<string> fields, int count)
    {
        var places = new HashSet<int>();
        foreach (var field in fields)
        {
            if (
                !Personalization().IsMatch(field)
                || !int.TryParse(field.Split('.')[1], NumberStyles.None, CultureInfo.InvariantCulture, out var place)
                || place >= count
            )
                return [];
            places.Add(place);
        }

        return places;
    }

    /// <summary>Whether one of the mails of a request may be what was refused, by SendGrid or by a gateway before it.</summary>
    public static bool MayConcernOne(AttemptOutcome outcome) =>
        outcome is AttemptOutcome.Rejected
        || (outcome is AttemptOutcome.Retry { Code: ['4', _, _, ..] code } && code[..3] is not ("408" or "421" or "425" or "429"));

    /// <summary>Whether a refusal names only what all mails of the request share: each of them alone would be refused, too.</summary>
    public static bool ConcernsAll(IReadOnlyList<string> fields) =>
        fields.Count > 0 && fields.All(f => IsOf("content", f) || IsOf("attachments", f) || IsOf("from", f) || IsOf("subject", f));

    /// <summary>When to come back: <c>X-RateLimit-Reset</c> (epoch seconds) where requests were too many, else <c>Retry-After</c>; at most
    /// an hour.</summary>
    public static TimeSpan? RetryAfter(HttpStatusCode status, HttpResponseHeaders headers, DateTimeOffset now)
    {
        if (
            status == HttpStatusCode.TooManyRequests
            && headers.TryGetValues("X-RateLimit-Reset", out var values)
            && long.TryParse(values.FirstOrDefault(), NumberStyles.None, CultureInfo.InvariantCulture, out var reset)
            && reset > now.ToUnixTimeSeconds()
        )
            return TimeSpan.FromSeconds(Math.Min(reset - now.ToUnixTimeMilliseconds() / 1000d, LongestWait.TotalSeconds));
        return ProviderCall.RetryAfter(headers, now) is { } after
            ? after < LongestWait
                ? after
                : LongestWait
            : null;
    }

    private static bool IsOf(string name, string field) => field == name || field.StartsWith(name + ".", StringComparison.Ordinal);

    [GeneratedRegex(@"^personalizations\.\d+\.to(\.\d+(\.email)?)?\z")]
    private static partial Regex Recipient();

    [GeneratedRegex(@"^personalizations\.\d{1,4}\.")]
    private static partial Regex Personalization();

    [GeneratedRegex(@"^[A-Za-z0-9_.\[\]]{1,100}\z")]
    private static partial Regex FieldName();
}
