namespace Notify.Domain.Descriptions;

using System.Globalization;
using Notify.Domain.Broadcasts;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Recipients;
using Notify.Domain.Routing;
using Notify.Domain.Topics;

/// <summary>
/// Describes events of a notification's stream in one sentence each, without personal data: addresses and content stay encrypted.
/// </summary>
public static class EventDescriptions
{
    /// <summary>The sentence.</summary>
    /// <param name="state">The notification before the event; <c>null</c> before the first.</param>
    public static string Of(Notification? state, object @event) =>
        @event switch
        {
            NotificationRequested e =>
                $"{(e.Through is null ? $"Client {e.ClientId}" : $"The user's app, with a token of client {e.ClientId},")} asked "
                    + $"for a notification to {(e.UserRef is null ? "someone who is not registered" : $"user {e.UserRef}")}: "
                    + $"category {e.Category}, priority {Lower(e.Priority)}, "
                    + $"{(e.Channels is null ? "by whatever reaches them" : $"by {List(e.Channels.Select(c => NameOf(c)))}")}"
                    + $"{(e.Template is { } t ? $", with version {Count(t.Version)} of the template {t.Key}" : "")}"
                    + $"{(e.SendAt is { } at ? $", at {Time(at)}" : "")}{(e.ExpiresAt is { } end ? $", worth nothing after {Time(end)}" : "")}{(e.Mode == Domain.Clients.ClientMode.Test ? ", in test mode: to the sandbox only" : "")}{(e.OptOutsHold ? "; opt-outs hold for it even where the category is required" : "")}.",
            DeliveriesPlanned e =>
                $"Planned: {(e.Deliveries.Count == 0 ? "nothing to send" : List(e.Deliveries.Select(PlannedName)))}.{(e.LeftOut.Count == 0 ? "" : $" Left out: {string.Join("; ", e.LeftOut.Select(l => $"{NameOf(l.Channel, l.DeviceId)}, because {Words(l.Reason)} (rule: {l.Rule})"))}.")}"
                    + DecidedOn(e.RecipientVersion, e.CategoryVersion)
                    + (e.Locale is { } locale ? $" The template speaks {locale}, where it can." : ""),
            DeliveryDeferred { DeliveryId: { } id } e =>
                $"{Name(state, id)} waits until {Time(e.Until)}{(e.Attempt > 0 ? $" after attempt {Count(e.Attempt)}" : "")}: {Words(e.Reason)}{By(e.Provider, e.ProviderCode)}{(e.Rule is null ? "" : $" (rule: {e.Rule})")}.",
            DeliveryDeferred e => $"The whole notification waits until {Time(e.Until)}: {Words(e.Reason)}.",
            DeliveryReaddressed e =>
                $"{Name(state, e.DeliveryId)} goes to the user's new {(state?.Deliveries.GetValueOrDefault(e.DeliveryId)?.Channel == Channel.Sms ? "number" : "address")}: theirs changed since it was planned (version {Many(e.RecipientVersion)} of the user).",
            CapPlaceMoved e => $"{Name(state, e.DeliveryId)} leaves later than planned, and counts where it leaves (rule: {e.Rule}).",
            DispatchAttempted e => $"{Name(state, e.DeliveryId)}: attempt {Count(e.Attempt)} at {e.Provider} is about to be made.",
            NotificationDispatched { Receipt: not null } e =>
                $"{Name(state, e.DeliveryId)} was accepted by {e.Provider}, says a receipt{(e.ProviderMessageId is null ? "" : $" (their ID {e.ProviderMessageId})")}.",
            NotificationDispatched e =>
                $"{Name(state, e.DeliveryId)} was accepted by {e.Provider} at attempt {Count(e.Attempt)}, after {Count(e.LatencyMs)} ms"
                    + (e.Segments > 1 ? $", in {Count(e.Segments.Value)} segments" : "")
                    + (e.RefusedParts is { } refused ? $", of which {Count(refused)} were refused" : "")
                    + (e.ProviderMessageId is null ? "." : $" (their ID {e.ProviderMessageId})."),
            DuplicateDispatchDetected e =>
                $"{Name(state, e.DeliveryId)} was accepted by {e.Provider} a second time, at attempt {Count(e.Attempt)}"
                    + (e.ProviderMessageId is null ? "." : $" (their ID {e.ProviderMessageId})."),
            NotificationDelivered e => $"{Name(state, e.DeliveryId)} reached the device, says {e.Source}.",
            NotificationFailed { Receipt: not null } e =>
                $"{Name(state, e.DeliveryId)} failed for good, says a receipt: {Words(e.Reason)}{By(e.Provider, e.ProviderCode)}.",
            NotificationFailed e =>
                $"{Name(state, e.DeliveryId)} failed for good{(e.Attempt > 0 ? $" at attempt {Count(e.Attempt)}" : "")}: {Words(e.Reason)}{By(e.Provider, e.ProviderCode)}.",
            DispatchOutcomeUnknown e =>
                $"{Name(state, e.DeliveryId)}: whether {e.Provider} accepted attempt {Count(e.Attempt)} is not known "
                    + $"({Words(e.Reason)}). Nothing is repeated; it is decided by {Time(e.Deadline)}.",
            DeliverySuppressed e => $"{Name(state, e.DeliveryId)} was left out at the last check: {Words(e.Reason)} (rule: {e.Rule}).",
            DeliveryDeadLettered e => $"{Name(state, e.DeliveryId)} used up its {Count(e.Attempts)} attempts and is a dead letter: "
                + $"{Words(e.Reason)}{By(e.Provider, e.ProviderCode)}.",
            DeliveryRedriven e => $"{e.By} sent {Name(state, e.DeliveryId, start: false)} on its way again: {e.Reason}",
            NotificationCancelled e =>
                $"{e.By} withdrew {(e.Deliveries.Count == 0 ? "the notification before it was planned" : List(e.Deliveries.Select(d => Name(state, d, start: false))))}.",
            NotificationRescheduled e => $"{e.By} moved it to {Time(e.SendAt)}.",
            NotificationExpired e =>
                $"Its time had passed before {(e.Deliveries.Count == 0 ? "it was planned" : $"{List(e.Deliveries.Select(d => Name(state, d, start: false)))} could be made")}.",
            NotificationCollected e => $"It waits in the digest {e.Digest} until {Time(e.Until)} (rule: {e.Rule}).",
            NotificationDigested e => $"The digest {e.Digest} tells it, and what becomes of it.",
            DigestOpened e =>
                $"A digest was opened: for {Count(e.Rule.WindowSeconds)} s it takes what comes of the category{(e.CategoryVersion == 0 ? "" : $", by version {Many(e.CategoryVersion)} of it")}.",
            DigestClosed { Members.Count: 0, LeftOut.Count: 0 } =>
                "The digest closed with nothing in it: everything was withdrawn. Nothing is sent.",
            DigestClosed e =>
                $"The digest closed {(e.Members.Count == 0 ? "with nothing to tell" : $"and tells {Count(e.Members.Count)}: {List(e.Members.Count > 20 ? [.. e.Members.Take(20), $"{Count(e.Members.Count - 20)} more"] : e.Members)}")}"
                    + $"{(e.Template is { } t ? $", with version {Count(t.Version)} of the template {t.Key}" : "")}{(e.Fault is { } fault ? $", in plain words, since its template failed ({fault})" : "")}.{(e.LeftOut.Count == 0 ? "" : $" Left out: {string.Join("; ", e.LeftOut.Select(l => $"{l.EventId}, because {Words(l.Reason)}"))}.")}",
            NotificationOpened e => $"The person opened {Name(state, e.DeliveryId, start: false)} for the first time, says {e.Source}.",
            LinkClicked e =>
                $"The person followed link {Count(e.Link + 1)} of {Name(state, e.DeliveryId, start: false)} for the first time.",
            Complained e => $"The person called {Name(state, e.DeliveryId, start: false)} unwanted, says {e.Source}.",
            Unsubscribed { Source: UnsubscribeSources.OneClick or UnsubscribeSources.Page } e =>
                $"The person unsubscribed by {Name(state, e.DeliveryId, start: false)} ({Words(e.Source)}): no more emails of "
                    + $"category {state?.Request.Category}.",
            Unsubscribed e => $"The person unsubscribed through {Name(state, e.DeliveryId, start: false)}, says {e.Source}.",
            CircuitOpened e => $"{e.Provider} is left alone until {Time(e.Until)}: {e.Reason}.",
            CircuitHalfOpened e => $"{e.Provider} is tried with one delivery at a time: {e.Reason}.",
            CircuitClosed e => $"{e.Provider} is sent to as before: {e.Reason}.",
            ProviderWeightChanged e => $"{e.Provider} gets {Percent(e.To)} of its weight instead of {Percent(e.From)}: {e.Reason}.",
            TopicDefined e => $"{e.By} named the topic {e.Key}: {e.Name}.",
            TopicJoined e => $"{e.By} let the user follow the topic {e.Topic}.",
            TopicLeft e => $"{e.By} let the user follow the topic {e.Topic} no more.",
            BroadcastRequested e =>
                $"Client {e.ClientId} asked for a broadcast: category {e.Category}, priority {Lower(e.Priority)}{(e.SendAt is { } at ? $", at {Time(at)}" : "")}.",
            BroadcastStarted e => $"Its notifications are being made, for {Many(e.Total)} users.",
            BroadcastPaused e => $"{e.By} held it after {Many(e.Expanded)} notifications.",
            BroadcastResumed e => $"{e.By} let it go on.",
            BroadcastCancelled e => $"{e.By} withdrew it after {Many(e.Expanded)} notifications.",
            BroadcastExpired e => $"Its time had passed after {Many(e.Expanded)} notifications.",
            BroadcastCompleted e => $"All of its {Many(e.Expanded)} notifications are made.",
            _ => $"{Capital(Words(@event.GetType().Name))}.",
        };

