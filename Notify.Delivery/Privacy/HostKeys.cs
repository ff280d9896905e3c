namespace Notify.Delivery.Privacy;

using System.Net.Sockets;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Notify.Delivery.EventStore;
using Notify.Infrastructure.Hosting;
using Npgsql;

/// <summary>
/// Announces which master keys this host has, checks them against those in use, and chooses the one that wraps: the named one as
/// soon as every live host has it. Until then new keys are wrapped so that all of them can unwrap.
/// </summary>
/// <remarks>
/// A key is marked as in use in the transaction that chooses it, under the lock under which a starting host checks its own keys:
/// no host starts without a key that is about to be used. A host that is silent for four times <c>Notify:Takeover</c> is not waited for.
/// </remarks>
public sealed class HostKeys(
    NpgsqlDataSource database,
    MasterKeyRing ring,
    HostName host,
    IConfiguration configuration,
    TimeProvider clock,
    ILogger<HostKeys> log
) : BackgroundService
{
    private readonly Guid id = Guid.NewGuid();
    private readonly TimeSpan beat = TimeSpan.FromMilliseconds(Math.Clamp(configuration.HostTimeout().TotalMilliseconds / 5, 200, 3000));
    private readonly TimeSpan silence = configuration.HostTimeout() * 4;
    private volatile IReadOnlyList<string> missing = [],
        missingPeppers = [];

    /// <summary>How long a host may be silent before it is not waited for.</summary>
    public TimeSpan Silence => silence;

    /// <summary>The master keys that are in use and that this host has not.</summary>
    public IReadOnlyList<string> Missing => missing;

    /// <summary>The peppers that are in use and that this host has not.</summary>
    public IReadOnlyList<string> MissingPeppers => missingPeppers;

    /// <summary>The form of events and rows that this host writes.</summary>
    public StoreFormat Format => ring.Format;

    /// <summary>Announces this host before it starts.</summary>
    /// <returns>The reason why it must not start; <c>null</c> if it may.</returns>
    public async Task<string?> JoinAsync(CancellationToken cancellation = default)
    {
        try
        {
            return await TryJoinAsync(cancellation);
        }
        catch (PostgresException e) when (e.SqlState is PostgresErrorCodes.UndefinedTable or PostgresErrorCodes.UndefinedColumn)
        {
            return null; // not migrated yet: the host becomes ready when it is
        }
    }

    private async Task<string?> TryJoinAsync(CancellationToken cancellation)
    {
        await using var connection = await database.OpenConnectionAsync(cancellation);
        await using var transaction = await connection.BeginTransactionAsync(cancellation);
        await HostKeyTable.LockAsync(connection, cancellation);
        var known = await HostKeyTable.KnownAsync(connection, cancellation);
        var hosts = await HostKeyTable.LiveAsync(connection, silence, cancellation);
        var (needed, _) = await HostKeyTable.FormatAsync(connection, cancellation);
        if (needed > StoreFormat.Reader)
            return StoreFormat.Fault(needed);
        if (HostKeyDecider.FindFault(ring, known, hosts) is { } fault)
            return fault;
        if (await HostPeppers.FindFaultAsync(connection, ring, hosts, cancellation) is { } pepper)
            return pepper;
        foreach (var own in known.Where(k => ring.Has(k.Id) && k is { CheckValue: null, IsInUse: true }))
        {
            if (!await HostKeyTable.UnwrapsAsync(connection, ring, own.Id, cancellation))
                return HostKeyDecider.OtherValue(own.Id);
        }

        await PepperCheck.RecordAsync(connection, ring, cancellation);
        await HostKeyTable.RecordAsync(connection, [.. ring.Ids.Select(k => (k, ring.CheckValueOf(k)))], cancellation);
        await ChooseAsync(connection, hosts, cancellation);
        await FollowFormatAsync(connection, hosts, cancellation);
        await HostPeppers.SwitchAsync(connection, ring, hosts, cancellation);
        await HostKeyTable.AnnounceAsync(connection, id, host.Name, ring, missing, cancellation);
        await transaction.CommitAsync(cancellation);
        return null;
    }

    /// <summary>Compares this host's secrets with those that the database was made with, for a command; announces nothing.</summary>
    /// <param name="records">Whether what is not recorded yet is recorded, as <c>migrate</c> does.</param>
    /// <returns>The reason why the command must not run; <c>null</c> if it may.</returns>
    public async Task<string?> CheckAsync(bool records, CancellationToken cancellation = default)
    {
        try
        {
            await using var connection = await database.OpenConnectionAsync(cancellation);
            await using var transaction = await connection.BeginTransactionAsync(cancellation);
            if (records)
                await HostKeyTable.LockAsync(connection, cancellation);
            var known = await HostKeyTable.KnownAsync(connection, cancellation);
            var live = await HostKeyTable.LiveAsync(connection, silence, cancellation);
            if (HostKeyDecider.FindOtherValue(ring, known, live) is { } other)
                return other;
            if (await HostPeppers.FindFaultAsync(connection, ring, live, cancellation) is { } pepper)
                return pepper;
            await HostPeppers.FollowAsync(connection, ring, cancellation);
            if (records)
                await PepperCheck.RecordAsync(connection, ring, cancellation);
            var (minReader, plainUsers) = await HostKeyTable.FormatAsync(connection, cancellation);
            ring.Format.Follow(minReader, minReader, plainUsers); // commands find users by it; it raises no form
            await transaction.CommitAsync(cancellation);
            return null;
        }
        catch (PostgresException e) when (e.SqlState is PostgresErrorCodes.UndefinedTable or PostgresErrorCodes.UndefinedColumn)
        {
            return null; // not migrated yet: nothing was made with other secrets
        }
    }

    /// <summary>Marks keys that wrap nothing any more as no longer in use, and prints those that stay in use.</summary>
    /// <returns>The exit code.</returns>
    public async Task<int> RetireAsync(TextWriter output, CancellationToken cancellation = default)
    {
        await using var connection = await database.OpenConnectionAsync(cancellation);
        await using var transaction = await connection.BeginTransactionAsync(cancellation);
        await HostKeyTable.LockAsync(connection, cancellation);
        var stay = await HostKeyTable.RetireAsync(connection, ring.CurrentId, silence, cancellation);
        await transaction.CommitAsync(cancellation);
        await output.WriteLineAsync(
            stay.Count == 0
                ? $"Only the master key \"{ring.CurrentId}\" is in use; the others can be taken away."
                : $"Still in use beside \"{ring.CurrentId}\": {string.Join(", ", stay)}. "
                    + "Restart the hosts that wrap with them, and run this again."
        );
        return 0;
    }

    /// <summary>Follows the form that live hosts read, for a command that writes and announces nothing.</summary>
    public async Task FollowFormatAsync(CancellationToken cancellation = default)
    {
        await using var connection = await database.OpenConnectionAsync(cancellation);
        await FollowFormatAsync(connection, await HostKeyTable.LiveAsync(connection, silence, cancellation), cancellation);
    }

    /// <summary>Finds a live host that makes hashes under another pepper.</summary>
    /// <returns>The name of its kind; <c>null</c>: there is none.</returns>
    public async Task<string?> FindOtherPepperAsync(string pepper, CancellationToken cancellation = default)
    {
        await using var connection = await database.OpenConnectionAsync(cancellation);
        var live = await HostKeyTable.LiveAsync(connection, silence, cancellation);
        return live.FirstOrDefault(h => h.PeppersInUse.Count == 0 || h.PeppersInUse[0] != pepper)?.Name;
    }

    /// <summary>Withdraws the announcement.</summary>
    public async Task LeaveAsync(CancellationToken cancellation = default)
    {
        await using var connection = await database.OpenConnectionAsync(cancellation);
        await HostKeyTable.LeaveAsync(connection, id, cancellation);
    }

    /// <inheritdoc />
    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken);
        try
        {
            await LeaveAsync(cancellationToken);
        }
        catch (Exception e) when (e is NpgsqlException or TimeoutException or SocketException or OperationCanceledException)
        {
            log.LogInformation("The host could not withdraw its announcement ({Reason}); others will notice.", e.Message.Split('\n')[0]);
        }
    }

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(beat, clock);
        while (await timer.NextAsync(stoppingToken))
        {
            try
            {
                await BeatAsync(stoppingToken);
            }
            catch (Exception e)
            {
                if (stoppingToken.IsCancellationRequested)
                    return;
                log.LogWarning(
                    "The master keys of this host could not be announced ({Reason}); it is tried again.",
                    e.Message.Split('\n')[0]
                );
            }
        }
    }

    /// <summary>Announces this host again, and follows a change of what the hosts have in common.</summary>
    public async Task BeatAsync(CancellationToken cancellation)
    {
        ReadFolder();
        await using var connection = await database.OpenConnectionAsync(cancellation);
        var before = missing;
        var known = await HostKeyTable.KnownAsync(connection, cancellation);
        missing = [.. known.Where(k => k.IsInUse && !ring.Has(k.Id)).Select(k => k.Id).Order(StringComparer.Ordinal)];
        if (missing.Count > 0 && !missing.SequenceEqual(before))
            log.LogError("{Fault}", HostKeyDecider.Lacks(missing));
        await HostKeyTable.AnnounceAsync(connection, id, host.Name, ring, missing, cancellation);
        var hosts = await HostKeyTable.LiveAsync(connection, silence, cancellation);
        await FollowFormatAsync(connection, hosts, cancellation);
        await FollowPeppersAsync(connection, hosts, cancellation);
        if (HostKeyDecider.Choose(ring.NamedId, HostKeyDecider.Usable(ring, known), hosts) == ring.CurrentId)
            return;

        await using var transaction = await connection.BeginTransactionAsync(cancellation);
        await HostKeyTable.LockAsync(connection, cancellation);
        var (former, chosen) = (
            ring.CurrentId,
            await ChooseAsync(connection, await HostKeyTable.LiveAsync(connection, silence, cancellation), cancellation)
        );
        await transaction.CommitAsync(cancellation);
        if (chosen != former)
            log.LogInformation("The master key {Key} wraps from now on.", chosen);
    }

    // The announcement of a beat names the peppers that the host has followed at the beat before.
    private async Task FollowPeppersAsync(NpgsqlConnection connection, IReadOnlyList<AnnouncedHost> hosts, CancellationToken cancellation)
    {
        if (await HostPeppers.FollowAsync(connection, ring, cancellation) is not { } known)
            return;
        var before = missingPeppers;
        missingPeppers = PepperDecider.Missing(ring.Peppers, known);
        if (missingPeppers.Count > 0 && !missingPeppers.SequenceEqual(before))
            log.LogError("{Fault}", PepperDecider.Lacks(missingPeppers));
        if (!PepperDecider.IsToBeUsed(ring.Peppers, known, hosts) && PepperDecider.Choose(ring.Peppers, known, hosts) is null)
            return;

        await using var transaction = await connection.BeginTransactionAsync(cancellation);
        await HostKeyTable.LockAsync(connection, cancellation);
        var live = await HostKeyTable.LiveAsync(connection, silence, cancellation);
        var chosen = await HostPeppers.SwitchAsync(connection, ring, live, cancellation);
        await transaction.CommitAsync(cancellation);
        if (chosen is not null)
            log.LogInformation("New keyed hashes are made under the pepper {Pepper} from now on.", chosen);
    }

    private void ReadFolder()
    {
        try
        {
            ring.ReadFolder();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            log.LogWarning("Notify:KeyFolder could not be read ({Reason}); this host goes on with the keys that it has.", e.Message);
        }
    }

    private async Task FollowFormatAsync(NpgsqlConnection connection, IReadOnlyList<AnnouncedHost> hosts, CancellationToken cancellation)
    {
        var lowest = hosts.Select(h => h.Reader).Append(StoreFormat.Reader).Min();
        var (minReader, plainUsers) = await HostKeyTable.FormatAsync(connection, cancellation);
        if (ring.Format.Follow(lowest, minReader, plainUsers) is not { } raised)
            return;
        await HostKeyTable.RaiseMinReaderAsync(connection, raised, hosts.Count == 0, cancellation);
        (minReader, plainUsers) = await HostKeyTable.FormatAsync(connection, cancellation);
        ring.Format.Follow(lowest, minReader, plainUsers);
    }

    // In the lock; a key is in use before it is used.
    private async Task<string> ChooseAsync(NpgsqlConnection connection, IReadOnlyList<AnnouncedHost> hosts, CancellationToken cancellation)
    {
        var known = await HostKeyTable.KnownAsync(connection, cancellation);
        if (ring.Folder is not null)
            await HostKeyTable.RecordAsync(connection, [.. ring.Ids.Select(k => (k, ring.CheckValueOf(k)))], cancellation);
        var chosen = HostKeyDecider.Choose(ring.NamedId, HostKeyDecider.Usable(ring, known), hosts) ?? ring.CurrentId;
        await HostKeyTable.UseAsync(connection, chosen, cancellation);
        ring.Use(chosen);
        await HostKeyTable.AnnounceAsync(connection, id, host.Name, ring, missing, cancellation);
        return chosen;
    }
}

/// <summary>The name of this host's kind, such as <c>notify-api</c>.</summary>
public sealed record HostName(string Name);

/// <summary>Whether this host has every master key and every pepper that is in use.</summary>
public sealed class MasterKeyHealth(HostKeys keys) : IHealthCheck
{
    /// <inheritdoc />
    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default) =>
        Task.FromResult(
            keys.Missing is { Count: > 0 } missing ? HealthCheckResult.Unhealthy(HostKeyDecider.Lacks(missing))
            : keys.MissingPeppers is { Count: > 0 } peppers ? HealthCheckResult.Unhealthy(PepperDecider.Lacks(peppers))
            : keys.Format.IsOutdated
                ? HealthCheckResult.Unhealthy("The store holds events and rows of a newer version; this host claims nothing.")
            : HealthCheckResult.Healthy()
        );
}
