namespace Notify.Bench;

using System.Diagnostics;
using System.Security.Cryptography;
using System.Text.Json;
using Npgsql;

/// <summary>
/// The least that the database has to do for a notification, done with as little around it as there can be: a stream, three
/// events and an open delivery's row come and gone, in two commits for each group (accepted, settled), into tables made like Marten's.
/// </summary>
internal sealed class PhysicalLimit(NpgsqlDataSource database)
{
    /// <summary>Notifications in a commit.</summary>
    public const int Group = 100;

    private const int Writers = 4;

    /// <returns>Notifications a second.</returns>
    public async Task<double> MeasureAsync(int count)
    {
        await ExecuteAsync(
            """
            drop schema if exists bench cascade;
            create schema bench;
            create sequence bench.event_sequence;
            create table bench.streams (like events.mt_streams including all);
            create table bench.events (like events.mt_events including all);
            create table bench.open_deliveries (like notify.open_deliveries including all);
            """
        );
        try
        {
            var groups = (count + Group - 1) / Group;
            var next = 0;
            await Task.WhenAll(Enumerable.Range(0, Writers).Select(_ => WriteAsync(-1))); // plans, caches, files
            var watch = Stopwatch.StartNew();
            await Task.WhenAll(
                Enumerable
                    .Range(0, Writers)
                    .Select(async _ =>
                    {
                        while (Interlocked.Increment(ref next) is var group && group <= groups)
                            await WriteAsync(group);
                    })
            );
            return (double)groups * Group / watch.Elapsed.TotalSeconds;
        }
        finally
        {
            await ExecuteAsync("drop schema bench cascade");
        }
    }

    private async Task WriteAsync(int group)
    {
        var ids = Enumerable.Range(0, Group).Select(_ => Guid.NewGuid()).ToArray();
        var streams = ids.Select((id, n) => $"n/bench:{group}-{n}-{id:N}").ToArray();
        await using var connection = await database.OpenConnectionAsync();

        await using (var accepted = new NpgsqlBatch(connection))
        {
            Add(
                accepted,
                "insert into bench.streams (id, type, version) select id, 'notification', 2 from unnest($1) as t(id)",
                (object)streams
            );
            Add(
                accepted,
                """
                insert into bench.events (seq_id, id, stream_id, version, data, type, timestamp, mt_dotnet_type)
                select nextval('bench.event_sequence'), id, stream, version, data, 'notification_requested', now(), 'Notify.Domain.Notifications.NotificationRequested, Notify.Domain'
                from unnest($1, $2, $3, $4::jsonb[]) as t(id, stream, version, data)
                """,
                Enumerable.Range(0, 2 * Group).Select(_ => Guid.NewGuid()).ToArray(),
                streams.SelectMany(s => new[] { s, s }).ToArray(),
                streams.SelectMany(_ => new long[] { 1, 2 }).ToArray(),
                streams.SelectMany(_ => new[] { Event(900), Event(650) }).ToArray()
            );
            Add(
                accepted,
                """
                insert into bench.open_deliveries (delivery_id, notification, queue, state, enqueued_at)
                select id, stream, 1, 0, now() from unnest($1, $2) as t(id, stream)
                """,
                ids,
                streams
            );
            await accepted.ExecuteNonQueryAsync(); // a batch is a transaction
        }

        await using var settled = new NpgsqlBatch(connection);
        Add(
            settled,
            """
            insert into bench.events (seq_id, id, stream_id, version, data, type, timestamp, mt_dotnet_type)
            select nextval('bench.event_sequence'), id, stream, 3, data, 'notification_dispatched', now(), 'Notify.Domain.Notifications.NotificationDispatched, Notify.Domain'
            from unnest($1, $2, $3::jsonb[]) as t(id, stream, data)
            """,
            ids.Select(_ => Guid.NewGuid()).ToArray(),
            streams,
            streams.Select(_ => Event(400)).ToArray()
        );
        Add(settled, "delete from bench.open_deliveries where delivery_id = any($1)", ids);
        await settled.ExecuteNonQueryAsync();
    }

    // Encrypted data does not compress, so neither may this.
    private static string Event(int length) =>
        JsonSerializer.Serialize(
            new { at = TimeProvider.System.GetUtcNow(), @sealed = RandomNumberGenerator.GetBytes((length - 60) * 3 / 4) }
        );

    private static void Add(NpgsqlBatch batch, string sql, params ReadOnlySpan<object> parameters)
    {
        var command = new NpgsqlBatchCommand(sql);
        foreach (var value in parameters)
            command.Parameters.Add(new NpgsqlParameter { Value = value });
        batch.BatchCommands.Add(command);
    }

    private async Task ExecuteAsync(string sql)
    {
        await using var command = database.CreateCommand(sql);
        await command.ExecuteNonQueryAsync();
    }
}
