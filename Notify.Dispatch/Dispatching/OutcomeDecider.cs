namespace Notify.Dispatch.Dispatching;

using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.Monitoring;
using Notify.Dispatch.Providers;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;

/// <summary>An attempt that was made, and what came of it.</summary>
/// <param name="Row">The claimed delivery.</param>
/// <param name="Claim">The claim under which it was made.</param>
/// <param name="Attempt">Which attempt, from 1.</param>
/// <param name="WasAsked">Nothing was sent: the provider was asked about an earlier attempt.</param>
/// <param name="UnknownDeadline">For an inquiry: when the waiting ends.</param>
/// <param name="Moves">How many of the attempts before it ended with a move to another provider: they began no round of their own.</param>
/// <param name="MayMove">Whether another provider is usable that has not been tried in this round.</param>
/// <param name="Fingerprint">Keyed hash of the number or address that was used; <c>null</c> for devices.</param>
/// <param name="Contact">The number or address, encrypted for the suppression that may follow.</param>
/// <param name="ResendBefore">Set when the category says that an unknown outcome is sent again: before the notification's end; <c>null</c>:
/// it is not, or was already.</param>
/// <param name="CanBeAsked">
/// Whether the provider can be asked for the outcome of an attempt; if not, the delivery waits for its deadline or a receipt.
/// </param>
/// <param name="Segments">Parts of an SMS.</param>
/// <param name="ExpiresAt">When the notification expires: no wait is longer.</param>
/// <param name="AttemptedAt">When the attempt was recorded; <c>null</c> where it was not. It names the attempt: numbers are used
/// again.</param>
public sealed record AttemptMade(
    OpenDelivery Row,
    Guid Claim,
    int Attempt,
    string Provider,
    AttemptOutcome Outcome,
    TimeSpan Latency,
    string? ContentHash,
    DateTimeOffset At,
    bool WasAsked = false,
    DateTimeOffset? UnknownDeadline = null,
    string? UserKey = null,
    string? DeviceId = null,
    bool CanBeAsked = true,
    ClientMode Mode = ClientMode.Live,
    string? Fingerprint = null,
    Sealed? Contact = null,
    DateTimeOffset? ResendBefore = null,
    int Moves = 0,
    bool MayMove = false,
    int? Segments = null,
    DateTimeOffset? ExpiresAt = null,
    DateTimeOffset? AttemptedAt = null
)
{
    /// <summary>The attempt, or the inquiry, that was made for a claimed delivery.</summary>
    /// <param name="mayMove">See <see cref="MayMove"/>.</param>
    public static AttemptMade Of(
        ClaimedDelivery claimed,
        AttemptOutcome outcome,
        TimeSpan latency,
        string? contentHash,
        DateTimeOffset at,
        bool mayMove
    )
    {
        var (delivery, request, isInquiry) = (claimed.Delivery, claimed.Notification.Request, claimed.Ask is not null);
        return new AttemptMade(
            claimed.Row,
            claimed.Claim,
            claimed.Attempt,
            (isInquiry ? delivery.Provider : claimed.Provider?.Name) ?? CallCounts.NoProvider,
            outcome,
            latency,
            contentHash,
            at,
            isInquiry,
            delivery.DeferredUntil,
            request.UserRef is { } user ? Recipient.KeyOf(user) : null,
            delivery.DeviceId,
            claimed.Provider is IAnswersInquiries,
            request.Mode,
            claimed.Fingerprint,
            claimed.SuppressedAddress,
            claimed.ResendBefore,
            delivery.Moves,
            mayMove,
            claimed.Row.Queue.Lane == Lane.Sms && claimed.Message.Content.Body is { } text ? SmsText.Segments(text) : null,
            request.ExpiresAt,
            claimed.AttemptedAt
        );
    }
}

/// <summary>The result of an attempt: the event, and the delivery's next row (<c>null</c>: it has ended).</summary>
public sealed record Settled(object? Event, OpenDelivery? Next);

/// <summary>Decides what an outcome means for a delivery. All retry rules are here and in <see cref="RetrySchedule"/>. Pure.</summary>
public static class OutcomeDecider
{
    /// <summary>How long deliveries wait when the provider refuses our credentials.</summary>
    public static readonly TimeSpan HaltedWait = TimeSpan.FromMinutes(1);

    /// <summary>Decides about an outcome of a delivery that a receipt may have ended meanwhile.</summary>
    /// <param name="hasEnded">Whether one has. A receipt knows better than a call that failed; an acceptance is a fact all the
    /// same.</param>
    /// <param name="random">Uniform in [0, 1), for jitter.</param>
    public static Settled Decide(AttemptMade made, bool hasEnded, RetrySchedule schedule, DateTimeOffset now, double random) =>
        hasEnded && made.Outcome is not AttemptOutcome.Accepted ? new(null, null) : Decide(made, schedule, now, random);

