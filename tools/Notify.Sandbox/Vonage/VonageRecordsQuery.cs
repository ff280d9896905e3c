namespace Notify.Sandbox.Vonage;

using System.Globalization;
using Notify.Sandbox.Providers;

/// <summary>The filters of <c>GET /v2/reports/records</c> for SMS (Reports API 2.2).</summary>
public sealed record VonageRecordsQuery
{
    private static readonly TimeSpan LongestRange = TimeSpan.FromHours(24);

    private string[]? Ids { get; init; }

    private string? To { get; init; }

    private bool IncludesText { get; init; }

    private DateTimeOffset From { get; init; }

    private DateTimeOffset Until { get; init; }

    /// <summary>Reads the query, or says which parameter is bad.</summary>
    public static (VonageRecordsQuery? Query, string? Bad) Parse(IQueryCollection query)
    {
        if (query["account_id"] is not [{ Length: 8 }])
            return (null, "account_id");
        if (query["product"] != "SMS")
            return (null, "product");
        if (query["direction"] != "outbound") // the sandbox reports no others
            return (null, "direction");

        string? id = query["id"];
        var (from, until) = (Time(query["date_start"]), Time(query["date_end"]));
        if (id is null && (from is null || until is null || until - from > LongestRange))
            return (null, from is null ? "date_start" : "date_end");
        if (id is not null && (from is not null || until is not null))
            return (null, "id");

        return (
            new VonageRecordsQuery
            {
                Ids = id?.Split(','),
                To = query["to"],
                IncludesText = query["include_message"] == "true",
                From = from ?? DateTimeOffset.MinValue,
                Until = until ?? DateTimeOffset.MaxValue,
            },
            null
        );
    }

    /// <summary>The records; the end of the range is exclusive.</summary>
    public object Read(SentMessages<VonageMessage> messages)
    {
        var found = Ids is null ? messages.NewestFirst(To) : Ids.Select(messages.Find).OfType<VonageMessage>();
        var records = found.Where(m => m.ReceivedAt >= From && m.ReceivedAt < Until).Select(m => m.ToRecord(IncludesText)).ToList();
        return new
        {
            request_status = "SUCCESS",
            product = "SMS",
            direction = "outbound",
            include_message = IncludesText,
            items_count = records.Count,
            records,
        };
    }

    private static DateTimeOffset? Time(string? text) =>
        DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var time) ? time : null;
}
