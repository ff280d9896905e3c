namespace Notify.Delivery.Monitoring;

using Notify.Domain.Channels;
using Notify.Domain.Routing;
using Npgsql;
using NpgsqlTypes;

/// <summary>How all Dispatch hosts treat a provider: a row of <c>notify.provider_states</c>.</summary>
/// <param name="Since">Since when the circuit is so.</param>
/// <param name="Until">While it is open: when the provider is tried again.</param>
/// <param name="Reason">Why the circuit changed last.</param>
/// <param name="Openings">How often it opened in a row.</param>
/// <param name="Factor">The factor of its configured weight, 0.1 to 1.</param>
/// <param name="FactorSince">Since when.</param>
/// <param name="FactorReason">Why the factor changed last.</param>
/// <param name="PausedUntil">The end of the pause that it asked for; no error.</param>
/// <param name="Version">Grows with each change; 0: nothing happened yet.</param>
public sealed record ProviderState(
    string Provider,
    Lane Lane,
    CircuitState Circuit,
    DateTimeOffset Since,
    DateTimeOffset? Until,
    string? Reason,
    int Openings,
    double Factor,
    DateTimeOffset FactorSince,
    string? FactorReason,
    DateTimeOffset? PausedUntil,
    long Version
);

/// <summary>Statements over <c>notify.provider_states</c>.</summary>
public static class ProviderStateTable
{
    /// <summary>Adds rows of providers that have none.</summary>
    public static async Task AddAsync(
        NpgsqlConnection connection,
        IReadOnlyList<(string Provider, Lane Lane)> providers,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        await using var command = Command(
            connection,
            "insert into notify.provider_states (provider, lane, since, factor_since) select p, l, $3, $3 from unnest($1, $2) "
                + "as t(p, l) order by 1 on conflict do nothing",
            providers.Select(p => p.Provider).ToArray(),
            providers.Select(p => (short)p.Lane).ToArray(),
            now
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>All providers' states.</summary>
    public static async Task<List<ProviderState>> ReadAsync(NpgsqlConnection connection, CancellationToken cancellation)
    {
        await using var command = Command(
            connection,
            "select provider, lane, circuit, since, until, reason, openings, factor, factor_since, factor_reason, "
                + "paused_until, version from notify.provider_states"
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var states = new List<ProviderState>();
        while (await reader.ReadAsync(cancellation))
        {
            states.Add(
                new ProviderState(
                    reader.GetString(0),
                    (Lane)reader.GetInt16(1),
                    (CircuitState)reader.GetInt16(2),
                    Time(3)!.Value,
                    Time(4),
                    Text(5),
                    reader.GetInt32(6),
                    reader.GetDouble(7),
                    Time(8)!.Value,
                    Text(9),
                    Time(10),
                    reader.GetInt64(11)
                )
            );
        }

        return states;

        DateTimeOffset? Time(int column) => reader.IsDBNull(column) ? null : reader.GetFieldValue<DateTimeOffset>(column);

        string? Text(int column) => reader.IsDBNull(column) ? null : reader.GetString(column);
    }

    /// <summary>Writes a state if nobody else has changed it since the version that it follows from.</summary>
    /// <param name="state">The state, with that version.</param>
    /// <returns>Whether it was written; then its version is one higher.</returns>
    public static async Task<bool> ChangeAsync(NpgsqlConnection connection, ProviderState state, CancellationToken cancellation)
    {
        await using var command = Command(
            connection,
            """
            update notify.provider_states set circuit = $3, since = $4, until = $5, reason = $6, openings = $7, factor = $8, factor_since = $9, factor_reason = $10, version = version + 1
            where provider = $1 and version = $2
            """,
            state.Provider,
            state.Version,
            (short)state.Circuit,
            state.Since,
            Maybe(state.Until, NpgsqlDbType.TimestampTz),
            Maybe(state.Reason, NpgsqlDbType.Text),
            state.Openings,
            state.Factor,
            state.FactorSince,
            Maybe(state.FactorReason, NpgsqlDbType.Text)
        );
        return await command.ExecuteNonQueryAsync(cancellation) == 1;
    }

    /// <summary>Notes until when a provider asked to be left alone, if that is later than what is known.</summary>
    public static async Task PauseAsync(NpgsqlConnection connection, string provider, DateTimeOffset until, CancellationToken cancellation)
    {
        await using var command = Command(
            connection,
            "update notify.provider_states set paused_until = $2 where provider = $1 and (paused_until is null or paused_until < $2)",
            provider,
            until
        );
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>The providers that are not sent to as usual.</summary>
    public static async Task<HashSet<string>> DivertedAsync(NpgsqlConnection connection, CancellationToken cancellation)
    {
        await using var command = Command(connection, "select provider from notify.provider_states where circuit <> 0");
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var providers = new HashSet<string>(StringComparer.Ordinal);
        while (await reader.ReadAsync(cancellation))
            providers.Add(reader.GetString(0));
        return providers;
    }

    private static NpgsqlParameter Maybe(object? value, NpgsqlDbType type) => new() { Value = value ?? DBNull.Value, NpgsqlDbType = type };

    private static NpgsqlCommand Command(NpgsqlConnection connection, string sql, params ReadOnlySpan<object> parameters)
    {
        var command = new NpgsqlCommand(sql, connection);
        foreach (var p in parameters)
            command.Parameters.Add(p as NpgsqlParameter ?? new NpgsqlParameter { Value = p });
        return command;
    }
}
