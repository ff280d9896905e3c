namespace Notify.Domain.Notifications;

using System.Collections.Immutable;
using Notify.Domain.Channels;
using Notify.Domain.Privacy;

/// <summary>The status of one delivery.</summary>
public enum DeliveryStatus
{
    /// <summary>Planned, waiting in its queue.</summary>
    Queued,

    /// <summary>Waits until a later time.</summary>
    Deferred,

    /// <summary>A provider is being called (recorded only where a repeat would reach the person twice).</summary>
    Attempting,

    /// <summary>The provider may or may not have accepted.</summary>
    Unknown,

    /// <summary>A provider accepted.</summary>
    Dispatched,

    /// <summary>It reached the person's device.</summary>
    Delivered,

    /// <summary>It failed permanently.</summary>
    Failed,

    /// <summary>It used up its attempts; a person may send it on again.</summary>
    DeadLettered,

    /// <summary>It was skipped, at planning or at the last check.</summary>
    Suppressed,

    /// <summary>The client withdrew it.</summary>
    Cancelled,

    /// <summary>Its time had passed.</summary>
    Expired,
}

/// <summary>One delivery's state, folded from its notification's events.</summary>
/// <param name="Contact">Its address, encrypted; <c>null</c> for deliveries skipped at planning.</param>
/// <param name="Lane">The kind of provider; <c>null</c> for deliveries skipped at planning.</param>
/// <param name="Attempts">Calls made, or about to be made.</param>
/// <param name="Tried">The providers that could not take it in this round, before the one that is tried next; <c>null</c>: none.</param>
/// <param name="Moves">How often it went on to another provider; so many of its attempts began no round of their own.</param>
/// <param name="WasRedriven">Whether a person sent it on its way again after its attempts were used up; they count anew.</param>
/// <param name="WasResent">Whether it was sent again although it may have arrived, as its category says; that is done once.</param>
/// <param name="ClickedAt">When a link was first followed.</param>
/// <param name="Clicked">The links that were followed, by number; <c>null</c>: none.</param>
/// <param name="PlaceAt">
/// When it was due by its category's caps and the person's quiet hours, which is the time of its slot; <c>null</c> for deliveries
/// skipped at planning.
/// </param>
/// <param name="App">The app that the device names; <c>null</c>: none.</param>
public sealed record Delivery(
    Guid Id,
    Channel Channel,
    Lane? Lane,
    DeliveryStatus Status,
    string? DeviceId = null,
    Privacy.Sealed? Contact = null,
    string? Reason = null,
    string? Provider = null,
    string? ProviderCode = null,
    string? ProviderMessageId = null,
    int Attempts = 0,
    DateTimeOffset? AttemptedAt = null,
    DateTimeOffset? DeferredUntil = null,
    DateTimeOffset? DispatchedAt = null,
    DateTimeOffset? DeliveredAt = null,
    DateTimeOffset? OpenedAt = null,
    ImmutableList<string>? Tried = null,
    int Moves = 0,
    bool WasResent = false,
    bool WasRedriven = false,
    DateTimeOffset? ComplainedAt = null,
    DateTimeOffset? UnsubscribedAt = null,
    DateTimeOffset? ClickedAt = null,
    ImmutableList<int>? Clicked = null,
    DateTimeOffset? PlaceAt = null,
    DeviceApp? App = null
)
{
    /// <summary>Whether something is still to be done about it: queued, waiting, or being attempted.</summary>
    public bool IsInFlight => Status is DeliveryStatus.Queued or DeliveryStatus.Deferred or DeliveryStatus.Attempting;

    /// <summary>Whether more than one call was made, or may have been.</summary>
    public bool WasRepeated => Attempts > 1 || WasRedriven;

    /// <summary>Whether it has moved on from a provider: another one was tried last.</summary>
    public bool HasLeft(string? provider) =>
        Provider is not null && provider is not null && !string.Equals(Provider, provider, StringComparison.Ordinal);

    /// <summary>Whether it has ended; each delivery is exactly one of in flight, unknown and terminal.</summary>
    public bool IsTerminal => !IsInFlight && Status != DeliveryStatus.Unknown;
}

