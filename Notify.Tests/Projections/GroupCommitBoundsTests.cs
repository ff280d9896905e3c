namespace Notify.Tests.Projections;

using System.Collections.Concurrent;
using Microsoft.Extensions.Time.Testing;
using Notify.Infrastructure.Postgres;
using Notify.Tests.Support;
using Npgsql;

/// <summary>Group commit of items that are blocked, that cannot be stored, and that are too many.</summary>
public sealed class GroupCommitBoundsTests
{
    private static readonly PostgresException Locked = new("canceling statement due to lock timeout", "ERROR", "ERROR", "55P03");

    private readonly ConcurrentQueue<string[]> committed = new();
    private readonly ConcurrentDictionary<string, Exception> faults = new();
    private TaskCompletionSource? hold;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Blocked_items_wait_apart_and_all_others_are_committed()
    {
        (faults["b1"], faults["b2"]) = (Locked, Locked);
        await using var group = NewGroup(new() { MaxItems = 64 });
        var blocked = new[] { group.AddAsync("b1", Stop), group.AddAsync("b2", Stop) };
        for (var round = 0; round < 3; round++)
            await Task.WhenAll(Enumerable.Range(0, 100).Select(i => group.AddAsync($"{round}-{i}", Stop)))
                .WaitAsync(Eventually.Patience, Stop);
        Assert.All(blocked, b => Assert.False(b.IsCompleted));

        faults.Clear();
        await Task.WhenAll(blocked).WaitAsync(Eventually.Patience, Stop);
        Assert.Equal(302, committed.SelectMany(g => g).Distinct().Count());
        Assert.Equal(302, committed.Sum(g => g.Length));
    }

    [Fact]
    public async Task Oldest_wait_leaves_out_items_of_a_blocked_key_until_many_keys_are_blocked()
    {
        (faults["k-0"], faults["l-0"]) = (Locked, Locked);
        var clock = new FakeTimeProvider();
        await using var group = NewGroup(
            new()
            {
                MaxItems = 8,
                KeyOf = i => i[..1],
                MaxWait = TimeSpan.FromMinutes(1),
            },
            clock
        );
        var blocked = new List<Task<string>> { group.AddAsync("k-0", Stop), group.AddAsync("k-1", Stop), group.AddAsync("l-0", Stop) };
        await ApartAsync(3);
        clock.Advance(TimeSpan.FromSeconds(30));
        Assert.Equal(TimeSpan.Zero, group.OldestWait);
        clock.Advance(TimeSpan.FromSeconds(30));
        foreach (var item in blocked)
            await Assert.ThrowsAsync<CommitWaitException>(() => item.WaitAsync(Eventually.Patience, Stop));
        Assert.Equal(TimeSpan.Zero, group.OldestWait); // nor when they were answered

        foreach (var item in new[] { "x-0", "y-0", "z-0" })
            faults[item] = Locked;
        var many = new[] { "x-0", "y-0", "z-0" }.Select(i => group.AddAsync(i, Stop)).ToList();
        await ApartAsync(3);
        clock.Advance(TimeSpan.FromSeconds(30));
        Assert.InRange(group.OldestWait, TimeSpan.FromSeconds(30), TimeSpan.FromMinutes(1));

        faults.Clear();
        await Eventually.Holds(
            () =>
            {
                clock.Advance(TimeSpan.FromMilliseconds(100));
                return Task.FromResult(many.TrueForAll(m => m.IsCompleted));
            },
            "all are answered"
        );

        // Pauses between tries pass by the clock.
        Task ApartAsync(int count) =>
            Eventually.Holds(
                () =>
                {
                    clock.Advance(TimeSpan.FromMilliseconds(20));
                    return Task.FromResult(group.Aside == count);
                },
                $"{count} wait apart"
            );
    }

