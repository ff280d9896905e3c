namespace Notify.Projections.Analytics;

using System.Collections.Concurrent;
using System.Collections.Immutable;
using Notify.Domain.Notifications;
using Notify.Projections.NotificationViews;

/// <summary>A person did something with a delivery, for the first time.</summary>
/// <param name="Kind"><c>opened</c>, <c>clicked</c>, <c>complained</c> or <c>unsubscribed</c>.</param>
/// <param name="Link">The number of the clicked link; else empty.</param>
/// <param name="Source">The provider or component that reported it.</param>
public sealed record Engagement(string Kind, string Link, string Source, DateTimeOffset At);

/// <summary>The times of one delivery's events that its state does not contain.</summary>
/// <param name="StatusAt">The time since which it has its status.</param>
/// <param name="ProviderLatencyMs">Milliseconds of the call that was accepted.</param>
public sealed record DeliveryTimes(
    DateTimeOffset PlannedAt,
    DateTimeOffset StatusAt,
    DateTimeOffset? FirstAttemptAt,
    DateTimeOffset? FailedAt,
    int? ProviderLatencyMs,
    ImmutableList<Engagement> Engagements
);

/// <summary>
/// The state of a notification for analytics: its usual state, and the times of its deliveries. Pure: the same
/// events give the same history. Contains no encrypted data.
/// </summary>
public sealed record NotificationHistory(Notification State, ImmutableDictionary<Guid, DeliveryTimes> Times)
{
    private static readonly ConcurrentDictionary<Type, Func<object, DateTimeOffset>> Clocks = new();

    /// <summary>Folds one event into a history; <c>null</c> before the first.</summary>
    public static NotificationHistory? Evolve(NotificationHistory? history, string key, object @event)
    {
        if (Notification.Evolve(history?.State, key, @event) is not { } folded)
            return null;
        var state = NotificationViewProjection.WithoutSealed(folded, @event);
        var before = history?.State.Deliveries ?? ImmutableDictionary<Guid, Delivery>.Empty;
        var times = history?.Times ?? ImmutableDictionary<Guid, DeliveryTimes>.Empty;
        if (ReferenceEquals(state.Deliveries, before))
            return new NotificationHistory(state, times);

        var at = TimeOf(@event);
        foreach (var (id, delivery) in state.Deliveries)
        {
            var was = before.GetValueOrDefault(id);
            if (!ReferenceEquals(was, delivery))
                times = times.SetItem(id, Next(times.GetValueOrDefault(id), was, delivery, @event, at));
        }

        return new NotificationHistory(state, times);
    }

    /// <summary>When an event happened: its <c>At</c>, which every event of a notification has.</summary>
    public static DateTimeOffset TimeOf(object @event) =>
        Clocks.GetOrAdd(
            @event.GetType(),
            static type =>
                type.GetProperty("At") is { } at
                    ? e => (DateTimeOffset)at.GetValue(e)!
                    : throw new ArgumentException($"{type.Name} does not say when it happened; give it an At.")
        )(@event);

    private static DeliveryTimes Next(DeliveryTimes? times, Delivery? was, Delivery delivery, object @event, DateTimeOffset at)
    {
        times ??= new DeliveryTimes(at, at, null, null, null, []);
        if (was?.Status != delivery.Status)
            times = times with { StatusAt = at, FailedAt = delivery.Status == DeliveryStatus.Failed ? at : times.FailedAt };
        if (times.FirstAttemptAt is null && delivery.Attempts > 0)
            times = times with { FirstAttemptAt = at };
        return @event switch
        {
            NotificationDispatched { Receipt: null } e => times with { ProviderLatencyMs = e.LatencyMs },
            NotificationOpened e => First(times, new Engagement("opened", "", e.Source, e.At)),
            LinkClicked e => First(
                times,
                new Engagement("clicked", e.Link.ToString(System.Globalization.CultureInfo.InvariantCulture), e.Source, e.At)
            ),
            Complained e => First(times, new Engagement("complained", "", e.Source, e.At)),
            Unsubscribed e => First(times, new Engagement("unsubscribed", "", e.Source, e.At)),
            _ => times,
        };
    }

    private static DeliveryTimes First(DeliveryTimes times, Engagement engagement) =>
        times.Engagements.Exists(e => e.Kind == engagement.Kind && e.Link == engagement.Link)
            ? times
            : times with
            {
                Engagements = times.Engagements.Add(engagement),
            };
}
