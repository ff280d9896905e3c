namespace Notify.Dispatch.Providers.Sms.Vonage;

using System.Globalization;
using System.Text.Json;

/// <summary>Asks Vonage's Reports API for a message whose answer was lost. Pure.</summary>
/// <remarks>
/// Vonage: Reports API 2.2, <c>GET /v2/reports/records</c>; «How to handle pagination»; «Best practices» (filter <c>to</c>).
/// </remarks>
public static class VonageReports
{
    /// <summary>How far Vonage's clock may be from ours, and how much later than it was recorded a call may begin.</summary>
    /// <remarks>More than an hour: the database's clock, by which attempts are recorded, may have been wrong by so much.</remarks>
    public static readonly TimeSpan ClockSkew = TimeSpan.FromMinutes(65);

    /// <summary>The path and query of the first page: the messages to a number that Vonage received in a time.</summary>
    public static string Query(string account, string to, DateTimeOffset from, DateTimeOffset until) =>
        $"/v2/reports/records?account_id={Uri.EscapeDataString(account)}&product=SMS&direction=outbound&include_message=true"
        + $"&date_start={Time(from)}&date_end={Time(until.AddSeconds(1))}&to={to}";

    /// <summary>Finds the message in a page: by the delivery's reference, else by its text and time.</summary>
    /// <returns>The IDs of its parts, and the path and query of the page that follows; <c>null</c> for a malformed page.</returns>
    public static (IReadOnlyList<string> MessageIds, string? Next)? Read(
        byte[] body,
        OutboundMessage message,
        DateTimeOffset from,
        DateTimeOffset until
    )
    {
        try
        {
            using var json = ProviderJson.Parse(body);
            var root = json.RootElement;
            if (!root.TryGetProperty("records", out var records) || records.ValueKind != JsonValueKind.Array)
                return null;
            var found = new List<string>();
            foreach (var record in records.EnumerateArray())
                if (IsOf(record, message, from, until) && Text(record, "message_id") is { Length: > 0 } id)
                    found.Add(id);
            return (found, Next(root));
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException) // the latter: another kind of value
        {
            return null;
        }
    }

    private static bool IsOf(JsonElement record, OutboundMessage message, DateTimeOffset from, DateTimeOffset until)
    {
        if (Text(record, "client_ref") is { Length: > 0 } reference)
            return Guid.TryParse(reference, out var delivery) && delivery == message.DeliveryId;
        return SentText.Compare(Text(record, "message_body"), message.Content.Body ?? "") == TextMatch.Same
            && Received(record) is { } at
            && at >= from
            && at <= until;
    }

    // Only the path is followed: the credentials go to the configured host alone.
    private static string? Next(JsonElement root) =>
        root.TryGetProperty("_links", out var links)
        && links.TryGetProperty("next", out var next)
        && Text(next, "href") is { Length: > 0 } address
        && Uri.TryCreate(address, UriKind.Absolute, out var uri)
            ? uri.PathAndQuery
            : null;

    private static DateTimeOffset? Received(JsonElement record) =>
        DateTimeOffset.TryParse(Text(record, "date_received"), CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var at)
            ? at
            : null;

    private static string Time(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture);

    private static string? Text(JsonElement element, string name) =>
        element.TryGetProperty(name, out var value) && value.ValueKind != JsonValueKind.Null ? value.GetString() : null;
}
