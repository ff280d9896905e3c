namespace Notify.Tests.Simulation;

using NodaTime;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.Planning;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;

/// <summary>
/// Plans notifications: <c>NotificationIntake.StartAsync</c> and <c>DuePump.PlanAsync</c> without encryption, digests and templates.
/// </summary>
internal sealed class SimulatedPlanning(SimulatedStore store)
{
    /// <summary>The keyed hash of a number or address.</summary>
    public static string PrintOf(string address) => $"print-of-{address}";

    /// <summary>Starts a notification's stream.</summary>
    /// <returns>The deliveries in their queues.</returns>
    public List<OpenDelivery> Accept(string key, NotificationRequested request, DateTimeOffset now)
    {
        store.Append(key, request);
        if (request.SendAt > request.At)
        {
            store.Add([OpenDelivery.Planning(key, request.Priority, now, request.SendAt.Value)]);
            return [];
        }

        if (request.ExpiresAt <= now)
        {
            store.Append(key, new NotificationExpired([], now));
            return [];
        }

        return Plan(key, request, now);
    }

    /// <summary>Plans a notification.</summary>
    /// <returns>The deliveries in their queues.</returns>
    public List<OpenDelivery> Plan(string key, NotificationRequested request, DateTimeOffset now)
    {
        var (rules, recipient) = (store.Rules, store.RecipientOf(request));
        var category = rules.Of(request);
        var plan = Plan(key, request, recipient, rules, now);
        Func<Channel, string> person = channel =>
            request.UserRef is null ? $"a/{PrintOf(AddressOf(request.Subject, channel))}" : request.Subject;
        var counts = store.CountsOf(CapDecider.Concerns(plan, category, person), now);
        var (decided, putOff) = CapDecider.Decide(request, plan, category, person, counts, QuietOf(request, recipient), now);
        store.Write(counts);
        store.Append(key, decided);
        foreach (var why in putOff)
            store.Append(key, why);
        var rows = NotificationPlanning.Open(key, decided, putOff, request.Priority, now).ToList();
        store.Add(rows);
        return [.. rows.Where(r => r.State == OpenState.Queued)];
    }

    private DeliveriesPlanned Plan(string key, NotificationRequested request, Recipient? recipient, ReachRules rules, DateTimeOffset now)
    {
        var content = new NotificationContent(Body: "text");
        if (store.OpenText(request.Payload.Key) is null)
        {
            var leftOut = new LeftOutDelivery(DeterministicId.OfDelivery(key, "push"), Channel.Push, null, Reasons.Erased, "key");
            return new DeliveriesPlanned([], [leftOut], recipient?.Version ?? 0, now);
        }

        if (request.UserRef is { } user)
            return DeliveryPlanner.ForUser(key, request, content, recipient, rules, (channel, _) => Seal(AddressOf(user, channel)), now);
        var phone = AddressOf(request.Subject, Channel.Sms);
        var contact = new SealedContact(Lane.Sms, "sms", Seal(phone), PrintOf(phone));
        return DeliveryPlanner.ForUnregistered(key, request, content, [contact], rules, now);

        Sealed Seal(string address) => new($"{request.Payload.KeyId}.{address}");
    }

    /// <summary>Tells until when a person is not to be disturbed.</summary>
    public Func<DateTimeOffset, (DateTimeOffset Until, string Rule)?> QuietOf(NotificationRequested request, Recipient? recipient)
    {
        var rules = store.Rules;
        return time => QuietHoursDecider.PutOff(request, recipient, rules, () => DateTimeZone.Utc, time);
    }

    /// <summary>A person's number or address.</summary>
    public static string AddressOf(string person, Channel channel) => $"{Lanes.NameOf(channel)}-of-{person}";
}
