namespace Notify.Delivery.Templates;

using System.Collections.Concurrent;
using Marten;
using Notify.Delivery.EventStore;
using Notify.Delivery.Snapshots;
using Notify.Domain.Notifications;
using Notify.Domain.Templates;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>A template with the layouts that its emails are set into, ready to be rendered.</summary>
/// <param name="Layouts">From the inside out.</param>
public sealed record ReadyTemplate(CompiledTemplate Template, IReadOnlyList<CompiledLayout> Layouts);

/// <summary>A template as the next request gets it.</summary>
/// <param name="Ready">Absent for an archived one, which takes no requests, and for one that this version of Notify cannot compile.</param>
public sealed record CurrentTemplate(string Key, int Version, bool IsArchived, IReadOnlyList<PinnedLayout> Layouts, ReadyTemplate? Ready)
{
    /// <summary>Pins these versions permanently.</summary>
    public PinnedTemplate Pin(string? locale) => new(Key, Version, locale, Ready!.Template.Definition.Channels.Served(), Layouts);
}

/// <summary>
/// Templates and layouts, compiled. A version never changes, so what was compiled once is kept; which version is the current
/// one is asked each time, for all who ask at once in one query; see <see cref="Snapshots"/>.
/// </summary>
public sealed class TemplateBook : IAsyncDisposable
{
    private const int MostKept = 2000;
    private static readonly TimeSpan MaxWait = TimeSpan.FromSeconds(5);
    private readonly IDocumentStore store;
    private readonly NpgsqlDataSource database;
    private readonly Snapshots snapshots;
    private readonly GroupCommit<string, CurrentTemplate?> asking;
    private readonly ConcurrentDictionary<(string Key, int Version), CompiledTemplate> templates = new();
    private readonly ConcurrentDictionary<(string Key, int Version), CompiledLayout> layouts = new();

    /// <summary>Starts with nothing compiled.</summary>
    public TemplateBook(IDocumentStore store, NpgsqlDataSource database, Snapshots snapshots, TimeProvider clock)
    {
        (this.store, this.database, this.snapshots) = (store, database, snapshots);
        asking = new GroupCommit<string, CurrentTemplate?>(
            (keys, _, cancellation) => ReadCurrentAsync(keys, cancellation),
            new GroupCommitOptions<string>
            {
                MaxItems = 1000,
                Committers = 2,
                MaxWaiting = 10_000,
                MaxWait = MaxWait,
                CommitTimeout = MaxWait,
            },
            clock
        );
    }

    /// <summary>A template as the next request gets it; <c>null</c>: there is none.</summary>
    public Task<CurrentTemplate?> CurrentAsync(string key) => asking.AddAsync(key);

    /// <summary>A layout and the ones around it as they are now, from the inside out.</summary>
    public async Task<IReadOnlyList<CompiledLayout>?> LayoutsAsync(IQuerySession session, string? first, CancellationToken cancellation)
    {
        if (first is null)
            return [];
        var pinned = Around(first, await LayoutHeadsAsync(session, cancellation));
        return await CompiledAsync(session, pinned, cancellation);
    }

    /// <summary>A version of a template with the current layouts; <c>null</c>: there is no such version.</summary>
    public async Task<ReadyTemplate?> VersionAsync(string key, int version, CancellationToken cancellation)
    {
        await using var session = store.QuerySession();
        return
            await TemplateAsync(session, key, version, cancellation) is { } template
            && await LayoutsAsync(session, template.Definition.Layout, cancellation) is { } around
            ? new ReadyTemplate(template, around)
            : null;
    }

    /// <summary>Everything that notifications were accepted with, by what they pinned.</summary>
    public async Task<IReadOnlyDictionary<string, ReadyTemplate>> PinnedAsync(
        IQuerySession session,
        IEnumerable<PinnedTemplate?> pinned,
        CancellationToken cancellation
    )
    {
        var found = new Dictionary<string, ReadyTemplate>(StringComparer.Ordinal);
        foreach (var pin in pinned.OfType<PinnedTemplate>().DistinctBy(NameOf))
        {
            if (await ReadyAsync(session, pin.Key, pin.Version, pin.Layouts, cancellation) is { } ready)
                found[NameOf(pin)] = ready;
        }

        return found;
    }

    /// <summary>Tells one set of versions from another.</summary>
    public static string NameOf(PinnedTemplate pin) =>
        $"{pin.Key}@{pin.Version} {string.Join(' ', pin.Layouts.Select(l => $"{l.Key}@{l.Version}"))}";

    /// <inheritdoc />
    public ValueTask DisposeAsync() => asking.DisposeAsync();

