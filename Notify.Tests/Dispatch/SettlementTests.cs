namespace Notify.Tests.Dispatch;

using System.Diagnostics;
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

/// <summary>Writing of outcomes to a real store.</summary>
public sealed class SettlementTests(AnalyticsDatabase database) : IClassFixture<AnalyticsDatabase>
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Outcome_that_data_reject_harms_no_other_and_its_claim_is_known_to_be_open()
    {
        var (clock, claim) = (TimeProvider.System, Guid.NewGuid());
        var now = clock.GetUtcNow();
        var rows = Enumerable
            .Range(0, 8)
            .Select(i => $"n/c_shop:settled-{i}")
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
        await using (var connection = await database.Source.OpenConnectionAsync(Cancellation))
        {
            await OpenDeliveryTable.AddAsync(connection, rows, Cancellation);
            await OpenDeliveryTable.ClaimAsync(connection, [.. rows.Select(r => r.Id)], Guid.NewGuid(), claim, Cancellation);
        }

        await using var settlement = NewSettlement();
        // While the first is written, the others gather; JSON has no room for a NUL.
        var written = await Task.WhenAll(
            rows.Select(
                (row, i) =>
                    settlement.SettleAsync(
                        new AttemptMade(
                            row,
                            claim,
                            1,
                            "apns",
                            i == 3 ? new AttemptOutcome.Rejected(Reasons.Rejected, "c\0") : new AttemptOutcome.Accepted($"m{i}"),
                            TimeSpan.Zero,
                            null,
                            now
                        )
                    )
            )
        );

        Assert.Equal(rows.Select((_, i) => i != 3), written);
        Assert.Equal(
            [rows[3].Id.ToString()],
            (await database.RowsAsync($"select delivery_id from notify.open_deliveries where state = 1 and claim = '{claim}'")).Select(r =>
                System.Text.Json.Nodes.JsonNode.Parse(r)!["delivery_id"]!.ToString()
            )
        );
        Assert.Equal(
            7,
            (
                await database.RowsAsync(
                    "select 1 from events.mt_events where type = 'NotificationDispatched' and stream_id like 'n/c_shop:settled-%'"
                )
            ).Count
        );
    }

    [Fact]
    public async Task Acceptance_of_what_another_host_has_sent_is_kept_as_a_duplicate_and_its_commit_may_be_repeated()
    {
        var row = await OpenAsync(
            "n/c_shop:twice",
            OpenState.Queued,
            claimed: true,
            Attempted,
            new DispatchAttempted(Sms, 2, "twilio", Now),
            Dispatched("SM2", 2)
        );
        await using var settlement = NewSettlement();

        Assert.True(await settlement.SettleAsync(Late(row, new AttemptOutcome.Accepted("SM1"))));
        Assert.True(await settlement.SettleAsync(Late(row, new AttemptOutcome.Accepted("SM2")))); // known already

        Assert.Equal(["SM1"], (await EventsAsync(row, "DuplicateDispatchDetected")).Select(e => e["providerMessageId"]!.ToString()));
        Assert.Single(await EventsAsync(row, "NotificationDispatched"));
        Assert.Equal("1", (await RowOfAsync(row))["state"]!.ToString()); // the other host's claim stays
    }

    [Fact]
    public async Task Call_that_was_not_made_frees_what_others_had_to_hold_unknown()
    {
        var row = await OpenAsync(
            "n/c_shop:not-made",
            OpenState.Unknown,
            claimed: false,
            Attempted,
            new DispatchOutcomeUnknown(Sms, 1, "twilio", Reasons.HostLost, Now.AddMinutes(15), Now)
        );
        await using var settlement = NewSettlement();

        await settlement.SettleAsync(Late(row, new AttemptOutcome.NotSent(AttemptOutcome.NotSent.LeaseEnded)));

        Assert.Equal(
            (Reasons.CallNotMade, "lease ended"),
            (
                Assert.Single(await EventsAsync(row, "DeliveryDeferred"))["reason"]!.ToString(),
                (await EventsAsync(row, "DeliveryDeferred"))[0]["rule"]!.ToString()
            )
        );
        Assert.Equal(("2", "0"), ((await RowOfAsync(row))["state"]!.ToString(), (await RowOfAsync(row))["attempts"]!.ToString()));
    }

    [Fact]
    public async Task Call_that_was_not_made_changes_nothing_of_what_another_host_works_on()
    {
        var row = await OpenAsync(
            "n/c_shop:taken-over",
            OpenState.Queued,
            claimed: true,
            Attempted,
            new DispatchOutcomeUnknown(Sms, 1, "twilio", Reasons.HostLost, Now.AddMinutes(15), Now)
        );
        await using var settlement = NewSettlement();

        await settlement.SettleAsync(Late(row, new AttemptOutcome.NotSent(AttemptOutcome.NotSent.LeaseEnded)));

        Assert.Empty(await EventsAsync(row, "DeliveryDeferred"));
        Assert.Equal("1", (await RowOfAsync(row))["state"]!.ToString());
    }

    private static Guid Sms => Some.Sms;

    private static DateTimeOffset Now => Some.Noon;

    private static DispatchAttempted Attempted => new(Sms, 1, "twilio", Now);

    private static NotificationDispatched Dispatched(string id, int attempt) => new(Sms, attempt, "twilio", id, 9, null, Now.AddSeconds(9));

    // An SMS that is in the table as it is now, after these events.
    private async Task<OpenDelivery> OpenAsync(string key, OpenState state, bool claimed, params object[] events)
    {
        await database.AppendAsync(key, [Some.Requested(), Some.Planned(), .. events]);
        await database.ExecuteAsync($"delete from notify.open_deliveries where delivery_id = '{Sms}'");
        var row = new OpenDelivery(Sms, key, new DeliveryQueue(Lane.Sms, Priority.Normal), state, 1, Now, Now);
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        await OpenDeliveryTable.AddAsync(connection, [row], Cancellation);
        if (claimed)
            await OpenDeliveryTable.ClaimAsync(connection, [row.Id], Guid.NewGuid(), Guid.NewGuid(), Cancellation);
        return row;
    }

    private static AttemptMade Late(OpenDelivery row, AttemptOutcome outcome) =>
        new(row, Guid.NewGuid(), 1, "twilio", outcome, TimeSpan.Zero, null, Now.AddSeconds(5), AttemptedAt: Now);

    private async Task<List<System.Text.Json.Nodes.JsonNode>> EventsAsync(OpenDelivery row, string type) =>
        [
            .. (
                await database.RowsAsync(
                    $"select data from events.mt_events where stream_id = '{row.Notification}' and type = '{type}' order by version"
                )
            ).Select(r => System.Text.Json.Nodes.JsonNode.Parse(r)!["data"]!),
        ];

    private async Task<System.Text.Json.Nodes.JsonNode> RowOfAsync(OpenDelivery row) =>
        System.Text.Json.Nodes.JsonNode.Parse(
            Assert.Single(await database.RowsAsync($"select state, attempts from notify.open_deliveries where delivery_id = '{row.Id}'"))
        )!;

    private Settlement NewSettlement()
    {
        var clock = TimeProvider.System;
        return new Settlement(
            database.Store,
            database.Source,
            clock,
            Options.Create(new RetrySchedule()),
            new QueueActivity(database.Source, clock, NullLogger<QueueActivity>.Instance),
            new ProviderActivity(database.Source, new AlertRules(), clock, NullLogger<ProviderActivity>.Instance),
            NullLogger<Settlement>.Instance
        );
    }

    [Theory]
    [InlineData("select 1 from events.mt_streams where id = $1 for update")]
    [InlineData("select 1 from notify.open_deliveries where notification = $1 for update")]
    public async Task Locked_row_delays_only_the_outcome_that_needs_it(string sql)
    {
        var claim = Guid.NewGuid();
        var (sms, others, later) = (
            await ClaimedAsync(1, Lane.Sms, claim),
            await ClaimedAsync(60, Lane.Apns, claim),
            await ClaimedAsync(60, Lane.Email, claim)
        );
        await using var blocker = await database.Source.OpenConnectionAsync(Cancellation);
        await using var transaction = await blocker.BeginTransactionAsync(Cancellation);
        await using (var locking = new NpgsqlCommand(sql, blocker) { Parameters = { new() { Value = sms[0].Notification } } })
            await locking.ExecuteNonQueryAsync(Cancellation);

        await using var settlement = NewSettlement();
        var watch = Stopwatch.StartNew();
        var blocked = SettleAsync(settlement, sms[0], claim);
        await Task.WhenAll(others.Select(r => SettleAsync(settlement, r, claim))).WaitAsync(Eventually.Patience, Cancellation);
        Write($"60 pushes beside the locked SMS were settled after {watch.ElapsedMilliseconds} ms");
        watch.Restart();
        await Task.WhenAll(later.Select(r => SettleAsync(settlement, r, claim))).WaitAsync(Eventually.Patience, Cancellation);
        Write($"60 emails after it were settled after {watch.ElapsedMilliseconds} ms");

        Assert.False(blocked.IsCompleted);
        await transaction.RollbackAsync(Cancellation);
        Assert.True(await blocked.WaitAsync(Eventually.Patience, Cancellation));
    }

    private static void Write(string line) => TestContext.Current.TestOutputHelper?.WriteLine(line);

    private static Task<bool> SettleAsync(Settlement settlement, OpenDelivery row, Guid claim) =>
        settlement.SettleAsync(
            new AttemptMade(
                row,
                claim,
                1,
                "provider",
                new AttemptOutcome.Accepted($"m-{row.Id:N}"),
                TimeSpan.Zero,
                null,
                TimeProvider.System.GetUtcNow()
            )
        );

    private async Task<List<OpenDelivery>> ClaimedAsync(int count, Lane lane, Guid claim)
    {
        var now = TimeProvider.System.GetUtcNow();
        var rows = Enumerable
            .Range(0, count)
            .Select(i => $"n/c_shop:locked-{claim:N}-{lane}-{i}")
            .Select(n => new OpenDelivery(
                DeterministicId.OfDelivery(n, "d"),
                n,
                new DeliveryQueue(lane, Priority.Critical),
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
        return rows;
    }
}
