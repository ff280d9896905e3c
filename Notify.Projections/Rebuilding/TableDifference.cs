namespace Notify.Projections.Rebuilding;

using Npgsql;

/// <summary>How a live table differs from the one that the events make.</summary>
/// <param name="Rows">Rows that there should be.</param>
/// <param name="Missing">Rows that the live table lacks.</param>
/// <param name="Extra">Rows that only the live table has.</param>
/// <param name="Differing">Rows whose values differ.</param>
/// <param name="Keys">Keys of a few of these, with what is wrong.</param>
public sealed record TableDifference(string Table, long Rows, long Missing, long Extra, long Differing, IReadOnlyList<string> Keys)
{
    private const int Shown = 5;

    /// <summary>Rows that are not as they should be.</summary>
    public long Wrong => Missing + Extra + Differing;

    /// <summary>Compares a live table with its copy, as the caller's transaction sees both.</summary>
    public static async Task<TableDifference> FindAsync(
        NpgsqlConnection connection,
        RebuildableProjection projection,
        ProjectedTable table,
        CancellationToken cancellation
    )
    {
        var key = string.Join(", ", table.Key);
        await using var command = new NpgsqlCommand(
            $"""
            with compared as (
                select {key}, case when live.present is null then 'missing' when made.present is null then 'extra' when live.compared is distinct from made.compared then 'differs' end as fault,
                       made.present is not null as made
                from (select {key}, true as present, to_jsonb(t) - $1 as compared from {projection.Schema}.{table.Name} t) live
                full join (select {key}, true as present, to_jsonb(t) - $1 as compared from {projection.Beside}.{table.Name} t) made using ({key}))
            select count(*) filter (where made), count(*) filter (where fault = 'missing'), count(*) filter (where fault = 'extra'), count(*) filter (where fault = 'differs'),
                   array(select concat_ws(' ', {key}, fault) from compared where fault is not null order by 1 limit {Shown})
            from compared
            """,
            connection
        )
        {
            CommandTimeout = 0,
        };
        command.Parameters.Add(new NpgsqlParameter { Value = table.Ignored.ToArray() });
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        await reader.ReadAsync(cancellation);
        return new TableDifference(
            $"{projection.Schema}.{table.Name}",
            reader.GetInt64(0),
            reader.GetInt64(1),
            reader.GetInt64(2),
            reader.GetInt64(3),
            reader.GetFieldValue<string[]>(4)
        );
    }
}
