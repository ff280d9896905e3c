namespace Notify.Delivery.Privacy;

using System.Globalization;
using Marten;
using Microsoft.Extensions.Configuration;
using Notify.Domain.Privacy;
using Npgsql;
using SessionOptions = Marten.Services.SessionOptions;

/// <summary>The schedule of master keys.</summary>
/// <param name="Every">How long a key wraps before another one takes its place.</param>
/// <param name="Keep">How long a replaced key is kept, so that backups from before can be read, before it is destroyed.</param>
public sealed record KeyRotationSettings(TimeSpan Every, TimeSpan Keep)
{
    /// <summary>Reads <c>Notify:KeyRotation</c> and <c>Notify:KeyRetention</c>.</summary>
    public static KeyRotationSettings Read(IConfiguration configuration, ICollection<string> faults) =>
        new(
            Span(configuration, "Notify:KeyRotation", TimeSpan.FromDays(30), faults),
            Span(configuration, "Notify:KeyRetention", TimeSpan.FromDays(7), faults)
        );

    private static TimeSpan Span(IConfiguration configuration, string key, TimeSpan otherwise, ICollection<string> faults)
    {
        if (configuration[key] is not { Length: > 0 } text)
            return otherwise;
        if (TimeSpan.TryParse(text, CultureInfo.InvariantCulture, out var span) && span >= TimeSpan.Zero)
            return span;
        faults.Add($"{key} is \"{text}\"; give a time such as 30.00:00:00");
        return otherwise;
    }
}