/// <summary>A notification's state: a fold over its stream, never stored as the truth.</summary>
/// <param name="Request">The first event; everything else follows from it.</param>
/// <param name="Deliveries">By ID; empty until planned.</param>
/// <param name="CollectedIn">The event ID of the digest that it was put into; <c>null</c>: it is sent by itself.</param>
/// <param name="IsDigested">Whether that digest has closed with it.</param>
/// <param name="Digest">Set where this is a digest.</param>
/// <param name="Members">The event IDs of the digest's members; <c>null</c> until it closes.</param>
public sealed record Notification(
    string Key,
    NotificationRequested Request,
    ImmutableDictionary<Guid, Delivery> Deliveries,
    bool IsPlanned,
    DateTimeOffset? SendAt,
    bool IsCancelled = false,
    bool IsExpired = false,
    long Version = 0,
    string? Locale = null,
    string? CollectedIn = null,
    bool IsDigested = false,
    DigestOpened? Digest = null,
    IReadOnlyList<string>? Members = null
)
{
    /// <summary>Whether it is still to be decided how the person is reached.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public bool IsToBePlanned => !IsPlanned && !IsCancelled && !IsExpired && CollectedIn is null;

    /// <summary>Whether it waits in a digest that is open.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public bool IsInOpenDigest => !IsPlanned && !IsCancelled && !IsExpired && CollectedIn is not null && !IsDigested;

    /// <summary>The place of its payload: of its request, or of the digest that it has become.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public SealedPlace PayloadPlace => Members is { Count: > 0 } ? SealedPlace.OfDigest(Key) : SealedPlace.OfPayload(Key);

    /// <summary>The place of a delivery's address.</summary>
    public SealedPlace AddressPlaceOf(Delivery delivery) => SealedPlace.OfAddress(Key, Request.Subject, delivery.Id, delivery.DeviceId);

    /// <summary>Folds one event into a notification; <c>null</c> before the first, and unknown events change nothing.</summary>
    public static Notification? Evolve(Notification? state, string key, object @event)
    {
        if (@event is NotificationRequested requested)
            return new Notification(key, requested, ImmutableDictionary<Guid, Delivery>.Empty, false, requested.SendAt);
        return state?.Apply(@event);
    }

    /// <summary>Folds a stream from its beginning.</summary>
    public static Notification? Fold(string key, IEnumerable<object> events) =>
        events.Aggregate((Notification?)null, (state, e) => Evolve(state, key, e));

    private Notification Apply(object @event) =>
        @event switch
        {
            DeliveriesPlanned e => this with { IsPlanned = true, Deliveries = Planned(e), Locale = e.Locale },
            DeliveryReaddressed e => With(e.DeliveryId, d => d.IsInFlight ? d with { Contact = e.Address } : d),
            CapPlaceMoved e => With(e.DeliveryId, d => d with { PlaceAt = e.At }),
            DispatchAttempted e => With(
                e.DeliveryId,
                d =>
                    d.IsInFlight
                        ? d with
                        {
                            Status = DeliveryStatus.Attempting,
                            Attempts = e.Attempt,
                            Provider = e.Provider,
                            AttemptedAt = e.At,
                            DeferredUntil = null,
                        }
                        : d
            ),
            DeliveryDeferred { DeliveryId: { } id } e => With(
                id,
                d =>
                    d.IsInFlight || d.Status == DeliveryStatus.Unknown
                        ? Moved(d, e) with
                        {
                            Status = DeliveryStatus.Deferred,
                            DeferredUntil = e.Until,
                            Reason = e.Reason,
                            Attempts = e.Attempt,
                            Provider = e.Provider ?? d.Provider,
                            ProviderCode = e.ProviderCode,
                            WasResent = d.WasResent || e.Reason == Reasons.ResentByPolicy,
                            PlaceAt = e.Reason is Reasons.QuietHours or Reasons.CapExceeded ? e.Until : d.PlaceAt,
                        }
                        : d
            ),
            DeliveryDeferred e => this with { SendAt = e.Until },
            // A late or repeated fact is always welcome, and never takes back a better one.
            NotificationDispatched e => With(
                e.DeliveryId,
                d =>
                    d.Status == DeliveryStatus.Delivered || (d.Status == DeliveryStatus.Failed && d.Reason != Reasons.OutcomeNeverKnown)
                        ? d with
                        {
                            ProviderMessageId = e.ProviderMessageId,
                            DispatchedAt = e.At,
                            Provider = e.Provider,
                            Attempts = Math.Max(d.Attempts, e.Attempt),
                        }
                        : d with
                        {
                            Status = DeliveryStatus.Dispatched,
                            ProviderMessageId = e.ProviderMessageId,
                            DispatchedAt = e.At,
                            Provider = e.Provider,
                            Attempts = e.Attempt,
                            Reason = null,
                            ProviderCode = null,
                            DeferredUntil = null,
                        }
            ),
            NotificationDelivered e => With(
                e.DeliveryId,
                d =>
                    d is { Status: DeliveryStatus.Failed, Reason: Reasons.HardBounced }
                        ? d with
                        {
                            DeliveredAt = d.DeliveredAt ?? e.At,
                        }
                        : d with
                        {
                            Status = DeliveryStatus.Delivered,
                            DeliveredAt = d.DeliveredAt ?? e.At,
                            Reason = null,
                            ProviderCode = null,
                            DeferredUntil = null,
                        }
            ),
            NotificationFailed e => With(
                e.DeliveryId,
                d =>
                    !Prevails(e, d)
                        ? d
                        : d with
                        {
                            Status = DeliveryStatus.Failed,
                            Reason = e.Reason,
                            Provider = e.Provider ?? d.Provider,
                            ProviderCode = e.ProviderCode,
                            Attempts = Math.Max(d.Attempts, e.Attempt),
                            DeferredUntil = null,
                        }
            ),
            DispatchOutcomeUnknown e => With(
                e.DeliveryId,
                d =>
                    d.IsInFlight
                        ? d with
                        {
                            Status = DeliveryStatus.Unknown,
                            Reason = e.Reason,
                            Provider = e.Provider,
                            Attempts = e.Attempt,
                            DeferredUntil = e.Deadline,
                        }
                        : d
            ),
            DeliverySuppressed e => End(e.DeliveryId, DeliveryStatus.Suppressed, e.Reason),
            DeliveryDeadLettered e => With(
                e.DeliveryId,
                d =>
                    d.IsTerminal
                        ? d
                        : d with
                        {
                            Status = DeliveryStatus.DeadLettered,
                            Reason = e.Reason,
                            Attempts = e.Attempts,
                            Provider = e.Provider ?? d.Provider,
                            ProviderCode = e.ProviderCode,
                            DeferredUntil = null,
                        }
            ),
            DeliveryRedriven e => With(
                e.DeliveryId,
                d =>
                    d.Status == DeliveryStatus.DeadLettered
                        ? d with
                        {
                            Status = DeliveryStatus.Queued,
                            Reason = null,
                            ProviderCode = null,
                            Attempts = 0,
                            Tried = null,
                            Moves = 0,
                            WasRedriven = true,
                        }
                        : d
            ),
            NotificationCancelled e => e.Deliveries.Aggregate(
                this with
                {
                    IsCancelled = !IsPlanned || IsCancelled,
                },
                (n, id) => n.End(id, DeliveryStatus.Cancelled, null)
            ),
            NotificationRescheduled e => this with { SendAt = e.SendAt },
            NotificationExpired e => e.Deliveries.Aggregate(
                this with
                {
                    IsExpired = !IsPlanned || IsExpired,
                },
                (n, id) => n.End(id, DeliveryStatus.Expired, null)
            ),
            NotificationCollected e => this with { CollectedIn = e.Digest },
            NotificationDigested e => this with { CollectedIn = e.Digest, IsDigested = true },
            DigestOpened e => this with { Digest = e },
            DigestClosed e => Closed(e),
            NotificationOpened e => With(e.DeliveryId, d => d with { OpenedAt = d.OpenedAt ?? e.At }),
            LinkClicked e => With(
                e.DeliveryId,
                d =>
                    d.Clicked?.Contains(e.Link) == true
                        ? d
                        : d with
                        {
                            ClickedAt = d.ClickedAt ?? e.At,
                            Clicked = (d.Clicked ?? []).Add(e.Link),
                        }
            ),
            Complained e => With(e.DeliveryId, d => d with { ComplainedAt = d.ComplainedAt ?? e.At }),
            Unsubscribed e => With(e.DeliveryId, d => d with { UnsubscribedAt = d.UnsubscribedAt ?? e.At }),
            _ => this,
        };

    // From here on it is what its members make of it; without any it has ended as they have.
    private Notification Closed(DigestClosed e)
    {
        var closed = this with
        {
            Members = e.Members,
            Request = Request with
            {
                Priority = e.Priority,
                Channels = e.Channels,
                Template = e.Template,
                ExpiresAt = e.ExpiresAt,
                Payload = e.Payload ?? Request.Payload,
            },
        };
        if (e.Members.Count > 0)
            return closed;
        return e.LeftOut.Count == 0 ? closed with { IsCancelled = true }
            : e.LeftOut.Any(l => l.Reason == Reasons.Expired) ? closed with { IsExpired = true }
            : closed with { IsPlanned = true };
    }

    // A move goes on with the round, and a call that was not made changes nothing about it; any other pause ends it.
    private static Delivery Moved(Delivery d, DeliveryDeferred e) =>
        e.Reason == Reasons.CallNotMade ? d
        : e is not { Reason: Reasons.FailedOver, Provider: { } tried } ? d with { Tried = null }
        : d.Tried?.Contains(tried) == true ? d
        : d with { Tried = (d.Tried ?? []).Add(tried), Moves = d.Moves + 1 };

    // Delivered beats failed in both orders; only a mailbox that took the message first and bounced it afterwards beats delivered.
    // Of two failures the same one counts in any order; and reports of a provider about a delivery that another one has
    // taken over since change nothing.
    private static bool Prevails(NotificationFailed e, Delivery d) =>
        d.Status switch
        {
            _ when e.Receipt is not null && d.HasLeft(e.Provider) => false,
            DeliveryStatus.Delivered => e.Reason == Reasons.HardBounced,
            DeliveryStatus.Failed => (Weight(e.Reason), Weight(d.Reason)) switch
            {
                var (its, ours) when its != ours => its > ours,
                _ => string.CompareOrdinal($"{e.Reason} {e.ProviderCode}", $"{d.Reason} {d.ProviderCode}") < 0,
            },
            _ => true,
        };

    private static int Weight(string? reason) =>
        reason switch
        {
            Reasons.OutcomeNeverKnown => 0,
            Reasons.HardBounced => 2,
            _ => 1,
        };

    private Notification End(Guid id, DeliveryStatus status, string? reason) =>
        With(id, d => d.IsTerminal ? d : d with { Status = status, Reason = reason, DeferredUntil = null });

    private Notification With(Guid id, Func<Delivery, Delivery> change) =>
        Deliveries.TryGetValue(id, out var delivery) ? this with { Deliveries = Deliveries.SetItem(id, change(delivery)) } : this;

    private static ImmutableDictionary<Guid, Delivery> Planned(DeliveriesPlanned e)
    {
        var deliveries = ImmutableDictionary.CreateBuilder<Guid, Delivery>();
        foreach (var p in e.Deliveries)
        {
            deliveries[p.Id] = new Delivery(
                p.Id,
                Lanes.ChannelOf(p.Lane),
                p.Lane,
                DeliveryStatus.Queued,
                p.DeviceId,
                p.Address,
                PlaceAt: e.At,
                App: p.App
            );
        }

        foreach (var l in e.LeftOut)
            deliveries[l.Id] = new Delivery(l.Id, l.Channel, null, DeliveryStatus.Suppressed, l.DeviceId, Reason: l.Reason);
        return deliveries.ToImmutable();
    }
}
