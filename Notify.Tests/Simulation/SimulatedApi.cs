namespace Notify.Tests.Simulation;

using Notify.Delivery.DeliveryQueue;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;

/// <summary>
/// Clients and people: they ask for notifications, withdraw and move them, opt out, are erased, send dead letters on.
/// </summary>
internal sealed class SimulatedApi(Simulation simulation)
{
    /// <summary>The client that sends everything.</summary>
    public const string Client = "c_shop";

    private readonly SimulatedStore store = simulation.Store;
    private readonly SeededRandom random = simulation.Random;
    private int lastEvent;

    /// <summary>The notifications that were answered 202.</summary>
    public HashSet<string> Accepted { get; } = new(StringComparer.Ordinal);

    /// <summary>Requests that have not been answered yet.</summary>
    public int Pending { get; private set; }

    /// <summary><c>POST /v1/notifications</c>: the client asks again until it has an answer.</summary>
    public void Request()
    {
        var key = NotificationKey.Of(Client, $"e-{++lastEvent}");
        var (user, isRegistered) = (random.Of(simulation.Users), random.Chance(0.85));
        var subject = isRegistered ? Recipient.KeyOf(user) : $"a/{user}";
        IReadOnlyList<Channel>? channels = isRegistered
            ? random.Below(6) switch
            {
                0 => null,
                1 => [Channel.Push],
                2 => [Channel.Email],
                3 => [Channel.Sms, Channel.Email],
                4 => [Channel.Sms, Channel.Push],
                _ => [Channel.Sms],
            }
            : [Channel.Sms];
        var priority = random.Of<Priority>([Priority.Critical, Priority.Normal, Priority.Normal, Priority.Bulk]);
        var category = random.Of<string>(["plain", "plain", "otp", "capped", "required"]);
        var (later, life) = (
            random.Chance(0.25) ? random.Seconds(5, 120) : (TimeSpan?)null,
            // A delivery over its cap expires before the hour after the next one.
            category == "capped"
            || random.Chance(0.35)
                ? random.Seconds(10, 200)
                : (TimeSpan?)null
        );
        Pending++;
        Ask();

        void Ask()
        {
            var now = store.Now;
            var request = new NotificationRequested(
                Client,
                NotificationKey.Parse(key)!.Value.EventId,
                isRegistered ? user : null,
                subject,
                ClientMode.Live,
                category,
                priority,
                channels,
                new Sealed($"{simulation.KeyIdOf(subject)}."),
                now + later,
                now + (later ?? default) + life,
                "hash",
                null,
                now
            );
            var what = $"accept {key} {category} {priority} {string.Join('+', channels ?? [])} later {later} lives {life}";
            Transact(
                what,
                () => Start(key, request, now),
                done =>
                {
                    if (!done)
                    {
                        simulation.Time.In(random.Seconds(0.2, 3), Ask);
                        return;
                    }

                    Pending--;
                    Accepted.Add(key);
                }
            );
        }
    }

    /// <summary><c>POST …/cancel</c>.</summary>
    public void Cancel()
    {
        if (AnyNotification() is not { } key)
            return;
        Transact(
            $"cancel {key}",
            () =>
            {
                var taken = store.TakeWaiting(key);
                if (NotificationDecider.Cancel(store.Load(key)!, taken, Client, store.Now) is { } cancelled)
                    store.Append(key, cancelled);
            }
        );
    }

    /// <summary><c>POST …/reschedule</c>.</summary>
    public void Reschedule()
    {
        if (AnyNotification() is not { } key)
            return;
        Transact(
            $"reschedule {key}",
            () =>
            {
                if (!store.Open.TryGetValue(DeterministicId.OfPlanning(key), out var row))
                    return;
                var wanted = store.Now + random.Seconds(-5, 60);
                if (NotificationDecider.Reschedule(store.Load(key)!, wanted, Client, store.Now) is not { } moved)
                    return;
                if (moved.SendAt >= store.Load(key)!.Request.ExpiresAt)
                    return;
                store.Put(row.Data with { DueAt = moved.SendAt });
                store.Append(key, moved);
            }
        );
    }

