namespace Notify.Domain.Planning;

using System.Globalization;
using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;

/// <summary>Where a notification gets on a channel.</summary>
/// <param name="At">When it may leave; <c>null</c>: never, it is over a cap that leaves out, or there is no room in time.</param>
/// <param name="Reason">Why that is not now; <c>null</c>: it is.</param>
/// <param name="Rule">The rules behind the reason, their inputs and versions, in the order in which they were met.</param>
/// <param name="Counts">Whether it takes a place: not if it leaves never, and not if its time has passed before it may.</param>
public readonly record struct CapPlace(DateTimeOffset? At, string? Reason, string Rule, bool Counts);

/// <summary>
/// Decides when a planned delivery may be sent, by its category's caps and the person's quiet hours together. A slot is taken when
/// a notification is planned, for the window in which it is due, and another one if it is sent in a later window. No slot is given
/// back, whatever the outcome, so a cap is never exceeded. Critical deliveries and those of a required category take a slot and are
/// never stopped by a cap; <c>critical</c> in a request by an app does not count.
/// </summary>
public static class CapDecider
{
    /// <summary>How far ahead places are given.</summary>
    public static readonly TimeSpan Horizon = TimeSpan.FromDays(30);

    /// <summary>The counts that a plan is decided upon; none where its category has no caps on the channels that are tried.</summary>
    /// <param name="person">Returns the person counted on a channel; see <see cref="CapKey"/>.</param>
    public static IEnumerable<CapKey> Concerns(DeliveriesPlanned plan, Category category, Func<Channel, string> person) =>
        plan.Deliveries.Select(d => Lanes.ChannelOf(d.Lane)).Distinct().SelectMany(channel => Concerns(channel, category, person(channel)));

    /// <summary>The counts that one channel is decided upon.</summary>
    public static IEnumerable<CapKey> Concerns(Channel channel, Category category, string person) =>
        (category.Caps ?? []).Where(c => c.Channel == channel).Select(c => new CapKey(person, category.Key, c.Channel, c.Per));

    /// <summary>Whether a window that a delivery was to leave in is over, so that its place there says nothing about the present
    /// one.</summary>
    /// <param name="placeAt">When it was to leave.</param>
    public static bool IsPlacePast(Channel channel, Category category, DateTimeOffset? placeAt, DateTimeOffset now) =>
        placeAt is { } at && (category.Caps ?? []).Any(c => c.Channel == channel && CapWindows.Of(c.Per, at) < CapWindows.Of(c.Per, now));

    /// <summary>Decides on a plan.</summary>
    /// <param name="counts">Those of <see cref="Concerns(DeliveriesPlanned, Category, Func{Channel, string})"/>; the places that are taken
    /// are noted in them.</param>
    /// <param name="quiet">Until when a time is too quiet to disturb the person, and the rule; <c>null</c>: it is not.</param>
    /// <returns>The plan without skipped deliveries, and its deferred ones with their times.</returns>
    public static (DeliveriesPlanned Plan, IReadOnlyList<DeliveryDeferred> PutOff) Decide(
        NotificationRequested request,
        DeliveriesPlanned plan,
        Category category,
        Func<Channel, string> person,
        IDictionary<CapKey, CapCount> counts,
        Func<DateTimeOffset, (DateTimeOffset Until, string Rule)?> quiet,
        DateTimeOffset now
    )
    {
        var putOff = new List<DeliveryDeferred>();
        foreach (var channel in plan.Deliveries.GroupBy(d => Lanes.ChannelOf(d.Lane)).ToList())
        {
            var place = Take(request, channel.Key, category, person(channel.Key), counts, [], quiet, now);
            if (place.At is not { } at)
            {
                plan = plan with
                {
                    Deliveries = [.. plan.Deliveries.Except(channel)],
                    LeftOut =
                    [
                        .. plan.LeftOut,
                        .. channel.Select(d => new LeftOutDelivery(d.Id, channel.Key, d.DeviceId, Reasons.CapExceeded, place.Rule)),
                    ],
                };
                continue;
            }

            if (place.Reason is { } reason)
                putOff.AddRange(channel.Select(d => new DeliveryDeferred(d.Id, at, reason, 0, null, null, now, place.Rule)));
        }

        return (plan, putOff);
    }

