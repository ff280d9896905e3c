namespace Notify.Domain.Clients;

/// <summary>The decision which secret makes room for a new one.</summary>
/// <param name="Revoke">The secret that is revoked; <c>null</c>: none has to be.</param>
/// <param name="IsRefused">Whether every secret was used within <see cref="SecretRotation.InUse"/>, and nobody named one.</param>
public sealed record SecretChoice(string? Revoke, bool IsRefused);

/// <summary>Chooses the secret that makes room for a new one: none that was used within a day, unless the caller says so. Pure.</summary>
public static class SecretRotation
{
    /// <summary>A secret that was used within this time is in use.</summary>
    public static readonly TimeSpan InUse = TimeSpan.FromDays(1);

    /// <summary>Chooses the secret that a new one replaces.</summary>
    /// <param name="usedAt">By secret ID: the last use that is known.</param>
    /// <param name="trackedSince">Since when uses are noted; of an older secret nothing is known for a day from then.</param>
    /// <param name="named">The secret that the caller gives up; one of the client's.</param>
    /// <param name="force">Whether the oldest is given up although it is in use.</param>
    public static SecretChoice Choose(
        Client client,
        IReadOnlyDictionary<string, DateTimeOffset> usedAt,
        DateTimeOffset trackedSince,
        string? named,
        bool force,
        DateTimeOffset now
    )
    {
        if (named is not null)
            return new SecretChoice(named, false);
        if (client.Secrets.Count < Client.MaxSecrets)
            return new SecretChoice(null, false);
        var idle = client.Secrets.Where(s => !IsInUse(s)).ToList();
        // The newest that was never used first: nobody may have received it. Then the one that was used longest ago.
        var chosen = idle.Where(s => !usedAt.ContainsKey(s.Id)).MaxBy(s => s.IssuedAt) ?? idle.MinBy(s => usedAt[s.Id]);
        if (chosen is null && force)
            chosen = client.Secrets.MinBy(s => s.IssuedAt);
        return new SecretChoice(chosen?.Id, chosen is null);

        bool IsInUse(ClientSecret secret) =>
            usedAt.TryGetValue(secret.Id, out var used) ? used > now - InUse : secret.IssuedAt < trackedSince && trackedSince > now - InUse;
    }
}
