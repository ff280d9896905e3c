namespace Notify.Tests.Dispatch;

using Notify.Dispatch.Routing;
using Notify.Domain.Channels;

public class DispatchGateTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Free_permits_are_given_at_once_and_never_more_than_asked_for()
    {
        var gate = new DispatchGate(10);
        Assert.Equal(6, await Take(gate, 1, 6));
        Assert.Equal(4, await Take(gate, 1, 6));
        Assert.False(Take(gate, 1, 1).IsCompleted);
    }

    [Fact]
    public async Task Request_above_the_capacity_takes_all_of_it() => Assert.Equal(10, await Take(new DispatchGate(10), 50, 100));

    [Fact]
    public async Task Nobody_is_given_less_than_the_least_they_can_use()
    {
        var gate = new DispatchGate(10);
        await Take(gate, 1, 8);
        var waiting = Take(gate, 5, 10);
        gate.Release(2);
        Assert.False(waiting.IsCompleted);
        gate.Release(1);
        Assert.Equal(5, await waiting);
    }

    [Fact]
    public async Task Waiters_are_served_in_order_of_arrival()
    {
        var gate = new DispatchGate(4);
        await Take(gate, 4, 4);
        var (first, second, third) = (Take(gate, 2, 2), Take(gate, 1, 1), Take(gate, 1, 1));
        gate.Release(1);
        Assert.False(first.IsCompleted || second.IsCompleted || third.IsCompleted);
        gate.Release(1);
        Assert.Equal(2, await first);
        Assert.False(second.IsCompleted || third.IsCompleted);
        gate.Release(2);
        Assert.Equal((1, 1), (await second, await third));
    }

    [Fact]
    public async Task The_critical_go_before_the_normal_before_bulk()
    {
        var gate = new DispatchGate(1);
        await Take(gate, 1, 1);
        var (bulk, normal, critical) = (Take(gate, 1, 1, Priority.Bulk), Take(gate, 1, 1), Take(gate, 1, 1, Priority.Critical));
        gate.Release(1);
        await critical;
        Assert.False(normal.IsCompleted || bulk.IsCompleted);
        gate.Release(1);
        await normal;
        Assert.False(bulk.IsCompleted);
        gate.Release(1);
        await bulk;
    }

    [Fact]
    public async Task Slow_bulk_and_normal_calls_leave_permits_for_what_is_critical()
    {
        var gate = new DispatchGate(100);
        Assert.Equal(80, await Take(gate, 1, 200, Priority.Bulk));
        Assert.False(Take(gate, 1, 1, Priority.Bulk).IsCompleted);
        Assert.Equal(15, await Take(gate, 1, 200));
        Assert.False(Take(gate, 1, 1).IsCompleted);
        Assert.Equal(5, await Take(gate, 1, 200, Priority.Critical));
    }

    [Fact]
    public async Task Reserved_capacity_is_not_given_to_waiters_of_lower_priority()
    {
        var gate = new DispatchGate(100);
        await Take(gate, 100, 100, Priority.Critical);
        var bulk = Take(gate, 25, 50, Priority.Bulk);
        gate.Release(44);
        Assert.False(bulk.IsCompleted);
        gate.Release(1);
        Assert.Equal(25, await bulk);
        Assert.Equal(20, await Take(gate, 1, 100, Priority.Critical));
    }

    [Fact]
    public async Task Nobody_overtakes_those_who_wait_unless_by_priority()
    {
        var gate = new DispatchGate(4);
        await Take(gate, 2, 2);
        var waiting = Take(gate, 4, 4);
        var late = Take(gate, 1, 1);
        Assert.False(late.IsCompleted);
        Assert.Equal(1, await Take(gate, 1, 1, Priority.Critical));
        gate.Release(3);
        Assert.Equal(4, await waiting);
        gate.Release(4);
        Assert.Equal(1, await late);
    }

    [Fact]
    public async Task Cancelled_waiter_takes_no_capacity()
    {
        var gate = new DispatchGate(2);
        await Take(gate, 2, 2);
        using var patience = new CancellationTokenSource();
        var waiting = gate.TakeAsync(Priority.Normal, 1, 2, patience.Token);
        await patience.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        gate.Release(2);
        Assert.Equal(2, await Take(gate, 2, 2));
    }

    [Fact]
    public async Task Cancelled_waiter_does_not_block_the_next_one()
    {
        var gate = new DispatchGate(4);
        await Take(gate, 2, 2);
        using var patience = new CancellationTokenSource();
        var greedy = gate.TakeAsync(Priority.Normal, 4, 4, patience.Token);
        var modest = Take(gate, 1, 1);
        await patience.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => greedy);
        Assert.Equal(1, await modest.WaitAsync(TimeSpan.FromSeconds(5), Cancellation));
    }

    [Fact]
    public async Task No_permit_is_lost_or_made_in_a_race()
    {
        const int Size = 7;
        var gate = new DispatchGate(Size);
        var (held, most) = (0, 0);
        await Task.WhenAll(
                Enumerable
                    .Range(0, 16)
                    .Select(worker =>
                        Task.Run(async () =>
                        {
                            var random = new Random(worker);
                            for (var i = 0; i < 500; i++)
                            {
                                using var patience = new CancellationTokenSource();
                                var taking = gate.TakeAsync(
                                    (Priority)random.Next(3),
                                    random.Next(1, Size + 1),
                                    random.Next(1, Size + 1),
                                    patience.Token
                                );
                                if (random.Next(3) == 0)
                                    patience.Cancel();
                                try
                                {
                                    var permits = await taking;
                                    var now = Interlocked.Add(ref held, permits);
                                    InterlockedMax(ref most, now);
                                    if (random.Next(2) == 0)
                                        await Task.Yield();
                                    Interlocked.Add(ref held, -permits);
                                    gate.Release(permits);
                                }
                                catch (OperationCanceledException)
                                {
                                    // It took nothing.
                                }
                            }
                        })
                    )
            )
            .WaitAsync(TimeSpan.FromSeconds(60), Cancellation);
        Assert.InRange(most, 1, Size);
        Assert.Equal(Size, await Take(gate, Size, Size).WaitAsync(TimeSpan.FromSeconds(5), Cancellation));
    }

    private static Task<int> Take(DispatchGate gate, int atLeast, int atMost, Priority priority = Priority.Normal) =>
        gate.TakeAsync(priority, atLeast, atMost, Cancellation);

    private static void InterlockedMax(ref int target, int value)
    {
        for (var seen = Volatile.Read(ref target); seen < value; )
        {
            var before = Interlocked.CompareExchange(ref target, value, seen);
            if (before == seen)
                return;
            seen = before;
        }
    }
}
