namespace Notify.Tests.Projections.Analytics;

using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Projections.Rebuilding;
using Notify.Tests.Support;
using Npgsql;

public sealed class RebuildTests(AnalyticsDatabase database) : IClassFixture<AnalyticsDatabase>
{
    private static int notifications;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Tampered_rows_are_reported_and_fixed_under_load_and_no_row_is_missing_meanwhile()
    {
        await database.StartDaemonAsync();
        var settled = new List<Guid>();
        for (var i = 0; i < 30; i++)
            settled.Add(await SendAsync());
        await database.CaughtUpAsync();
        await database.ExecuteAsync(
            $"""
            update analytics.deliveries set status = 'failed', attempts = 9 where delivery_id in ('{settled[0]}', '{settled[1]}', '{settled[
                2
            ]}');
            delete from analytics.deliveries where delivery_id in ('{settled[3]}', '{settled[4]}');
            insert into analytics.deliveries select gen_random_uuid(), 'c_nobody', event_id, recipient, registered, channel, lane, provider, category, priority, mode, template_key, template_version,
                status, reason, attempts, requested_at, planned_at, first_attempt_at, dispatched_at, delivered_at, failed_at, status_at, latency_ms, provider_latency_ms, delivery_latency_ms,
                opened_at, opens, clicked_at, clicks, unsubscribed_at from analytics.deliveries where delivery_id = '{settled[5]}';
            insert into analytics.engagement select '{settled[6]}', 'opened', '', 'c_load', 'push', 'news', now(), 'nobody';
            update analytics.daily set requested = requested + 1000;
            update events.mt_doc_notificationview set status = 'failed' where id = (select min(id) from events.mt_doc_notificationview);
            """
        );

        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
        var sending = Task.Run(
            async () =>
            {
                while (!stop.IsCancellationRequested)
                    await SendAsync();
            },
            Cancellation
        );
        var watching = Task.Run(() => WatchAsync(stop.Token), Cancellation);
        var (exitCode, output) = await database.RebuildAsync("analytics");
        var (viewsExitCode, viewsOutput) = await database.RebuildAsync("notification-views");
        await stop.CancelAsync();
        await sending;
        Assert.InRange(await watching, 3, int.MaxValue);

        Assert.True(exitCode == 0 && viewsExitCode == 0, output + viewsOutput);
        Assert.Matches(@"analytics\.deliveries: [\d,]+ rows, 2 missing, 1 extra, 3 differing", output);
        Assert.Contains($"  {settled[0]} differs", output, StringComparison.Ordinal);
        Assert.Matches(@"analytics\.engagement: [\d,]+ rows, 0 missing, 1 extra, 0 differing", output);
        // A second row where the rebuild read a push before its dispatch: it has no provider yet.
        Assert.Matches(@"analytics\.daily: [12] rows, 0 missing, 0 extra, 1 differing", output);
        Assert.Matches(@"^analytics: [\d,]+ rows, 8 differ; swapped$", output.TrimEnd().Split('\n')[^1].TrimEnd());
        Assert.Matches(@"notification-views: [\d,]+ rows, 1 differ; swapped", viewsOutput);

        await database.CaughtUpAsync();
        foreach (var name in new[] { "analytics", "notification-views" })
            Assert.Contains(", 0 differ; swapped", (await database.RebuildAsync(name)).Output, StringComparison.Ordinal);
        Assert.Equal(
            [$"{{\"counted\": {notifications}, \"deliveries\": {notifications}}}"],
            await database.RowsAsync(
                "select (select sum(requested) from analytics.daily) as counted, (select count(*) from analytics.deliveries) as deliveries"
            )
        );
    }

    [Fact]
    public async Task An_interrupted_rebuild_leaves_the_live_tables_alone_and_the_next_one_cleans_up()
    {
        await database.StartDaemonAsync();
        await SendAsync();
        await database.CaughtUpAsync();
        const string Tables =
            "select c.oid::bigint from pg_class c where c.relnamespace = 'analytics'::regnamespace and relkind in ('r', 'i') order by 1";
        var before = await database.RowsAsync(Tables);
        var projection = RebuildableProjections.All(database.Ring).Single(p => p.Name == "analytics");
        await using (var broken = new BrokenWriter())
            await Assert.ThrowsAsync<IOException>(() =>
                new Rebuild(database.Store, database.Source, projection, broken).RunAsync(Cancellation)
            );

        Assert.Equal(before, await database.RowsAsync(Tables));
        Assert.NotEmpty(await database.RowsAsync("select from pg_namespace where nspname = 'rebuild_analytics'"));
        Assert.Equal(0, (await database.RebuildAsync("analytics")).ExitCode);
        Assert.NotEqual(before, await database.RowsAsync(Tables));
        Assert.Empty(await database.RowsAsync("select from pg_namespace where nspname like 'rebuild%'"));
    }

