namespace Notify.Tests.Dispatch;

using Notify.Delivery.DeliveryQueue;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Tests.Projections;

/// <summary>Which deliveries a poll finds, over a real table.</summary>
public sealed class ReadyDeliveriesTests(EmptyDatabase database) : IClassFixture<EmptyDatabase>
{
    private static readonly DateTimeOffset Now = new(2026, 5, 4, 12, 0, 0, TimeSpan.Zero);
    private static readonly OpenState[] Others =
    [
        OpenState.InFlight,
        OpenState.Deferred,
        OpenState.Unknown,
        OpenState.Dead,
        OpenState.Scheduled,
    ];
    private static readonly DeliveryQueue Sms = new(Lane.Sms, Priority.Critical);
    private static readonly DeliveryQueue Mail = new(Lane.Email, Priority.Normal);
    private static readonly DeliveryQueue Push = new(Lane.Apns, Priority.Normal);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Poll_counts_what_is_ready_and_old_enough_up_to_the_limit()
    {
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        await using var transaction = await connection.BeginTransactionAsync(Cancellation);
        await AddAsync(Sms, OpenState.Queued, 2, Now.AddSeconds(-2));
        await AddAsync(Sms, OpenState.Asking, 1, Now.AddSeconds(-2));
        await AddAsync(Sms, OpenState.Queued, 5, Now); // its message is on its way
        await AddAsync(Mail, OpenState.Queued, 20, Now.AddMinutes(-1));
        await AddAsync(Mail, OpenState.Queued, 1, Now.AddHours(1)); // the clock was set back since
        await AddAsync(Push, OpenState.Queued, 2, Now.AddMinutes(-1), Now.AddSeconds(1)); // too heavy for a moment
        foreach (var state in Others)
            await AddAsync(Push, state, 3, Now.AddMinutes(-1));

        Assert.Equal([(Sms, 3), (Mail, 10)], (await CountAsync(10, Sms, Mail, Push)).OrderBy(f => f.Queue.Code));
        Assert.Equal([(Mail, 21)], await CountAsync(100, Mail));

        Task<List<(DeliveryQueue Queue, int Count)>> CountAsync(int limit, params DeliveryQueue[] queues) =>
            ReadyDeliveries.CountAsync(connection, [.. queues.Select(q => new QueuePoll(q, Now.AddSeconds(-1), limit))], Now, Cancellation);

        async Task AddAsync(DeliveryQueue queue, OpenState state, int count, DateTimeOffset at, DateTimeOffset? due = null)
        {
            var keys = Enumerable.Range(0, count).Select(i => $"n/c_shop:{queue}-{state}-{i}-{Guid.NewGuid():N}");
            var rows = keys.Select(n => new OpenDelivery(DeterministicId.OfDelivery(n, "d"), n, queue, state, 0, at, due)).ToList();
            await OpenDeliveryTable.AddAsync(connection, rows, Cancellation);
        }
    }
}
