namespace Notify.Projections.Analytics;

using Notify.Delivery.Privacy;
using Notify.Delivery.Tracking;
using Notify.Domain.Broadcasts;
using Notify.Domain.Channels;
using Notify.Domain.Recipients;

/// <summary>A row of <c>analytics.deliveries</c>, with its rows of <c>analytics.engagement</c>. Comments describe the columns.</summary>
public sealed record DeliveryFact(
    Guid DeliveryId,
    string ClientId,
    string EventId,
    Guid Recipient,
    bool Registered,
    string Channel,
    string? Lane,
    string? Provider,
    string Category,
    string Priority,
    string Mode,
    string? TemplateKey,
    int? TemplateVersion,
    string Status,
    string? Reason,
    int Attempts,
    DateTimeOffset RequestedAt,
    DeliveryTimes Times,
    DateTimeOffset? DispatchedAt,
    DateTimeOffset? DeliveredAt
)
{
    private NotificationHistory? Start { get; init; }

    /// <summary>Its part of the daily counts before this change; <c>null</c>: it had none.</summary>
    /// <remarks>For deliveries whose row was dropped. The request's own properties never change.</remarks>
    public CountedDelivery? CountedBefore =>
        Start is not null && Start.State.Deliveries.TryGetValue(DeliveryId, out var was)
            ? (
                this with
                {
                    Provider = was.Provider,
                    Status = EnumNames.Of(was.Status),
                    Times = Start.Times[DeliveryId],
                    DispatchedAt = was.DispatchedAt,
                    DeliveredAt = was.DeliveredAt,
                }
            ).Counted
            : null;

    /// <summary>Milliseconds from planning to the provider's yes.</summary>
    public long? LatencyMs => Milliseconds(Times.PlannedAt, DispatchedAt);

    /// <summary>Milliseconds from the provider's yes to the device.</summary>
    public long? DeliveryLatencyMs => DispatchedAt is { } dispatched ? Milliseconds(dispatched, DeliveredAt) : null;

    /// <summary>Its part of the daily counts; its key is <see cref="DailyKey.Of"/>.</summary>
    public CountedDelivery Counted =>
        new(
            new DailyKey(
                DateOnly.FromDateTime(RequestedAt.UtcDateTime),
                ClientId,
                Channel,
                Category,
                TemplateKey ?? "",
                Provider ?? "",
                Mode
            ),
            Broadcast.IdOf(EventId),
            Status,
            DispatchedAt is not null || DeliveredAt is not null,
            DeliveredAt is not null,
            LatencyMs,
            Count("opened"),
            Count("clicked"),
            First("unsubscribed") is not null
        );

    /// <summary>Returns the number of facts of a kind.</summary>
    public int Count(string kind) => Times.Engagements.Count(e => e.Kind == kind);

    /// <summary>When the first of a kind happened.</summary>
    public DateTimeOffset? First(string kind) => Times.Engagements.Where(e => e.Kind == kind).Min(e => (DateTimeOffset?)e.At);

    /// <summary>The rows of a notification's deliveries that are not as they were.</summary>
    /// <param name="before">The history as it was written before; <c>null</c>: every delivery has a row to write.</param>
    /// <param name="start">The history before the change, also where every delivery has a row to write.</param>
    /// <param name="ring">Makes the recipient's pseudonym.</param>
    public static IEnumerable<DeliveryFact> Changed(
        NotificationHistory? before,
        NotificationHistory? start,
        NotificationHistory after,
        MasterKeyRing ring
    )
    {
        var request = after.State.Request;
        Guid? recipient = null;
        foreach (var d in after.State.Deliveries.Values)
        {
            var times = after.Times[d.Id];
            if (
                before is not null
                && before.State.Deliveries.TryGetValue(d.Id, out var was)
                && ReferenceEquals(was, d)
                && ReferenceEquals(before.Times[d.Id], times)
            )
                continue;
            yield return new DeliveryFact(
                d.Id,
                request.ClientId,
                EventIdOf(request.EventId, ring),
                recipient ??= PseudonymOf(request.Subject, ring),
                request.UserRef is not null,
                EnumNames.Of(d.Channel),
                d.Lane is { } lane ? EnumNames.Of(lane) : null,
                d.Provider,
                request.Category,
                EnumNames.Of(request.Priority),
                EnumNames.Of(request.Mode),
                request.Template?.Key,
                request.Template?.Version,
                EnumNames.Of(d.Status),
                d.Reason,
                d.Attempts,
                request.At,
                times,
                d.DispatchedAt,
                d.DeliveredAt
            )
            {
                Start = start,
            };
        }
    }

    /// <summary>The same person, under a name that nobody can turn back: the first half of a keyed hash of the subject.</summary>
    public static Guid PseudonymOf(string subject, MasterKeyRing ring) =>
        new(ring.Peppers.Mac(ring.Peppers.CurrentId, "analytics", System.Text.Encoding.UTF8.GetBytes(subject)).AsSpan(0, 16));

    /// <summary>The event ID; of a broadcast to a user from before references with the reference that their ID would have.</summary>
    /// <remarks>The analysts' schema holds no user IDs.</remarks>
    public static string EventIdOf(string eventId, MasterKeyRing ring) =>
        Broadcast.IdOf(eventId) is { } broadcast && eventId[(broadcast.Length + 1)..] is var user && !UserRef.Is(user)
            ? Broadcast.EventIdOf(broadcast, ring.UserRefOf(user))
            : eventId;

    private static long? Milliseconds(DateTimeOffset from, DateTimeOffset? to) =>
        to is { } t ? Math.Max(0, (t - from).Ticks / TimeSpan.TicksPerMillisecond) : null;
}
