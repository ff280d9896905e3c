namespace Notify.Tests.Projections.Analytics;

using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;

/// <summary>Notifications to which anything may happen in any order, made from a seed: late, repeated, shuffled and contradictory
/// facts.</summary>
internal sealed class AnyHistory(int seed)
{
    private readonly Random random = new(seed);

    /// <summary>A notification's events, in the order of its stream.</summary>
    public (string Key, List<object> Events) Notification(int number, DateTimeOffset at)
    {
        var (client, eventId) = ($"c_{number % 3}", $"e-{number}");
        var key = NotificationKey.Of(client, eventId);
        var events = new List<object>
        {
            Requested(client, eventId, $"u-{number % 17}", at, $"cat-{number % 4}", number % 5 == 0 ? ClientMode.Test : ClientMode.Live),
        };
        if (random.Next(10) == 0)
        {
            events.Add(random.Next(2) == 0 ? new NotificationCancelled([], "c", at) : new NotificationExpired([], at));
            return (key, events);
        }

        if (number % 23 == 7)
        {
            events.AddRange([
                new NotificationCollected("digest=1", at.AddHours(1), "rule", at),
                new NotificationDigested("digest=1", at.AddHours(1)),
            ]);
            return (key, events);
        }

        if (number % 23 == 8)
        {
            events.Add(new DigestOpened("u/u-1", new DigestRule(3600, null, null, 50), 1, at));
            events.Add(new DigestClosed(["a", "b"], [], Priority.Normal, null, null, null, new Sealed("7.words"), null, at.AddSeconds(1)));
        }

        if (random.Next(4) == 0)
            events.Add(new NotificationRescheduled(at.AddHours(1), "c", at.AddSeconds(1)));
        var lanes = Enum.GetValues<Lane>().OrderBy(_ => random.Next()).Take(random.Next(1, 4)).ToList();
        var planned = new DeliveriesPlanned(
            [.. lanes.Select(l => new PlannedDelivery(DeterministicId.OfDelivery(key, l.ToString()), l, null, new Sealed("7.x")))],
            random.Next(3) == 0
                ? [new LeftOutDelivery(DeterministicId.OfDelivery(key, "none"), Channel.Email, null, Reasons.OptedOut, "rule")]
                : [],
            1,
            at.AddSeconds(2)
        );
        events.Add(planned);
        var facts = planned.Deliveries.SelectMany(d =>
            Enumerable.Range(0, random.Next(0, 7)).Select(_ => Fact(d.Id, at.AddSeconds(3).AddMilliseconds(random.Next(100_000))))
        );
        events.AddRange(facts.OrderBy(_ => random.Next()));
        return (key, events);
    }

    /// <summary>A request.</summary>
    public static NotificationRequested Requested(
        string client,
        string eventId,
        string? user,
        DateTimeOffset at,
        string category = "news",
        ClientMode mode = ClientMode.Live,
        Priority priority = Priority.Normal
    ) =>
        new(
            client,
            eventId,
            user,
            $"u/{user ?? eventId}",
            mode,
            category,
            priority,
            null,
            new Sealed("7.payload"),
            null,
            null,
            "hash",
            null,
            at
        );

    private object Fact(Guid id, DateTimeOffset at) =>
        random.Next(13) switch
        {
            0 => new DispatchAttempted(id, random.Next(1, 4), "twilio", at),
            1 => new DeliveryDeferred(id, at.AddMinutes(1), Reasons.Retry, random.Next(0, 4), "apns", "503", at),
            2 or 3 => new NotificationDispatched(
                id,
                random.Next(1, 4),
                random.Next(2) == 0 ? "apns" : "fcm",
                $"m-{at.Ticks}",
                random.Next(500),
                null,
                at
            ),
            4 or 5 => new NotificationDelivered(id, "receipt", at),
            6 => new NotificationFailed(id, 1, random.Next(2) == 0 ? Reasons.Unregistered : Reasons.OutcomeNeverKnown, "apns", "410", at),
            7 => new DispatchOutcomeUnknown(id, 1, "twilio", Reasons.TimedOut, at.AddMinutes(15), at),
            8 => new DeliverySuppressed(id, Reasons.OptedOut, "rule", at),
            9 => new DeliveryDeadLettered(id, 4, Reasons.AttemptsExhausted, "apns", "503", at),
            10 => new DeliveryRedriven(id, "again", "c", at),
            11 => random.Next(2) == 0 ? new NotificationCancelled([id], "c", at) : new NotificationExpired([id], at),
            _ => new NotificationOpened(id, "app", at),
        };
}
