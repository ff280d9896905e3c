namespace Notify.Tests.Projections.Analytics;

using Notify.Domain.Notifications;
using Notify.Tests.Domain;

/// <summary>Read models beside events that this version cannot read, over a real store with its daemon.</summary>
public sealed class UnreadableEventsTests(AnalyticsDatabase database) : IClassFixture<AnalyticsDatabase>
{
    private const string Good = "n/c_shop:good",
        Bad = "n/c_shop:bad";

    [Fact]
    public async Task Read_models_pass_over_events_that_cannot_be_read_and_take_in_the_rest()
    {
        await database.AppendAsync(Bad, Some.Requested(), Some.Planned());
        await AddRowAsync("DeliveryTeleported", "{}");
        await AddRowAsync("NotificationDispatched", """{"deliveryId":"no ID"}""");
        await AddRowAsync("DeliveriesPlanned", "{}");
        await database.AppendAsync(Good, Some.Requested(), Some.Planned() with { Deliveries = [] });

        await database.StartDaemonAsync();
        await database.CaughtUpAsync();
        await database.AppendAsync(Bad, new NotificationDelivered(Some.Sms, "twilio", Some.Noon));
        await database.CaughtUpAsync();

        Assert.Equal(2, (await database.RowsAsync($"select id from events.mt_doc_notificationview where id in ('{Good}', '{Bad}')")).Count);
        Assert.Single(
            await database.RowsAsync($"select 1 from events.mt_doc_notificationview where id = '{Bad}' and data::text like '%delivered%'")
        );
        Assert.Single(
            await database.RowsAsync($"select 1 from analytics.deliveries where delivery_id = '{Some.Sms}' and status = 'delivered'")
        );
        var (exitCode, output) = await database.RebuildAsync("analytics");
        Assert.Equal(0, exitCode);
        Assert.Contains("0 differ", output, StringComparison.Ordinal);
    }

    private Task AddRowAsync(string type, string data) =>
        database.ExecuteAsync(
            $"""
            with stream as (update events.mt_streams set version = version + 1 where id = '{Bad}' returning id, version, tenant_id)
            insert into events.mt_events (seq_id, id, stream_id, version, data, type, timestamp, tenant_id, mt_dotnet_type, is_archived)
            select nextval('events.mt_events_sequence'), gen_random_uuid(), id, version, '{data}', '{type}', now(), tenant_id,
                   'Notify.Domain.Notifications.{type}, Notify.Domain', false from stream
            """
        );
}