    [Fact]
    public async Task Items_of_a_blocked_key_are_committed_after_it_in_their_order()
    {
        faults["k-0"] = Locked;
        await using var group = NewGroup(new() { MaxItems = 8, KeyOf = i => i[..1] });
        var items = new List<Task<string>> { group.AddAsync("k-0", Stop) };
        await group.AddAsync("other", Stop).WaitAsync(Eventually.Patience, Stop);
        items.AddRange(Enumerable.Range(1, 20).Select(i => group.AddAsync($"k-{i}", Stop)));
        await group.AddAsync("z", Stop).WaitAsync(Eventually.Patience, Stop);
        Assert.All(items, i => Assert.False(i.IsCompleted));

        faults.Clear();
        await Task.WhenAll(items).WaitAsync(Eventually.Patience, Stop);
        Assert.Equal(Enumerable.Range(0, 21).Select(i => $"k-{i}"), committed.SelectMany(g => g).Where(i => i[0] == 'k'));
    }

    [Fact]
    public async Task Item_that_cannot_be_stored_fails_alone()
    {
        faults["13"] = new InvalidOperationException("13");
        await using var group = NewGroup(new() { MaxItems = 100 });
        var items = Enumerable.Range(0, 60).Select(i => group.AddAsync($"{i}", Stop)).ToList();
        var fault = await Assert.ThrowsAsync<InvalidOperationException>(() => items[13].WaitAsync(Eventually.Patience, Stop));
        Assert.Equal("13", fault.Message);
        await Task.WhenAll(items.Where((_, i) => i != 13)).WaitAsync(Eventually.Patience, Stop);
    }

    [Fact]
    public async Task While_nothing_can_be_committed_a_group_is_not_cut_to_pieces()
    {
        faults[""] = Locked; // every item
        var tried = 0;
        await using var group = new GroupCommit<string, string>(
            (items, _, _) =>
            {
                Interlocked.Increment(ref tried);
                return faults.IsEmpty ? Task.FromResult(items) : throw Locked;
            },
            new GroupCommitOptions<string> { MaxItems = 256 }
        );
        var all = Enumerable.Range(0, 256).Select(i => group.AddAsync($"{i}", Stop)).ToList();
        await Eventually.Holds(() => Task.FromResult(Volatile.Read(ref tried) >= 8), "it was tried again and again");
        Assert.InRange(tried, 8, 40);

        faults.Clear();
        await Task.WhenAll(all).WaitAsync(Eventually.Patience, Stop);
    }

    [Fact]
    public async Task Items_beyond_the_bound_are_refused_at_once_and_one_owner_gets_half()
    {
        hold = new TaskCompletionSource();
        await using var group = NewGroup(
            new()
            {
                MaxItems = 4,
                MaxWaiting = 20,
                BelongsTo = i => (i[0] == '!' ? 0 : 1, i.TrimStart('!')[..1]),
            }
        );
        var waiting = Enumerable.Range(0, 10).Select(i => group.AddAsync($"a{i}", Stop)).ToList();
        await Assert.ThrowsAsync<CommitBusyException>(() => group.AddAsync("a10", Stop));
        waiting.AddRange(Enumerable.Range(0, 8).Select(i => group.AddAsync($"b{i}", Stop)));
        await Assert.ThrowsAsync<CommitBusyException>(() => group.AddAsync("c0", Stop)); // the last tenth is the first rank's
        waiting.AddRange(Enumerable.Range(0, 2).Select(i => group.AddAsync($"!c{i}", Stop)));
        await Assert.ThrowsAsync<CommitBusyException>(() => group.AddAsync("!d", Stop));
        Assert.Equal(20, group.Waiting);

        hold.SetResult();
        await Task.WhenAll(waiting).WaitAsync(Eventually.Patience, Stop);
        Assert.Equal(0, group.Waiting);
        await group.AddAsync("a10", Stop).WaitAsync(Eventually.Patience, Stop);
    }

