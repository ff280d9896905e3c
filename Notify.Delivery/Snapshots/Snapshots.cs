namespace Notify.Delivery.Snapshots;

using Marten;
using Microsoft.Extensions.Caching.Hybrid;
using Notify.Domain.Categories;
using Notify.Domain.Notifications;
using Notify.Domain.Recipients;
using Notify.Domain.Templates;
using Npgsql;

/// <summary>
/// Recipients with their preferences, categories, templates and layouts, read through the cache and always current: the row versions
/// of cached documents are sent to the database, and the database returns those that have changed since.
/// </summary>
/// <remarks>
/// So the age of an entry never decides. An opt-out applies, and a new device is reached, from its commit on and on every host,
/// whatever Redis contains and whether it answers. The cache saves the transfer and the decoding.
/// </remarks>
public sealed class Snapshots
{
    private readonly HybridCache? cache;
    private readonly SnapshotSource<Recipient> recipients;
    private readonly SnapshotSource<Category> categories;
    private readonly SnapshotSource<Template> templates;
    private readonly SnapshotSource<Layout> layouts;

    /// <summary>Starts with nothing kept.</summary>
    public Snapshots(IDocumentStore store, HybridCache cache, CacheSettings settings)
    {
        this.cache = settings.Megabytes > 0 ? cache : null;
        recipients = new SnapshotSource<Recipient>("recipient", store, (recipient, version) => recipient with { Version = version });
        categories = new SnapshotSource<Category>("category", store, (category, version) => category with { Version = version });
        templates = new SnapshotSource<Template>("template", store);
        layouts = new SnapshotSource<Layout>("layout", store);
    }

    /// <summary>
    /// Reads the registered recipients of notifications and the notifications' categories, by stream key; missing ones are absent.
    /// </summary>
    public async Task<(Dictionary<string, Recipient> Recipients, Dictionary<string, Category> Categories)> OfAsync(
        NpgsqlConnection connection,
        IReadOnlyCollection<NotificationRequested> requests,
        CancellationToken cancellation
    )
    {
        var people = await SnapshotReading<Recipient>.StartAsync(
            cache,
            recipients,
            requests.Where(r => r.UserRef is not null).Select(r => Recipient.KeyOf(r.UserRef!))
        );
        var kinds = await SnapshotReading<Category>.StartAsync(cache, categories, requests.Select(r => Category.KeyOf(r.Category)));
        if (people.IsEmpty && kinds.IsEmpty)
            return ([], []);
        await using var batch = new NpgsqlBatch(connection);
        people.AddTo(batch);
        kinds.AddTo(batch);
        await using var reader = await batch.ExecuteReaderAsync(cancellation);
        return (await people.ReadAsync(reader, cancellation), await kinds.ReadAsync(reader, cancellation));
    }

    /// <summary>Templates as they are now, by stream key.</summary>
    public async Task<Dictionary<string, Template>> TemplatesAsync(
        NpgsqlConnection connection,
        IEnumerable<string> keys,
        CancellationToken cancellation
    ) =>
        await LoadAsync(
            await SnapshotReading<Template>.StartAsync(cache, templates, keys.Select(Template.KeyOf)),
            connection,
            cancellation
        );

    /// <summary>Reads the current layouts with all their outer layouts, by key.</summary>
    public async Task<Dictionary<string, Layout>> LayoutsAsync(
        NpgsqlConnection connection,
        IEnumerable<string> keys,
        CancellationToken cancellation
    )
    {
        var found = new Dictionary<string, Layout>(StringComparer.Ordinal);
        var asked = new HashSet<string>(StringComparer.Ordinal);
        for (var wanted = keys.ToHashSet(StringComparer.Ordinal); wanted.Count > 0; )
        {
            // The outer layouts in the cache are read along with them: they are mostly still current, and then one query is enough.
            var reading = await SnapshotReading<Layout>.StartAsync(cache, layouts, wanted.Select(Layout.KeyOf));
            for (var outer = Outer(reading.Kept, wanted); outer.Count > 0; outer = Outer(reading.Kept, wanted))
            {
                wanted.UnionWith(outer);
                reading = await SnapshotReading<Layout>.StartAsync(cache, layouts, wanted.Select(Layout.KeyOf));
            }

            asked.UnionWith(wanted);
            foreach (var layout in (await LoadAsync(reading, connection, cancellation)).Values)
                found[layout.Key] = layout;
            wanted = Outer(found.Values, asked);
        }

        return found;
    }

    private static HashSet<string> Outer(IEnumerable<Layout> layouts, HashSet<string> known) =>
        layouts.Select(l => l.Definition.Layout).OfType<string>().Where(key => !known.Contains(key)).ToHashSet(StringComparer.Ordinal);

    private static async Task<Dictionary<string, T>> LoadAsync<T>(
        SnapshotReading<T> reading,
        NpgsqlConnection connection,
        CancellationToken cancellation
    )
        where T : class
    {
        if (reading.IsEmpty)
            return [];
        await using var batch = new NpgsqlBatch(connection);
        reading.AddTo(batch);
        await using var reader = await batch.ExecuteReaderAsync(cancellation);
        return await reading.ReadAsync(reader, cancellation);
    }
}
