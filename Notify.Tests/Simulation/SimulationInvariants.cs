namespace Notify.Tests.Simulation;

using Notify.Delivery.DeliveryQueue;
using Notify.Dispatch.Dispatching;
using Notify.Dispatch.Providers;
using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Recipients;
using Notify.Domain.Suppressions;

/// <summary>
/// Invariants after every step and at the end. Their facts are the messages that the providers accepted and the times of commits,
/// not the decisions under test.
/// </summary>
internal sealed class SimulationInvariants(Simulation simulation)
{
    // The last check may be a second old, and the answer of the database takes time.
    private static readonly TimeSpan Tolerance = SendPermit.Fresh + Simulation.LongestLatency + TimeSpan.FromMilliseconds(50);

    // Between question and answer a host cannot know more precisely what time it is.
    private static readonly TimeSpan ClockTolerance = (2 * Simulation.LongestLatency) + TimeSpan.FromMilliseconds(50);

    private readonly SimulatedStore store = simulation.Store;
    private readonly Dictionary<Guid, int> left = [],
        taken = [],
        excuses = [];

    /// <summary>Something happened after which a push may be repeated: its outcome was unclear, or its host was taken for failed.</summary>
    public void Excuse(Guid delivery) => excuses[delivery] = excuses.GetValueOrDefault(delivery) + 1;

    /// <summary>A request leaves a host.</summary>
    public void Leaves(ClaimedDelivery c)
    {
        var (stream, now) = (store.Streams[c.Row.Notification], simulation.Time.Now);
        var (n, d, name) = (stream.State!, stream.State!.Deliveries[c.Row.Id], simulation.Short(c.Row.Id));
        if (stream.EndedAt.TryGetValue(d.Id, out var ended) && now - ended > Tolerance)
            simulation.Fail($"{name} is sent although it was {d.Status} {(now - ended).TotalSeconds} s before");
        if (n.Request.ExpiresAt is { } expires && expires + ClockTolerance < store.Now && simulation.Database.IsClockSettled)
            simulation.Fail($"{name} is sent {(store.Now - expires).TotalSeconds} s after it expired");
        if (ForbiddenSince(n, d) is { } since && now - since.At > Tolerance)
            simulation.Fail($"{name} is sent {(now - since.At).TotalSeconds} s after {since.Why}");
        if (c.Attempt - c.Delivery.Moves > simulation.Schedule.MaxAttempts)
            simulation.Fail($"{name} is tried {c.Attempt} times with {c.Delivery.Moves} moves");
        left[d.Id] = left.GetValueOrDefault(d.Id) + 1;
        var recorded = stream.Events.Count(e => e is DispatchAttempted a && a.DeliveryId == d.Id);
        if (!Lanes.RepeatReplacesItself(c.Row.Queue.Lane) && left[d.Id] > recorded)
            simulation.Fail($"{name} is sent without a recorded attempt");
    }

    /// <summary>A provider took a message.</summary>
    public void Taken(SimulatedProvider provider, SimulatedMessage message)
    {
        var count = taken[message.Delivery] = taken.GetValueOrDefault(message.Delivery) + 1;
        var stream = store.Streams.Values.First(s => s.State!.Deliveries.ContainsKey(message.Delivery));
        if (Lanes.RepeatReplacesItself(provider.Lane))
        {
            if (count > 1 + excuses.GetValueOrDefault(message.Delivery))
                simulation.Fail($"the push {simulation.Short(message.Delivery)} is repeated without a fault");
            if (message.Id != message.Delivery.ToString("N"))
                simulation.Fail($"the push {message.Id} has another collapse ID");
        }
        else if (count > (stream.State!.Deliveries[message.Delivery].WasResent ? 2 : 1))
        {
            simulation.Fail($"{provider.Lane} {simulation.Short(message.Delivery)} reaches the person {count} times");
        }
    }

    /// <summary>A transaction was committed that changed these notifications.</summary>
    public void Committed(IEnumerable<string> keys)
    {
        foreach (var key in keys)
        {
            if (store.Load(key) is not { } n)
                continue;
            if (n.IsToBePlanned != store.Open.ContainsKey(DeterministicId.OfPlanning(key)))
                simulation.Fail($"{key} waits to be planned without a row, or has a row and does not");
            foreach (var d in n.Deliveries.Values)
                FoldEqualsTable(d, store.Open.GetValueOrDefault(d.Id));
        }
    }

