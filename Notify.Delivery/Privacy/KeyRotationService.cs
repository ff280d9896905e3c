namespace Notify.Delivery.Privacy;

using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Notify.Infrastructure.Hosting;
using Npgsql;

/// <summary>Rotates master keys when it is time, finishes interrupted rotations, and destroys keys that were kept long enough.</summary>
/// <remarks>One host at a time. Without <c>Notify:KeyFolder</c> there is nothing to do.</remarks>
public sealed class KeyRotationService(
    NpgsqlDataSource database,
    KeyRotation rotation,
    MasterKeyRing ring,
    TimeProvider clock,
    ILogger<KeyRotationService> log
) : BackgroundService
{
    private static readonly TimeSpan Poll = TimeSpan.FromMinutes(1);

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (ring.Folder is null)
            return;
        using var timer = new PeriodicTimer(Poll, clock);
        while (await timer.NextAsync(stoppingToken))
        {
            try
            {
                await RunAsync(stoppingToken);
            }
            catch (Exception e)
            {
                if (stoppingToken.IsCancellationRequested)
                    return;
                log.LogWarning("The master keys could not be rotated ({Reason}); it is tried again.", e.Message.Split('\n')[0]);
            }
        }
    }

    /// <summary>Makes the steps that are due.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        await using var alone = await database.OpenConnectionAsync(cancellation);
        if (!await KeyRotationTable.TryLockAsync(alone, cancellation))
            return;
        try
        {
            if (await rotation.IsDueAsync(cancellation))
                await RotateAsync(cancellation);
            foreach (var id in (await rotation.DestroyAsync(cancellation)).Destroyed)
                log.LogInformation("The master key {Key} is destroyed.", id);
        }
        finally
        {
            await KeyRotationTable.UnlockAsync(alone, cancellation);
        }
    }

    // Hosts that do not follow yet are waited for until the next time.
    private async Task RotateAsync(CancellationToken cancellation)
    {
        var key = await rotation.BeginAsync(cancellation);
        if (await rotation.FollowAsync(key, cancellation) is { Count: > 0 } waiting)
        {
            log.LogInformation("The new master key {Key} waits for hosts: {Hosts}.", key, string.Join(", ", waiting));
            return;
        }

        var rewrapped = await rotation.RewrapAsync(cancellation);
        var stay = await rotation.RetireAsync(key, rewrapped, cancellation);
        log.LogInformation(
            "The master key {Key} wraps from now on; {Count} keys wrapped anew; still in use: {Others}.",
            key,
            rewrapped,
            stay.Count == 0 ? "no other" : string.Join(", ", stay)
        );
    }
}
