namespace Notify.Delivery.Privacy;

using Npgsql;

/// <summary>The command <c>rotate-keys</c>.</summary>
public sealed class RotateKeysCommand(
    NpgsqlDataSource database,
    KeyRotation rotation,
    MasterKeyRing ring,
    SubjectKeys keys,
    HostKeys hosts,
    TimeProvider clock,
    TextWriter output
)
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5),
        Poll = TimeSpan.FromMilliseconds(500);

    /// <summary>Runs the steps of a rotation, and says what is left to do.</summary>
    /// <returns>The exit code: 0 when the new key wraps everything.</returns>
    public Task<int> RunAsync(CancellationToken cancellation = default) =>
        ring.Folder is null ? RewrapAsync(cancellation) : RotateAsync(cancellation);

    // With keys in the settings alone, the operator makes and destroys them.
    private async Task<int> RewrapAsync(CancellationToken cancellation)
    {
        var others = ring.Ids.Where(k => k != ring.NamedId).Order(StringComparer.Ordinal).ToList();
        if (others.Count == 0)
        {
            await output.WriteLineAsync(
                "There is one master key, and it is a setting. Set Notify:KeyFolder on all hosts, or give them another key under "
                    + "Notify:MasterKeys and name it with Notify:MasterKey; then run this again."
            );
            return 1;
        }

        await output.WriteLineAsync($"{await keys.RewrapAsync(database, cancellation)} keys wrapped anew.");
        var code = await hosts.RetireAsync(output, cancellation);
        await output.WriteLineAsync(
            $"To destroy the former keys, take {string.Join(" and ", others.Select(SettingOf))} out of every host, and every copy of it. "
                + "Until then erased data can still be read in backups and write-ahead logs by means of it."
        );
        return code;
    }

    private async Task<int> RotateAsync(CancellationToken cancellation)
    {
        await using var alone = await database.OpenConnectionAsync(cancellation);
        if (!await KeyRotationTable.TryLockAsync(alone, cancellation))
        {
            await output.WriteLineAsync("Another rotation is running.");
            return 1;
        }

        try
        {
            var key = await rotation.BeginAsync(cancellation);
            var began = clock.GetTimestamp();
            while (await rotation.FollowAsync(key, cancellation) is { Count: > 0 } waiting)
            {
                if (clock.GetElapsedTime(began) > Patience)
                {
                    await output.WriteLineAsync(
                        $"The new key \"{key}\" does not wrap yet: {string.Join(", ", waiting)}. "
                            + "Give these hosts the same Notify:KeyFolder, and run this again; nothing is lost."
                    );
                    return 1;
                }

                await Task.Delay(Poll, clock, cancellation);
            }

            var rewrapped = await rotation.RewrapAsync(cancellation);
            var stay = await rotation.RetireAsync(key, rewrapped, cancellation);
            await output.WriteLineAsync($"The master key \"{key}\" wraps from now on; {rewrapped} keys wrapped anew.");
            if (stay.Count > 0)
                await output.WriteLineAsync($"Still in use: {string.Join(", ", stay)}. Run this again; nothing is lost.");
            await PrintAsync(await rotation.DestroyAsync(cancellation));
            return stay.Count == 0 ? 0 : 1;
        }
        finally
        {
            await KeyRotationTable.UnlockAsync(alone, cancellation);
        }
    }

    private async Task PrintAsync((IReadOnlyList<string> Destroyed, IReadOnlyList<string> InSettings) ended)
    {
        foreach (var id in ended.Destroyed)
            await output.WriteLineAsync($"The master key \"{id}\" is destroyed.");
        foreach (var id in ended.InSettings)
        {
            await output.WriteLineAsync(
                $"The master key \"{id}\" is a setting: take {SettingOf(id)} out of every host, and destroy every copy of it."
            );
        }
    }

    private static string SettingOf(string id) => $"Notify__MasterKeys__{id}";
}
