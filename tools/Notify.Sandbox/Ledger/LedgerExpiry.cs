namespace Notify.Sandbox.Ledger;

/// <summary>How long an entry of the ledger is kept; zero: until there is no room.</summary>
public sealed record LedgerAge(TimeSpan TimeToLive);

/// <summary>Drops entries of the ledger whose time has passed, in memory and on disk.</summary>
public sealed class LedgerExpiry(RequestLedger ledger, LedgerAge age, TimeProvider time) : BackgroundService
{
    private static readonly TimeSpan Longest = TimeSpan.FromMinutes(1),
        Shortest = TimeSpan.FromMilliseconds(100);

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (age.TimeToLive <= TimeSpan.Zero)
            return;

        var pause = age.TimeToLive / 10;
        using var timer = new PeriodicTimer(
            pause > Longest ? Longest
                : pause < Shortest ? Shortest
                : pause,
            time
        );
        try
        {
            do ledger.Expire(time.GetUtcNow());
            while (await timer.WaitForNextTickAsync(stoppingToken));
        }
        catch (OperationCanceledException)
        {
            // The server ends.
        }
    }
}