    /// <summary>A name such as <c>ProviderAskedToWait</c> as words.</summary>
    public static string Words(string name) =>
        string.Concat(
            name.Select(
                (c, i) =>
                    !char.IsUpper(c) ? $"{c}"
                    : i == 0 ? $"{char.ToLowerInvariant(c)}"
                    : $" {char.ToLowerInvariant(c)}"
            )
        );

    /// <summary>Returns the name of a delivery in descriptions: its channel, and for a push its device.</summary>
    public static string Name(Notification? state, Guid deliveryId, bool start = true)
    {
        var name = state?.Deliveries.GetValueOrDefault(deliveryId) is { } d ? NameOf(d.Channel, d.DeviceId) : $"delivery {deliveryId}";
        return start ? $"The {name}" : $"the {name}";
    }

    /// <summary>Formats a time for descriptions: UTC, to the millisecond.</summary>
    public static string Time(DateTimeOffset time) =>
        time.UtcDateTime.ToString("yyyy-MM-dd HH:mm:ss.fff", CultureInfo.InvariantCulture) + "Z";

    private static string PlannedName(PlannedDelivery d) =>
        $"{NameOf(Lanes.ChannelOf(d.Lane), d.DeviceId)}{(Lanes.ChannelOf(d.Lane) == Channel.Push ? $" ({d.Lane})".ToLowerInvariant() : "")}"
        + $"{(d.App is { } app ? $" of the app {app.Name}" : "")}{(d.Rule is null ? "" : $" (rule: {d.Rule})")}";

