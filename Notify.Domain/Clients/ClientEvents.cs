namespace Notify.Domain.Clients;

/// <summary>Whether a client's notifications reach people, or the sandbox alone.</summary>
public enum ClientMode
{
    Live,
    Test,
}

/// <summary>The scopes of a client, named as in the HTTP contract.</summary>
public static class Scopes
{
    public const string Send = "send";
    public const string Recipients = "recipients";
    public const string Templates = "templates";
    public const string Read = "read";
    public const string Audit = "audit";
    public const string Operate = "operate";
    public const string Admin = "admin";

    /// <summary>Every scope there is.</summary>
    public static readonly IReadOnlyList<string> All = [Send, Recipients, Templates, Read, Audit, Operate, Admin];
}

/// <summary>A service may call Notify from now on.</summary>
/// <param name="ClientId">Also its appKey; contains no colon.</param>
/// <param name="AcceptPerSecond">How many notifications of its are accepted a second, on average; 0: any number; <c>null</c>: the
/// installation's default.</param>
/// <param name="AcceptBurst">How many at once; set only where <paramref name="AcceptPerSecond"/> is.</param>
/// <param name="Send">The limits of its scope <c>send</c>; <c>null</c>: <see cref="SendGrant.Ordinary"/>.</param>
public sealed record ClientRegistered(
    string ClientId,
    string Name,
    ClientMode Mode,
    IReadOnlyList<string> Scopes,
    string By,
    DateTimeOffset At,
    int? AcceptPerSecond = null,
    int? AcceptBurst = null,
    SendGrant? Send = null
);

/// <summary>A client may do other things from now on.</summary>
/// <param name="Scopes">All that it may do.</param>
/// <param name="Send">The limits of its scope <c>send</c>; <c>null</c>: <see cref="SendGrant.Ordinary"/>.</param>
public sealed record ClientPowersChanged(IReadOnlyList<string> Scopes, SendGrant? Send, string By, DateTimeOffset At);

/// <summary>A client was given a secret; only its keyed hash is kept.</summary>
/// <param name="Hash">
/// <c>2.{HMAC-SHA-256 under the installation's pepper, over client ID, secret ID and secret, base64url}</c>, before the HMAC the ID of a
/// pepper other than the first; of earlier versions without <c>2.</c>, and over the secret alone.
/// </param>
public sealed record SecretIssued(string SecretId, string Hash, string By, DateTimeOffset At);

/// <summary>A secret was hashed anew under the current pepper, when its client called with it.</summary>
/// <param name="Hash">As in <see cref="SecretIssued"/>.</param>
public sealed record SecretRehashed(string SecretId, string Hash, DateTimeOffset At);

/// <summary>A client's secret counts no more.</summary>
public sealed record SecretRevoked(string SecretId, string By, DateTimeOffset At);

/// <summary>A client may not call any more.</summary>
public sealed record ClientDisabled(string By, DateTimeOffset At);
