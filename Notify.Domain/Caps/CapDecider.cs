using System.Globalization;
using Notify.Domain.Categories;
using Notify.Domain.Notifications;

namespace Notify.Domain.Caps;

/// <summary>
/// Decides what of a plan is over its category's caps. A place is taken when a notification is planned, for the window in
/// which it may leave, and is not given back whatever becomes of it: so a cap is never exceeded. What is critical, and
/// what is of a required category, takes its place and is never stopped.
/// </summary>
public static class CapDecider
{
    /// <summary>How far ahead places are given.</summary>
    public static readonly TimeSpan Horizon = TimeSpan.FromDays(30);

    /// <summary>The counts that a plan is decided upon; none where its category has no caps on the channels that are tried.</summary>
    /// <param name="person">Who is counted on a channel; see <see cref="CapKey"/>.</param>
    public static IEnumerable<CapKey> Concerns(DeliveriesPlanned plan, Category category, Func<Channel, string> person) =>
        from cap in category.Caps ?? []
        where plan.Deliveries.Any(d => Lanes.ChannelOf(d.Lane) == cap.Channel)
        select new CapKey(person(cap.Channel), category.Key, cap.Channel, cap.Per);

    /// <summary>Decides.</summary>
    /// <param name="counts">Those of <see cref="Concerns"/>; the places that are taken are noted in them.</param>
    /// <returns>The plan without what is left out, and what of it waits, and until when.</returns>
    public static (DeliveriesPlanned Plan, IReadOnlyList<DeliveryDeferred> PutOff) Decide(
        NotificationRequested request, DeliveriesPlanned plan, Category category, Func<Channel, string> person, IDictionary<CapKey, CapCount> counts, DateTimeOffset now)
    {
        var putOff = new List<DeliveryDeferred>();
        foreach (var channel in (category.Caps ?? []).GroupBy(c => c.Channel))
        {
            var deliveries = plan.Deliveries.Where(d => Lanes.ChannelOf(d.Lane) == channel.Key).ToList();
            if (deliveries.Count == 0) continue;
            // Where both kinds are full, there is no use in waiting.
            var caps = channel.OrderByDescending(c => c.Exceeding == CapExceeding.Suppress).Select(c => (Cap: c, Key: new CapKey(person(c.Channel), category.Key, c.Channel, c.Per))).ToList();
            var passes = category.Required || request.Priority == Priority.Critical;
            var (place, rule) = passes ? (now, "") : Place(caps, counts, category, request.ExpiresAt, now);
            if (place is not { } at)
            {
                plan = plan with
                {
                    Deliveries = [.. plan.Deliveries.Except(deliveries)],
                    LeftOut = [.. plan.LeftOut, .. deliveries.Select(d => new LeftOutDelivery(d.Id, channel.Key, d.DeviceId, Reasons.CapExceeded, rule))],
                };
                continue;
            }

            foreach (var (_, key) in caps) counts[key] = counts[key].Take(at);
            if (at > now) putOff.AddRange(deliveries.Select(d => new DeliveryDeferred(d.Id, at, Reasons.CapExceeded, 0, null, null, now, rule)));
        }

        return (plan, putOff);
    }

    // The first time from now on at which every cap has room; null: there is none, or what stands in the way says not to wait.
    private static (DateTimeOffset? At, string Rule) Place(
        List<(Cap Cap, CapKey Key)> caps, IDictionary<CapKey, CapCount> counts, Category category, DateTimeOffset? expiresAt, DateTimeOffset now)
    {
        var (at, first) = (now, "");
        while (true)
        {
            var (cap, key) = caps.FirstOrDefault(c => counts[c.Key].At(at) >= c.Cap.Limit);
            if (cap is null) return (at, first);
            var count = counts[key];
            var rule = Rule(category, cap, count.At(at), CapWindows.StartOf(cap.Per, count.WindowAt(at)));
            if (cap.Exceeding == CapExceeding.Suppress) return (null, rule);
            if (first.Length == 0) first = rule;
            at = CapWindows.StartOf(cap.Per, count.WindowAt(at) + 1);
            if (at >= expiresAt) return (null, $"{first}; it expires before there is room");
            if (at > now + Horizon) return (null, $"{first}; there is no room within {Horizon.Days} days");
        }
    }

    private static string Rule(Category category, Cap cap, int taken, DateTimeOffset since) => string.Create(
        CultureInfo.InvariantCulture,
        $"cap of category {category.Key} on {Lanes.NameOf(cap.Channel)}, version {category.Version}: {cap.Limit} per {cap.Per.ToString().ToLowerInvariant()}, {taken} taken of the {cap.Per.ToString().ToLowerInvariant()} from {since.UtcDateTime:yyyy-MM-dd HH:mm}Z");
}