    private static string DecidedOn(long user, long category) =>
        (user, category) switch
        {
            (0, 0) => "",
            (_, 0) => string.Create(CultureInfo.InvariantCulture, $" Decided on version {user} of the user."),
            (0, _) => string.Create(CultureInfo.InvariantCulture, $" Decided on version {category} of the category."),
            _ => string.Create(
                CultureInfo.InvariantCulture,
                $" Decided on version {user} of the user and version {category} of the category."
            ),
        };

    private static string NameOf(Channel channel, string? deviceId = null) =>
        channel switch
        {
            Channel.Sms => "SMS",
            Channel.Push => deviceId is null ? "push" : $"push to {deviceId}",
            _ => "email",
        };

    private static string By(string? provider, string? code) =>
        (provider, code) switch
        {
            (null, null) => "",
            (null, _) => $" (code {code})",
            (_, null) => $" ({provider})",
            _ => $" ({provider}: {code})",
        };

    private static string List(IEnumerable<string> names) =>
        names.ToList() switch
        {
            [] => "nothing",
            [var one] => one,
            [.. var most, var last] => $"{string.Join(", ", most)} and {last}",
        };

    private static string Count(int number) => number.ToString(CultureInfo.InvariantCulture);

    private static string Many(long number) => number.ToString(CultureInfo.InvariantCulture);

    private static string Percent(double factor) => $"{Count((int)Math.Round(factor * 100))}%";

    private static string Lower(Priority priority) => priority.ToString().ToLowerInvariant();

    private static string Capital(string words) => words.Length == 0 ? words : char.ToUpperInvariant(words[0]) + words[1..];
}
