namespace Notify.Delivery.Planning;

using System.Globalization;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.Privacy;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Npgsql;

/// <summary>A notification that is being planned.</summary>
/// <param name="Key">Its stream.</param>
/// <param name="Payload">Its decrypted payload; <c>null</c> where it cannot be read any more.</param>
public sealed record NotificationPlan(string Key, NotificationRequested Request, NotificationPayload? Payload, DeliveriesPlanned Plan)
{
    /// <summary>Its planned deliveries that are deferred.</summary>
    public IReadOnlyList<DeliveryDeferred> PutOff { get; init; } = [];

    /// <summary>Returns the end of the person's quiet hours at a time, and their rule; <c>null</c>: outside of quiet hours.</summary>
    public Func<DateTimeOffset, (DateTimeOffset Until, string Rule)?> Quiet { get; init; } = _ => null;

    /// <summary>The events for its stream.</summary>
    public IReadOnlyList<object> Events => [Plan, .. PutOff];

    /// <summary>Returns its open deliveries: queued or deferred.</summary>
    public IEnumerable<OpenDelivery> Open(DateTimeOffset now) => NotificationPlanning.Open(Key, Plan, PutOff, Request.Priority, now);
}

/// <summary>
/// A delivery that was not sent when planned, and may not be sent now without another decision: the time is in quiet hours, or the
/// window of its slot is over.
/// </summary>
/// <param name="Fingerprint">Keyed hash of the number, address or token that it goes to; it identifies an unregistered person.</param>
/// <param name="Quiet">See <see cref="NotificationPlan.Quiet"/>.</param>
public sealed record LateDelivery(
    OpenDelivery Row,
    Notification Notification,
    Delivery Delivery,
    string Fingerprint,
    Func<DateTimeOffset, (DateTimeOffset Until, string Rule)?> Quiet
);

/// <summary>Holds a group of plans against their categories' caps and people's quiet hours, set-based; caps cost nothing where there are
/// none.</summary>
public static class CapPlanning
{
    /// <summary>Takes the plans' places, first come first served, in the transaction that keeps the plans; see <see cref="CapTable"/> for
    /// the lock order.</summary>
    /// <param name="plans">In the order of their coming.</param>
    /// <returns>The plans in the same order, without skipped deliveries, and with their deferred ones.</returns>
    public static async Task<IReadOnlyList<NotificationPlan>> HoldAsync(
        NpgsqlConnection connection,
        IReadOnlyList<NotificationPlan> plans,
        ReachRules rules,
        IFingerprints ring,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        var keys = plans.SelectMany(p => CapDecider.Concerns(p.Plan, rules.Of(p.Request), Person(p))).ToHashSet();
        return await WithCountsAsync(
            connection,
            keys,
            now,
            cancellation,
            counts =>
                plans
                    .Select(p =>
                    {
                        var (plan, putOff) = CapDecider.Decide(p.Request, p.Plan, rules.Of(p.Request), Person(p), counts, p.Quiet, now);
                        return p with { Plan = plan, PutOff = putOff };
                    })
                    .ToList()
        );

        Func<Channel, string> Person(NotificationPlan p) => channel => PersonOf(p, channel, ring);
    }

    /// <summary>Reassigns slots to late deliveries, in the transaction that claims them. Their streams are locked before.</summary>
    /// <returns>
    /// The event of each, in the order given: <see cref="CapPlaceMoved"/>, it is sent now; <see cref="DeliveryDeferred"/>; or
    /// <see cref="DeliverySuppressed"/> where a cap has no free slot in time.
    /// </returns>
    public static Task<List<(LateDelivery Late, object Event)>> AgainAsync(
        NpgsqlConnection connection,
        IReadOnlyList<LateDelivery> late,
        ReachRules rules,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        var keys = late.SelectMany(l => Concerns(l, rules)).ToHashSet();
        return WithCountsAsync(connection, keys, now, cancellation, counts => Again(late, rules, counts, now));
    }

