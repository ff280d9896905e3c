namespace Notify.Delivery.Retention;

using System.Globalization;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>A week of a partitioned table.</summary>
/// <param name="Name">The partition, with its schema.</param>
/// <param name="From">Its first moment.</param>
public sealed record WeekPartition(string Name, DateTimeOffset From)
{
    /// <summary>The first moment after it.</summary>
    public DateTimeOffset To => From.AddDays(7);
}

/// <summary>A table that is partitioned by week, and the condition under which a week of it is still needed.</summary>
/// <param name="Name">The table, with its schema.</param>
/// <param name="InUse">SQL that reads whether something open refers to a partition; <c>{0}</c>: the partition.</param>
/// <param name="IsReadModel">
/// Whether it is projected from the events. Such a table is partitioned when it is first given a retention, and its weeks are dropped in
/// their order: see <see cref="RetentionLimits"/>.
/// </param>
public sealed record PartitionedTable(string Name, string InUse, bool IsReadModel = false)
{
    private const int WeeksAhead = 6;

    /// <summary>Payloads. Deliveries, digests and broadcasts that are not finished refer to them; dead letters do, too.</summary>
    public static readonly PartitionedTable Payloads = new(
        "notify.payloads",
        """
        exists (select from notify.open_deliveries o join {0} p on p.stream = o.notification)
        or exists (select from notify.digest_items i join {0} p on p.stream = i.member)
        or exists (select from notify.broadcasts b join {0} p on p.stream = b.key where b.ended_at is null)
        """
    );

    /// <summary>Raw texts of receipts. Receipts that wait for their delivery refer to them.</summary>
    public static readonly PartitionedTable ReceiptTexts = new(
        "notify.receipt_texts",
        "exists (select from notify.receipts r join {0} p using (provider, event_id) where r.due_at is not null)"
    );

    /// <summary>Destinations of tracked links. A delivery that is attempted writes its links again.</summary>
    public static readonly PartitionedTable Links = new("notify.links", "false");

    /// <summary>Views of notifications. Deliveries and digests that are not finished keep the views of their notifications.</summary>
    public static readonly PartitionedTable Views = new(
        "events.mt_doc_notificationview",
        """
        exists (select from notify.open_deliveries o join {0} p on p.id = o.notification)
        or exists (select from notify.digest_items i join {0} p on p.id = i.member)
        """,
        IsReadModel: true
    );

    /// <summary>Deliveries of analysts, by the time of the request.</summary>
    public static readonly PartitionedTable Deliveries = new("analytics.deliveries", "false", IsReadModel: true);

    /// <summary>Openings, clicks and the like of analysts, by their time.</summary>
    public static readonly PartitionedTable Engagement = new("analytics.engagement", "false", IsReadModel: true);

    /// <summary>
    /// Takes the next step from a plain table to a partitioned one, in the caller's transaction: a constraint on the rows that there
    /// are, its check beside writers, and the table as the first partition. No row moves, and no step holds a lock for long.
    /// </summary>
    /// <param name="mayBegin">Whether the first step may be taken. One that was taken is always followed by the others.</param>
    /// <returns>
    /// <c>partitioned</c>: nothing is left to do; <c>plain</c>: not begun; <c>begun</c> or <c>checked</c>: the next step may be taken;
    /// else the views of others that are in the way.
    /// </returns>
    public async Task<string> PartitionAsync(NpgsqlConnection connection, DateTimeOffset now, bool mayBegin, CancellationToken cancellation)
    {
        await using (var limits = SqlCommands.Create(connection, "set local lock_timeout = '1s'; set local statement_timeout = 0"))
            await limits.ExecuteNonQueryAsync(cancellation);
        await using var command = SqlCommands.Create(connection, "select notify.partition_by_week($1, $2, $3)", Name, now, mayBegin);
        command.CommandTimeout = 0;
        return (string)(await command.ExecuteScalarAsync(cancellation))!;
    }

    /// <summary>Makes the partitions of this week and the next ones. The default partition keeps the rows that it already has.</summary>
    /// <returns>How many were made.</returns>
    public async Task<int> AddAheadAsync(NpgsqlConnection connection, DateTimeOffset now, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(connection, "select notify.add_partitions($1, $2, $3)", Name, now, WeeksAhead);
        return (int)(await command.ExecuteScalarAsync(cancellation))!;
    }

    /// <summary>Reads the partitions that end before a time, the oldest first.</summary>
    public async Task<List<WeekPartition>> EndedAsync(NpgsqlConnection connection, DateTimeOffset before, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(
            connection,
            """
            select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
            where i.inhparent = $1::regclass order by c.relname
            """,
            Name
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var (ended, schema) = (new List<WeekPartition>(), Name[..(Name.IndexOf('.', StringComparison.Ordinal) + 1)]);
        while (await reader.ReadAsync(cancellation))
        {
            var name = reader.GetString(0);
            if (
                !DateTime.TryParseExact(
                    name[^8..],
                    "yyyyMMdd",
                    CultureInfo.InvariantCulture,
                    DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal,
                    out var from
                )
            )
                continue;
            var week = new WeekPartition(schema + name, from);
            if (week.To <= before)
                ended.Add(week);
        }

        return ended;
    }

    /// <summary>Drops a partition in the caller's transaction, unless something open refers to it.</summary>
    /// <returns>Whether it was dropped.</returns>
    public async Task<bool> DropAsync(NpgsqlConnection connection, WeekPartition week, CancellationToken cancellation)
    {
        await using (var exists = SqlCommands.Create(connection, "select to_regclass($1) is not null", week.Name))
        {
            if (await exists.ExecuteScalarAsync(cancellation) is not true)
                return false; // another host was faster
        }

        // It waits for statements on the table and delays later ones: briefly, or it is tried an hour later.
        await using (var limit = SqlCommands.Create(connection, "set local lock_timeout = '1s'"))
            await limit.ExecuteNonQueryAsync(cancellation);
        await using var inUse = SqlCommands.Create(connection, $"select {string.Format(CultureInfo.InvariantCulture, InUse, week.Name)}");
        if (await inUse.ExecuteScalarAsync(cancellation) is not false)
            return false;
        await using var drop = SqlCommands.Create(connection, "select notify.drop_partition($1)", week.Name);
        await drop.ExecuteNonQueryAsync(cancellation);
        return true;
    }
}
