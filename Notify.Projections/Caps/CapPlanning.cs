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

    /// <summary>With what waits for quiet hours to end, beside what waits already.</summary>
    public NotificationPlan WithQuiet(IEnumerable<DeliveryDeferred> quiet) => this with { PutOff = [.. PutOff, .. quiet.Where(q => PutOff.All(p => p.DeliveryId != q.DeliveryId))] };

    /// <summary>What goes into its stream.</summary>
    public IReadOnlyList<object> Events => [Plan, .. PutOff];

    /// <summary>Its open deliveries: in their queues, or put off.</summary>
    public IEnumerable<OpenDelivery> Open(DateTimeOffset now) => NotificationPlanning.Open(Key, Plan, PutOff, Request.Priority, now);
}

/// <summary>Holds a group of plans against their categories' caps, set-based; what no cap concerns costs nothing.</summary>
public static class CapPlanning
{
    /// <summary>Takes the plans' places, first come first served, in the transaction that keeps the plans; see <see cref="CapTable"/> for the lock order.</summary>
    /// <param name="plans">In the order of their coming.</param>
    /// <returns>The plans in the same order, without what is left out, and with what waits.</returns>
    public static async Task<IReadOnlyList<NotificationPlan>> HoldAsync(
        NpgsqlConnection connection, IReadOnlyList<NotificationPlan> plans, ReachRules rules, MasterKeyRing ring, DateTimeOffset now, CancellationToken cancellation)
    {
        var keys = plans.SelectMany(p => CapDecider.Concerns(p.Plan, rules.Of(p.Request.Category), Person(p))).ToHashSet();
        if (keys.Count == 0) return plans;
        var counts = await CapTable.LockAsync(connection, keys, now, cancellation);
        var before = counts.ToDictionary();
        var held = plans.Select(p =>
        {
            var (plan, putOff) = CapDecider.Decide(p.Request, p.Plan, rules.Of(p.Request.Category), Person(p), counts, now);
            return p with { Plan = plan, PutOff = putOff };
        }).ToList();
        await CapTable.WriteAsync(connection, [.. counts.Where(c => !ReferenceEquals(c.Value, before[c.Key]))], cancellation);
        return held;

        Func<Channel, string> Person(NotificationPlan p) => channel => PersonOf(p, channel, ring);
    }

    // People who are not registered are known by the address that is tried; what test clients try out takes nobody's place.
    private static string PersonOf(NotificationPlan plan, Channel channel, MasterKeyRing ring)
    {
        var person = plan.Request.UserId is not null || plan.Payload?.To is not { } to ? plan.Request.Subject
            : "a/" + (ring.Of(channel, channel == Channel.Sms ? to.Phone : to.Email) ?? ring.Fingerprint("device", to.Device?.Token ?? ""));
        return plan.Request.Mode == ClientMode.Test ? $"test/{person}" : person;
    }
}
