namespace Notify.Projections.Rebuilding;

using JasperFx.Events;
using Marten;
using Npgsql;

/// <summary>A table of a read model.</summary>
/// <param name="Name">Its name, the same in the live and in the shadow schema.</param>
/// <param name="Key">The columns of its key.</param>
/// <param name="Ignored">Columns that describe the writing, not its content.</param>
public sealed record ProjectedTable(string Name, IReadOnlyList<string> Key, IReadOnlyList<string> Ignored);

/// <summary>A read model that can be rebuilt from the events in shadow tables.</summary>
/// <param name="name">What <c>rebuild</c> calls it.</param>
/// <param name="shard">The row of its progress in <c>mt_event_progression</c>.</param>
/// <param name="schema">Where the live tables are.</param>
/// <param name="tables">Its tables.</param>
public abstract class RebuildableProjection(string name, string shard, string schema, IReadOnlyList<ProjectedTable> tables)
{
    /// <summary>What <c>rebuild</c> calls it.</summary>
    public string Name { get; } = name;

    /// <summary>The row of its progress.</summary>
    public string Shard { get; } = shard;

    /// <summary>Where the live tables are.</summary>
    public string Schema { get; } = schema;

    /// <summary>Where the tables are built.</summary>
    public string Beside { get; } = $"rebuild_{name.Replace('-', '_')}";

    /// <summary>Its tables.</summary>
    public IReadOnlyList<ProjectedTable> Tables { get; } = tables;

    /// <summary>
    /// Writes the changes of a page of events to the shadow tables, in the caller's transaction; pages come in order, from the first
    /// event on.
    /// </summary>
    public abstract Task ApplyAsync(
        IQuerySession session,
        NpgsqlTransaction transaction,
        IReadOnlyList<IEvent> events,
        CancellationToken cancellation
    );
}
