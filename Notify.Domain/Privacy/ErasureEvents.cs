namespace Notify.Domain.Privacy;

/// <summary>A person was erased: the keys of everything that was kept of them were destroyed.</summary>
/// <remarks>In a stream of its own, <c>e/{erasureId}</c>. Says nothing about the person; a registered user's stream has a
/// <see cref="Recipients.UserErased"/>, too.</remarks>
/// <param name="ErasureId">Random; the erasure log has it, too.</param>
/// <param name="NamedBy">How the person was named: <c>userId</c>, <c>email</c> or <c>phone</c>; <c>replay</c>: by the erasure log.</param>
/// <param name="Users">Registered users who were erased: 0 or 1; of a replay any number.</param>
/// <param name="Keys">Keys that were destroyed.</param>
/// <param name="By">The client that asked; of a replay the name of the host.</param>
public sealed record PersonErased(string ErasureId, string NamedBy, int Users, int Keys, string By, DateTimeOffset At)
{
    /// <summary>The stream key of an erasure.</summary>
    public static string KeyOf(string erasureId) => $"e/{erasureId}";
}

/// <summary>A master key wraps no key any more, and never will again: another one took its place.</summary>
/// <remarks>In the key's own stream, <c>m/{masterKeyId}</c>.</remarks>
/// <param name="MasterKeyId">The key that was replaced.</param>
/// <param name="Successor">The key that wraps now.</param>
/// <param name="Rewrapped">Keys of subjects that were wrapped anew.</param>
/// <param name="By">The host that did it.</param>
public sealed record MasterKeyRetired(string MasterKeyId, string Successor, long Rewrapped, string By, DateTimeOffset At)
{
    /// <summary>The stream key of a master key.</summary>
    public static string KeyOf(string masterKeyId) => $"m/{masterKeyId}";
}

/// <summary>A retired master key was destroyed: nothing that only it wrapped can be read any more.</summary>
/// <param name="MasterKeyId">The key.</param>
/// <param name="By">The host that did it.</param>
public sealed record MasterKeyDestroyed(string MasterKeyId, string By, DateTimeOffset At);
