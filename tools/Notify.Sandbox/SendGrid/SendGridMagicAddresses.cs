using System.Collections.Concurrent;

namespace Notify.Sandbox.SendGrid;

/// <summary>
/// Addresses that always meet the same fate, at any domain, by what they begin with up to an <c>@</c>, <c>.</c>, <c>+</c> or <c>-</c>.
/// </summary>
public sealed class SendGridMagicAddresses
{
    /// <summary>400, as if it were no address.</summary>
    internal const string Invalid = "invalid";

    /// <summary>500, always.</summary>
    internal const string Failing = "failing";

    /// <summary>503 twice per address and subject, then accepted.</summary>
    internal const string Unavailable = "unavailable";

    /// <summary>The connection is broken off and nothing accepted.</summary>
    internal const string Dropped = "dropped";

    /// <summary>Accepted, and the connection is broken off.</summary>
    internal const string Unanswered = "unanswered";

    private const int FailuresBeforeSuccess = 2;
    private const int MaximumRemembered = 100_000;

    private readonly ConcurrentDictionary<(string, string?), int> _attempts = new();

    /// <summary>The fate's name; null for an ordinary address.</summary>
    public static string? FateOf(string address)
    {
        var end = address.AsSpan().IndexOfAny("@.+-");
        return address[..Math.Max(end, 0)].ToLowerInvariant() is var word && word is Invalid or Failing or Unavailable or Dropped or Unanswered ? word : null;
    }

    /// <summary>Whether a mail to an unavailable address is refused this time.</summary>
    public bool IsStillUnavailable(string address, string? subject)
    {
        if (_attempts.Count >= MaximumRemembered)
            _attempts.Clear();
        return _attempts.AddOrUpdate((address, subject), 1, (_, before) => before + 1) <= FailuresBeforeSuccess;
    }
}
