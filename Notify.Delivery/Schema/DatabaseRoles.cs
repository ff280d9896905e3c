namespace Notify.Delivery.Schema;

using System.Reflection;
using System.Security.Cryptography;
using System.Text;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>
/// The database's roles: the owner, which migrates; a writer for each host, which adds events and changes none; and the analysts'
/// reader. A migration makes them and gives them their powers (Roles.sql).
/// </summary>
public static class DatabaseRoles
{
    private static readonly string[] Hosts = ["notify_api", "notify_dispatch", "notify_projections"];

    /// <summary>The role of a host.</summary>
    /// <param name="host">The host's name, such as <c>notify-api</c>.</param>
    public static string Of(string host) => host.Replace('-', '_');

    /// <summary>Makes the roles and gives them their powers; lets a host log in by its connection string.</summary>
    /// <param name="owner">The owner's connections.</param>
    /// <param name="hostConnection">The host's own connection string.</param>
    /// <returns>The steps that an administrator has to take since the owner may not, one line each.</returns>
    public static async Task<IReadOnlyList<string>> ApplyAsync(
        NpgsqlDataSource owner,
        string host,
        string hostConnection,
        CancellationToken cancellation
    )
    {
        await using var connection = await owner.OpenConnectionAsync(cancellation);
        await using (var powers = SqlCommands.Create(connection, Script()))
        {
            powers.CommandTimeout = 0;
            await powers.ExecuteNonQueryAsync(cancellation);
        }

        if (await MissingAsync(connection, cancellation) is { Count: > 0 } missing)
            return missing;
        return await LetInAsync(connection, Of(host), new NpgsqlConnectionStringBuilder(hostConnection), cancellation) is { } refused
            ? [refused]
            : [];
    }

    // Only what is missing is made: in a cluster with several installations, roles and their passwords are shared.
    private static async Task<string?> LetInAsync(
        NpgsqlConnection connection,
        string role,
        NpgsqlConnectionStringBuilder host,
        CancellationToken cancellation
    )
    {
        if (host.Username is not { Length: > 0 } name)
            return null;
        await using var read = SqlCommands.Create(
            connection,
            """
            select current_user::text, coalesce((select rolcanlogin from pg_roles where rolname = $1), false),
                   exists (select from pg_roles where rolname = $1),
                   exists (select from pg_roles where rolname = $1 and pg_has_role(oid, $2, 'usage'))
            """,
            name,
            role
        );
        string user;
        bool canLogin,
            exists,
            isMember;
        await using (var reader = await read.ExecuteReaderAsync(cancellation))
        {
            await reader.ReadAsync(cancellation);
            (user, canLogin, exists, isMember) = (reader.GetString(0), reader.GetBoolean(1), reader.GetBoolean(2), reader.GetBoolean(3));
        }

        if (name == user || (canLogin && isMember))
            return null;
        try
        {
            var password = host.Password is { Length: > 0 } secret ? $" password '{ScramVerifier(secret)}'" : "";
            if (!canLogin)
            {
                await RunAsync(
                    connection,
                    $"select format('{(exists ? "alter" : "create")} role %I login%s', $1, $2)",
                    cancellation,
                    name,
                    password
                );
            }

            if (name != role && !isMember)
                await RunAsync(connection, "select format('grant %I to %I', $1, $2)", cancellation, role, name);
            return null;
        }
        catch (PostgresException e) when (e.SqlState == PostgresErrorCodes.InsufficientPrivilege)
        {
            return $"{user} may not make the role {name}: run as an administrator \"create role {name} login password '...'\" and "
                + $"\"grant {role} to {name}\", then migrate again";
        }
    }

    private static async Task<List<string>> MissingAsync(NpgsqlConnection connection, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(
            connection,
            """
            select current_user::text, h, r.oid is not null,
                   coalesce(pg_has_role(r.oid, 'pg_read_all_stats', 'usage') and pg_has_role(r.oid, 'pg_signal_backend', 'usage'), false)
            from unnest($1) h left join pg_roles r on r.rolname = h order by h
            """,
            (object)Hosts
        );
        var (user, absent, blind) = ("", new List<string>(), new List<string>());
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        while (await reader.ReadAsync(cancellation))
        {
            user = reader.GetString(0);
            if (!reader.GetBoolean(2))
                absent.Add(reader.GetString(1));
            else if (!reader.GetBoolean(3))
                blind.Add(reader.GetString(1));
        }

        var lines = new List<string>();
        if (absent.Count > 0)
            lines.Add(
                $"{user} may not make roles, and all hosts work as the owner until there are some: run as an administrator "
                    + $"\"{string.Join("; ", absent.Select(a => $"create role {a}"))}\", then migrate again"
            );
        if (blind.Count > 0)
            lines.Add(
                "a stopped host's database sessions cannot be ended by the others, and its locks stay: run as an administrator "
                    + $"\"grant pg_read_all_stats, pg_signal_backend to {string.Join(", ", blind)}\""
            );
        return lines;
    }

    private static async Task RunAsync(NpgsqlConnection connection, string format, CancellationToken cancellation, params object[] names)
    {
        await using var build = SqlCommands.Create(connection, format, names);
        await using var run = SqlCommands.Create(connection, (string)(await build.ExecuteScalarAsync(cancellation))!);
        try
        {
            await run.ExecuteNonQueryAsync(cancellation);
        }
        catch (PostgresException e)
            when (e.SqlState is PostgresErrorCodes.DuplicateObject or PostgresErrorCodes.UniqueViolation or PostgresErrorCodes.InternalError
            )
        {
            // A migration of another database of the cluster was faster, or changes the same role now.
        }
    }

    // As PostgreSQL keeps it (RFC 5803), so that the server and its log never see the password.
    private static string ScramVerifier(string password)
    {
        const int Iterations = 4096;
        var salt = RandomNumberGenerator.GetBytes(16);
        var salted = Rfc2898DeriveBytes.Pbkdf2(Encoding.UTF8.GetBytes(password), salt, Iterations, HashAlgorithmName.SHA256, 32);
        var stored = SHA256.HashData(HMACSHA256.HashData(salted, "Client Key"u8));
        var server = HMACSHA256.HashData(salted, "Server Key"u8);
        return $"SCRAM-SHA-256${Iterations}:{Convert.ToBase64String(salt)}"
            + $"${Convert.ToBase64String(stored)}:{Convert.ToBase64String(server)}";
    }

    private static string Script()
    {
        using var reader = new StreamReader(Assembly.GetExecutingAssembly().GetManifestResourceStream("Notify.Delivery.Schema.Roles.sql")!);
        return reader.ReadToEnd();
    }
}
