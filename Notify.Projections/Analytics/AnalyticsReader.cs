namespace Notify.Projections.Analytics;

using Npgsql;

/// <summary>Milliseconds from planning to the provider's acceptance, off by at most 3.2 %.</summary>
/// <param name="P50">Half of them took no longer.</param>
/// <param name="P95">Nineteen of twenty took no longer.</param>
/// <param name="P99">Ninety-nine of a hundred took no longer.</param>
public sealed record LatencyPercentiles(double P50, double P95, double P99);

/// <summary>Counts of the deliveries of one group. Only the fields that it is grouped by have a value.</summary>
/// <param name="Day">The day (UTC) of the request.</param>
/// <param name="Client">The client that asked.</param>
/// <param name="Mode">live or test.</param>
/// <param name="Channel">push, sms or email.</param>
/// <param name="Category">The notification's category.</param>
/// <param name="Template">Empty: none.</param>
/// <param name="Provider">Empty: none was called.</param>
/// <param name="Requested">All: planned or skipped.</param>
/// <param name="Suppressed">Skipped: opted out, no contact, suppressed address, and so on.</param>
/// <param name="Cancelled">Withdrawn by the client before they were made.</param>
/// <param name="Expired">Not made before the notification's expiresAt.</param>
/// <param name="InFlight">Queued, deferred or being attempted.</param>
/// <param name="Unknown">Attempted, and it is not known whether the provider accepted.</param>
/// <param name="Dispatched">Accepted by a provider, also where they failed afterwards.</param>
/// <param name="Delivered">Reported to have reached the device or mailbox.</param>
/// <param name="Failed">Failed permanently.</param>
/// <param name="DeadLettered">Used up their attempts and wait for a person.</param>
/// <param name="Opened">Deliveries that were opened: each counts once.</param>
/// <param name="OpenedTotal">All openings by people.</param>
/// <param name="Clicked">Deliveries with a clicked link: each counts once.</param>
/// <param name="ClickedTotal">All clicks by people.</param>
/// <param name="Unsubscribed">Deliveries through which the person unsubscribed.</param>
/// <param name="LatencyMs"><c>null</c> where nothing was dispatched.</param>
/// <param name="ClickedLinks">Links that were clicked: each counts once per delivery.</param>
/// <param name="MachineOpens">Openings by machines, in none of the other counts.</param>
/// <param name="MachineClicks">Clicks by scanners and prefetchers, in none of the other counts.</param>
public sealed record AnalyticsRow(
    DateOnly? Day,
    string? Client,
    string? Mode,
    string? Channel,
    string? Category,
    string? Template,
    string? Provider,
    long Requested,
    long Suppressed,
    long Cancelled,
    long Expired,
    long InFlight,
    long Unknown,
    long Dispatched,
    long Delivered,
    long Failed,
    long DeadLettered,
    long Opened,
    long OpenedTotal,
    long Clicked,
    long ClickedTotal,
    long Unsubscribed,
    LatencyPercentiles? LatencyMs,
    long ClickedLinks = 0,
    long MachineOpens = 0,
    long MachineClicks = 0
);

/// <summary>Adds up <c>analytics.daily</c> and <c>analytics.daily_hits</c>.</summary>
public static class AnalyticsReader
{
    /// <summary>The names that counts can be grouped by, and their columns.</summary>
    public static readonly IReadOnlyList<(string Name, string Column)> Groups =
    [
        ("day", "day"),
        ("client", "client_id"),
        ("mode", "mode"),
        ("channel", "channel"),
        ("category", "category"),
        ("template", "template"),
        ("provider", "provider"),
    ];

    private static readonly string[] Hits = ["opened_again", "clicked_again", "machine_opens", "machine_clicks"];

    /// <summary>Reads the counts of the days from <paramref name="from"/> to before <paramref name="to"/>.</summary>
    /// <param name="client">The client; <c>null</c>: all clients.</param>
    /// <param name="groupBy">Some of <see cref="Groups"/>; with none there is one row.</param>
    /// <param name="limit">The most rows.</param>
    public static async Task<IReadOnlyList<AnalyticsRow>> ReadAsync(
        NpgsqlDataSource database,
        DateOnly from,
        DateOnly to,
        string? client,
        IReadOnlyCollection<string> groupBy,
        int limit,
        CancellationToken cancellation
    )
    {
        var grouped = Groups.Where(g => groupBy.Contains(g.Name)).Select(g => g.Column).ToList();
        var grouping = grouped.Count == 0 ? "" : $"group by {string.Join(", ", grouped)} order by {string.Join(", ", grouped)}";
        var keys = Groups.Select(g => g.Column).ToList();
        string[] events = [.. keys, .. DailyCounts.Columns, "latency_histogram", .. Hits.Select(h => $"0 as {h}")];
        string[] hits = [.. keys, .. DailyCounts.Columns.Select(_ => "0"), "'{}'", .. Hits];
        await using var command = database.CreateCommand(
            $"""
            select {string.Join(", ", Groups.Select(g => grouped.Contains(g.Column) ? g.Column : $"null as no_{g.Column}"))},
                   array[{string.Join(", ", DailyCounts.Columns.Concat(Hits).Select(c => $"coalesce(sum({c}), 0)::bigint"))}],
                   array[{string.Join(
                ", ",
                new[] { "0.5", "0.95", "0.99" }.Select(p =>
                    $"{AnalyticsTables.Schema}.percentile({AnalyticsTables.Schema}.histogram_sum(latency_histogram), {p})"
                )
            )}]
            from (select {string.Join(", ", events)} from {AnalyticsTables.Schema}.daily
                  union all
                  select {string.Join(", ", hits)} from {AnalyticsTables.Schema}.daily_hits) counted
            where day >= $1 and day < $2 and ($3::text is null or client_id = $3)
            {grouping} limit $4
            """
        );
        foreach (var value in new object[] { from, to, (object?)client ?? DBNull.Value, limit })
            command.Parameters.Add(new NpgsqlParameter { Value = value });
        command.Parameters[2].NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Text;
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var rows = new List<AnalyticsRow>();
        while (await reader.ReadAsync(cancellation))
        {
            var c = reader.GetFieldValue<long[]>(7);
            var p = reader.GetFieldValue<double?[]>(8);
            rows.Add(
                new AnalyticsRow(
                    reader.IsDBNull(0) ? null : reader.GetFieldValue<DateOnly>(0),
                    Text(1),
                    Text(2),
                    Text(3),
                    Text(4),
                    Text(5),
                    Text(6),
                    c[0],
                    c[1],
                    c[2],
                    c[3],
                    c[4],
                    c[5],
                    c[6],
                    c[7],
                    c[8],
                    c[9],
                    c[10],
                    c[11] + c[15],
                    c[12],
                    c[13] + c[16],
                    c[14],
                    p is [{ } p50, { } p95, { } p99] ? new LatencyPercentiles(p50, p95, p99) : null,
                    c[13],
                    c[17],
                    c[18]
                )
            );
        }

        return rows;

        string? Text(int column) => reader.IsDBNull(column) ? null : reader.GetString(column);
    }
}