    /// <summary>A person opts out of a channel, or in again.</summary>
    public void OptOut()
    {
        var (key, isIn) = (Recipient.KeyOf(random.Of(simulation.Users)), random.Chance(0.3));
        var channel = random.Of<Channel>([Channel.Sms, Channel.Push, Channel.Email]);
        Transact(
            $"{key} opts {(isIn ? "in to" : "out of")} {channel}",
            () =>
            {
                Change(
                    key,
                    isIn
                        ? new OptedIn(channel, null, "recipient", "api", store.Now)
                        : new OptedOut(channel, null, "recipient", "api", store.Now)
                );
                if (isIn)
                    store.OptedOut.Remove((key, channel));
                else
                    store.OptedOut.TryAdd((key, channel), simulation.Time.Now);
            }
        );
    }

    /// <summary>A person is erased: the key is gone at once.</summary>
    public void Erase()
    {
        var key = Recipient.KeyOf(random.Of(simulation.Users));
        Transact(
            $"{key} is erased",
            () =>
            {
                Change(key, new UserErased(Client, store.Now));
                store.ErasedKeys.TryAdd(simulation.KeyIdOf(key), simulation.Time.Now);
            }
        );
    }

    /// <summary><c>POST /v1/dead-letters/replay</c>.</summary>
    public void Redrive() =>
        Transact(
            "redrive",
            () =>
            {
                foreach (var row in store.Open.Values.Select(r => r.Data).Where(r => r.State == OpenState.Dead).ToList())
                {
                    var n = store.Load(row.Notification)!;
                    var address = store.OpenText(n.Deliveries[row.Id].Contact);
                    var print =
                        n.Deliveries[row.Id].Channel != Channel.Push && address is not null ? SimulatedPlanning.PrintOf(address) : null;
                    var (redriven, _) = NotificationDecider.Redrive(
                        n,
                        row.Id,
                        store.RecipientOf(n.Request),
                        store.Rules,
                        print,
                        "fixed",
                        Client,
                        store.Now
                    );
                    if (redriven is null)
                        continue;
                    store.Append(row.Notification, redriven);
                    var queued = row with { State = OpenState.Queued, Attempts = 0, DueAt = null, Reason = null };
                    store.Put(queued);
                    simulation.Send([queued]);
                }
            }
        );

    /// <summary>The app acknowledges a push: <c>AcknowledgeDelivery</c>.</summary>
    public void Acknowledge(Guid delivery) =>
        Transact(
            $"acknowledge {simulation.Short(delivery)}",
            () =>
            {
                var key = store.Streams.Values.First(s => s.State!.Deliveries.ContainsKey(delivery)).Key;
                var isCalling = store.Open.GetValueOrDefault(delivery)?.Data.State == OpenState.InFlight;
                var report = new DeliveryReport(
                    random.Chance(0.5) ? ReportKind.Opened : ReportKind.Delivered,
                    DeliveryReport.App,
                    store.Now
                );
                var reported = ReportDecider.Decide(store.Load(key)!, store.Load(key)!.Deliveries[delivery], report, isCalling);
                foreach (var e in reported.Events)
                    store.Append(key, e);
                if (reported is not { Events.Count: > 0, Delivery.IsTerminal: true })
                    return;
                if (isCalling)
                    store.EndInFlight(delivery);
                else
                    store.Remove(delivery);
            }
        );

    private string? AnyNotification() => store.Streams.Count == 0 ? null : random.Of([.. store.Streams.Keys]);

    // Acceptance.CommitAsync: a key that is taken is a repeat.
    private void Start(string key, NotificationRequested request, DateTimeOffset now)
    {
        if (!store.Streams.ContainsKey(key))
            simulation.Send(simulation.Planning.Accept(key, request, now));
    }

    private void Change(string key, object @event) =>
        store.Recipients[key] = Recipient.Evolve(store.Recipients.GetValueOrDefault(key), key, @event);

    private void Transact(string what, Action body, Action<bool>? answered = null) =>
        simulation.Time.In(
            simulation.Latency(),
            () =>
            {
                var fate = simulation.Database.Fate();
                if (fate != CommitFate.Failed)
                    simulation.Commit(what, body);
                if (answered is not null)
                    simulation.Time.In(simulation.Latency(), () => answered(fate == CommitFate.Committed));
            }
        );
}