    /// <summary>Takes the first place from now on that every cap has room for and that disturbs nobody.</summary>
    /// <param name="held">The times of the notification's slots on the channel: one in a window counts once.</param>
    public static CapPlace Take(
        NotificationRequested request,
        Channel channel,
        Category category,
        string person,
        IDictionary<CapKey, CapCount> counts,
        IReadOnlyCollection<DateTimeOffset> held,
        Func<DateTimeOffset, (DateTimeOffset Until, string Rule)?> quiet,
        DateTimeOffset now
    )
    {
        // Where both kinds are full, there is no use in waiting.
        var caps = (category.Caps ?? [])
            .Where(c => c.Channel == channel)
            .OrderByDescending(c => c.Exceeding == CapExceeding.Suppress)
            .Select(c => (Cap: c, Key: new CapKey(person, category.Key, c.Channel, c.Per)))
            .ToList();
        var passes = category.Required || request is { Priority: Priority.Critical, Through: null };
        var place = Find(request.ExpiresAt, category, passes ? [] : caps, counts, Holds, quiet, now);
        if (place is { Counts: true, At: { } at })
            foreach (var (_, key) in caps.Where(c => !Holds(c.Key, at)))
                counts[key] = counts[key].Take(at);
        return place;

        bool Holds(CapKey key, DateTimeOffset time) => held.Any(h => CapWindows.Of(key.Per, h) == CapWindows.Of(key.Per, time));
    }

    private static CapPlace Find(
        DateTimeOffset? expiresAt,
        Category category,
        List<(Cap Cap, CapKey Key)> caps,
        IDictionary<CapKey, CapCount> counts,
        Func<CapKey, DateTimeOffset, bool> holds,
        Func<DateTimeOffset, (DateTimeOffset Until, string Rule)?> quiet,
        DateTimeOffset now
    )
    {
        var at = now;
        string? reason = null;
        var rules = new List<string>();
        while (true)
        {
            if (quiet(at) is var (until, why))
            {
                reason ??= Reasons.QuietHours;
                if (!rules.Contains(why))
                    rules.Add(why);
                at = until;
                if (at >= expiresAt)
                    return Ends(at, counts: false);
            }

            var (cap, key) = caps.FirstOrDefault(c => counts[c.Key].At(at) >= c.Cap.Limit && !holds(c.Key, at));
            if (cap is null)
                return Ends(at, counts: true);
            var count = counts[key];
            var full = Rule(category, cap, count.At(at), CapWindows.StartOf(cap.Per, count.WindowAt(at)));
            if (reason != Reasons.CapExceeded || cap.Exceeding == CapExceeding.Suppress)
                rules.Add(full);
            reason = Reasons.CapExceeded;
            if (cap.Exceeding == CapExceeding.Suppress)
                return Never();
            at = CapWindows.StartOf(cap.Per, count.WindowAt(at) + 1);
            if (at >= expiresAt)
                return Never("it expires before there is room");
            if (at > now + Horizon)
                return Never($"there is no room within {Horizon.Days} days");
        }

        CapPlace Ends(DateTimeOffset time, bool counts) => new(time, reason, string.Join("; ", rules), counts);
        CapPlace Never(params string[] last) => new(null, Reasons.CapExceeded, string.Join("; ", [.. rules, .. last]), false);
    }

    private static string Rule(Category category, Cap cap, int taken, DateTimeOffset since) =>
        string.Create(
            CultureInfo.InvariantCulture,
            $"cap of category {category.Key} on {Lanes.NameOf(cap.Channel)}, version {category.Version}: {cap.Limit} per "
                + $"{cap.Per.ToString().ToLowerInvariant()}, {taken} taken of the {cap.Per.ToString().ToLowerInvariant()} from "
                + $"{since.UtcDateTime:yyyy-MM-dd HH:mm}Z"
        );
}