/// <summary>
/// Puts a new master key in the place of the one that wraps, and destroys it when it has been kept long enough. Each step can be
/// repeated: a rotation that was interrupted goes on where it was.
/// </summary>
/// <remarks>
/// The steps: a new file in the key folder; every live host has it and wraps by it; keys under others are wrapped anew; those are retired,
/// and wrap nothing again; after <see cref="KeyRotationSettings.Keep"/> they are destroyed. See docs/adr/0011-wrapping-keys-that-end.md.
/// </remarks>
public sealed class KeyRotation(
    NpgsqlDataSource database,
    IDocumentStore store,
    MasterKeyRing ring,
    SubjectKeys keys,
    HostKeys hosts,
    HostName host,
    KeyRotationSettings settings,
    TimeProvider clock
)
{
    private readonly KeptAnswers answers = new(ring, clock);

    private KeyFolder Folder => ring.Folder ?? throw new InvalidOperationException("Notify:KeyFolder is not set.");

    /// <summary>Whether the newest key has wrapped for as long as it is to, or an earlier rotation was interrupted.</summary>
    public async Task<bool> IsDueAsync(CancellationToken cancellation)
    {
        await using var connection = await database.OpenConnectionAsync(cancellation);
        if (await IsUnfinishedAsync(connection, cancellation))
            return true;
        return settings.Every > TimeSpan.Zero
            && await KeyRotationTable.KnownSinceAsync(connection, ring.NamedId, cancellation) is { } since
            && clock.GetUtcNow() - since >= settings.Every;
    }

    /// <summary>Makes a new key, unless a rotation was interrupted: then the newest one is the new key.</summary>
    /// <returns>The new key's ID.</returns>
    public async Task<string> BeginAsync(CancellationToken cancellation)
    {
        await using var connection = await database.OpenConnectionAsync(cancellation);
        if (!await IsUnfinishedAsync(connection, cancellation))
            Folder.Add(clock.GetUtcNow());
        ring.ReadFolder();
        return ring.NamedId;
    }

    /// <summary>Announces the new key, and looks whether every live host wraps by it.</summary>
    /// <returns>The hosts that do not yet, each with the reason.</returns>
    public async Task<IReadOnlyList<string>> FollowAsync(string key, CancellationToken cancellation)
    {
        await hosts.BeatAsync(cancellation);
        await using var connection = await database.OpenConnectionAsync(cancellation);
        return await KeyRotationTable.NotFollowingAsync(connection, key, hosts.Silence, cancellation);
    }

    /// <summary>Wraps by the new key what others wrap.</summary>
    /// <returns>How many keys of subjects.</returns>
    public async Task<int> RewrapAsync(CancellationToken cancellation)
    {
        await answers.RewrapAsync(database, cancellation);
        return await keys.RewrapAsync(database, cancellation);
    }

    /// <summary>Retires the other keys: nothing can be wrapped by them again.</summary>
    /// <returns>The keys that stay, since something is wrapped by them or a host wraps by them.</returns>
    public async Task<IReadOnlyList<string>> RetireAsync(string key, long rewrapped, CancellationToken cancellation)
    {
        var stay = new List<string>();
        List<string> others;
        await using (var connection = await database.OpenConnectionAsync(cancellation))
            others = await KeyRotationTable.UnretiredAsync(connection, key, cancellation);
        foreach (var other in others)
        {
            var isRetired = await WithEventAsync(
                other,
                now => new MasterKeyRetired(other, key, rewrapped, host.Name, now),
                (connection, now) => KeyRotationTable.RetireAsync(connection, other, hosts.Silence, now, cancellation),
                cancellation
            );
            if (!isRetired)
                stay.Add(other);
        }

        return stay;
    }

    /// <summary>Destroys the keys that were retired long enough ago.</summary>
    /// <returns>The keys that are destroyed, and those that are settings of a live host and must be taken out there.</returns>
    public async Task<(IReadOnlyList<string> Destroyed, IReadOnlyList<string> InSettings)> DestroyAsync(CancellationToken cancellation)
    {
        var (destroyed, inSettings) = (new List<string>(), new List<string>());
        List<(string Id, bool IsDestroyed, bool IsHad)> retired;
        await using (var connection = await database.OpenConnectionAsync(cancellation))
            retired = await KeyRotationTable.RetiredAsync(connection, clock.GetUtcNow() - settings.Keep, hosts.Silence, cancellation);
        foreach (var (id, isDestroyed, isHad) in retired)
        {
            var isFile = Folder.Has(id);
            if (!isFile && !isDestroyed && (isHad || ring.Has(id)))
                inSettings.Add(id);
            if (isFile || !isDestroyed && !isHad && !ring.Has(id))
            {
                // The file goes after the note: an interruption leaves a file that the next run finds.
                var isNew = await WithEventAsync(
                    id,
                    now => new MasterKeyDestroyed(id, host.Name, now),
                    (connection, now) => KeyRotationTable.DestroyAsync(connection, id, now, cancellation),
                    cancellation
                );
                Folder.Destroy(id);
                if (isNew || isFile)
                    destroyed.Add(id);
            }
        }

        ring.ReadFolder();
        return (destroyed, inSettings);
    }

    private async Task<bool> IsUnfinishedAsync(NpgsqlConnection connection, CancellationToken cancellation)
    {
        ring.ReadFolder();
        if (!Folder.Has(ring.NamedId))
            return false;
        return (await KeyRotationTable.UnretiredAsync(connection, ring.NamedId, cancellation)).Count > 0
            || await KeyRotationTable.KnownSinceAsync(connection, ring.NamedId, cancellation) is null;
    }

    private async Task<bool> WithEventAsync(
        string id,
        Func<DateTimeOffset, object> @event,
        Func<NpgsqlConnection, DateTimeOffset, Task<bool>> change,
        CancellationToken cancellation
    )
    {
        await using var connection = await database.OpenConnectionAsync(cancellation);
        await using var transaction = await connection.BeginTransactionAsync(cancellation);
        var now = clock.GetUtcNow();
        if (!await change(connection, now))
            return false;
        await using var session = store.LightweightSession(SessionOptions.ForTransaction(transaction));
        session.Events.Append(MasterKeyRetired.KeyOf(id), @event(now));
        await session.SaveChangesAsync(cancellation);
        await transaction.CommitAsync(cancellation);
        return true;
    }
}
