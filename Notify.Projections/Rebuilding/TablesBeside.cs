namespace Notify.Projections.Rebuilding;

using Npgsql;

/// <summary>Empty copies of live tables, in a schema of their own: the same columns, keys, indexes, comments and rights, under the same
/// names.</summary>
public static class TablesBeside
{
    /// <summary>Makes the copies. Those of an interrupted rebuild are dropped first.</summary>
    public static async Task CreateAsync(NpgsqlConnection connection, RebuildableProjection projection, CancellationToken cancellation)
    {
        await ExecuteAsync(
            connection,
            $"drop schema if exists {projection.Beside} cascade; create schema {projection.Beside}",
            cancellation
        );
        foreach (var table in projection.Tables)
        {
            foreach (var statement in await StatementsAsync(connection, projection, table, cancellation))
                await ExecuteAsync(connection, statement, cancellation);
        }
    }

    /// <summary>Views and the like that others have made over the live tables; they would keep these from being replaced.</summary>
    public static async Task<IReadOnlyList<string>> DependentsAsync(
        NpgsqlConnection connection,
        RebuildableProjection projection,
        CancellationToken cancellation
    )
    {
        await using var command = new NpgsqlCommand(
            """
            select distinct r.ev_class::regclass::text from pg_depend d join pg_rewrite r on r.oid = d.objid
            where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass and r.ev_class <> d.refobjid
              and d.refobjid in (select oid from pg_class where relnamespace = $1::regnamespace and relname = any($2))
            """,
            connection
        );
        command.Parameters.Add(new NpgsqlParameter { Value = projection.Schema });
        command.Parameters.Add(new NpgsqlParameter { Value = projection.Tables.Select(t => t.Name).ToArray() });
        return await TextsAsync(command, cancellation);
    }

    /// <summary>Replaces the live tables by the copies, in the caller's transaction: readers see either the old or the new ones.</summary>
    public static async Task ReplaceAsync(
        NpgsqlConnection connection,
        RebuildableProjection projection,
        TimeSpan patience,
        CancellationToken cancellation
    )
    {
        await ExecuteAsync(connection, $"set local lock_timeout = '{(int)patience.TotalMilliseconds}ms'", cancellation);
        var live = string.Join(", ", projection.Tables.Select(t => $"{projection.Schema}.{t.Name}"));
        var made = await MadeAsync(connection, projection, cancellation);
        await ExecuteAsync(connection, $"lock table {live} in access exclusive mode", cancellation);
        await ExecuteAsync(connection, $"drop table {live}", cancellation);
        foreach (var table in made)
            await ExecuteAsync(connection, $"alter table {table} set schema {projection.Schema}", cancellation);
        await ExecuteAsync(connection, $"drop schema {projection.Beside} cascade", cancellation);
    }

    // The copies, with their partitions.
    private static async Task<List<string>> MadeAsync(
        NpgsqlConnection connection,
        RebuildableProjection projection,
        CancellationToken cancellation
    )
    {
        await using var command = new NpgsqlCommand(
            "select format('%I.%I', $1, relname) from pg_class where relnamespace = $1::regnamespace and relkind in ('r', 'p')",
            connection
        );
        command.Parameters.Add(new NpgsqlParameter { Value = projection.Beside });
        return await TextsAsync(command, cancellation);
    }

    /// <summary>Runs a statement.</summary>
    public static async Task ExecuteAsync(NpgsqlConnection connection, string sql, CancellationToken cancellation)
    {
        await using var command = new NpgsqlCommand(sql, connection) { CommandTimeout = 0 };
        await command.ExecuteNonQueryAsync(cancellation);
    }

    // The live table's own catalogue entries, as statements for its copy.
    private static async Task<List<string>> StatementsAsync(
        NpgsqlConnection connection,
        RebuildableProjection projection,
        ProjectedTable table,
        CancellationToken cancellation
    )
    {
        await using var command = new NpgsqlCommand(
            """
            with named as (select format('%I.%I', $1::text, $3::text)::regclass as oid),
            live as (
                select c.*, format('%I.%I', $2, c.relname) as copy, format('%I.%I', $2, $3) as parent,
                       coalesce(' with (' || array_to_string(c.reloptions, ', ') || ')', '') as options,
                       case when c.relkind = 'p' then ' partition by ' || pg_get_partkeydef(c.oid) else '' end as partitioning
                from pg_class c
                where c.oid = (select oid from named)
                   or c.oid in (select inhrelid from pg_inherits where inhparent = (select oid from named)))
            select statement from (
                select 1 as step,
                       format('create table %s (like %s including all excluding indexes)%s%s', copy, oid::regclass, partitioning, options)
                           as statement
                from live where not relispartition
                union all select 2, regexp_replace(pg_get_indexdef(i.indexrelid), ' ON .*? USING ', ' ON ' || copy || ' USING ')
                from live join pg_index i on i.indrelid = live.oid
                where not relispartition and not exists (select from pg_constraint k where k.conindid = i.indexrelid)
                union all select 3, format('create table %s partition of %s %s%s', copy, parent, pg_get_expr(relpartbound, oid), options)
                from live where relispartition
                union all select 4, format('alter table %s add constraint %I %s', copy, k.conname, pg_get_constraintdef(k.oid))
                from live join pg_constraint k on k.conrelid = live.oid where k.contype in ('p', 'u')
                union all select 5, format('comment on table %s is %L', copy, obj_description(oid, 'pg_class'))
                from live where obj_description(oid, 'pg_class') is not null
                union all select 6, format('grant %s on %s to %s', a.privilege_type, copy,
                    case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end)
                from live cross join aclexplode(live.relacl) a where a.grantee <> live.relowner) s
            order by step
            """,
            connection
        );
        foreach (var value in new[] { projection.Schema, projection.Beside, table.Name })
            command.Parameters.Add(new NpgsqlParameter { Value = value });
        return await TextsAsync(command, cancellation);
    }

    private static async Task<List<string>> TextsAsync(NpgsqlCommand command, CancellationToken cancellation)
    {
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var texts = new List<string>();
        while (await reader.ReadAsync(cancellation))
            texts.Add(reader.GetString(0));
        return texts;
    }
}
