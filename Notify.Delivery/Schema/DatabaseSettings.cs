namespace Notify.Delivery.Schema;

using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>The settings of the database that the promises depend on, as a host's sessions have them.</summary>
/// <param name="Times">Time-outs by name, in milliseconds; 0: none. One that this version of PostgreSQL does not have is missing.</param>
/// <param name="SynchronousCommit"><c>synchronous_commit</c>.</param>
/// <param name="SynchronousStandbys"><c>synchronous_standby_names</c>.</param>
/// <param name="Standbys">Standbys that are connected.</param>
/// <param name="IsTcp">Whether the session uses TCP.</param>
/// <param name="Role">The role's name.</param>
/// <param name="IsSuperuser">Whether the role is superuser.</param>
/// <param name="IsOwner">Whether the role owns the schemas, by itself or through another role.</param>
public sealed record DatabaseSettings(
    IReadOnlyDictionary<string, long> Times,
    string SynchronousCommit,
    string SynchronousStandbys,
    int Standbys,
    bool IsTcp,
    string Role,
    bool IsSuperuser = false,
    bool IsOwner = false
)
{
    // The longest statements of a host take so long on a large database.
    private const long MinStatement = 30_000,
        MinTransaction = 60_000,
        MinLock = 1_000,
        MinIdle = 1_000,
        MinSession = 300_000;

    private static readonly string[] Names =
    [
        "statement_timeout",
        "transaction_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
        "idle_session_timeout",
        "client_connection_check_interval",
        "tcp_keepalives_idle",
        "tcp_user_timeout",
    ];

    /// <summary>Reads them.</summary>
    public static async Task<DatabaseSettings> ReadAsync(NpgsqlDataSource database, CancellationToken cancellation)
    {
        await using var connection = await database.OpenConnectionAsync(cancellation);
        await using var batch = new NpgsqlBatch(connection) { Timeout = 5 };
        batch.BatchCommands.Add(
            new NpgsqlBatchCommand(
                """
                select name, setting::bigint * case unit when 's' then 1000 when 'min' then 60000 else 1 end from pg_settings
                where name = any($1)
                """
            )
            {
                Parameters = { new NpgsqlParameter { Value = Names } },
            }
        );
        // A consumer of logical changes is no standby, and neither is a copy in the making.
        batch.BatchCommands.Add(
            new NpgsqlBatchCommand(
                """
                select current_setting('synchronous_commit'), current_setting('synchronous_standby_names'), current_user::text,
                       inet_client_addr() is not null,
                       (select count(*) from pg_stat_replication r where r.state is distinct from 'backup'
                        and not exists (select from pg_replication_slots s where s.active_pid = r.pid and s.slot_type = 'logical')),
                       (select rolsuper from pg_roles where rolname = current_user),
                       exists (select from pg_namespace where nspname in ('events', 'notify') and pg_has_role(nspowner, 'usage'))
                """
            )
        );
        await using var reader = await batch.ExecuteReaderAsync(cancellation);
        var times = new Dictionary<string, long>(StringComparer.Ordinal);
        while (await reader.ReadAsync(cancellation))
            times[reader.GetString(0)] = reader.GetInt64(1);
        await reader.NextResultAsync(cancellation);
        await reader.ReadAsync(cancellation);
        return new DatabaseSettings(
            times,
            reader.GetString(0),
            reader.GetString(1),
            (int)reader.GetInt64(4),
            reader.GetBoolean(3),
            reader.GetString(2),
            reader.GetBoolean(5),
            reader.GetBoolean(6)
        );
    }

    /// <summary>How a crash or a failover loses commits, and the statement that prevents it; <c>null</c>: it does not. Pure.</summary>
    public string? CommitFault =>
        SynchronousCommit == "off"
            ? $"synchronous_commit is off: a crash of the server loses accepted notifications. {Alter("synchronous_commit", "on")}"
        : Standbys > 0 && (SynchronousCommit == "local" || SynchronousStandbys.Length == 0)
            ? $"There are {Standbys} standbys, none of them synchronous: a failover loses accepted notifications and repeats others. "
                + "Set synchronous_commit to on, and synchronous_standby_names, e.g. with "
                + "alter system set synchronous_standby_names = 'any 1 (*)'."
        : null;

    /// <summary>The powers that the host's role has and does not need; <c>null</c>: none. Pure.</summary>
    /// <param name="host">The host's name, such as <c>notify-api</c>.</param>
    public string? PowerWarning(string host) =>
        !IsSuperuser && !IsOwner
            ? null
            : $"The role {Role} {(IsSuperuser ? "is superuser" : "owns the schemas")}, so this host can change and delete events. "
                + $"Set ConnectionStrings:notify to the role {DatabaseRoles.Of(host)}, and ConnectionStrings:notify_owner for migrate.";

    /// <summary>The faults of the settings, each with the statement that fixes it. Pure.</summary>
    /// <param name="limits">The limits of a host's connections.</param>
    public IReadOnlyList<string> Faults(ConnectionLimits limits)
    {
        var faults = new List<string>();
        TooShort("statement_timeout", MinStatement, "outcomes and claims cannot be written while the database is slow");
        TooShort("transaction_timeout", MinTransaction, "pages of work cannot be committed while the database is slow");
        TooShort("lock_timeout", MinLock, "commits fail that only have to wait for each other");
        TooShort("idle_in_transaction_session_timeout", MinIdle, "a busy host loses its transactions");
        TooShort("idle_session_timeout", MinSession, "connections in the pools are closed while they are kept");
        Missing("idle_in_transaction_session_timeout", limits.IdleInTransaction);
        Missing("client_connection_check_interval", limits.IdleInTransaction);
        if (IsTcp)
            Missing("tcp_keepalives_idle", limits.Keepalive.Idle);
        if (IsTcp)
            Missing("tcp_user_timeout", limits.Unacknowledged);
        if (CommitFault is { } fault)
            faults.Add(fault);
        return faults;

        void TooShort(string name, long least, string consequence)
        {
            if (Times.GetValueOrDefault(name) is > 0 and var time && time < least)
                faults.Add($"{name} is {time} ms: {consequence}. {Alter(name, "0")}");
        }

        void Missing(string name, TimeSpan wanted)
        {
            var most = Math.Max(limits.HostTimeout.TotalMilliseconds, wanted.TotalMilliseconds);
            if (!Times.TryGetValue(name, out var time) || (time > 0 && time <= most))
                return;
            var found = time == 0 ? "not set" : $"{time} ms";
            faults.Add(
                $"{name} is {found}: a host that stops holds its locks for longer than Notify:Takeover. "
                    + Alter(name, $"'{wanted.TotalMilliseconds:0}ms'")
            );
        }
    }

    private string Alter(string name, string value) => $"Set it with alter role \"{Role}\" set {name} = {value}, or in the pooler.";
}
