using Notify.Domain.Caps;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Domain.Recipients;
using Notify.Projections.OpenDeliveries;
using Notify.Projections.Planning;
using Notify.Projections.Privacy;
using Npgsql;

namespace Notify.Projections.Caps;

/// <summary>A notification that is being planned.</summary>
/// <param name="Key">Its stream.</param>
/// <param name="Payload">Its open payload; <c>null</c> where it cannot be read any more.</param>
public sealed record NotificationPlan(string Key, NotificationRequested Request, NotificationPayload? Payload, DeliveriesPlanned Plan)
{
    /// <summary>What of it waits although it is planned.</summary>
    public IReadOnlyList<DeliveryDeferred> PutOff { get; init; } = [];

    /// <summary>Until when a time is too quiet to disturb the person, and the rule; <c>null</c>: it is not.</summary>
    public Func<DateTimeOffset, (DateTimeOffset Until, string Rule)?> Quiet { get; init; } = _ => null;

    /// <summary>What goes into its stream.</summary>
    public IReadOnlyList<object> Events => [Plan, .. PutOff];

    /// <summary>Its open deliveries: in their queues, or put off.</summary>
    public IEnumerable<OpenDelivery> Open(DateTimeOffset now) => NotificationPlanning.Open(Key, Plan, PutOff, Request.Priority, now);
}

/// <summary>A delivery that the last check puts off, since the person is not to be disturbed now.</summary>
/// <param name="Quiet">See <see cref="NotificationPlan.Quiet"/>.</param>
public sealed record LateQuiet(OpenDelivery Row, Notification Notification, Delivery Delivery, Func<DateTimeOffset, (DateTimeOffset Until, string Rule)?> Quiet);

/// <summary>Holds a group of plans against their categories' caps and people's quiet hours, set-based; caps cost nothing where there are none.</summary>
public static class CapPlanning
{
    /// <summary>Takes the plans' places, first come first served, in the transaction that keeps the plans; see <see cref="CapTable"/> for the lock order.</summary>
    /// <param name="plans">In the order of their coming.</param>
    /// <returns>The plans in the same order, without what is left out, and with what waits.</returns>
    public static async Task<IReadOnlyList<NotificationPlan>> HoldAsync(
        NpgsqlConnection connection, IReadOnlyList<NotificationPlan> plans, ReachRules rules, MasterKeyRing ring, DateTimeOffset now, CancellationToken cancellation)
    {
        var keys = plans.SelectMany(p => CapDecider.Concerns(p.Plan, rules.Of(p.Request.Category), Person(p))).ToHashSet();
        return await WithCountsAsync(connection, keys, now, cancellation, counts => plans.Select(p =>
        {
            var (plan, putOff) = CapDecider.Decide(p.Request, p.Plan, rules.Of(p.Request.Category), Person(p), counts, p.Quiet, now);
            return p with { Plan = plan, PutOff = putOff };
        }).ToList());

        Func<Channel, string> Person(NotificationPlan p) => channel => PersonOf(p, channel, ring);
    }

    /// <summary>Finds new places for what was planned for now but has to wait, in the transaction that claims it; streams are locked before.</summary>
    /// <returns>What becomes of each, in the order given: <see cref="DeliveryDeferred"/>, or <see cref="DeliverySuppressed"/> where no cap has room in time.</returns>
    public static Task<List<(LateQuiet Late, object Event)>> AgainAsync(
        NpgsqlConnection connection, IReadOnlyList<LateQuiet> late, ReachRules rules, DateTimeOffset now, CancellationToken cancellation)
    {
        var keys = late.SelectMany(l => CapDecider.Concerns(l.Delivery.Channel, rules.Of(l.Notification.Request.Category), PersonOf(l.Notification.Request))).ToHashSet();
        return WithCountsAsync(connection, keys, now, cancellation, counts =>
        {
            var held = late.GroupBy(l => (l.Notification.Key, l.Delivery.Channel)).ToDictionary(
                g => g.Key, g => g.First().Notification.Deliveries.Values.Where(d => d.Channel == g.Key.Channel).Select(d => d.PlaceAt).OfType<DateTimeOffset>().ToList());
            return late.Select(l =>
            {
                var (request, d, places) = (l.Notification.Request, l.Delivery, held[(l.Notification.Key, l.Delivery.Channel)]);
                var place = CapDecider.Take(request, d.Channel, rules.Of(request.Category), PersonOf(request), counts, places, l.Quiet, now);
                if (place is { Counts: true, At: { } taken }) places.Add(taken);
                return (l, place is { At: { } at, Reason: { } reason }
                    ? (object)new DeliveryDeferred(d.Id, at, reason, Math.Max(l.Row.Attempts, d.Attempts), null, null, now, place.Rule)
                    : new DeliverySuppressed(d.Id, Reasons.CapExceeded, place.Rule, now));
            }).ToList();
        });
    }

    private static async Task<T> WithCountsAsync<T>(
        NpgsqlConnection connection, HashSet<CapKey> keys, DateTimeOffset now, CancellationToken cancellation, Func<Dictionary<CapKey, CapCount>, T> decide)
    {
        var counts = await CapTable.LockAsync(connection, keys, now, cancellation);
        var before = counts.ToDictionary();
        var decided = decide(counts);
        await CapTable.WriteAsync(connection, [.. counts.Where(c => !ReferenceEquals(c.Value, before[c.Key]))], cancellation);
        return decided;
    }

    // People who are not registered are known by the address that is tried; what test clients try out takes nobody's place.
    private static string PersonOf(NotificationPlan plan, Channel channel, MasterKeyRing ring)
    {
        var person = plan.Request.UserId is not null || plan.Payload?.To is not { } to ? plan.Request.Subject
            : "a/" + (ring.Of(channel, channel == Channel.Sms ? to.Phone : to.Email) ?? ring.Fingerprint("device", to.Device?.Token ?? ""));
        return In(plan.Request.Mode, person);
    }

    private static string PersonOf(NotificationRequested request) => In(request.Mode, request.Subject);

    private static string In(ClientMode mode, string person) => mode == ClientMode.Test ? $"test/{person}" : person;
}
