namespace Notify.Tests.Dispatch;

using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.Monitoring;
using Notify.Dispatch.Dispatching;
using Notify.Dispatch.Providers;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Tests.Domain;
using Notify.Tests.Projections.Analytics;
using Notify.Tests.Support;
using Npgsql;

/// <summary>Outcomes that cannot be written at once, over a real store.</summary>
public sealed class KeptOutcomeTests(AnalyticsDatabase database) : IClassFixture<AnalyticsDatabase>
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Accepted_outcomes_are_kept_and_written_when_statements_are_slower_than_the_time_out()
    {
        await using var slow = Source("-c statement_timeout=200");
        var (rows, claim) = await ClaimedAsync("slow", 6);
        await database.ExecuteAsync(
            """
            create table slow_now as select 1;
            create function be_slow() returns trigger language plpgsql as $$
                begin if exists (select from slow_now) then perform pg_sleep(1); end if; return null; end $$;
            create trigger slow after delete on notify.open_deliveries for each statement execute function be_slow();
            """
        );
        try
        {
            await using var settlement = Start(slow);
            var writing = rows.Select((row, i) => settlement.SettleAsync(Made(row, claim, new AttemptOutcome.Accepted($"m{i}")))).ToList();
            await Eventually.Becomes(() => Task.FromResult(settlement.Kept), kept => kept > 0, "outcomes are kept");
            Assert.DoesNotContain(writing, w => w.IsCompleted);
            await database.ExecuteAsync("delete from slow_now");

            Assert.All(await Task.WhenAll(writing), Assert.True);
            Assert.Equal(6, await DispatchedAsync("slow"));
            Assert.Equal(0, settlement.Kept);
        }
        finally
        {
            await database.ExecuteAsync("drop trigger slow on notify.open_deliveries; drop function be_slow; drop table slow_now");
        }
    }

    [Fact]
    public async Task Accepted_outcome_that_the_database_rejects_is_kept_and_delays_no_other()
    {
        var (rows, claim) = await ClaimedAsync("kept", 8);
        await database.ExecuteAsync(
            $"""
            create function reject() returns trigger language plpgsql as $$
                begin raise exception 'no' using errcode = 'check_violation'; end $$;
            create trigger reject before delete on notify.open_deliveries
                for each row when (old.delivery_id = '{rows[3].Id}') execute function reject();
            """
        );
        try
        {
            await using var settlement = Start(database.Source);
            var writing = rows.Select((row, i) => settlement.SettleAsync(Made(row, claim, new AttemptOutcome.Accepted($"m{i}")))).ToList();
            Assert.All(await Task.WhenAll(writing.Where((_, i) => i != 3)), Assert.True);
            Assert.False(writing[3].IsCompleted);
            await Eventually.Becomes(() => Task.FromResult(settlement.Kept), kept => kept == 1, "the outcome is kept");
            await database.ExecuteAsync("drop trigger reject on notify.open_deliveries");

            Assert.True(await writing[3]);
            Assert.Equal(8, await DispatchedAsync("kept"));
        }
        finally
        {
            await database.ExecuteAsync("drop trigger if exists reject on notify.open_deliveries; drop function reject");
        }
    }

    [Fact]
    public async Task Accepted_outcomes_are_written_at_the_end_of_the_host()
    {
        var (rows, claim) = await ClaimedAsync("end", 3);
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        await using var hurried = Source("-c lock_timeout=100");
        var settlement = Start(hurried);
        var transaction = await connection.BeginTransactionAsync(Cancellation);
        var take = $"select 1 from notify.open_deliveries where delivery_id = '{rows[1].Id}' for update";
        await using (var command = new NpgsqlCommand(take, connection, transaction))
            await command.ExecuteNonQueryAsync(Cancellation);
        var writing = rows.Select((row, i) => settlement.SettleAsync(Made(row, claim, new AttemptOutcome.Accepted($"m{i}")))).ToList();
        await Eventually.Becomes(() => Task.FromResult(settlement.Kept), kept => kept > 0, "an outcome is kept");
        var end = settlement.DisposeAsync().AsTask();
        await transaction.RollbackAsync(Cancellation);
        await end;

        Assert.All(await Task.WhenAll(writing), Assert.True);
        Assert.Equal(3, await DispatchedAsync("end"));
    }

    private async Task<(List<OpenDelivery> Rows, Guid Claim)> ClaimedAsync(string name, int count)
    {
        var (claim, now) = (Guid.NewGuid(), TimeProvider.System.GetUtcNow());
        var rows = Enumerable
            .Range(0, count)
            .Select(i => $"n/c_shop:{name}-{i}")
            .Select(n => new OpenDelivery(
                DeterministicId.OfDelivery(n, "d"),
                n,
                new DeliveryQueue(Lane.Apns, Priority.Normal),
                OpenState.Queued,
                0,
                now,
                now
            ))
            .ToList();
        foreach (var row in rows)
            await database.AppendAsync(row.Notification, Some.Requested());
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        await OpenDeliveryTable.AddAsync(connection, rows, Cancellation);
        await OpenDeliveryTable.ClaimAsync(connection, [.. rows.Select(r => r.Id)], Guid.NewGuid(), claim, Cancellation);
        return (rows, claim);
    }

    private NpgsqlDataSource Source(string options) =>
        NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(database.ConnectionString) { Options = options });

    private Settlement Start(NpgsqlDataSource source) =>
        new(
            database.Store,
            source,
            TimeProvider.System,
            Options.Create(new RetrySchedule()),
            new QueueActivity(source, TimeProvider.System, NullLogger<QueueActivity>.Instance),
            new ProviderActivity(source, new AlertRules(), TimeProvider.System, NullLogger<ProviderActivity>.Instance),
            NullLogger<Settlement>.Instance
        );

    private static AttemptMade Made(OpenDelivery row, Guid claim, AttemptOutcome outcome) =>
        new(row, claim, 1, "apns", outcome, TimeSpan.Zero, null, TimeProvider.System.GetUtcNow());

    private async Task<int> DispatchedAsync(string name) =>
        (
            await database.RowsAsync(
                $"select 1 from events.mt_events where type = 'NotificationDispatched' and stream_id like 'n/c_shop:{name}-%'"
            )
        ).Count;
}
