namespace Notify.Projections.Analytics;

using JasperFx.Events;
using JasperFx.Events.Projections;
using Marten;
using Marten.Events.Projections;
using Notify.Delivery.EventStore;
using Notify.Delivery.Privacy;
using Notify.Domain.Notifications;
using Notify.Projections.Folding;
using Npgsql;

/// <summary>
/// Keeps the tables of the schema <c>analytics</c>. Each page of events is folded by stream and written set-based, in the
/// transaction that moves the projection's progress: each fact counts exactly once, whatever fails in between.
/// </summary>
public sealed class AnalyticsProjection : ProjectionBase, IProjection
{
    /// <summary>The projection's name.</summary>
    public const string ProjectionName = "analytics";

    private readonly MasterKeyRing ring;
    private readonly AnalyticsTables tables = new();
    private readonly StreamFold<NotificationHistory> streams = Streams();

    /// <summary>Listens to the events of notifications' streams.</summary>
    /// <param name="ring">Makes the recipients' pseudonyms.</param>
    public AnalyticsProjection(MasterKeyRing ring)
    {
        this.ring = ring;
        Name = ProjectionName;
        foreach (var type in EventTypes.All.Where(t => t.Namespace == typeof(NotificationRequested).Namespace))
            IncludeType(type);
    }

    /// <inheritdoc />
    public async Task ApplyAsync(IDocumentOperations operations, IReadOnlyList<IEvent> events, CancellationToken cancellation)
    {
        var facts = await FactsAsync(streams, ring, operations, events, cancellation);
        ((ITransactionParticipantRegistrar)operations).AddTransactionParticipant(new Writing(tables, facts));
    }

    /// <summary>A memory for folding pages that come one after the other.</summary>
    public static StreamFold<NotificationHistory> Streams() =>
        new((state, e) => StoredEvents.IsComplete(e.Data) ? NotificationHistory.Evolve(state, e.StreamKey!, e.Data) : state);

    /// <summary>The rows that a page of events changes.</summary>
    public static async Task<IReadOnlyList<DeliveryFact>> FactsAsync(
        StreamFold<NotificationHistory> streams,
        MasterKeyRing ring,
        IQuerySession session,
        IEnumerable<IEvent> events,
        CancellationToken cancellation
    )
    {
        var folded = await streams.FoldAsync(session, events.Where(e => NotificationKey.Parse(e.StreamKey!) is not null), cancellation);
        return [.. folded.SelectMany(s => DeliveryFact.Changed(s.Before, s.Start, s.After, ring))];
    }

    private sealed class Writing(AnalyticsTables tables, IReadOnlyList<DeliveryFact> facts) : ITransactionParticipant
    {
        public Task BeforeCommitAsync(NpgsqlConnection connection, NpgsqlTransaction transaction, CancellationToken token) =>
            tables.WriteAsync(connection, facts, token);
    }
}
