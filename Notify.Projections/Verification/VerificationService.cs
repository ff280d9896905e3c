namespace Notify.Projections.Verification;

using Marten;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Notify.Infrastructure.Hosting;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>
/// Verifies the streams with new events, once an hour, in one host at a time. Streams with faults are checked again in each run, so that an
/// alert stays open while its fault exists.
/// </summary>
/// <remarks>
/// A run begins at the position of the run before the last: an event whose transaction was open when a run read its position
/// is checked by the next one. Setting: <c>Notify:Verification:Interval</c> (01:00:00; 00:00:00: never).
/// </remarks>
public sealed class VerificationService(
    Verifier verifier,
    NpgsqlDataSource database,
    IConfiguration configuration,
    TimeProvider clock,
    ILogger<VerificationService> log
) : BackgroundService
{
    private static readonly TimeSpan Pause = TimeSpan.FromMinutes(1);
    private readonly TimeSpan interval = Interval(configuration);

    /// <summary>Reads the setting.</summary>
    public static TimeSpan Interval(IConfiguration configuration) =>
        configuration.GetValue("Notify:Verification:Interval", TimeSpan.FromHours(1));

    /// <summary>Verifies if it is time, and no other host does.</summary>
    /// <returns>The result; <c>null</c>: it is not time, or another host verifies.</returns>
    public async Task<VerificationResult?> VerifyAsync(CancellationToken cancellation)
    {
        List<VerificationRun> last;
        await using (var connection = await database.OpenConnectionAsync(cancellation))
            last = await VerificationTable.ListAsync(connection, null, 3, cancellation, isAutomatic: true);
        var now = clock.GetUtcNow();
        if (last.Count > 0 && last[0].StartedAt + interval > now && last[0].StartedAt <= now)
            return null;
        var ended = last.Where(r => r.Position is not null).ToList();
        var since = ended.Count > 1 ? ended[1].Position!.Value : 0;
        if (await VerificationTable.BeginAsync(database, isAutomatic: true, since, now, cancellation) is not { } id)
            return null;
        string[] again =
        [
            .. ended
                .Take(1)
                .SelectMany(r => r.Faults)
                .Where(f => CanBeRepaired(f.Kind))
                .Select(f => f.Stream)
                .Distinct(StringComparer.Ordinal),
        ];
        var result = await verifier.VerifyAsync(
            new VerificationScope(since, since == 0 ? null : again),
            cancellation,
            progress: () => VerificationTable.BeatAsync(database, id, clock.GetUtcNow(), cancellation)
        );
        await VerificationTable.EndAsync(database, id, result, clock.GetUtcNow(), cancellation);
        foreach (var fault in result.Faults)
            log.LogError("FAULT {Fault}", fault);
        return result;
    }

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (interval <= TimeSpan.Zero)
            return;
        using var timer = new PeriodicTimer(interval < Pause ? interval : Pause, clock);
        while (await timer.NextAsync(stoppingToken))
        {
            try
            {
                await VerifyAsync(stoppingToken);
            }
            catch (Exception e)
            {
                if (stoppingToken.IsCancellationRequested)
                    return;
                if (DatabaseFaults.IsPassing(e))
                    log.LogWarning("The verification was interrupted ({Reason}); it is repeated.", e.Message.Split('\n')[0]);
                else
                    log.LogError(e, "The verification failed; it is repeated.");
            }
        }
    }

    // Faults of rows are found again in every run; double sends cannot be repaired, and are reported once.
    private static bool CanBeRepaired(VerificationFaultKind kind) =>
        kind
            is not (
                VerificationFaultKind.ClaimOverdue
                or VerificationFaultKind.UnknownOverdue
                or VerificationFaultKind.RowWithoutStream
                or VerificationFaultKind.BroadcastIncomplete
                or VerificationFaultKind.DoubleSend
                or VerificationFaultKind.WithoutCause
            );
}
