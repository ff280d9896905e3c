namespace Notify.Tests.Dispatch;

using System.Diagnostics;
using Microsoft.Extensions.Time.Testing;
using Notify.Delivery.DeliveryQueue;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Tests.Projections;
using Npgsql;

/// <summary>The order in which due deliveries are taken, over a real table.</summary>
public sealed class DueDeliveriesTests(EmptyDatabase database) : IClassFixture<EmptyDatabase>, IAsyncLifetime
{
    private const int Page = 500,
        Flood = 20_000;
    private static readonly DateTimeOffset Now = new(2026, 5, 4, 12, 0, 0, TimeSpan.Zero);
    private static readonly DeliveryQueue Bulk = new(Lane.Apns, Priority.Bulk);
    private readonly DueDeliveries due = new(new FakeTimeProvider(Now));
    private NpgsqlConnection connection = null!;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        connection = await database.Source.OpenConnectionAsync(Cancellation);
        await ExecuteAsync("truncate notify.open_deliveries");
    }

    public ValueTask DisposeAsync() => connection.DisposeAsync();

    [Fact]
    public async Task Flood_of_due_pushes_leaves_the_first_page_to_what_is_critical_and_to_other_lanes_and_clients()
    {
        await FloodAsync("c_flood", Bulk, OpenState.Deferred);
        await FloodAsync("c_flood", new DeliveryQueue(default, Priority.Bulk), OpenState.Scheduled);
        var late = new[]
        {
            await AddAsync("c_flood", new DeliveryQueue(Lane.Sms, Priority.Critical), OpenState.Deferred),
            await AddAsync("c_flood", new DeliveryQueue(default, Priority.Critical), OpenState.Scheduled),
            await AddAsync("c_flood", new DeliveryQueue(Lane.Email, Priority.Normal), OpenState.Unknown),
            await AddAsync("c_flood", new DeliveryQueue(Lane.Sms, Priority.Bulk), OpenState.Deferred),
            await AddAsync("c_other", Bulk, OpenState.Deferred),
            await AddAsync("c_other", new DeliveryQueue(default, Priority.Bulk), OpenState.Scheduled),
        };

        var watch = Stopwatch.StartNew();
        var (rows, areMore) = await due.LockAsync(connection, Now, Page, Cancellation);
        TestContext.Current.TestOutputHelper?.WriteLine($"A page of {rows.Count} in {watch.ElapsedMilliseconds} ms.");

        Assert.Equal((Page, true), (rows.Count, areMore));
        Assert.Equal(Page, rows.Select(r => r.Id).Distinct().Count());
        Assert.Empty(late.Except(rows.Select(r => r.Id)));
        Assert.Equal(Priority.Critical, rows[0].Queue.Priority);
        // The two floods share the rest.
        Assert.InRange(rows.Count(r => r.State == OpenState.Scheduled), 245, 255);
    }

    [Fact]
    public async Task Pages_take_everything_that_is_due_once_and_nothing_else()
    {
        await FloodAsync("c_flood", Bulk, OpenState.Deferred, 3_000);
        await ExecuteAsync(
            $"""
            insert into notify.open_deliveries (delivery_id, notification, queue, state, enqueued_at, due_at, reason)
            select gen_random_uuid(), 'n/c_' || c || ':e', {Bulk.Code}, 2, '{Now:O}',
                '{Now:O}'::timestamptz + make_interval(secs => c % 2), 'Retry' from generate_series(1, 1400) c
            """
        );
        var taken = 0;
        for (var areMore = true; areMore; )
        {
            await using var transaction = await connection.BeginTransactionAsync(Cancellation);
            (var rows, areMore) = await due.LockAsync(connection, Now, Page, Cancellation);
            Assert.All(rows, r => Assert.True(r.DueAt <= Now));
            await OpenDeliveryTable.RemoveAsync(connection, [.. rows.Select(r => r.Id)], Cancellation);
            await transaction.CommitAsync(Cancellation);
            taken += rows.Count;
        }

        Assert.Equal(3_700, taken);
        Assert.Empty((await due.LockAsync(connection, Now, Page, Cancellation)).Rows);
    }

    [Fact]
    public async Task Rows_that_another_host_has_locked_are_passed_over()
    {
        await FloodAsync("c_flood", Bulk, OpenState.Deferred, 1_200);
        await using var other = await database.Source.OpenConnectionAsync(Cancellation);
        await using var transaction = await other.BeginTransactionAsync(Cancellation);
        var theirs = (await due.LockAsync(other, Now, Page, Cancellation)).Rows;

        var mine = (await due.LockAsync(connection, Now, Page, Cancellation)).Rows;

        Assert.Equal((Page, Page), (theirs.Count, mine.Count));
        Assert.Empty(theirs.Select(r => r.Id).Intersect(mine.Select(r => r.Id)));
    }

    private Task FloodAsync(string client, DeliveryQueue queue, OpenState state, int count = Flood) =>
        ExecuteAsync(
            $"""
            insert into notify.open_deliveries (delivery_id, notification, queue, state, enqueued_at, due_at, reason)
            select gen_random_uuid(), 'n/{client}:{state}-' || i, {queue.Code}, {(short)state}, '{Now.AddHours(-1):O}',
                '{Now.AddMinutes(-10):O}', {(state == OpenState.Scheduled ? "null" : "'Retry'")}
            from generate_series(1, {count}) i
            """
        );

    private async Task<Guid> AddAsync(string client, DeliveryQueue queue, OpenState state)
    {
        var notification = $"n/{client}:late-{Guid.NewGuid():N}";
        var reason = state == OpenState.Scheduled ? null : Reasons.Retry;
        var row = new OpenDelivery(DeterministicId.OfDelivery(notification, "d"), notification, queue, state, 0, Now, Now, reason);
        await OpenDeliveryTable.AddAsync(connection, [row], Cancellation);
        return row.Id;
    }

    private async Task ExecuteAsync(string sql)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(Cancellation);
    }
}
