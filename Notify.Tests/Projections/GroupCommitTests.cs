namespace Notify.Tests.Projections;

using System.Collections.Concurrent;
using Microsoft.Extensions.Time.Testing;
using Notify.Infrastructure.Postgres;
using Notify.Tests.Support;

public sealed class GroupCommitTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task One_alone_waits_for_nobody()
    {
        await using var group = Doubling(out var groups);
        Assert.Equal(
            42,
            await group.AddAsync(21, TestContext.Current.CancellationToken).WaitAsync(Patience, TestContext.Current.CancellationToken)
        );
        Assert.Equal([1], groups.Select(g => g.Length));
    }

    [Fact]
    public async Task Items_that_arrive_during_a_commit_form_the_next_group()
    {
        var (began, finish, groups) = (new TaskCompletionSource(), new TaskCompletionSource(), new List<int[]>());
        await using var group = new GroupCommit<int, int>(
            async (items, _) =>
            {
                groups.Add([.. items]);
                began.TrySetResult();
                await finish.Task;
                return [.. items];
            },
            maxGroup: 100
        );
        var first = group.AddAsync(0, TestContext.Current.CancellationToken);
        await began.Task.WaitAsync(Patience, TestContext.Current.CancellationToken);
        var others = Enumerable.Range(1, 50).Select(i => group.AddAsync(i, TestContext.Current.CancellationToken)).ToList();
        finish.SetResult();
        await Task.WhenAll([first, .. others]).WaitAsync(Patience, TestContext.Current.CancellationToken);
        Assert.Equal([0], groups[0]);
        Assert.Equal(Enumerable.Range(1, 50), groups[1]);
    }

    [Fact]
    public async Task No_group_is_larger_than_allowed()
    {
        var first = new TaskCompletionSource();
        await using var group = Doubling(out var groups, maxGroup: 8, holdFirst: first);
        var answers = Enumerable.Range(0, 100).Select(i => group.AddAsync(i, TestContext.Current.CancellationToken)).ToList();
        first.SetResult();
        await Task.WhenAll(answers).WaitAsync(Patience, TestContext.Current.CancellationToken);
        Assert.All(groups, g => Assert.InRange(g.Length, 1, 8));
        Assert.Equal(Enumerable.Range(0, 100), groups.SelectMany(g => g));
    }

    [Fact]
    public async Task Everybody_gets_their_own_result_whoever_asks_at_once()
    {
        await using var group = Doubling(out var groups, maxGroup: 16, committers: 3);
        var answers = await Task.WhenAll(
                Enumerable
                    .Range(0, 2000)
                    .Select(i => Task.Run(async () => (Asked: i, Got: await group.AddAsync(i, TestContext.Current.CancellationToken))))
            )
            .WaitAsync(Patience, TestContext.Current.CancellationToken);
        Assert.All(answers, a => Assert.Equal(a.Asked * 2, a.Got));
        Assert.Equal(2000, groups.SelectMany(g => g).Distinct().Count());
    }

    [Fact]
    public async Task A_group_that_fails_fails_for_its_members_alone()
    {
        var first = new TaskCompletionSource();
        await using var group = new GroupCommit<int, int>(
            async (items, _) =>
            {
                await first.Task;
                return items.Contains(13) ? throw new InvalidOperationException("13") : [.. items];
            },
            maxGroup: 4
        );
        var answers = Enumerable.Range(12, 9).Select(i => group.AddAsync(i, TestContext.Current.CancellationToken)).ToList();
        first.SetResult();
        await Task.WhenAll(answers)
            .ContinueWith(_ => { }, TestContext.Current.CancellationToken, TaskContinuationOptions.None, TaskScheduler.Default)
            .WaitAsync(Patience, TestContext.Current.CancellationToken);
        Assert.Contains(answers, a => a.IsFaulted);
        Assert.All(answers.Where(a => a.IsFaulted), a => Assert.Equal("13", a.Exception!.InnerException!.Message));
        Assert.All(answers[^4..], a => Assert.True(a.IsCompletedSuccessfully));
        Assert.Equal(
            99,
            await group.AddAsync(99, TestContext.Current.CancellationToken).WaitAsync(Patience, TestContext.Current.CancellationToken)
        );
    }

    [Fact]
    public async Task A_commit_that_answers_too_few_leaves_nobody_waiting()
    {
        var first = new TaskCompletionSource();
        await using var group = new GroupCommit<int, int>(
            async (items, _) =>
            {
                await first.Task;
                return [.. items.Take(1)];
            },
            maxGroup: 10
        );
        var answers = Enumerable.Range(0, 5).Select(i => group.AddAsync(i, TestContext.Current.CancellationToken)).ToList();
        first.SetResult();
        foreach (var answer in answers)
            await answer
                .ContinueWith(_ => { }, TestContext.Current.CancellationToken, TaskContinuationOptions.None, TaskScheduler.Default)
                .WaitAsync(Patience, TestContext.Current.CancellationToken);
        Assert.Contains(answers, a => a.IsFaulted);
    }

    [Fact]
    public async Task Committers_work_side_by_side()
    {
        var (both, running) = (new TaskCompletionSource(), 0);
        await using var group = new GroupCommit<int, int>(
            async (items, _) =>
            {
                if (Interlocked.Increment(ref running) == 2)
                    both.SetResult();
                await both.Task;
                return [.. items];
            },
            maxGroup: 1,
            committers: 2
        );
        await Task.WhenAll(
                group.AddAsync(1, TestContext.Current.CancellationToken),
                group.AddAsync(2, TestContext.Current.CancellationToken)
            )
            .WaitAsync(Patience, TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task Stopping_commits_what_waits_and_takes_nothing_more()
    {
        var first = new TaskCompletionSource();
        var group = Doubling(out var groups, maxGroup: 4, holdFirst: first);
        var answers = Enumerable.Range(0, 20).Select(i => group.AddAsync(i, TestContext.Current.CancellationToken)).ToList();
        var stopped = group.DisposeAsync().AsTask();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => group.AddAsync(99, TestContext.Current.CancellationToken));
        first.SetResult();
        await stopped.WaitAsync(Patience, TestContext.Current.CancellationToken);
        await Task.WhenAll(answers).WaitAsync(Patience, TestContext.Current.CancellationToken);
        Assert.Equal(Enumerable.Range(0, 20), groups.SelectMany(g => g));
    }

    [Fact]
    public async Task Owners_take_turns_and_the_lower_rank_goes_first()
    {
        var (first, groups) = (new TaskCompletionSource(), new ConcurrentQueue<string[]>());
        await using var group = new GroupCommit<string, string>(
            async (items, _) =>
            {
                groups.Enqueue([.. items]);
                if (groups.Count == 1)
                    await first.Task;
                return [.. items];
            },
            maxGroup: 10,
            belongsTo: item => (item[0] == '!' ? 0 : 1, item.TrimStart('!')[..1])
        );
        var answers = new List<Task<string>> { group.AddAsync("a-first", TestContext.Current.CancellationToken) };
        await Eventually.Holds(() => Task.FromResult(groups.Count == 1), "the first group is being committed");
        answers.AddRange(Enumerable.Range(0, 100).Select(i => group.AddAsync($"a{i:00}", TestContext.Current.CancellationToken)));
        answers.AddRange(Enumerable.Range(0, 7).Select(i => group.AddAsync($"b{i:00}", TestContext.Current.CancellationToken)));
        answers.AddRange(Enumerable.Range(0, 3).Select(i => group.AddAsync($"!a{i:00}", TestContext.Current.CancellationToken)));
        first.SetResult();
        await Task.WhenAll(answers).WaitAsync(Patience, TestContext.Current.CancellationToken);
        var second = groups.ElementAt(1);
        Assert.Equal(["!a00", "!a01", "!a02"], second[..3]);
        Assert.Equal((4, 3), (second[3..].Count(i => i[0] == 'a'), second[3..].Count(i => i[0] == 'b')));
        Assert.Equal(4, groups.ElementAt(2).Count(i => i[0] == 'b'));
        Assert.Equal(Enumerable.Range(0, 100).Select(i => $"a{i:00}"), groups.Skip(1).SelectMany(g => g).Where(i => i[0] == 'a'));
    }

    [Fact]
    public async Task Returning_client_is_not_served_before_the_waiting_ones()
    {
        var (first, groups) = (new TaskCompletionSource(), new ConcurrentQueue<string[]>());
        await using var group = new GroupCommit<string, string>(
            async (items, _) =>
            {
                groups.Enqueue([.. items]);
                if (groups.Count is 1 or 6)
                    await first.Task;
                return [.. items];
            },
            maxGroup: 10,
            belongsTo: item => (0, item[..1])
        );
        var answers = Enumerable.Range(0, 101).Select(i => group.AddAsync($"a{i:000}", TestContext.Current.CancellationToken)).ToList();
        await Eventually.Holds(() => Task.FromResult(!groups.IsEmpty), "the first group is being committed");
        var stuck = first;
        first = new TaskCompletionSource();
        stuck.SetResult();
        await Eventually.Holds(() => Task.FromResult(groups.Count == 6), "half of it is through");
        answers.AddRange(Enumerable.Range(0, 50).Select(i => group.AddAsync($"b{i:000}", TestContext.Current.CancellationToken)));
        first.SetResult();
        await Task.WhenAll(answers).WaitAsync(Patience, TestContext.Current.CancellationToken);
        Assert.All(groups.Skip(6).Take(8), g => Assert.InRange(g.Count(i => i[0] == 'b'), 4, 6));
    }

    [Fact]
    public async Task Between_two_commits_lies_the_pace()
    {
        var clock = new FakeTimeProvider();
        var times = new List<DateTimeOffset>();
        await using var group = new GroupCommit<int, int>(
            (items, _) =>
            {
                times.Add(clock.GetUtcNow());
                return Task.FromResult<IReadOnlyList<int>>([.. items]);
            },
            maxGroup: 10,
            pace: TimeSpan.FromMilliseconds(10),
            clock: clock
        );
        for (var i = 0; i < 5; i++)
        {
            var answer = group.AddAsync(i, TestContext.Current.CancellationToken);
            while (!answer.IsCompleted)
            {
                clock.Advance(TimeSpan.FromMilliseconds(1));
                await Task.Yield();
            }
        }

        Assert.All(times.Zip(times.Skip(1)), pair => Assert.True(pair.Second - pair.First >= TimeSpan.FromMilliseconds(10)));
    }

    private static GroupCommit<int, int> Doubling(
        out ConcurrentQueue<int[]> groups,
        int maxGroup = 100,
        int committers = 1,
        TaskCompletionSource? holdFirst = null
    )
    {
        var seen = groups = new ConcurrentQueue<int[]>();
        return new GroupCommit<int, int>(
            async (items, _) =>
            {
                seen.Enqueue([.. items]);
                if (holdFirst is not null && seen.Count == 1)
                    await holdFirst.Task;
                return [.. items.Select(i => i * 2)];
            },
            maxGroup,
            committers
        );
    }
}
