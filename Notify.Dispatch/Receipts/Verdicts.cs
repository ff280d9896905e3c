namespace Notify.Dispatch.Receipts;

using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.Receipts;
using Notify.Domain.Notifications;

/// <summary>The decision about one receipt.</summary>
/// <param name="Row">The row to store.</param>
/// <param name="Notification">The notification before the receipts; <c>null</c> where it is not known.</param>
/// <param name="MayTouch">Whether the receipt is allowed to change the notification.</param>
/// <param name="Subject">The subject whose key encrypts it where it has no notification; <c>null</c>: the installation's.</param>
/// <param name="WasGivenUp">Whether no notification was found for it in its whole waiting time.</param>
public sealed record Verdict(
    ReceiptRow Row,
    byte[] Raw,
    Notification? Notification,
    Delivery? Delivery,
    bool MayTouch,
    string? Subject = null,
    bool WasGivenUp = false
);

/// <summary>Decides about receipts one after the other, each on the result of those before it. Pure.</summary>
public sealed class Verdicts(
    IReadOnlyDictionary<string, Notification> notifications,
    IReadOnlyDictionary<Guid, OpenDelivery> open,
    DateTimeOffset now
)
{
    private readonly Dictionary<string, Notification> states = new(StringComparer.Ordinal);
    private readonly HashSet<Guid> removed = [],
        endedInFlight = [];

    /// <summary>Every verdict.</summary>
    public List<Verdict> All { get; } = [];

    /// <summary>The events to append.</summary>
    public List<(string Key, object Event)> Events { get; } = [];

    /// <summary>Deliveries that have ended and are not in flight; their rows are removed.</summary>
    public IReadOnlyCollection<Guid> Removed => removed;

    /// <summary>Deliveries that have ended while their provider is being called.</summary>
    public IReadOnlyCollection<Guid> EndedInFlight => endedInFlight;

    /// <summary>Decides of one more.</summary>
    /// <param name="place">The delivery that it is about, if that is known.</param>
    /// <param name="mayTouch">Whether a receipt may speak for a notification.</param>
    public void Add(JudgedReceipt receipt, (Guid Delivery, string Notification)? place, Func<ReceiptRow, Notification, bool> mayTouch)
    {
        var row = receipt.Row;
        if (place is not var (id, key) || State(key) is not { } state || !state.Deliveries.TryGetValue(id, out var delivery))
        {
            var waits = row.What != ReportKind.Inbound && row is not { DeliveryId: null, MessageId: null };
            var due = waits ? Later(row) : null;
            All.Add(
                new Verdict(row with { DueAt = due }, receipt.Raw, null, null, false, receipt.Subject, WasGivenUp: waits && due is null)
            );
            return;
        }

        if (!mayTouch(row, state))
        {
            All.Add(new Verdict(row with { DueAt = null }, receipt.Raw, notifications[key], delivery, false));
            return;
        }

        row = row with { DeliveryId = id, Notification = key, DueAt = null };
        if (row.What is not (ReportKind.Inbound or ReportKind.Ignored))
        {
            var isOpen = open.TryGetValue(id, out var work) && !removed.Contains(id);
            // While it is only asked what became of a call, the receipt is the answer.
            var isCalling = isOpen && work!.State == OpenState.InFlight && delivery.Status != DeliveryStatus.Unknown;
            var report = new DeliveryReport(
                row.What,
                row.Provider,
                row.Facts.At < state.Request.At ? state.Request.At : row.Facts.At,
                row.EventId,
                row.MessageId,
                row.Facts.Reason,
                row.Facts.Code
            );
            var reported = ReportDecider.Decide(state, delivery, report, isCalling);
            foreach (var e in reported.Events)
                state = Notification.Evolve(state, key, e)!;
            states[key] = state;
            Events.AddRange(reported.Events.Select(e => (key, e)));
            if (isOpen && reported is { Events.Count: > 0, Delivery: { IsTerminal: true, Status: not DeliveryStatus.DeadLettered } })
                (isCalling ? endedInFlight : removed).Add(id);
            if (reported.IsEarly)
                row = row with { DueAt = Later(row) };
        }

        All.Add(new Verdict(row, receipt.Raw, notifications[key], delivery, true));
    }

    // Soon at first, then ever more seldom: at half of its age, some fifty times in all. An account may be shared with others,
    // and then most of what waits will never be ours.
    private DateTimeOffset? Later(ReceiptRow row)
    {
        var age = now - row.ReceivedAt;
        return age > ReceiptJudgement.Patience ? null : now + TimeSpan.FromSeconds(Math.Clamp(age.TotalSeconds / 2, 1, 86_400));
    }

    private Notification? State(string key) =>
        states.TryGetValue(key, out var state) || notifications.TryGetValue(key, out state) ? state : null;
}
