namespace Notify.Projections.Verification;

using Notify.Delivery.DeliveryQueue;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;

/// <summary>A row of <c>notify.open_deliveries</c>, as far as it is compared with its stream.</summary>
internal sealed record WorkRow(Guid Id, string Notification, OpenState State, bool HasDue);

/// <summary>Compares a notification's stream with its rows of work. Pure.</summary>
internal static class NotificationCheck
{
    // Clocks of hosts differ by so much at most.
    private static readonly TimeSpan Tolerance = TimeSpan.FromMinutes(1);

    /// <summary>Checks one notification.</summary>
    /// <param name="rows">All its rows.</param>
    /// <param name="fault">Receives each fault.</param>
    public static VerificationCounts Check(
        Notification n,
        IReadOnlyList<StreamEvent> events,
        IReadOnlyCollection<WorkRow> rows,
        Action<VerificationFault> fault
    )
    {
        var open = rows.ToDictionary(r => r.Id);
        var counts = new VerificationCounts { Notifications = 1 };
        CheckExpiry(n, events, fault);
        if (!n.IsPlanned)
            counts += Unplanned(n, open, fault);
        else
        {
            foreach (var d in n.Deliveries.Values)
                counts += Check(n, d, open, fault);
            counts += CheckRepeats(n, events, fault);
        }

        foreach (var row in open.Values)
            Report(fault, n, VerificationFaultKind.RowWithoutStream, row.Id, $"open as {row.State}, but no stream knows it");
        return counts;
    }

    private static VerificationCounts Unplanned(Notification n, Dictionary<Guid, WorkRow> open, Action<VerificationFault> fault)
    {
        var isWaiting = open.Remove(DeterministicId.OfPlanning(n.Key));
        if (isWaiting && !n.IsToBePlanned)
            Report(fault, n, VerificationFaultKind.RowDiffers, null, "ended or collected, but still waits to be planned");
        if (!isWaiting && n.IsToBePlanned)
            Report(fault, n, VerificationFaultKind.NotPlanned, null, "not planned, and nothing will plan it");
        return new VerificationCounts { Waiting = 1, Digested = n.IsDigested ? 1 : 0 };
    }

    private static VerificationCounts Check(Notification n, Delivery d, Dictionary<Guid, WorkRow> open, Action<VerificationFault> fault)
    {
        open.Remove(d.Id, out var row);
        if (d.Status == DeliveryStatus.DeadLettered)
        {
            if (row?.State != OpenState.Dead)
                Report(fault, n, VerificationFaultKind.DeliveryLost, d.Id, "a dead letter that is not listed");
            return new VerificationCounts
            {
                Deliveries = 1,
                Terminal = 1,
                DeadLetters = 1,
            };
        }

        if (d.IsTerminal)
        {
            // A receipt may be faster than the answer to the call: the caller then removes the row.
            if (row is not null && row.State != OpenState.InFlight)
                Report(fault, n, VerificationFaultKind.RowDiffers, d.Id, $"{d.Status}, but still open as {row.State}");
            return new VerificationCounts { Deliveries = 1, Terminal = 1 };
        }

        var isUnknown = d.Status == DeliveryStatus.Unknown;
        if (row is null)
            Report(fault, n, VerificationFaultKind.DeliveryLost, d.Id, $"{d.Status}, and nothing will go on with it");
        else if (!row.HasDue)
            Report(fault, n, VerificationFaultKind.DeliveryLost, d.Id, $"{d.Status}, without a time at which somebody looks");
        else if (
            !(
                isUnknown
                    ? row.State is OpenState.Unknown or OpenState.Asking or OpenState.InFlight
                    : row.State is OpenState.Queued or OpenState.InFlight or OpenState.Deferred
            )
        )
            Report(fault, n, VerificationFaultKind.RowDiffers, d.Id, $"{d.Status}, but open as {row.State}");
        return new VerificationCounts
        {
            Deliveries = 1,
            Unknown = isUnknown ? 1 : 0,
            InFlight = isUnknown ? 0 : 1,
        };
    }

    // Each yes of a provider to another attempt is another message that the person may have got. A repeat that the category's
    // policy or an operator asked for is counted, and is no fault.
    private static VerificationCounts CheckRepeats(Notification n, IReadOnlyList<StreamEvent> events, Action<VerificationFault> fault)
    {
        var (repeated, allowed) = (0, 0);
        foreach (var d in n.Deliveries.Values.Where(d => d.Lane is Lane.Sms or Lane.Email))
        {
            var (round, isAllowed) = (0, false);
            var accepted = new Dictionary<(int Round, int Attempt), (string Provider, string? MessageId, int Attempt)>();
            foreach (var e in events.Select(e => e.Data))
            {
                if (e is DeliveryRedriven redriven && redriven.DeliveryId == d.Id)
                    (round, isAllowed) = (round + 1, true);
                if (e is DeliveryDeferred { Reason: Reasons.ResentByPolicy } again && again.DeliveryId == d.Id)
                    isAllowed = true;
                if (e is NotificationDispatched yes && yes.DeliveryId == d.Id)
                    accepted.TryAdd((round, yes.Attempt), (yes.Provider, yes.ProviderMessageId, yes.Attempt));
                if (e is DuplicateDispatchDetected twice && twice.DeliveryId == d.Id)
                    accepted[(-1, accepted.Count)] = (twice.Provider, twice.ProviderMessageId, twice.Attempt);
            }

            var messages = accepted
                .Values.Select(a => $"{a.Provider} {a.MessageId ?? $"attempt {a.Attempt}"}")
                .Distinct(StringComparer.Ordinal)
                .ToList();
            if (messages.Count < 2)
                continue;
            repeated++;
            if (isAllowed)
                allowed++;
            else
                Report(
                    fault,
                    n,
                    VerificationFaultKind.DoubleSend,
                    d.Id,
                    $"accepted by providers {messages.Count} times: {string.Join(", ", messages)}"
                );
        }

        return new VerificationCounts { DoubleSends = repeated, AllowedRepeats = allowed };
    }

    private static void CheckExpiry(Notification n, IReadOnlyList<StreamEvent> events, Action<VerificationFault> fault)
    {
        foreach (var e in events.Select(e => e.Data).OfType<NotificationExpired>())
        {
            if (n.Request.ExpiresAt is { } end && e.At >= end - Tolerance)
                continue;
            if (n.Digest is not null)
                continue; // it ends with its members
            Report(
                fault,
                n,
                VerificationFaultKind.WithoutCause,
                e.Deliveries is [var one] ? one : null,
                "expired, but its expiresAt had not passed"
            );
        }
    }

    private static void Report(Action<VerificationFault> fault, Notification n, VerificationFaultKind kind, Guid? delivery, string what) =>
        fault(new VerificationFault(kind, n.Key, delivery, what));
}
