namespace Notify.Domain.Notifications;

using System.Collections.Immutable;

/// <summary>A report of a provider, or of the person's app, about a sent message. The names are stored: permanently stable.</summary>
public enum ReportKind
{
    /// <summary>The provider accepted it and has not delivered it yet: queued, sent, processed.</summary>
    Accepted,

    /// <summary>It reached the person's device or mailbox.</summary>
    Delivered,

    /// <summary>It did not, and will not.</summary>
    Failed,

    /// <summary>The person opened it.</summary>
    Opened,

    /// <summary>The person called it unwanted.</summary>
    Complained,

    /// <summary>The person unsubscribed through it.</summary>
    Unsubscribed,

    /// <summary>No report of a message, but one that a person sent.</summary>
    Inbound,

    /// <summary>No change of the delivery's status.</summary>
    Ignored,
}

/// <summary>One report about a delivery.</summary>
/// <param name="Source">The provider's name, or <c>app</c>.</param>
/// <param name="Receipt">The provider's ID of the report; <c>null</c> for the app's.</param>
/// <param name="MessageId">The provider's ID of the message.</param>
/// <param name="Reason">Of a failure; one of <see cref="Reasons"/>.</param>
/// <param name="Code">The provider's own code.</param>
public sealed record DeliveryReport(
    ReportKind What,
    string Source,
    DateTimeOffset HappenedAt,
    string? Receipt = null,
    string? MessageId = null,
    string? Reason = null,
    string? Code = null
)
{
    /// <summary>The source of an app's own reports.</summary>
    public const string App = "app";
}

/// <summary>The result of a report.</summary>
/// <param name="Events">The events to append; none where it changes nothing.</param>
/// <param name="Delivery">The delivery afterwards.</param>
/// <param name="IsEarly">Whether it cannot be decided yet and must be processed again.</param>
public sealed record Reported(ImmutableList<object> Events, Delivery Delivery, bool IsEarly = false);

/// <summary>Decides what a report means for a delivery. Pure: early, late, repeated and shuffled ones end in the same state.</summary>
public static class ReportDecider
{
    /// <summary>Decides the events that follow from a report.</summary>
    /// <param name="isCalling">Whether a provider is being called for it now; the caller then writes the outcome of that call.</param>
    public static Reported Decide(Notification notification, Delivery delivery, DeliveryReport report, bool isCalling)
    {
        var events = ImmutableList.CreateBuilder<object>();
        var state = notification;
        switch (report.What)
        {
            case ReportKind.Accepted:
                if (delivery.DispatchedAt is not null || delivery.HasLeft(report.Source))
                    break;
                if (isCalling)
                    return new([], delivery, IsEarly: true); // its answer says more, if it comes
                Append(Dispatched());
                break;
            case ReportKind.Failed:
                if (delivery.HasLeft(report.Source) || IsOfAnother())
                    break;
                // It will be tried again, or a person decides. Only if this very message turns out to have been the one, this counts.
                // While it is being tried again, nobody knows yet which message this is about.
                if (
                    isCalling
                        ? delivery.WasRepeated
                        : delivery.Status is DeliveryStatus.Queued or DeliveryStatus.Deferred or DeliveryStatus.DeadLettered
                )
                    return new([], delivery, IsEarly: true);
                if (delivery.Status == DeliveryStatus.Unknown)
                    Append(Dispatched());
                Append(
                    new NotificationFailed(
                        delivery.Id,
                        delivery.Attempts,
                        report.Reason ?? Reasons.Undelivered,
                        report.Source,
                        report.Code,
                        report.HappenedAt,
                        report.Receipt
                    )
                );
                break;
            case ReportKind.Delivered:
                Arrive();
                break;
            case ReportKind.Opened:
                Arrive();
                if (delivery.OpenedAt is null)
                    Append(new NotificationOpened(delivery.Id, report.Source, report.HappenedAt, report.Receipt));
                break;
            case ReportKind.Complained:
                Arrive();
                if (delivery.ComplainedAt is null)
                    Append(new Complained(delivery.Id, report.Source, report.HappenedAt, report.Receipt));
                break;
            case ReportKind.Unsubscribed:
                Arrive();
                if (delivery.UnsubscribedAt is null)
                    Append(new Unsubscribed(delivery.Id, report.Source, report.HappenedAt, report.Receipt));
                break;
        }

        return new(events.ToImmutable(), state.Deliveries[delivery.Id]);

        // A message that reached the person was accepted by its provider.
        void Arrive()
        {
            if (delivery.DeliveredAt is not null)
                return;
            if (delivery.DispatchedAt is null && !isCalling && report.Receipt is not null && !delivery.HasLeft(report.Source))
                Append(Dispatched());
            Append(new NotificationDelivered(delivery.Id, report.Source, report.HappenedAt, report.Receipt));
        }

        // An abandoned attempt may turn out to have been accepted, after the delivery was sent as another message. A mailbox that
        // bounces does so for every message.
        bool IsOfAnother() =>
            delivery.WasRepeated
            && report.Reason != Reasons.HardBounced
            && delivery.ProviderMessageId is { } own
            && report.MessageId is { } its
            && own != its;

        NotificationDispatched Dispatched() =>
            new(delivery.Id, Math.Max(1, delivery.Attempts), report.Source, report.MessageId, 0, null, report.HappenedAt, report.Receipt);

        // An event that would change nothing is not appended.
        void Append(object @event)
        {
            var next = Notification.Evolve(state, state.Key, @event)!;
            if (next.Deliveries[delivery.Id] == state.Deliveries[delivery.Id])
                return;
            state = next;
            events.Add(@event);
        }
    }
}
