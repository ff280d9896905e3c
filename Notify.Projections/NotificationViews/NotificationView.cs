namespace Notify.Projections.NotificationViews;

using System.Collections.Immutable;
using JasperFx.Events;
using JasperFx.Events.Projections;
using Marten;
using Marten.Events.Projections;
using Notify.Delivery.EventStore;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Projections.Folding;
using Npgsql;

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
    public string Status => EnumNames.Of(NotificationStatusRule.Of(State));

    public string Category => State.Request.Category;

    /// <summary>The channels of its deliveries, as the API writes them.</summary>
    public IReadOnlyList<string> Channels => [.. State.Deliveries.Values.Select(d => EnumNames.Of(d.Channel)).Distinct()];
    public DateTimeOffset RequestedAt => State.Request.At;
}

/// <summary>
/// Folds notifications' streams into <see cref="NotificationView"/>. A page of events is written set-based, in the transaction that
/// moves the projection's progress.
/// </summary>
public sealed class NotificationViewProjection : ProjectionBase, IProjection
{
    /// <summary>The projection's name.</summary>
    public const string ProjectionName = "notifications";

    private const int Remembered = 5_000;

    private readonly StreamFold<NotificationView> streams = Streams();

    /// <summary>Listens to the events of notifications' streams.</summary>
    public NotificationViewProjection()
    {
        Name = ProjectionName;
        foreach (var type in EventTypes.All.Where(t => t.Namespace == typeof(NotificationRequested).Namespace))
            IncludeType(type);
    }

    /// <inheritdoc />
    public async Task ApplyAsync(IDocumentOperations operations, IReadOnlyList<IEvent> events, CancellationToken cancellation)
    {
        var views = await FoldAsync(streams, operations, events, cancellation);
        ((ITransactionParticipantRegistrar)operations).AddTransactionParticipant(new Writing(views));
    }

    /// <summary>A memory for folding pages that come one after the other.</summary>
    public static StreamFold<NotificationView> Streams() => new((view, e) => Evolve(view, e.StreamKey!, e), Remembered);

    /// <summary>The views that a page of events changes.</summary>
    public static async Task<IReadOnlyList<StoredView>> FoldAsync(
        StreamFold<NotificationView> streams,
        IQuerySession session,
        IEnumerable<IEvent> events,
        CancellationToken cancellation
    )
    {
        var folded = await streams.FoldAsync(session, events.Where(e => NotificationKey.Parse(e.StreamKey!) is not null), cancellation);
        var serializer = session.DocumentStore.Options.Serializer();
        return [.. folded.Select(s => new StoredView(s.After, s.Version, serializer.ToJson(s.After)))];
    }

    private static NotificationView? Evolve(NotificationView? view, string id, IEvent e) =>
        !StoredEvents.IsComplete(e.Data) ? view
        : Notification.Evolve(view?.State, id, e.Data) is { } state ? new NotificationView(id, WithoutSealed(state, e.Data))
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

    /// <summary>The columns that lists ask by.</summary>
    /// <remarks>Marten reads the table; migrations make it, and <see cref="NotificationViewTable"/> writes it.</remarks>
    public static void Configure(StoreOptions options) =>
        options
            .Schema.For<NotificationView>()
            .UseNumericRevisions(true)
            .Duplicate(v => v.ClientId)
            .Duplicate(v => v.UserId!)
            .Duplicate(v => v.RequestedAt)
            .Duplicate(v => v.Status);

    private sealed class Writing(IReadOnlyList<StoredView> views) : ITransactionParticipant
    {
        public Task BeforeCommitAsync(NpgsqlConnection connection, NpgsqlTransaction transaction, CancellationToken token) =>
            new NotificationViewTable().WriteAsync(connection, views, token);
    }
}
