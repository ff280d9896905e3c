using System.Collections.Immutable;
using JasperFx.Events;
using Marten;
using Marten.Events.Aggregation;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;

namespace Notify.Projections.NotificationViews;

/// <summary>
/// A notification as lists and users' histories show it. The daemon keeps it, so it may lag by moments; a single
/// notification is asked of its stream instead.
/// </summary>
/// <param name="Id">The stream key.</param>
/// <param name="State">The folded notification, from which the rest follows.</param>
public sealed record NotificationView(string Id, Notification State)
{
    public string ClientId => State.Request.ClientId;
    public string? UserId => State.Request.UserRef;

    /// <summary>The status as the API writes it.</summary>
    public string Status => Name(NotificationStatusRule.Of(State));

    public string Category => State.Request.Category;

    /// <summary>The channels of its deliveries, as the API writes them.</summary>
    public IReadOnlyList<string> Channels => [.. State.Deliveries.Values.Select(d => Name(d.Channel)).Distinct()];
    public DateTimeOffset RequestedAt => State.Request.At;

    /// <summary>How an enumeration's value is written in documents and the API.</summary>
    public static string Name(Enum value) => System.Text.Json.JsonNamingPolicy.CamelCase.ConvertName(value.ToString());
}

/// <summary>Folds notifications' streams into <see cref="NotificationView"/>.</summary>
public sealed partial class NotificationViewProjection : SingleStreamProjection<NotificationView, string>
{
    /// <summary>Listens to the events of notifications' streams.</summary>
    public NotificationViewProjection()
    {
        Name = "notifications";
        foreach (var type in NotifyStore.EventTypes.Where(t => t.Namespace == typeof(NotificationRequested).Namespace))
            IncludeType(type);
    }

    /// <inheritdoc />
    public override NotificationView? Evolve(NotificationView? snapshot, string id, IEvent e) =>
        !StoredEvents.IsComplete(e.Data) ? snapshot
        : Notification.Evolve(snapshot?.State, id, e.Data) is { } state ? new NotificationView(id, WithoutSealed(state, e.Data))
        : null;

    /// <summary>Returns a state that an event was just folded into, without the encrypted data of that event.</summary>
    public static Notification WithoutSealed(Notification state, object @event) =>
        @event switch
        {
            NotificationRequested r => state with { Request = r with { Payload = SealedPayload.None, RequestHash = "" } },
            DigestClosed => state with { Request = state.Request with { Payload = SealedPayload.None } },
            DeliveriesPlanned => state with
            {
                Deliveries = state.Deliveries.ToImmutableDictionary(d => d.Key, d => d.Value with { Contact = null }),
            },
            _ => state,
        };

    /// <summary>Indexes what lists ask by.</summary>
    public static void Configure(StoreOptions options) =>
        options
            .Schema.For<NotificationView>()
            .Duplicate(v => v.ClientId)
            .Duplicate(v => v.UserId!)
            .Duplicate(v => v.RequestedAt)
            .Duplicate(v => v.Status);
}