    /// <summary>Everything has come to rest.</summary>
    public void Ended()
    {
        foreach (var key in simulation.Api.Accepted)
        {
            if (store.Load(key) is not { } n)
            {
                simulation.Fail($"{key} was accepted and is lost");
                continue;
            }

            if (!n.IsPlanned && !n.IsCancelled && !n.IsExpired)
                simulation.Fail($"{key} was never planned");
            var refolded = Notification.Fold(key, store.Streams[key].Events)!;
            foreach (var d in n.Deliveries.Values)
            {
                if (!d.IsTerminal)
                    simulation.Fail($"{simulation.Short(d.Id)} is still {d.Status}");
                EndIsTrue(d);
                var again = refolded.Deliveries[d.Id];
                if ((again.Status, again.Attempts, again.DispatchedAt, again.Reason) != (d.Status, d.Attempts, d.DispatchedAt, d.Reason))
                    simulation.Fail($"{simulation.Short(d.Id)} folds otherwise");
            }
        }

        CapsHold();
    }

    private void FoldEqualsTable(Delivery d, SimulatedRow? row)
    {
        var (name, state) = (simulation.Short(d.Id), row?.Data.State);
        var isRight = d.Status switch
        {
            DeliveryStatus.Queued or DeliveryStatus.Deferred => state is OpenState.Queued or OpenState.Deferred or OpenState.InFlight,
            DeliveryStatus.Attempting => state is OpenState.InFlight,
            DeliveryStatus.Unknown => state is OpenState.Unknown or OpenState.Asking or OpenState.InFlight,
            DeliveryStatus.DeadLettered => state is OpenState.Dead,
            _ => row is null or { Data.State: OpenState.InFlight, HasEnded: true },
        };
        if (!isRight)
            simulation.Fail($"{name} is {d.Status} by its stream and {state?.ToString() ?? "absent"} in the table");
        if (row?.Data is { State: OpenState.Deferred or OpenState.Unknown or OpenState.Scheduled, DueAt: null })
            simulation.Fail($"{name} waits for no time");
        if (row is { Data.State: OpenState.InFlight, Owner: null })
            simulation.Fail($"{name} is in flight without a host");
    }

    // The end of a delivery agrees with the messages that the providers accepted.
    private void EndIsTrue(Delivery d)
    {
        var (count, name) = (taken.GetValueOrDefault(d.Id), simulation.Short(d.Id));
        if (d.Status is DeliveryStatus.Dispatched or DeliveryStatus.Delivered && count == 0)
            simulation.Fail($"{name} is {d.Status}, and no provider took it");
        if (d.Status is DeliveryStatus.DeadLettered && d.Attempts - d.Moves < simulation.Schedule.MaxAttempts)
            simulation.Fail($"{name} is a dead letter after {d.Attempts} attempts");
        if (count == 0 || d.Status is DeliveryStatus.Dispatched or DeliveryStatus.Delivered or DeliveryStatus.Failed)
            return;
        // No provider can be asked about an erased person; a push whose outcome was unclear may have been cancelled since.
        var isExcused = d.WasResent || store.OpenText(d.Contact) is null || (d.Channel == Channel.Push && excuses.ContainsKey(d.Id));
        if (!isExcused)
            simulation.Fail($"{name} is {d.Status}, and a provider took it");
    }

    // By the places that were taken: how many notifications of a category a person got in one window.
    private void CapsHold()
    {
        var sent = store
            .Streams.Values.Select(s => s.State!)
            .Where(n => n.Request.Priority != Priority.Critical)
            .SelectMany(n =>
                n.Deliveries.Values.Where(d => d.DispatchedAt is not null && d.PlaceAt is not null)
                    .Select(d => (n.Key, n.Request.Subject, n.Request.Category, d.Channel, Place: d.PlaceAt!.Value))
            );
        foreach (var category in store.Categories.Values)
        {
            foreach (var cap in category.Required ? [] : category.Caps ?? [])
            {
                var windows = sent.Where(s => s.Category == category.Key && s.Channel == cap.Channel)
                    .GroupBy(s => (s.Subject, CapWindows.Of(cap.Per, s.Place)));
                foreach (var window in windows)
                {
                    if (window.Select(w => w.Key).Distinct().Count() is var count && count > cap.Limit)
                        simulation.Fail($"{window.Key.Subject} got {count} of {category.Key} by {cap.Channel} within one {cap.Per}");
                }
            }
        }
    }

    // Found without the deciders: since when the person does not want it.
    private (TimeSpan At, string Why)? ForbiddenSince(Notification n, Delivery d)
    {
        if (store.ErasedKeys.TryGetValue(n.Request.Payload.KeyId, out var erased))
            return (erased, "the person was erased");
        if (
            d.Contact is { } contact
            && d.Channel != Channel.Push
            && store.OpenText(contact) is { } address
            && store.SuppressedAt.TryGetValue(Suppression.IdOf(d.Channel, SimulatedPlanning.PrintOf(address)), out var suppressed)
        )
            return (suppressed, "the address was suppressed");
        if (
            n.Request.UserRef is { } user
            && !store.Rules.Of(n.Request).Required
            && store.OptedOut.TryGetValue((Recipient.KeyOf(user), d.Channel), out var optedOut)
        )
            return (optedOut, "the person opted out");
        return null;
    }
}
