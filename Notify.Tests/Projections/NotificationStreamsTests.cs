namespace Notify.Tests.Projections;

using Microsoft.Extensions.Logging.Abstractions;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.EventStore;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Projections.Verification;
using Notify.Tests.Domain;
using Notify.Tests.Projections.Analytics;

/// <summary>Streams with events that this host cannot read, over a real store.</summary>
public sealed class NotificationStreamsTests(AnalyticsDatabase database) : IClassFixture<AnalyticsDatabase>
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Loader_returns_state_when_stream_holds_unknown_event_type()
    {
        var keys = await StartAsync("newer", 3);
        await AddRowAsync(keys[1], "DeliveryTeleported", """{"deliveryId":"0b1f7c3e-52ab-8d0e-9c41-6a7d2f90e513"}""");

        var loaded = await LoadAsync(keys);

        Assert.Empty(loaded.Faults);
        Assert.Equal([2L, 3L, 2L], keys.Select(k => loaded.States[k].Version));
        Assert.All(keys, k => Assert.True(loaded.States[k].IsPlanned));
    }

    [Theory]
    [InlineData("NotificationDispatched", """{"deliveryId":"no ID"}""")]
    [InlineData("NotificationDispatched", "{}")]
    [InlineData("NotificationDispatched", "null")]
    [InlineData("DeliveriesPlanned", """{"at":"2026-05-04T12:00:00Z"}""")]
    [InlineData("NotificationRequested", """{"clientId":"c_shop"}""")]
    [InlineData("DispatchAttempted", "[1]")]
    public async Task Loader_returns_fault_for_unreadable_stream_and_state_for_its_neighbours(string type, string data)
    {
        var keys = await StartAsync($"damaged-{Guid.NewGuid():N}", 3);
        await AddRowAsync(keys[1], type, data);

        var loaded = await LoadAsync(keys);

        var fault = Assert.Single(loaded.Faults);
        Assert.Equal((keys[1], 3L, type), (fault.Value.Key, fault.Value.Version, fault.Value.EventType));
        Assert.Equal([keys[0], keys[2]], loaded.States.Keys.Order());
        Assert.DoesNotContain("no ID", fault.Value.ToString(), StringComparison.Ordinal);
        await using var session = database.Store.QuerySession();
        var thrown = await Assert.ThrowsAsync<UnreadableStreamException>(() =>
            NotificationStreams.LoadAsync(session, keys[1], Cancellation)
        );
        Assert.Equal(3L, thrown.Fault.Version);
        Assert.Equal(2L, (await NotificationStreams.LoadAsync(session, keys[1], Cancellation, version: 2))!.Version);
    }

    [Fact]
    public async Task Loader_keeps_no_payload_of_earlier_events_when_texts_are_not_wanted()
    {
        var key = "n/c_shop:text-in-event";
        var text = new Sealed($"7.{new string('x', 1_000_000)}");
        await database.AppendAsync(key, Some.Requested() with { Payload = text }, Some.Planned());
        await using var session = database.Store.QuerySession();

        var whole = (await NotificationStreams.LoadAsync(session, [key], Cancellation)).States[key].Request.Payload;
        var without = (await NotificationStreams.LoadAsync(session, [key], Cancellation, withTexts: false)).States[key].Request.Payload;

        Assert.Equal((text.Text, null), (whole.Inline, without.Inline));
        Assert.Equal((whole.Key, false), (without.Key, without.IsNone));
    }

    [Fact]
    public async Task Faulty_delivery_is_set_aside_and_noted_while_others_go_on()
    {
        var keys = await StartAsync("aside", 3);
        await AddRowAsync(keys[1], "NotificationDispatched", "{}");
        var loaded = await LoadAsync(keys);
        var now = new DateTimeOffset(2026, 5, 4, 13, 0, 0, TimeSpan.Zero);
        var rows = keys.Select(k => new OpenDelivery(
                Guid.NewGuid(),
                k,
                new DeliveryQueue(Lane.Sms, Priority.Normal),
                OpenState.InFlight,
                0,
                now.AddSeconds(-20),
                now
            ))
            .ToList();
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        await OpenDeliveryTable.AddAsync(connection, rows, Cancellation);

        var others = await new StreamFaults(database.Ring, NullLogger<StreamFaults>.Instance).SetAsideAsync(
            connection,
            rows,
            loaded,
            now,
            Cancellation
        );

        Assert.Equal([rows[0], rows[2]], others);
        var aside = Assert.Single(await OpenDeliveryTable.LockAsync(connection, [rows[1].Id], Cancellation));
        Assert.Equal(
            (OpenState.Deferred, 0, now.AddSeconds(10), Reasons.StreamUnreadable),
            (aside.State, aside.Attempts, aside.DueAt, aside.Reason)
        );
        Assert.Equal(1, (await StreamFaults.LastingAsync(connection, now, Cancellation)).Count);
        Assert.Equal(0, (await StreamFaults.LastingAsync(connection, now + StreamFaults.Lasting, Cancellation)).Count);
        await OpenDeliveryTable.RemoveAsync(connection, [.. rows.Select(r => r.Id)], Cancellation);
    }

    [Fact]
    public void Set_aside_delivery_waits_half_of_its_age_between_five_seconds_and_ten_minutes()
    {
        var now = Some.Noon;
        Assert.Equal(
            [5, 30, 600],
            new[] { 1, 60, 86_400 }.Select(age => (int)LoadedStreams.WaitOf(now.AddSeconds(-age), now).TotalSeconds)
        );
    }

    [Fact]
    public async Task Verify_reports_unreadable_stream_as_fault_and_goes_on()
    {
        var keys = await StartAsync("verified", 3);
        await AddRowAsync(keys[1], "NotificationDispatched", "{}");
        await database.ExecuteAsync($"insert into notify.event_ids values ('{keys[0]}', ''), ('{keys[1]}', ''), ('{keys[2]}', '')");

        var verifier = new Verifier(database.Store, database.Source, TimeProvider.System, new VerificationLimits());
        var found = await verifier.VerifyAsync(new VerificationScope(), Cancellation);

        Assert.Equal(VerificationFaultKind.Unreadable, Assert.Single(found.Faults, f => f.Stream == keys[1]).Kind);
        Assert.Equal(2, found.Faults.Count(f => f.Stream == keys[0] && f.Kind == VerificationFaultKind.DeliveryLost));
        Assert.True(found.Counts.Notifications >= 3);
        await database.ExecuteAsync($"delete from notify.event_ids where key like 'n/c_shop:verified%'");
    }

    private async Task<string[]> StartAsync(string mark, int count)
    {
        var keys = Enumerable.Range(0, count).Select(i => $"n/c_shop:{mark}-{i}").ToArray();
        foreach (var key in keys)
            await database.AppendAsync(key, Some.Requested(), Some.Planned());
        return keys;
    }

    // As another version of Notify, or a fault of a disk, leaves it.
    private Task AddRowAsync(string key, string type, string data) =>
        database.ExecuteAsync(
            $"""
            insert into events.mt_events (seq_id, id, stream_id, version, data, type, timestamp, tenant_id, mt_dotnet_type, is_archived)
            select nextval('events.mt_events_sequence'), gen_random_uuid(), id, version + 1, '{data}', '{type}', now(), tenant_id,
                'Notify.Domain.Notifications.{type}, Notify.Domain', false
            from events.mt_streams where id = '{key}';
            update events.mt_streams set version = version + 1 where id = '{key}'
            """
        );

    private async Task<LoadedStreams> LoadAsync(string[] keys)
    {
        await using var session = database.Store.QuerySession();
        return await NotificationStreams.LoadAsync(session, keys, Cancellation);
    }
}
