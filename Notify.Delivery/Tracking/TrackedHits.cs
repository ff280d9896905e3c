namespace Notify.Delivery.Tracking;

using System.Globalization;
using Notify.Domain.Notifications;
using Npgsql;

/// <summary>How often something of a delivery was hit.</summary>
/// <param name="Number">Which of its links, from 0; −1: its opening.</param>
/// <param name="People">Times that do not show themselves as machines', the first included.</param>
/// <param name="Machines">Times by scanners and prefetchers, as far as they show themselves.</param>
public sealed record TrackedHit(int Number, long People, long Machines);

/// <summary>Counts what is opened and followed: per delivery and link, and per day for analytics. The first of a person is an event too,
/// and only that.</summary>
public static class TrackedHits
{
    /// <summary>The number of an opening.</summary>
    public const int Opening = -1;

    private const int Slots = 16;

    /// <summary>Counts a hit, in the caller's transaction.</summary>
    /// <param name="number">The link; <see cref="Opening"/>: the opening.</param>
    /// <param name="isMachine">Whether it was a scanner's or prefetcher's, and no person's.</param>
    /// <param name="isFirst">Whether it is an event too.</param>
    public static async Task CountAsync(
        NpgsqlConnection connection,
        NotificationRequested request,
        Delivery delivery,
        int number,
        bool isMachine,
        bool isFirst,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        await using (
            var hit = Command(
                connection,
                """
                insert into notify.tracked_hits as h (delivery_id, number, people, machines, last_at, daily) values ($1, $2, $3, $4, $5, $6)
                on conflict (delivery_id, number) do update set people = h.people + $3, machines = h.machines + $4, last_at = $5, daily = $6
                """,
                delivery.Id,
                number,
                isMachine ? 0L : 1L,
                isMachine ? 1L : 0L,
                now.UtcDateTime,
                Texts(DailyKey.Of(request, delivery))
            )
        )
            await hit.ExecuteNonQueryAsync(cancellation);

        if (!isFirst)
            await CountDailyAsync(connection, DailyKey.Of(request, delivery), number, isMachine, cancellation);
    }

    /// <summary>
    /// Counts a hit that is no event, in the caller's transaction, without reading the stream: one of a machine, or a
    /// repeated one of a person.
    /// </summary>
    /// <returns>Whether it was counted; if not, the stream decides: no person has hit it before.</returns>
    public static async Task<bool> CountAgainAsync(
        NpgsqlConnection connection,
        Guid deliveryId,
        int number,
        bool isMachine,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        string[]? daily;
        await using (
            var hit = Command(
                connection,
                """
                update notify.tracked_hits set people = people + $3, machines = machines + $4, last_at = $5
                where delivery_id = $1 and number = $2 and daily is not null and ($6 or people > 0) returning daily
                """,
                deliveryId,
                number,
                isMachine ? 0L : 1L,
                isMachine ? 1L : 0L,
                now.UtcDateTime,
                isMachine
            )
        )
            daily = (string[]?)await hit.ExecuteScalarAsync(cancellation);

        if (daily is null)
            return false;
        await CountDailyAsync(connection, Read(daily), number, isMachine, cancellation);
        return true;
    }

    private static string[] Texts(DailyKey k) =>
        [k.Day.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture), k.ClientId, k.Channel, k.Category, k.Template, k.Provider, k.Mode];

    private static DailyKey Read(string[] k) =>
        new(DateOnly.ParseExact(k[0], "yyyy-MM-dd", CultureInfo.InvariantCulture), k[1], k[2], k[3], k[4], k[5], k[6]);

    private static async Task CountDailyAsync(
        NpgsqlConnection connection,
        DailyKey day,
        int number,
        bool isMachine,
        CancellationToken cancellation
    )
    {
        var isOpening = number == Opening;
        await using var counted = Command(
            connection,
            """
            insert into notify.tracked_daily as d values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
            on conflict (day, client_id, channel, category, template, provider, mode, slot) do update
            set opened_again = d.opened_again + $9, clicked_again = d.clicked_again + $10, machine_opens = d.machine_opens + $11, machine_clicks = d.machine_clicks + $12
            """,
            day.Day,
            day.ClientId,
            day.Channel,
            day.Category,
            day.Template,
            day.Provider,
            day.Mode,
            (short)Random.Shared.Next(Slots),
            One(isOpening && !isMachine),
            One(!isOpening && !isMachine),
            One(isOpening && isMachine),
            One(!isOpening && isMachine)
        );
        await counted.ExecuteNonQueryAsync(cancellation);

        static long One(bool isThis) => isThis ? 1 : 0;
    }

    /// <summary>Whether another link of the delivery was followed since then.</summary>
    public static async Task<bool> OtherLinkSinceAsync(
        NpgsqlConnection connection,
        Guid deliveryId,
        int number,
        DateTimeOffset since,
        CancellationToken cancellation
    )
    {
        await using var command = Command(
            connection,
            "select exists (select from notify.tracked_hits where delivery_id = $1 and number >= 0 and number <> $2 and last_at > $3)",
            deliveryId,
            number,
            since.UtcDateTime
        );
        return await command.ExecuteScalarAsync(cancellation) is true;
    }

    /// <summary>Reads the hits of each delivery, in the order of the links; links without hits are absent.</summary>
    public static async Task<ILookup<Guid, TrackedHit>> OfAsync(
        NpgsqlConnection connection,
        IEnumerable<Guid> deliveries,
        CancellationToken cancellation
    )
    {
        await using var command = Command(
            connection,
            "select delivery_id, number, people, machines from notify.tracked_hits where delivery_id = any($1) order by number",
            deliveries.ToArray()
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var rows = new List<(Guid Delivery, TrackedHit Hit)>();
        while (await reader.ReadAsync(cancellation))
            rows.Add((reader.GetGuid(0), new TrackedHit(reader.GetInt32(1), reader.GetInt64(2), reader.GetInt64(3))));
        return rows.ToLookup(r => r.Delivery, r => r.Hit);
    }

    private static NpgsqlCommand Command(NpgsqlConnection connection, string sql, params ReadOnlySpan<object> parameters)
    {
        var command = new NpgsqlCommand(sql, connection);
        foreach (var value in parameters)
            command.Parameters.Add(new NpgsqlParameter { Value = value });
        return command;
    }
}