    /// <summary>The counts that a late delivery is decided upon.</summary>
    public static IEnumerable<CapKey> Concerns(LateDelivery late, ReachRules rules) =>
        CapDecider.Concerns(late.Delivery.Channel, rules.Of(late.Notification.Request), PersonOf(late));

    /// <summary>Decides about what leaves later than planned. Pure, except that it notes the places that it takes.</summary>
    /// <param name="counts">Those of <see cref="Concerns"/>.</param>
    /// <returns>See <see cref="AgainAsync"/>.</returns>
    public static List<(LateDelivery Late, object Event)> Again(
        IReadOnlyList<LateDelivery> late,
        ReachRules rules,
        IDictionary<CapKey, CapCount> counts,
        DateTimeOffset now
    )
    {
        var held = late.GroupBy(l => (l.Notification.Key, l.Delivery.Channel))
            .ToDictionary(
                g => g.Key,
                g =>
                    g.First()
                        .Notification.Deliveries.Values.Where(d => d.Channel == g.Key.Channel)
                        .Select(d => d.PlaceAt)
                        .OfType<DateTimeOffset>()
                        .ToList()
            );
        return late.Select(l =>
            {
                var (request, d, places) = (l.Notification.Request, l.Delivery, held[(l.Notification.Key, l.Delivery.Channel)]);
                var category = rules.Of(request);
                var place = CapDecider.Take(request, d.Channel, category, PersonOf(l), counts, places, l.Quiet, now);
                if (place is { Counts: true, At: { } taken })
                    places.Add(taken);
                return (
                    l,
                    place switch
                    {
                        { At: null } => new DeliverySuppressed(d.Id, Reasons.CapExceeded, place.Rule, now),
                        { At: { } at, Reason: { } reason } => new DeliveryDeferred(
                            d.Id,
                            at,
                            reason,
                            Math.Max(l.Row.Attempts, d.Attempts),
                            null,
                            null,
                            now,
                            place.Rule
                        ),
                        _ => (object)
                            new CapPlaceMoved(
                                d.Id,
                                string.Create(
                                    CultureInfo.InvariantCulture,
                                    $"caps of category {category.Key} on {Lanes.NameOf(d.Channel)}, version {category.Version}; "
                                ) + string.Create(CultureInfo.InvariantCulture, $"planned for {d.PlaceAt?.UtcDateTime:yyyy-MM-dd HH:mm}Z"),
                                now
                            ),
                    }
                );
            })
            .ToList();
    }

    private static async Task<T> WithCountsAsync<T>(
        NpgsqlConnection connection,
        HashSet<CapKey> keys,
        DateTimeOffset now,
        CancellationToken cancellation,
        Func<Dictionary<CapKey, CapCount>, T> decide
    )
    {
        var counts = await CapTable.LockAsync(connection, keys, now, cancellation);
        var before = counts.ToDictionary();
        var decided = decide(counts);
        await CapTable.WriteAsync(connection, [.. counts.Where(c => !ReferenceEquals(c.Value, before[c.Key]))], cancellation);
        return decided;
    }

    // The tried address identifies an unregistered person. Deliveries of test clients take no slot of other clients.
    private static string PersonOf(NotificationPlan plan, Channel channel, IFingerprints ring)
    {
        var person =
            plan.Request.UserRef is not null || plan.Payload?.To is not { } to
                ? plan.Request.Subject
                : "a/"
                    + (
                        ring.Of(channel, channel == Channel.Sms ? to.Phone : to.Email) ?? ring.Fingerprint("device", to.Device?.Token ?? "")
                    );
        return In(plan.Request.Mode, person);
    }

    private static string PersonOf(LateDelivery late) =>
        In(
            late.Notification.Request.Mode,
            late.Notification.Request.UserRef is null ? "a/" + late.Fingerprint : late.Notification.Request.Subject
        );

    private static string In(ClientMode mode, string person) => mode == ClientMode.Test ? $"test/{person}" : person;
}
