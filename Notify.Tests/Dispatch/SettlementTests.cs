using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Notify.Dispatch.Dispatching;
using Notify.Domain.Notifications;
using Notify.Projections.Alerts;
using Notify.Projections.OpenDeliveries;
using Notify.Projections.ProviderHealth;
using Notify.Projections.QueueBacklog;
using Notify.Tests.Domain;
using Notify.Tests.Projections.Analytics;

namespace Notify.Tests.Dispatch;

/// <summary>What becomes of outcomes, over a real store.</summary>
public sealed class SettlementTests(AnalyticsDatabase database) : IClassFixture<AnalyticsDatabase>
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task An_outcome_that_cannot_be_written_harms_no_other_and_its_claim_is_known_to_be_open()
    {
        var (clock, claim) = (TimeProvider.System, Guid.NewGuid());
        var now = clock.GetUtcNow();
        var rows = Enumerable.Range(0, 8).Select(i => $"n/c_shop:settled-{i}")
            .Select(n => new OpenDelivery(DeterministicId.OfDelivery(n, "d"), n, new DeliveryQueue(Lane.Apns, Priority.Normal), OpenState.Queued, 0, now, now)).ToList();
        foreach (var row in rows) await database.AppendAsync(row.Notification, Some.Requested());
        await using (var connection = await database.Source.OpenConnectionAsync(Cancellation))
        {
            await OpenDeliveryTable.AddAsync(connection, rows, Cancellation);
            await OpenDeliveryTable.ClaimAsync(connection, [.. rows.Select(r => r.Id)], Guid.NewGuid(), claim, Cancellation);
        }

        await using var settlement = new Settlement(
            database.Store, database.Source, clock, Options.Create(new RetrySchedule()), new QueueActivity(database.Source, clock, NullLogger<QueueActivity>.Instance),
            new ProviderActivity(database.Source, new AlertRules(), clock, NullLogger<ProviderActivity>.Instance), NullLogger<Settlement>.Instance);
        // While the first is written, the others gather; JSON has no room for a NUL.
        var written = await Task.WhenAll(rows.Select((row, i) => settlement.SettleAsync(
            new AttemptMade(row, claim, 1, "apns", new AttemptOutcome.Accepted(i == 3 ? "m\0" : $"m{i}"), TimeSpan.Zero, null, now))));

        Assert.Equal(rows.Select((_, i) => i != 3), written);
        Assert.Equal([rows[3].Id.ToString()], (await database.RowsAsync($"select delivery_id from notify.open_deliveries where state = 1 and claim = '{claim}'")).Select(r => System.Text.Json.Nodes.JsonNode.Parse(r)!["delivery_id"]!.ToString()));
        Assert.Equal(7, (await database.RowsAsync("select 1 from events.mt_events where type = 'NotificationDispatched' and stream_id like 'n/c_shop:settled-%'")).Count);
    }
}
