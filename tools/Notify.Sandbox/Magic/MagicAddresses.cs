namespace Notify.Sandbox.Magic;

using System.Collections.Concurrent;

/// <summary>
/// Email addresses that always meet the same fate, at any domain and any email provider, by what they begin with up to an
/// <c>@</c>, <c>.</c>, <c>+</c> or <c>-</c>: the names of the <see cref="Fate"/>s, and those below.
/// </summary>
public sealed class MagicAddresses
{
    /// <summary>Refused as if it were no address.</summary>
    internal const string Invalid = "invalid";

    /// <summary>A server's error, always.</summary>
    internal const string Failing = "failing";

    /// <summary>Not now: twice per address and subject, then accepted.</summary>
    internal const string Unavailable = "unavailable";

    /// <summary>The connection is broken off and nothing accepted.</summary>
    internal const string Dropped = "dropped";

    /// <summary>Accepted, and the connection is broken off, as with <see cref="Fate.Unknown"/>.</summary>
    internal const string Unanswered = "unanswered";

    /// <summary>As <see cref="Fate.Delivered"/>, and then opened.</summary>
    internal const string Opened = "opened";

    private const int FailuresBeforeSuccess = 2;
    private const int MaximumRemembered = 100_000;

    private static readonly HashSet<string> Words = new(
        [Invalid, Failing, Unavailable, Dropped, Unanswered, Opened, .. Fates.Names],
        StringComparer.Ordinal
    );

    private readonly ConcurrentDictionary<(string, string?), int> _attempts = new();

    /// <summary>The word that an address begins with; null for an ordinary address.</summary>
    public static string? WordOf(string address)
    {
        var end = address.AsSpan().IndexOfAny("@.+-");
        return address[..Math.Max(end, 0)].ToLowerInvariant() is var word && Words.Contains(word) ? word : null;
    }

    /// <summary>An address's fate; null for an ordinary one, and for the words that are none.</summary>
    public static Fate? FateOf(string address) => WordOf(address) is { } word ? Fates.Of(word == Opened ? "delivered" : word) : null;

    /// <summary>Whether a mail to an unavailable address is refused this time.</summary>
    public bool IsStillUnavailable(string address, string? subject)
    {
        if (_attempts.Count >= MaximumRemembered)
            _attempts.Clear();
        return _attempts.AddOrUpdate((address, subject), 1, (_, before) => before + 1) <= FailuresBeforeSuccess;
    }
}
