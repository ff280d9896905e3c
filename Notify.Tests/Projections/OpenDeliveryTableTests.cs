namespace Notify.Tests.Projections;

using System.Collections.Concurrent;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.Monitoring;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Npgsql;

public sealed class OpenDeliveryTableTests(EmptyDatabase database) : IClassFixture<EmptyDatabase>, IAsyncLifetime
{
    private static readonly DateTimeOffset Now = new(2026, 5, 4, 12, 0, 0, TimeSpan.Zero);
    private NpgsqlConnection connection = null!;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        connection = await database.Source.OpenConnectionAsync(Cancellation);
        await ExecuteAsync("truncate notify.open_deliveries, notify.dispatchers");
    }

    public ValueTask DisposeAsync() => connection.DisposeAsync();

    [Fact]
    public async Task Rows_come_back_as_they_were_written()
    {
        var row = Row(1, OpenState.Deferred) with { Attempts = 3, Reason = "Retry" };
        await OpenDeliveryTable.PutAsync(connection, [row], Cancellation);
        Assert.Equal([row], await OpenDeliveryTable.LockAsync(connection, [row.Id], Cancellation));
    }

    [Fact]
    public async Task Existing_row_is_unchanged()
    {
        await AddAsync(Row(1, OpenState.Dead) with { DueAt = null });
        await AddAsync(Row(1), Row(2));
        Assert.Equal([OpenState.Dead, OpenState.Queued], (await AllAsync()).Select(r => r.State));
    }

    [Fact]
    public async Task Delivery_deferred_by_quiet_hours_or_a_cap_is_not_counted_as_a_retry()
    {
        await AddAsync(
            Row(1, OpenState.Deferred) with
            {
                Reason = Reasons.QuietHours,
            },
            Row(2, OpenState.Deferred) with
            {
                Reason = Reasons.CapExceeded,
            },
            Row(3, OpenState.Deferred) with
            {
                Reason = Reasons.Retry,
            },
            Row(4, OpenState.Unknown),
            Row(5, OpenState.Asking) with
            {
                Reason = Reasons.Retry,
            },
            Row(6)
        );

        var backlog = await new QueueBacklogReader(database.Source, new Microsoft.Extensions.Time.Testing.FakeTimeProvider(Now)).ReadAsync(
            Cancellation
        );

        Assert.Equal((1, 3), (backlog.Sum(b => b.Ready), backlog.Sum(b => b.Retrying)));
    }

    [Fact]
    public async Task Racing_claimers_never_share_a_delivery_and_leave_none()
    {
        var rows = Enumerable.Range(0, 400).Select(i => Row(i)).ToArray();
        await AddAsync(rows);
        var claimed = new ConcurrentBag<(int Claimer, Guid Id)>();
        await Parallel.ForEachAsync(
            Enumerable.Range(0, 8),
            new ParallelOptions { MaxDegreeOfParallelism = 8, CancellationToken = Cancellation },
            async (claimer, cancellation) =>
            {
                for (var round = 0; round < 20; round++)
                {
                    await using var mine = await database.Source.OpenConnectionAsync(cancellation);
                    await using var transaction = await mine.BeginTransactionAsync(cancellation);
                    var ids = rows.Skip((claimer + round) * 17 % 400).Take(60).Select(r => r.Id).ToArray();
                    foreach (var row in await OpenDeliveryTable.ClaimAsync(mine, ids, Guid.NewGuid(), Guid.NewGuid(), cancellation))
                        claimed.Add((claimer, row.Id));
                    await transaction.CommitAsync(cancellation);
                }
            }
        );
        foreach (var row in await ClaimAsync([.. rows.Select(r => r.Id)]))
            claimed.Add((-1, row.Id));
        Assert.Equal(400, claimed.Count);
        Assert.Equal(400, claimed.Select(c => c.Id).Distinct().Count());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Row_that_another_transaction_is_claiming_is_passed_over_and_free_only_if_it_gives_up(bool commits)
    {
        await AddAsync(Row(1), Row(2));
        await using var other = await database.Source.OpenConnectionAsync(Cancellation);
        await using var transaction = await other.BeginTransactionAsync(Cancellation);
        await OpenDeliveryTable.ClaimAsync(other, [Row(1).Id], Guid.NewGuid(), Guid.NewGuid(), Cancellation);

        var free = await ClaimAsync([Row(1).Id, Row(2).Id]);
        if (commits)
            await transaction.CommitAsync(Cancellation);
        else
            await transaction.RollbackAsync(Cancellation);
        var later = await ClaimAsync([Row(1).Id, Row(2).Id]);

        Assert.Equal([Row(2).Id], free.Select(r => r.Id));
        Assert.Equal(commits ? [] : [Row(1).Id], later.Select(r => r.Id));
    }

    [Fact]
    public async Task A_claim_that_was_rolled_back_leaves_the_delivery_free()
    {
        await AddAsync(Row(1));
        await using (var other = await database.Source.OpenConnectionAsync(Cancellation))
        {
            await using var transaction = await other.BeginTransactionAsync(Cancellation);
            await OpenDeliveryTable.ClaimAsync(other, [Row(1).Id], Guid.NewGuid(), Guid.NewGuid(), Cancellation);
        }

        Assert.Single(await ClaimAsync([Row(1).Id]));
    }

    [Fact]
    public async Task A_claim_whose_answer_was_lost_is_repeated_by_its_name()
    {
        await AddAsync(Row(1));
        var claim = Guid.NewGuid();
        Assert.Single(await ClaimAsync([Row(1).Id], claim));
        Assert.Single(await ClaimAsync([Row(1).Id], claim));
        Assert.Empty(await ClaimAsync([Row(1).Id]));
    }

    [Theory]
    [InlineData(OpenState.Queued, true)]
    [InlineData(OpenState.Asking, true)]
    [InlineData(OpenState.InFlight, false)]
    [InlineData(OpenState.Deferred, false)]
    [InlineData(OpenState.Unknown, false)]
    [InlineData(OpenState.Dead, false)]
    [InlineData(OpenState.Scheduled, false)]
    public async Task Only_what_is_in_a_queue_is_claimed(OpenState state, bool claimed)
    {
        await AddAsync(Row(1, state));
        Assert.Equal(claimed, (await ClaimAsync([Row(1).Id])).Count == 1);
    }

    [Fact]
    public async Task Putting_a_delivery_releases_its_claim()
    {
        await AddAsync(Row(1));
        await ClaimAsync([Row(1).Id]);
        await OpenDeliveryTable.PutAsync(connection, [Row(1)], Cancellation);
        Assert.Single(await ClaimAsync([Row(1).Id]));
    }

    [Fact]
    public async Task Withdrawing_takes_what_waits_and_leaves_what_does_not()
    {
        foreach (var state in Enum.GetValues<OpenState>())
            await AddAsync(Row((int)state, state));
        await AddAsync(Row(100) with { Notification = "n/c:other" });
        var taken = await OpenDeliveryTable.TakeWaitingAsync(connection, "n/c:e", Cancellation);
        Assert.Equal(
            new[] { OpenState.Queued, OpenState.Deferred, OpenState.Scheduled }.Select(s => Row((int)s).Id).Order(),
            taken.Order()
        );
        Assert.Equal(5, (await AllAsync()).Count);
    }

    [Fact]
    public async Task Delivery_that_is_being_claimed_is_not_cancelled()
    {
        await AddAsync(Row(1));
        await using var other = await database.Source.OpenConnectionAsync(Cancellation);
        await using var transaction = await other.BeginTransactionAsync(Cancellation);
        Assert.Single(await OpenDeliveryTable.ClaimAsync(other, [Row(1).Id], Guid.NewGuid(), Guid.NewGuid(), Cancellation));
        var withdrawing = OpenDeliveryTable.TakeWaitingAsync(connection, "n/c:e", Cancellation);
        await transaction.CommitAsync(Cancellation);
        Assert.Empty(await withdrawing);
    }

    [Fact]
    public async Task Due_rows_are_returned_oldest_first_up_to_the_limit()
    {
        await AddAsync(
            Row(1) with
            {
                DueAt = Now,
            },
            Row(2) with
            {
                DueAt = Now.AddSeconds(-2),
            },
            Row(3) with
            {
                DueAt = Now.AddSeconds(-1),
            },
            Row(4) with
            {
                DueAt = Now.AddSeconds(1),
            },
            Row(5, OpenState.Dead) with
            {
                DueAt = null,
            }
        );
        Assert.Equal([Row(2).Id, Row(3).Id], (await OpenDeliveryTable.DueAsync(connection, Now, 2, Cancellation)).Select(r => r.Id));
        Assert.Equal(3, (await OpenDeliveryTable.DueAsync(connection, Now, 100, Cancellation)).Count);
    }

    [Fact]
    public async Task Row_locked_by_one_host_is_skipped_by_the_others()
    {
        await AddAsync(Row(1) with { DueAt = Now.AddSeconds(-2) }, Row(2) with { DueAt = Now.AddSeconds(-1) });
        await using var other = await database.Source.OpenConnectionAsync(Cancellation);
        await using var transaction = await other.BeginTransactionAsync(Cancellation);
        await OpenDeliveryTable.DueAsync(other, Now, 1, Cancellation);
        Assert.Equal([Row(2).Id], (await OpenDeliveryTable.DueAsync(connection, Now, 10, Cancellation)).Select(r => r.Id));
    }

    [Fact]
    public async Task Only_what_nobody_alive_works_on_is_abandoned()
    {
        var (me, alive, silent, signedOff, back) = (Guid.NewGuid(), Guid.NewGuid(), Guid.NewGuid(), Guid.NewGuid(), Guid.NewGuid());
        await ExecuteAsync(
            $"insert into notify.dispatchers values ($1, now()), ($2, now() - interval '1 hour'), ($3, '{Now:O}'), ($4, '{Now:O}')",
            me,
            alive,
            silent,
            back
        );
        var (working, forgotten) = (Guid.NewGuid(), Guid.NewGuid());
        await AddAsync([.. Enumerable.Range(1, 7).Select(i => Row(i))]);
        await ClaimAsync([Row(1).Id], working, me);
        await ClaimAsync([Row(2).Id], forgotten, me);
        await ClaimAsync([Row(3).Id], owner: alive);
        await ClaimAsync([Row(4).Id], owner: silent);
        await ClaimAsync([Row(5).Id], owner: signedOff);
        await ClaimAsync([Row(7).Id], owner: back); // silent until now, and alive again
        Assert.Equal(new[] { working, forgotten }.Order(), (await OpenDeliveryTable.ClaimsOfAsync(connection, me, Cancellation)).Order());
        var abandoned = await OpenDeliveryTable.AbandonedAsync(
            connection,
            [forgotten],
            [(silent, Now), (back, Now.AddSeconds(-30))],
            [],
            100,
            Cancellation
        );
        Assert.Equal(new[] { Row(2).Id, Row(4).Id, Row(5).Id }.Order(), abandoned.Select(r => r.Id).Order());
    }

    [Fact]
    public async Task Next_due_time_excludes_due_rows()
    {
        Assert.Null(await OpenDeliveryTable.NextDueAsync(connection, Now, Cancellation));
        await AddAsync(
            Row(1) with
            {
                DueAt = Now,
            },
            Row(2) with
            {
                DueAt = Now.AddSeconds(2),
            },
            Row(3) with
            {
                DueAt = Now.AddSeconds(1),
            },
            Row(4, OpenState.Dead) with
            {
                DueAt = null,
            }
        );
        Assert.Equal(Now.AddSeconds(1), await OpenDeliveryTable.NextDueAsync(connection, Now, Cancellation));
    }

    [Fact]
    public async Task Dead_letters_are_listed_by_client_and_reason_the_newest_first()
    {
        await AddAsync(Row(1), Row(7, OpenState.Dead));
        await OpenDeliveryTable.PutAsync(
            connection,
            [
                Row(2, OpenState.Dead) with
                {
                    Reason = "503",
                    EnqueuedAt = Now.AddMinutes(-3),
                },
                Row(3, OpenState.Dead) with
                {
                    Reason = "503",
                    EnqueuedAt = Now.AddMinutes(-2),
                },
                Row(4, OpenState.Dead) with
                {
                    Reason = "429",
                    Notification = "n/cX:e",
                },
            ],
            Cancellation
        );
        Assert.Equal(
            [Row(3).Id, Row(2).Id],
            (await OpenDeliveryTable.DeadAsync(connection, "n/c:", "503", 10, Cancellation)).Select(r => r.Id)
        );
        Assert.Equal([Row(4).Id], (await OpenDeliveryTable.DeadAsync(connection, null, "429", 10, Cancellation)).Select(r => r.Id));
        Assert.Equal(4, (await OpenDeliveryTable.DeadAsync(connection, null, null, 10, Cancellation)).Count);
        Assert.Single(await OpenDeliveryTable.DeadAsync(connection, "n/c:", "503", 1, Cancellation));
    }

    [Fact]
    public async Task A_broadcast_s_queues_are_full_of_its_own_client_s_deliveries()
    {
        OpenDelivery Of(string client, int number, OpenState state = OpenState.Queued, Lane lane = Lane.Sms) =>
            Row(number, state) with
            {
                Id = DeterministicId.OfDelivery(client, $"{number}"),
                Notification = $"n/{client}:e",
                Queue = new DeliveryQueue(lane, Priority.Bulk),
            };
        Task<bool> AreFullAsync(string client, params Lane[] lanes) =>
            BroadcastDeliveries.AreFullAsync(
                connection,
                client,
                [.. lanes.Select(l => new DeliveryQueue(l, Priority.Bulk))],
                5,
                Cancellation
            );
        await AddAsync([
            .. Enumerable.Range(0, 20).Select(i => Of("c_flood", i)),
            .. Enumerable.Range(0, 3).Select(i => Of("c_small", i)),
            Of("c_small", 3, OpenState.InFlight),
            Of("c_small", 4, OpenState.Deferred),
            Of("c_small", 5, lane: Lane.Email),
        ]);

        Assert.True(await AreFullAsync("c_flood", Lane.Email, Lane.Sms));
        Assert.False(await AreFullAsync("c_flood", Lane.Email));
        Assert.False(await AreFullAsync("c_small", Lane.Email, Lane.Sms));
        Assert.False(await AreFullAsync("c_flood"));
        await AddAsync(Of("c_small", 6, OpenState.Asking));
        Assert.True(await AreFullAsync("c_small", Lane.Sms));
    }

    private Task AddAsync(params OpenDelivery[] rows) => OpenDeliveryTable.AddAsync(connection, rows, Cancellation);

    private Task<List<OpenDelivery>> ClaimAsync(Guid[] ids, Guid? claim = null, Guid? owner = null) =>
        OpenDeliveryTable.ClaimAsync(connection, ids, owner ?? Guid.NewGuid(), claim ?? Guid.NewGuid(), Cancellation);

    private Task<List<OpenDelivery>> AllAsync() =>
        OpenDeliveryTable
            .LockAsync(connection, [.. Enumerable.Range(0, 200).Select(i => Row(i).Id)], Cancellation)
            .ContinueWith(
                t => t.Result.OrderBy(r => r.EnqueuedAt).ToList(),
                Cancellation,
                TaskContinuationOptions.None,
                TaskScheduler.Default
            );

    private async Task ExecuteAsync(string sql, params Guid[] parameters)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        foreach (var p in parameters)
            command.Parameters.Add(new NpgsqlParameter { Value = p });
        await command.ExecuteNonQueryAsync(Cancellation);
    }

    private static OpenDelivery Row(int number, OpenState state = OpenState.Queued) =>
        new(
            DeterministicId.OfDelivery("n/c:e", $"{number}"),
            "n/c:e",
            new DeliveryQueue(Lane.Sms, Priority.Normal),
            state,
            0,
            Now.AddHours(-1).AddSeconds(number),
            Now.AddMinutes(10)
        );
}
