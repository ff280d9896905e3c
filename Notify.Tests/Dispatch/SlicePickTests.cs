namespace Notify.Tests.Dispatch;

using System.Collections.Concurrent;
using Microsoft.Extensions.Time.Testing;
using Notify.Delivery.DeliveryQueue;
using Notify.Dispatch.Dispatching;
using Notify.Dispatch.Routing;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Tests.Projections;
using Npgsql;

/// <summary>Whose deliveries a slice takes, over a real table.</summary>
public sealed class SlicePickTests(EmptyDatabase database) : IClassFixture<EmptyDatabase>, IAsyncLifetime
{
    private static readonly DeliveryQueue Queue = new(Lane.Apns, Priority.Bulk);
    private static readonly DateTimeOffset Now = new(2026, 5, 4, 12, 0, 0, TimeSpan.Zero);
    private readonly FakeTimeProvider clock = new();
    private NpgsqlConnection connection = null!;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        connection = await database.Source.OpenConnectionAsync(Cancellation);
        await using var command = new NpgsqlCommand("truncate notify.open_deliveries", connection);
        await command.ExecuteNonQueryAsync(Cancellation);
    }

    public ValueTask DisposeAsync() => connection.DisposeAsync();

    [Fact]
    public async Task Alone_in_the_queue_a_client_gets_what_the_message_names()
    {
        var flood = await AddAsync("c_flood", 50);
        var named = flood.Skip(20).Take(10).Select(r => r.Id).ToArray();
        Assert.Equal(named.Order(), (await ClaimAsync(Host(messages: 5), named)).Select(r => r.Id).Order());
    }

    [Fact]
    public async Task Where_two_wait_each_has_half_the_oldest_first_whatever_is_named()
    {
        var flood = await AddAsync("c_flood", 500);
        var small = await AddAsync("c_small", 100);
        var rows = await ClaimAsync(Host(messages: 5), Ids(flood.Skip(400).Take(20)));
        Assert.Equal(Ids(flood.Take(10)).Order(), rows.Where(IsOf("c_flood")).Select(r => r.Id).Order());
        Assert.Equal(Ids(small.Take(10)).Order(), rows.Where(IsOf("c_small")).Select(r => r.Id).Order());
    }

    [Fact]
    public async Task Client_below_its_share_leaves_the_rest_to_others()
    {
        var flood = await AddAsync("c_flood", 500);
        await AddAsync("c_small", 3);
        await AddAsync("c_tiny", 1);
        var rows = await ClaimAsync(Host(messages: 5), Ids(flood.Take(60)));
        Assert.Equal((56, 3, 1), (rows.Count(IsOf("c_flood")), rows.Count(IsOf("c_small")), rows.Count(IsOf("c_tiny"))));
    }

    [Fact]
    public async Task More_clients_than_places_take_turns()
    {
        var all = new List<OpenDelivery>();
        for (var i = 0; i < 12; i++)
            all.AddRange(await AddAsync($"c_{i:00}", 5));
        var host = Host(messages: 5);
        var taken = new List<OpenDelivery>();
        for (var i = 0; i < 12; i++)
            taken.AddRange(await ClaimAsync(host, Ids(all.Take(5))));
        Assert.Equal(60, taken.Select(r => r.Id).Distinct().Count());
        Assert.Equal(5, taken.Take(60).CountBy(r => r.Notification.Split(':')[0]).Max(c => c.Value));
    }

    [Fact]
    public async Task Named_deliveries_that_were_claimed_are_replaced_by_waiting_ones()
    {
        var flood = await AddAsync("c_flood", 30);
        await ClaimAsync(Host(), Ids(flood.Take(10)));
        Assert.Equal(Ids(flood.Skip(10).Take(10)).Order(), (await ClaimAsync(Host(), Ids(flood.Take(10)))).Select(r => r.Id).Order());
        Assert.Equal(10, (await ClaimAsync(Host(messages: 2), Ids(flood.Take(10)))).Count);
        Assert.Empty(await ClaimAsync(Host(), Ids(flood.Take(10))));
    }

    [Fact]
    public async Task Only_what_waits_in_this_queue_is_taken()
    {
        await AddAsync("c_a", 5, new DeliveryQueue(Lane.Apns, Priority.Normal));
        await AddAsync("c_b", 5, new DeliveryQueue(Lane.Sms, Priority.Bulk));
        foreach (var state in new[] { OpenState.Deferred, OpenState.Unknown, OpenState.Dead, OpenState.Scheduled, OpenState.InFlight })
            await AddAsync($"c_{state}", 2, state: state);
        await AddAsync("c_asked", 2, state: OpenState.Asking);
        var mine = await AddAsync("c_mine", 2);
        Assert.Equal(["c_asked", "c_mine"], (await FairPick.WaitingAsync(connection, Queue, Cancellation)).Clients);
        var rows = await ClaimAsync(Host(messages: 2), [.. Ids(mine), .. Enumerable.Range(0, 20).Select(_ => Guid.NewGuid())]);
        Assert.Equal(4, rows.Count);
    }

    [Fact]
    public async Task A_row_counts_for_its_client_again_when_it_is_back_in_its_queue()
    {
        var row = (await AddAsync("c_a", 1))[0];
        await OpenDeliveryTable.PutAsync(connection, [row with { State = OpenState.Deferred }], Cancellation);
        Assert.Empty((await FairPick.WaitingAsync(connection, Queue, Cancellation)).Clients);
        await OpenDeliveryTable.PutAsync(connection, [row with { State = OpenState.Queued }], Cancellation);
        Assert.Equal(["c_a"], (await FairPick.WaitingAsync(connection, Queue, Cancellation)).Clients);
    }

    [Fact]
    public async Task Late_client_is_seen_after_the_interval()
    {
        var flood = await AddAsync("c_flood", 500);
        var host = Host(messages: 2);
        await ClaimAsync(host, Ids(flood.Take(10)));
        await AddAsync("c_late", 100);
        Assert.DoesNotContain(await ClaimAsync(host, Ids(flood.Skip(10).Take(10))), r => IsOf("c_late")(r));
        clock.Advance(FairTurns.Interval);
        Assert.Equal(5, (await ClaimAsync(host, Ids(flood.Skip(20).Take(10)))).Count(IsOf("c_late")));
    }

    [Fact]
    public async Task A_claim_whose_answer_was_lost_is_found_by_its_name()
    {
        var host = new HostIdentity();
        await AddAsync("c_a", 20);
        var b = await AddAsync("c_b", 20);
        var claim = Guid.NewGuid();
        var turns = new FairTurns(clock);
        turns.Enter(Queue);
        turns.Enter(Queue);
        var rows = await new SlicePick(turns, host).ClaimAsync(connection, Queue, Ids(b.Take(10)), claim, Cancellation);
        Assert.Equal(
            rows.Select(r => r.Id).Order(),
            (await FairPick.ClaimedAsync(connection, Queue, host.Id, claim, Cancellation)).Select(r => r.Id).Order()
        );
        Assert.Empty(await FairPick.ClaimedAsync(connection, Queue, host.Id, Guid.NewGuid(), Cancellation));
    }

    [Fact]
    public async Task However_hosts_race_every_delivery_is_taken_once_and_none_is_left()
    {
        var messages = new ConcurrentQueue<Guid[]>();
        foreach (var (client, count) in new[] { ("c_flood", 3000), ("c_b", 400), ("c_c", 37), ("c_d", 1) })
        {
            foreach (var chunk in (await AddAsync(client, count)).Chunk(60))
                messages.Enqueue([.. chunk.Select(r => r.Id)]);
        }

        var taken = new ConcurrentBag<Guid>();
        var hosts = Enumerable.Range(0, 3).Select(_ => Host(messages: 4)).ToList();
        await Parallel.ForEachAsync(
            Enumerable.Range(0, 8),
            new ParallelOptions { MaxDegreeOfParallelism = 8, CancellationToken = Cancellation },
            async (worker, cancellation) =>
            {
                await using var mine = await database.Source.OpenConnectionAsync(cancellation);
                while (messages.TryDequeue(out var ids))
                {
                    foreach (var slice in ids.Chunk(25))
                    {
                        // A transaction that fails is repeated by its message, as the dispatcher does.
                        for (var tries = 0; ; tries++)
                        {
                            await using var transaction = await mine.BeginTransactionAsync(cancellation);
                            var rows = await hosts[worker % 3].ClaimAsync(mine, Queue, slice, Guid.NewGuid(), cancellation);
                            if (tries == 0 && slice[0].GetHashCode() % 7 == 0)
                            {
                                await transaction.RollbackAsync(cancellation);
                                continue;
                            }

                            await transaction.CommitAsync(cancellation);
                            foreach (var row in rows)
                                taken.Add(row.Id);
                            break;
                        }
                    }

                    clock.Advance(TimeSpan.FromMilliseconds(100));
                }
            }
        );
        Assert.Equal(3438, taken.Count);
        Assert.Equal(3438, taken.Distinct().Count());
    }

    private SlicePick Host(int messages = 1)
    {
        var turns = new FairTurns(clock);
        for (var i = 0; i < messages; i++)
            turns.Enter(Queue);
        return new SlicePick(turns, new HostIdentity());
    }

    private Task<List<OpenDelivery>> ClaimAsync(SlicePick host, Guid[] ids) =>
        host.ClaimAsync(connection, Queue, ids, Guid.NewGuid(), Cancellation);

    private async Task<List<OpenDelivery>> AddAsync(
        string client,
        int count,
        DeliveryQueue? queue = null,
        OpenState state = OpenState.Queued
    )
    {
        var rows = Enumerable
            .Range(0, count)
            .Select(i => $"n/{client}:{i}:{Guid.NewGuid():N}")
            .Select(
                (n, i) =>
                    new OpenDelivery(DeterministicId.OfDelivery(n, "d"), n, queue ?? Queue, state, 0, Now.AddSeconds(i), Now.AddHours(1))
            )
            .ToList();
        await OpenDeliveryTable.AddAsync(connection, rows, Cancellation);
        return rows;
    }

    private static Guid[] Ids(IEnumerable<OpenDelivery> rows) => [.. rows.Select(r => r.Id)];

    private static Func<OpenDelivery, bool> IsOf(string client) => r => r.Notification.StartsWith($"n/{client}:", StringComparison.Ordinal);
}