    [Fact]
    public async Task Items_that_have_waited_long_enough_are_answered_and_those_in_no_commit_leave()
    {
        hold = new TaskCompletionSource();
        var clock = new FakeTimeProvider();
        await using var group = NewGroup(new() { MaxItems = 1, MaxWait = TimeSpan.FromSeconds(5) }, clock);
        var first = group.AddAsync("first", Stop);
        await Eventually.Holds(() => Task.FromResult(!committed.IsEmpty), "the first is being committed");
        var second = group.AddAsync("second", Stop);
        clock.Advance(TimeSpan.FromSeconds(4));
        Assert.Equal(TimeSpan.FromSeconds(4), group.OldestWait);
        clock.Advance(TimeSpan.FromSeconds(1));

        Assert.True((await Assert.ThrowsAsync<CommitWaitException>(() => first.WaitAsync(Eventually.Patience, Stop))).WasTried);
        Assert.False((await Assert.ThrowsAsync<CommitWaitException>(() => second.WaitAsync(Eventually.Patience, Stop))).WasTried);
        Assert.Equal(1, group.Waiting);
        Assert.Equal(TimeSpan.FromSeconds(5), group.OldestWait);
        hold.SetResult();
        await group.AddAsync("third", Stop).WaitAsync(Eventually.Patience, Stop);
        Assert.Equal(["first", "third"], committed.SelectMany(g => g));
        Assert.Equal(TimeSpan.Zero, group.OldestWait);
    }

    [Fact]
    public async Task Item_of_an_aborted_caller_leaves_the_queue()
    {
        hold = new TaskCompletionSource();
        await using var group = NewGroup(new() { MaxItems = 1 });
        var first = group.AddAsync("first", Stop);
        await Eventually.Holds(() => Task.FromResult(!committed.IsEmpty), "the first is being committed");
        using var caller = new CancellationTokenSource();
        var second = group.AddAsync("second", caller.Token);
        await caller.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => second.WaitAsync(Eventually.Patience, Stop));
        Assert.Equal(1, group.Waiting);
        hold.SetResult();
        await Task.WhenAll(first, group.AddAsync("third", Stop)).WaitAsync(Eventually.Patience, Stop);
        Assert.Equal(["first", "third"], committed.SelectMany(g => g));
    }

    [Fact]
    public async Task Groups_end_at_bytes_and_a_larger_item_goes_alone()
    {
        hold = new TaskCompletionSource();
        await using var group = NewGroup(
            new()
            {
                MaxItems = 100,
                MaxBytes = 10,
                BytesOf = i => int.Parse(i, System.Globalization.CultureInfo.InvariantCulture),
            }
        );
        var first = group.AddAsync("1", Stop);
        await Eventually.Holds(() => Task.FromResult(!committed.IsEmpty), "the first is being committed");
        var others = new[] { "4", "4", "4", "25", "2", "8" }.Select(i => group.AddAsync(i, Stop)).ToList();
        hold.SetResult();
        await Task.WhenAll([first, .. others]).WaitAsync(Eventually.Patience, Stop);
        Assert.Equal(["1", "4 4", "4", "25", "2 8"], committed.Select(g => string.Join(' ', g)));
    }

    [Fact]
    public async Task Commit_that_hangs_is_broken_off_and_tried_again()
    {
        var tries = 0;
        await using var group = new GroupCommit<string, string>(
            async (items, _, cancellation) =>
            {
                if (Interlocked.Increment(ref tries) == 1)
                    await Task.Delay(Timeout.Infinite, cancellation);
                return items;
            },
            new GroupCommitOptions<string> { CommitTimeout = TimeSpan.FromMilliseconds(50) }
        );
        Assert.Equal("a", await group.AddAsync("a", Stop).WaitAsync(Eventually.Patience, Stop));
        Assert.Equal(2, tries);
    }

    // Records the items that were committed, or are being committed; an item with a fault fails its group.
    private GroupCommit<string, string> NewGroup(GroupCommitOptions<string> options, TimeProvider? clock = null) =>
        new(
            async (items, _, _) =>
            {
                if (items.Select(i => faults.GetValueOrDefault(i)).FirstOrDefault(f => f is not null) is { } fault)
                    throw fault;
                committed.Enqueue([.. items]);
                if (hold is { } held)
                    await held.Task;
                return items;
            },
            options,
            clock
        );
}
