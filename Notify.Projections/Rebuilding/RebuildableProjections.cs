namespace Notify.Projections.Rebuilding;

using JasperFx.Events;
using Marten;
using Notify.Delivery.EventStore;
using Notify.Delivery.Privacy;
using Notify.Projections.Analytics;
using Notify.Projections.Folding;
using Notify.Projections.NotificationViews;
using Npgsql;

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

/// <summary>The notification views, by the code that writes the live ones.</summary>
public sealed class RebuildableViews()
    : RebuildableProjection(
        "notification-views",
        $"{NotificationViewProjection.ProjectionName}:All",
        EventSchema.Name,
        [new ProjectedTable(NotificationViewTable.Name, ["id"], ["mt_last_modified"])]
    )
{
    private readonly StreamFold<NotificationView> streams = NotificationViewProjection.Streams();

    /// <inheritdoc />
    public override async Task ApplyAsync(
        IQuerySession session,
        NpgsqlTransaction transaction,
        IReadOnlyList<IEvent> events,
        CancellationToken cancellation
    )
    {
        var views = await NotificationViewProjection.FoldAsync(streams, session, events, cancellation);
        await new NotificationViewTable(Beside).WriteAsync(transaction.Connection!, views, cancellation);
    }
}

/// <summary>Every read model that the daemon keeps, and how to build it anew.</summary>
public static class RebuildableProjections
{
    /// <summary>All of them, by name.</summary>
    public static IReadOnlyList<RebuildableProjection> All(MasterKeyRing ring) => [new RebuildableAnalytics(ring), new RebuildableViews()];
}
