using JasperFx.Events;
using Marten;
using Notify.Domain.Notifications;
using Notify.Projections.Analytics;
using Notify.Projections.NotificationViews;
using Notify.Projections.Privacy;
using Npgsql;
using SessionOptions = Marten.Services.SessionOptions;

namespace Notify.Projections.Rebuilding;

/// <summary>The analytics tables, by the code that writes the live ones.</summary>
public sealed class RebuildableAnalytics(MasterKeyRing ring)
    : RebuildableProjection(
        "analytics",
        $"{AnalyticsProjection.ProjectionName}:All",
        AnalyticsTables.Schema,
        [
            new ProjectedTable("deliveries", ["delivery_id"], []),
            new ProjectedTable("engagement", ["delivery_id", "kind", "link"], []),
            new ProjectedTable("daily", ["day", "client_id", "channel", "category", "template", "provider", "mode"], []),
            new ProjectedTable("broadcasts", ["client_id", "broadcast_id", "channel"], []),
        ]
    )
{
    private readonly StreamFold<NotificationHistory> streams = AnalyticsProjection.Streams();

    /// <inheritdoc />
    public override async Task ApplyAsync(
        IQuerySession session,
        NpgsqlTransaction transaction,
        IReadOnlyList<IEvent> events,
        CancellationToken cancellation
    )
    {
        var facts = await AnalyticsProjection.FactsAsync(streams, ring, session, events, cancellation);
        await new AnalyticsTables(Beside).WriteAsync(transaction.Connection!, facts, cancellation);
    }
}

/// <summary>
/// The notification views, by the fold of the live ones; written by a store of the same configuration in the shadow schema.
/// </summary>
public sealed class RebuildableViews(Func<string, IDocumentStore> storeBeside)
    : RebuildableProjection(
        "notification-views",
        "notifications:All",
        NotifyStore.Schema,
        [new ProjectedTable("mt_doc_notificationview", ["id"], ["mt_last_modified"])]
    ),
        IDisposable
{
    private readonly NotificationViewProjection projection = new();
    private StreamFold<NotificationView>? streams;
    private IDocumentStore? store;

    /// <inheritdoc />
    public override async Task ApplyAsync(
        IQuerySession session,
        NpgsqlTransaction transaction,
        IReadOnlyList<IEvent> events,
        CancellationToken cancellation
    )
    {
        streams ??= new((view, e) => projection.Evolve(view, e.StreamKey!, e));
        var folded = await streams.FoldAsync(session, events.Where(e => NotificationKey.Parse(e.StreamKey!) is not null), cancellation);
        if (folded.Count == 0)
            return;
        store ??= storeBeside(Beside);
        await using var beside = store.LightweightSession(SessionOptions.ForTransaction(transaction));
        foreach (var stream in folded)
            beside.UpdateRevision(stream.After, stream.Version);
        await beside.SaveChangesAsync(cancellation);
    }

    /// <inheritdoc />
    public void Dispose() => store?.Dispose();
}

/// <summary>Every read model that the daemon keeps, and how to build it anew.</summary>
public static class RebuildableProjections
{
    /// <summary>All of them, by name.</summary>
    public static IReadOnlyList<RebuildableProjection> All(MasterKeyRing ring, NpgsqlDataSource database) =>
        [new RebuildableAnalytics(ring), new RebuildableViews(schema => NotifyStore.Beside(database, schema))];
}