    [Fact]
    public async Task The_new_tables_have_the_keys_indexes_comments_and_rights_of_the_old_ones()
    {
        await database.StartDaemonAsync();
        await SendAsync();
        await database.CaughtUpAsync();
        const string Shape = """
            select c.oid::regclass::text as relation, c.relkind, c.reloptions, c.relacl, obj_description(c.oid, 'pg_class') as said, pg_get_indexdef(c.oid) as index,
                   array(select a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull || coalesce(' ' || pg_get_expr(d.adbin, d.adrelid), '') || coalesce(' ' || col_description(c.oid, a.attnum), '')
                         from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum where a.attrelid = c.oid and a.attnum > 0 order by a.attnum) as columns,
                   array(select k.conname || ' ' || pg_get_constraintdef(k.oid) from pg_constraint k where k.conrelid = c.oid order by 1) as constraints
            from pg_class c where relkind in ('r', 'i') and (c.relnamespace = 'analytics'::regnamespace or c.oid::regclass::text like '%mt_doc_notificationview%') order by 1
            """;
        var before = await database.RowsAsync(Shape);
        Assert.Equal(0, (await database.RebuildAsync("analytics")).ExitCode);
        Assert.Equal(0, (await database.RebuildAsync("notification-views")).ExitCode);
        Assert.Equal(before, await database.RowsAsync(Shape));
    }

    [Fact]
    public async Task A_long_query_is_waited_for_and_views_over_the_tables_are_named()
    {
        await database.StartDaemonAsync();
        await SendAsync();
        await database.CaughtUpAsync();
        await database.ExecuteAsync("create view public.of_an_analyst as select count(*) from analytics.deliveries");
        var (exitCode, output) = await database.RebuildAsync("analytics");
        Assert.Equal(1, exitCode);
        Assert.Contains("of_an_analyst would keep the tables from being replaced; drop these views", output, StringComparison.Ordinal);
        await database.ExecuteAsync("drop view public.of_an_analyst");

        await using var reading = await database.Source.OpenConnectionAsync(Cancellation);
        await using var transaction = await reading.BeginTransactionAsync(Cancellation);
        await using (var query = new NpgsqlCommand("select count(*) from analytics.daily", reading))
            await query.ExecuteScalarAsync(Cancellation);
        var rebuilding = database.RebuildAsync("analytics");
        await Eventually.Holds(
            async () => (await database.RowsAsync("select from pg_locks where mode = 'AccessExclusiveLock' and not granted")).Count > 0,
            "the rebuild waits for the reader"
        );
        Assert.False(rebuilding.IsCompleted);
        Assert.Equal(1, (await database.RebuildAsync("analytics")).ExitCode); // and a second one does not begin
        await transaction.CommitAsync(Cancellation);
        Assert.Contains("; swapped", (await rebuilding).Output, StringComparison.Ordinal);
    }

    // One push that is dispatched; half of them say so in a transaction of its own.
    private async Task<Guid> SendAsync()
    {
        var number = Interlocked.Increment(ref notifications);
        var key = NotificationKey.Of("c_load", $"n-{number}");
        var id = DeterministicId.OfDelivery(key, "d");
        var at = new DateTimeOffset(2026, 5, 4, 12, 0, 0, TimeSpan.Zero).AddSeconds(number);
        var dispatched = new NotificationDispatched(id, 1, "apns", $"m-{number}", 20, null, at.AddSeconds(1));
        object[] start =
        [
            AnyHistory.Requested("c_load", $"n-{number}", "u", at),
            new DeliveriesPlanned([new PlannedDelivery(id, Lane.Apns, "d", new Sealed("7.t"))], [], 1, at),
        ];
        await database.AppendAsync(key, number % 2 == 0 ? [.. start, dispatched] : start);
        if (number % 2 != 0)
            await database.AppendAsync(key, dispatched);
        return id;
    }

    // Reads all the time: no table may ever be away, or have fewer rows than before.
    private async Task<int> WatchAsync(CancellationToken until)
    {
        var (reads, fewest) = (0, new long[] { 1, 1, 1 });
        while (!until.IsCancellationRequested)
        {
            await using var command = database.Source.CreateCommand(
                "select array[(select count(*) from analytics.deliveries where client_id = 'c_load'), (select "
                    + "sum(dispatched)::bigint from analytics.daily), (select count(*) from events.mt_doc_notificationview)]"
            );
            var now = (long[])(await command.ExecuteScalarAsync(Cancellation))!;
            for (var i = 0; i < 3; i++)
                Assert.True(now[i] >= fewest[i] || (i == 1 && reads < 3), $"table {i} went from {fewest[i]} to {now[i]} rows");
            (reads, fewest) = (reads + 1, now);
        }

        return reads;
    }

    private sealed class BrokenWriter : StringWriter
    {
        public override Task WriteLineAsync(string? value) => throw new IOException("the terminal is gone");
    }
}
