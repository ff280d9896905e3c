namespace Notify.Tests.Projections.Verification;

using Notify.Delivery.DeliveryQueue;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Projections.Verification;
using Notify.Tests.Domain;
using Notify.Tests.Projections.Analytics;

/// <summary>A notification of a test, with a push and an SMS once it is planned.</summary>
internal sealed record TestNotification(string EventId, string Client = "c_shop", string? User = null, string Payload = "payload")
{
    public string Key => NotificationKey.Of(Client, EventId);

    public Guid Push => DeterministicId.OfDelivery(Key, "d_1");

    public Guid Sms => DeterministicId.OfDelivery(Key, "sms");

    public NotificationRequested Request =>
        Some.Requested(userId: User) with
        {
            ClientId = Client,
            EventId = EventId,
            Payload = Some.Sealed(Payload),
        };

    public DeliveriesPlanned Plan() =>
        new(
            [
                new PlannedDelivery(Push, Lane.Apns, "d_1", Some.Sealed("token")),
                new PlannedDelivery(Sms, Lane.Sms, null, Some.Sealed("phone")),
            ],
            [],
            0,
            Some.Noon
        );

    public DeliveriesPlanned Skipped(long version, params (Channel Channel, string Reason, string Rule)[] skipped) =>
        new(
            [],
            [
                .. skipped.Select(
                    (s, i) => new LeftOutDelivery(DeterministicId.OfDelivery(Key, $"skipped-{i}"), s.Channel, null, s.Reason, s.Rule)
                ),
            ],
            version,
            Some.Noon
        );
}

/// <summary>Writes notifications into a store as the hosts do: event ID, stream and rows of work.</summary>
internal sealed class StoreBuilder(AnalyticsDatabase database)
{
    public TestNotification New(string name) =>
        new(
            name.Contains('@', StringComparison.Ordinal) || name.StartsWith("digest=", StringComparison.Ordinal)
                ? name
                : $"{name}-{Guid.NewGuid():N}"
        );

    /// <summary>Keeps the event ID and starts the stream.</summary>
    public async Task AcceptAsync(TestNotification n, params object[] since)
    {
        await database.ExecuteAsync($"insert into notify.event_ids values ('{n.Key}', 'h')");
        await database.AppendAsync(n.Key, [n.Request, .. since]);
    }

    /// <summary>Adds the rows of work that a stream asks for: to be planned, or its deliveries in their queues.</summary>
    public async Task QueueAsync(TestNotification n)
    {
        await using var connection = await database.Source.OpenConnectionAsync();
        var (now, isPlanned) = (
            TimeProvider.System.GetUtcNow(),
            (await database.RowsAsync($"select 1 from events.mt_events where stream_id = '{n.Key}' and type = 'DeliveriesPlanned'")).Count
                > 0
        );
        await OpenDeliveryTable.AddAsync(
            connection,
            isPlanned
                ? [.. n.Plan().Deliveries.Select(d => OpenDelivery.Planned(n.Key, d, Priority.Normal, now))]
                : [OpenDelivery.Planning(n.Key, Priority.Normal, now, now.AddHours(1))],
            TestContext.Current.CancellationToken
        );
    }

    /// <summary>A verifier of the database that looks twice without waiting long.</summary>
    public Verifier Verifier(VerificationLimits? limits = null) =>
        new(
            database.Store,
            database.Source,
            TimeProvider.System,
            (limits ?? new VerificationLimits()) with
            {
                Recovery = TimeSpan.FromMilliseconds(50),
            }
        );
}
