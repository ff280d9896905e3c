namespace Notify.Tests.Dispatch;

using Notify.Delivery.Broadcasts;
using Notify.Delivery.DeliveryQueue;
using Notify.Dispatch.Due;
using Notify.Domain.Broadcasts;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Tests.Projections;
using Npgsql;

/// <summary>After the clock was set back nothing waits for the same hour twice, except for what waits for a time of day.</summary>
public sealed class CountedWaitsTests(EmptyDatabase database) : IClassFixture<EmptyDatabase>
{
    private static readonly DateTimeOffset Now = new(2026, 5, 4, 12, 0, 0, TimeSpan.Zero);
    private static readonly RetrySchedule Schedule = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(OpenState.Queued, null, 1, 61)]
    [InlineData(OpenState.Asking, "TimedOut", 1, 61)]
    [InlineData(OpenState.Unknown, "TimedOut", 15, 75)]
    [InlineData(OpenState.Deferred, "Retry", 15, 61)]
    [InlineData(OpenState.Deferred, "ChannelHalted", 2, 62)]
    [InlineData(OpenState.Deferred, "ProviderAskedToWait", 360, 420)]
    [InlineData(OpenState.Deferred, "QuietHours", 61, null)]
    [InlineData(OpenState.Deferred, "CapExceeded", 600, null)]
    [InlineData(OpenState.Scheduled, null, 60_000, null)]
    public async Task Delivery_due_beyond_its_longest_wait_becomes_due_now(OpenState state, string? reason, int stays, int? tooLong)
    {
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        await using var transaction = await connection.BeginTransactionAsync(Cancellation);
        var (may, mayNot) = (Row("may", state, reason, stays), Row("may not", state, reason, tooLong ?? stays));
        await OpenDeliveryTable.AddAsync(connection, [may, mayNot], Cancellation);

        Assert.Equal(tooLong is null ? 0 : 1, await CountedWaits.PullInAsync(connection, Schedule, Now, Cancellation));

        var rows = await OpenDeliveryTable.LockAsync(connection, [may.Id, mayNot.Id], Cancellation);
        Assert.Equal(may.DueAt, rows.Single(r => r.Id == may.Id).DueAt);
        Assert.Equal(tooLong is null ? mayNot.DueAt : Now, rows.Single(r => r.Id == mayNot.Id).DueAt);
    }

    [Fact]
    public async Task A_broadcast_waits_for_its_time_and_no_longer()
    {
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        await using var transaction = await connection.BeginTransactionAsync(Cancellation);
        await AddAsync("b/c:scheduled", Now.AddHours(5), Now.AddHours(5));
        await AddAsync("b/c:waits", Now.AddHours(-5), Now.AddSeconds(10));
        await AddAsync("b/c:stuck", null, Now.AddHours(1));
        await CountedWaits.PullInAsync(connection, Schedule, Now, Cancellation);

        await using var select = new NpgsqlCommand("select array_agg(due_at order by key) from notify.broadcasts", connection);
        Assert.Equal(
            [Now.AddHours(5), Now, Now.AddSeconds(10)],
            ((DateTime[])(await select.ExecuteScalarAsync(Cancellation))!).Select(d => new DateTimeOffset(d))
        );

        async Task AddAsync(string key, DateTimeOffset? sendAt, DateTimeOffset dueAt) =>
            Assert.True(
                await BroadcastTable.AddAsync(
                    connection,
                    new Broadcast(key, BroadcastState.Scheduled, sendAt, null, dueAt, "", 0, null, null, null),
                    "c",
                    "hash",
                    Now,
                    Cancellation
                )
            );
    }

    private static OpenDelivery Row(string name, OpenState state, string? reason, int minutes) =>
        new(
            DeterministicId.OfDelivery("n/c:e", name),
            "n/c:e",
            new DeliveryQueue(Lane.Sms, Priority.Normal),
            state,
            1,
            Now.AddHours(-1),
            Now.AddMinutes(minutes),
            reason
        );
}