    /// <summary>Decides the event and the next state that follow from an attempt.</summary>
    /// <param name="random">Uniform in [0, 1), for jitter.</param>
    public static Settled Decide(AttemptMade made, RetrySchedule schedule, DateTimeOffset now, double random)
    {
        var (row, id) = (made.Row, made.Row.Id);
        switch (made.Outcome)
        {
            case AttemptOutcome.Accepted a:
                return new(
                    new NotificationDispatched(
                        id,
                        made.Attempt,
                        made.Provider,
                        a.MessageId,
                        (int)made.Latency.TotalMilliseconds,
                        made.ContentHash,
                        made.At,
                        Segments: made.Segments,
                        RefusedParts: a.RefusedParts
                    ),
                    null
                );
            case AttemptOutcome.Rejected r:
                return new(new NotificationFailed(id, made.Attempt, r.Reason, made.Provider, r.Code, made.At), null);
            // No attempt of the delivery's: it goes back to its queue, where the last check is made anew. Where an attempt was
            // recorded, an event takes it back.
            case AttemptOutcome.NotSent n:
                var back = Open(OpenState.Deferred, now, Reasons.CallNotMade) with { Attempts = made.Attempt - 1 };
                return new(
                    Lanes.RepeatReplacesItself(row.Queue.Lane)
                        ? null
                        : new DeliveryDeferred(id, now, Reasons.CallNotMade, made.Attempt - 1, made.Provider, null, now, n.Reason),
                    back
                );
            // The next provider gets it at once; back-off, and any pause that a provider asks for, count when all have been tried.
            case AttemptOutcome.Halted h when made.MayMove:
                return Wait(Reasons.FailedOver, h.Code, now, made.Attempt);
            case AttemptOutcome.Retry r when made.MayMove:
                return Wait(Reasons.FailedOver, r.Code ?? r.Reason, now, made.Attempt);
            case AttemptOutcome.Halted { IsAttempt: true } h:
                return Again(Reasons.ChannelHalted, h.Code, HaltedWait);
            case AttemptOutcome.Halted h:
                // No attempt of the delivery's.
                return Wait(Reasons.ChannelHalted, h.Code, now + HaltedWait + (HaltedWait * random), made.Attempt - 1);
            case AttemptOutcome.Retry r:
                return Again(r.Reason == Reasons.Retry && r.After is not null ? Reasons.ProviderAskedToWait : r.Reason, r.Code, r.After);
            case AttemptOutcome.Unknown u when made.WasAsked:
                return made.UnknownDeadline <= now
                    ? GiveUp()
                    : new(
                        null,
                        Open(OpenState.Unknown, made is { CanBeAsked: false, UnknownDeadline: { } end } ? end : now + Later(), u.Reason)
                    );
            case AttemptOutcome.NotFound when made.WasAsked:
                // The provider was asked all through the waiting time and never had it: sending it is no repeat.
                return made.UnknownDeadline <= now
                    ? Again(Reasons.NotAtProvider, null, null)
                    : new(null, Open(OpenState.Unknown, now + Later(), Reasons.NotAtProvider));
            case AttemptOutcome.Unknown u when Lanes.RepeatReplacesItself(row.Queue.Lane):
                return Again(u.Reason, null, null);
            case AttemptOutcome.Unknown u:
                var deadline = now + schedule.UnknownDeadline;
                return new(
                    new DispatchOutcomeUnknown(id, made.Attempt, made.Provider, u.Reason, deadline, made.At),
                    Open(OpenState.Unknown, made.CanBeAsked ? now + schedule.AskAfter : deadline, u.Reason)
                );
            default:
                throw new ArgumentException($"{made.Outcome.GetType().Name} is no outcome of a send.", nameof(made));
        }

        Settled Again(string reason, string? code, TimeSpan? after) =>
            schedule.Next(made.Attempt - made.Moves, after, now, random) is { } next
                ? Wait(reason, code, next, made.Attempt)
                : new(
                    new DeliveryDeadLettered(id, made.Attempt, Reasons.AttemptsExhausted, made.Provider, code ?? reason, now),
                    Open(OpenState.Dead, null, code ?? reason)
                );

        Settled Wait(string reason, string? code, DateTimeOffset next, int attempts)
        {
            var until = made.ExpiresAt < next ? made.ExpiresAt.Value : next;
            return new(
                new DeliveryDeferred(id, until, reason, attempts, made.Provider, code, now),
                Open(OpenState.Deferred, until, reason) with
                {
                    Attempts = attempts,
                }
            );
        }

        Settled GiveUp() =>
            made.ResendBefore > now && made.Attempt < schedule.MaxAttempts
                ? Wait(Reasons.ResentByPolicy, null, now, made.Attempt)
                : new(new NotificationFailed(id, made.Attempt, Reasons.OutcomeNeverKnown, made.Provider, null, now), null);

        TimeSpan Later() => TimeSpan.FromSeconds(Math.Clamp(((made.UnknownDeadline ?? now) - now).TotalSeconds / 2, 1, 300));

        OpenDelivery Open(OpenState state, DateTimeOffset? due, string reason) =>
            row with
            {
                State = state,
                DueAt = due,
                Attempts = made.Attempt,
                Reason = reason,
            };
    }
}
