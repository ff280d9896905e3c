namespace Notify.Sandbox.Twilio;

using System.Globalization;
using Notify.Sandbox.Providers;

/// <summary>The filters and the page of <c>GET …/Messages.json</c>.</summary>
public sealed record TwilioListQuery
{
    private const int DefaultPageSize = 50;
    private const int MaximumPageSize = 1_000;
    private const string TokenPrefix = "PA";

    private string? To { get; init; }

    private string? From { get; init; }

    private DateTimeOffset SentFrom { get; init; } = DateTimeOffset.MinValue;

    private DateTimeOffset SentBefore { get; init; } = DateTimeOffset.MaxValue;

    private int PageSize { get; init; }

    private int Page { get; init; }

    private string? AfterSid { get; init; }

    /// <summary>Reads the query, or says which parameter is bad.</summary>
    public static (TwilioListQuery? Query, string? Bad) Parse(IQueryCollection query)
    {
        if (!TryNumber(query["PageSize"], DefaultPageSize, 1, out var pageSize))
            return (null, "PageSize");
        if (!TryNumber(query["Page"], 0, 0, out var page))
            return (null, "Page");
        if (!TryDay(query["DateSent"], out var on))
            return (null, "DateSent");
        if (!TryDay(query["DateSent>"], out var from))
            return (null, "DateSent>");
        if (!TryDay(query["DateSent<"], out var until))
            return (null, "DateSent<");

        string? token = query["PageToken"];
        return (
            new TwilioListQuery
            {
                To = NullIfEmpty(query["To"]),
                From = NullIfEmpty(query["From"]),
                SentFrom = on?.Start ?? from?.Time ?? DateTimeOffset.MinValue,
                SentBefore = on?.End ?? until?.After ?? DateTimeOffset.MaxValue,
                PageSize = Math.Min(pageSize, MaximumPageSize),
                Page = page,
                AfterSid =
                    token is not null && token.StartsWith(TokenPrefix, StringComparison.Ordinal) ? token[TokenPrefix.Length..] : null,
            },
            null
        );
    }

    /// <summary>One page in Twilio's shape, newest first.</summary>
    public object Read(SentMessages<TwilioMessage> messages, string path)
    {
        var found = messages.NewestFirst(To).Where(Matches);
        var rest = AfterSid is null ? found.Skip(Page * PageSize) : found.SkipWhile(message => message.Sid != AfterSid).Skip(1);

        var page = rest.Take(PageSize + 1).ToList();
        var hasMore = page.Count > PageSize;
        if (hasMore)
            page.RemoveAt(PageSize);

        var start = Page * PageSize;
        return new
        {
            End = Math.Max(start, start + page.Count - 1),
            FirstPageUri = Link(path, 0, null),
            NextPageUri = hasMore ? Link(path, Page + 1, page[^1].Sid) : null,
            Page,
            PageSize,
            PreviousPageUri = Page == 0 ? null : Link(path, Page - 1, null),
            Messages = page.ConvertAll(message => message.ToResource()),
            Start = start,
            Uri = Link(path, Page, AfterSid),
        };
    }

    // A message that is still queued has no sent date, and no filter by it finds that message.
    private bool Matches(TwilioMessage message) =>
        (From is null || message.From == From)
        && (
            (SentFrom == DateTimeOffset.MinValue && SentBefore == DateTimeOffset.MaxValue)
            || (message.Progress.SentAt is { } sentAt && sentAt >= SentFrom && sentAt < SentBefore)
        );

    private string Link(string path, int page, string? afterSid)
    {
        var link = QueryString
            .Create("PageSize", PageSize.ToString(CultureInfo.InvariantCulture))
            .Add("Page", page.ToString(CultureInfo.InvariantCulture));
        if (To is not null)
            link = link.Add("To", To);
        if (From is not null)
            link = link.Add("From", From);
        if (SentFrom != DateTimeOffset.MinValue)
            link = link.Add("DateSent>", SentFrom.ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture));
        if (SentBefore != DateTimeOffset.MaxValue)
            link = link.Add("DateSent<", SentBefore.AddSeconds(-1).ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture));
        return path + (afterSid is null ? link : link.Add("PageToken", TokenPrefix + afterSid));
    }

    private static bool TryNumber(string? value, int otherwise, int lowest, out int number)
    {
        number = otherwise;
        return string.IsNullOrEmpty(value)
            || (
                int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out number) && number >= lowest && number <= 1_000_000
            );
    }

    private static bool TryDay(string? value, out SentDate? date)
    {
        date = null;
        if (string.IsNullOrEmpty(value))
            return true;
        if (
            !DateTimeOffset.TryParse(
                value,
                CultureInfo.InvariantCulture,
                DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal,
                out var time
            )
        )
            return false;

        date = new SentDate(time, IsWholeDay: value.Length == "yyyy-MM-dd".Length);
        return true;
    }

    private static string? NullIfEmpty(string? value) => string.IsNullOrEmpty(value) ? null : value;

    /// <summary>A GMT date, or a time to the second.</summary>
    private sealed record SentDate(DateTimeOffset Time, bool IsWholeDay)
    {
        public DateTimeOffset Start => new(Time.Date, TimeSpan.Zero);

        public DateTimeOffset End => Start.AddDays(1);

        public DateTimeOffset After => IsWholeDay ? End : Time.AddSeconds(1);
    }
}
