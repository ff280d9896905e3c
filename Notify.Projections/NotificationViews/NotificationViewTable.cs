namespace Notify.Projections.NotificationViews;

using Notify.Delivery.EventStore;
using Notify.Delivery.Retention;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>A view as it is stored.</summary>
/// <param name="Version">The version of its stream.</param>
/// <param name="Json">The document as Marten reads it.</param>
public sealed record StoredView(NotificationView View, long Version, string Json);

/// <summary>
/// Set-based writing of the notification views, in the caller's transaction. Views of weeks that retention has dropped are not written
/// again. One writer at a time: the holder of the row of the projection's progress. Rows are found by key and time, so that the table may
/// be partitioned by week or not.
/// </summary>
/// <param name="schema">Where the table is: the live one, or that of a rebuild.</param>
public sealed class NotificationViewTable(string schema = EventSchema.Name)
{
    /// <summary>The table's name, without its schema.</summary>
    public const string Name = "mt_doc_notificationview";

    /// <summary>Writes views.</summary>
    /// <param name="views">Each notification once.</param>
    public async Task WriteAsync(NpgsqlConnection connection, IReadOnlyList<StoredView> views, CancellationToken cancellation)
    {
        if (views.Count == 0)
            return;
        var limits = await RetentionLimits.LockAsync(connection, cancellation);
        var rows = views.Where(v => v.View.RequestedAt >= limits.Views).OrderBy(v => v.View.Id, StringComparer.Ordinal).ToList();
        if (rows.Count == 0)
            return;
        // A partitioned table has its key in each partition alone, which "on conflict (id)" does not find: the one writer updates, and
        // inserts the rest.
        await using var command = SqlCommands.Create(
            connection,
            $"""
            with given as (
                select id, data::jsonb as data, version, client_id, user_id, requested_at, status
                from unnest($1, $2, $3, $4, $5, $6, $7) as g(id, data, version, client_id, user_id, requested_at, status)),
            changed as (
                update {schema}.{Name} t
                set data = g.data, mt_version = g.version, mt_last_modified = transaction_timestamp(), client_id = g.client_id,
                    user_id = g.user_id, status = g.status
                from given g where t.id = g.id and t.requested_at = g.requested_at returning t.id)
            insert into {schema}.{Name} (id, data, mt_version, mt_last_modified, mt_dotnet_type, client_id, user_id, requested_at, status)
            select id, data, version, transaction_timestamp(), $8, client_id, user_id, requested_at, status
            from given where id not in (select id from changed)
            on conflict do nothing
            """,
            rows.Select(r => r.View.Id).ToArray(),
            rows.Select(r => r.Json).ToArray(),
            rows.Select(r => r.Version).ToArray(),
            rows.Select(r => r.View.ClientId).ToArray(),
            rows.Select(r => r.View.UserId).ToArray(),
            rows.Select(r => r.View.RequestedAt.ToUniversalTime()).ToArray(),
            rows.Select(r => r.View.Status).ToArray(),
            typeof(NotificationView).FullName!
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }
}