    private async Task<IReadOnlyList<CurrentTemplate?>> ReadCurrentAsync(IReadOnlyList<string> keys, CancellationToken cancellation)
    {
        await using var connection = await database.OpenConnectionAsync(cancellation);
        var heads = (await snapshots.TemplatesAsync(connection, keys.Distinct(), cancellation)).Values;
        var around = await snapshots.LayoutsAsync(connection, heads.Select(t => t.Definition.Layout).OfType<string>(), cancellation);
        var outer = around.ToDictionary(l => l.Key, l => (l.Value.CurrentVersion, l.Value.Definition.Layout), StringComparer.Ordinal);
        var current = new Dictionary<string, CurrentTemplate>(StringComparer.Ordinal);
        foreach (var head in heads)
        {
            var pinned = Around(head.Definition.Layout, outer);
            var compiled = pinned.Select(pin => Compiled(pin, around[pin.Key].Definition)).OfType<CompiledLayout>().ToList();
            var ready =
                !head.IsArchived
                && compiled.Count == pinned.Count
                && Compiled(head.Key, head.CurrentVersion, head.Definition) is { } template
                    ? new ReadyTemplate(template, compiled)
                    : null;
            current[head.Key] = new CurrentTemplate(head.Key, head.CurrentVersion, head.IsArchived, pinned, ready);
        }

        return [.. keys.Select(k => current.GetValueOrDefault(k))];
    }

    private static async Task<Dictionary<string, (int Version, string? Outer)>> LayoutHeadsAsync(
        IQuerySession session,
        CancellationToken cancellation
    ) =>
        (
            await session
                .Query<Layout>()
                .Select(l => new
                {
                    l.Key,
                    Version = l.CurrentVersion,
                    Outer = l.Definition.Layout,
                })
                .ToListAsync(cancellation)
        ).ToDictionary(l => l.Key, l => (l.Version, l.Outer), StringComparer.Ordinal);

    // A missing layout is never named: a definition that names one is rejected.
    private static IReadOnlyList<PinnedLayout> Around(string? first, Dictionary<string, (int Version, string? Outer)> heads) =>
        [
            .. Layout
                .Chain(first, key => heads.GetValueOrDefault(key).Outer)
                .Keys.Where(heads.ContainsKey)
                .Select(key => new PinnedLayout(key, heads[key].Version)),
        ];

    private async Task<ReadyTemplate?> ReadyAsync(
        IQuerySession session,
        string key,
        int version,
        IReadOnlyList<PinnedLayout> around,
        CancellationToken cancellation
    ) =>
        await TemplateAsync(session, key, version, cancellation) is { } template
        && await CompiledAsync(session, around, cancellation) is { } compiled
            ? new ReadyTemplate(template, compiled)
            : null;

    // null when one of them cannot be compiled: a template is rendered with all of its layouts or not at all.
    private async Task<IReadOnlyList<CompiledLayout>?> CompiledAsync(
        IQuerySession session,
        IReadOnlyList<PinnedLayout> pinned,
        CancellationToken cancellation
    )
    {
        var compiled = new List<CompiledLayout>(pinned.Count);
        foreach (var pin in pinned)
        {
            if (await LayoutAsync(session, pin, cancellation) is not { } layout)
                return null;
            compiled.Add(layout);
        }

        return compiled;
    }

    private async Task<CompiledTemplate?> TemplateAsync(IQuerySession session, string key, int version, CancellationToken cancellation)
    {
        if (templates.TryGetValue((key, version), out var known))
            return known;
        return await FindAsync<TemplateDefined>(session, Template.KeyOf(key), version, e => e.Version, cancellation) is { } defined
            ? Compiled(key, version, defined.Definition)
            : null;
    }

    private CompiledTemplate? Compiled(string key, int version, TemplateDefinition definition)
    {
        if (templates.TryGetValue((key, version), out var known))
            return known;
        if (CompiledTemplate.Compile(definition).Template is not { } compiled)
            return null;
        if (templates.Count >= MostKept)
            templates.Clear();
        return templates[(key, version)] = compiled;
    }

    private async Task<CompiledLayout?> LayoutAsync(IQuerySession session, PinnedLayout pin, CancellationToken cancellation)
    {
        if (layouts.TryGetValue((pin.Key, pin.Version), out var known))
            return known;
        return await FindAsync<LayoutDefined>(session, Layout.KeyOf(pin.Key), pin.Version, e => e.Version, cancellation) is { } defined
            ? Compiled(pin, defined.Definition)
            : null;
    }

    private CompiledLayout? Compiled(PinnedLayout pin, LayoutDefinition definition)
    {
        if (layouts.TryGetValue((pin.Key, pin.Version), out var known))
            return known;
        if (CompiledLayout.Compile(definition).Layout is not { } compiled)
            return null;
        if (layouts.Count >= MostKept)
            layouts.Clear();
        return layouts[(pin.Key, pin.Version)] = compiled;
    }

    // The version of a definition is at most its place in the stream: only other events are between.
    private static async Task<T?> FindAsync<T>(
        IQuerySession session,
        string stream,
        int version,
        Func<T, int> versionOf,
        CancellationToken cancellation
    )
        where T : class
    {
        for (long from = version; ; )
        {
            var page = await StoredEvents.ReadAsync(
                session,
                "stream_id = $1 and version >= $2 order by version limit 8",
                [stream, from],
                cancellation
            );
            if (page.Count == 0)
                return null;
            if (page.Select(e => e.Data).OfType<T>().FirstOrDefault(d => versionOf(d) >= version) is { } found)
                return versionOf(found) == version ? found : null;
            from = page[^1].Version + 1;
        }
    }
}
