namespace Notify.Delivery.Privacy;

using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>A pepper as the database knows it.</summary>
/// <param name="IsInUse">Whether hashes may have been made under it.</param>
/// <param name="IsCurrent">Whether new hashes are made under it.</param>
/// <param name="CurrentSince">When it became current; <c>null</c>: it never was.</param>
public sealed record KnownPepper(string Id, bool IsInUse, bool IsCurrent, DateTimeOffset? CurrentSince);

/// <summary>All peppers that the database knows.</summary>
/// <param name="HasReferences">Whether something is known by a hash under an older pepper than the current one.</param>
public sealed record KnownPeppers(IReadOnlyList<KnownPepper> All, bool HasReferences)
{
    /// <summary>The current one; <c>null</c>: no host has chosen one yet.</summary>
    public string? Current => All.FirstOrDefault(p => p.IsCurrent)?.Id;

    /// <summary>Those in use, the current one first, then from the oldest on.</summary>
    public IEnumerable<string> InUse =>
        All.Where(p => p.IsInUse).OrderByDescending(p => p.IsCurrent).ThenBy(p => p.CurrentSince).Select(p => p.Id);
}

/// <summary>Statements over <c>notify.peppers</c>.</summary>
internal static class PepperTable
{
    /// <summary>Reads all peppers.</summary>
    /// <returns><c>null</c> where the migration that makes the table was not run.</returns>
    public static async Task<KnownPeppers?> LoadAsync(NpgsqlConnection connection, CancellationToken cancellation)
    {
        await using (var find = SqlCommands.Create(connection, "select to_regclass('notify.peppers') is not null"))
        {
            if (await find.ExecuteScalarAsync(cancellation) is not true)
                return null;
        }

        await using var command = SqlCommands.Create(
            connection,
            """
            select id, in_use, is_current, current_since, (select exists (select from notify.hash_references)) from notify.peppers
            order by current_since nulls last, id
            """
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var (all, hasReferences) = (new List<KnownPepper>(), false);
        while (await reader.ReadAsync(cancellation))
        {
            all.Add(
                new KnownPepper(
                    reader.GetString(0),
                    reader.GetBoolean(1),
                    reader.GetBoolean(2),
                    reader.IsDBNull(3) ? null : reader.GetFieldValue<DateTimeOffset>(3)
                )
            );
            hasReferences = reader.GetBoolean(4);
        }

        return new KnownPeppers(all, hasReferences);
    }

    /// <summary>Brings a pepper into use: hashes are looked up under it, and not made yet. The caller holds the lock of starting
    /// hosts.</summary>
    public static async Task UseAsync(NpgsqlConnection connection, string id, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(
            connection,
            "insert into notify.peppers (id, in_use) values ($1, true) on conflict do nothing",
            id
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Makes a pepper current; the one before stays in use. The caller holds the lock of starting hosts.</summary>
    public static async Task SwitchAsync(NpgsqlConnection connection, string id, CancellationToken cancellation)
    {
        await using (
            var before = SqlCommands.Create(connection, "update notify.peppers set is_current = false where is_current and id <> $1", id)
        )
            await before.ExecuteNonQueryAsync(cancellation);
        await using var command = SqlCommands.Create(
            connection,
            """
            insert into notify.peppers (id, in_use, is_current, current_since) values ($1, true, true, now())
            on conflict (id) do update set in_use = true, is_current = true, current_since = now()
            """,
            id
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>Marks a pepper as no longer in use, with what only it leads to.</summary>
    public static async Task RetireAsync(NpgsqlConnection connection, string id, CancellationToken cancellation)
    {
        await using (
            var command = SqlCommands.Create(
                connection,
                "update notify.peppers set in_use = false, retired_at = now() where id = $1 and not is_current",
                id
            )
        )
            await command.ExecuteNonQueryAsync(cancellation);
        await using var references = SqlCommands.Create(connection, "delete from notify.hash_references where pepper = $1", id);
        references.CommandTimeout = 600;
        await references.ExecuteNonQueryAsync(cancellation);
    }
}
