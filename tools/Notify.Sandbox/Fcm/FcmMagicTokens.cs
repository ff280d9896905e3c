namespace Notify.Sandbox.Fcm;

using System.Collections.Concurrent;
using Notify.Sandbox.Magic;

/// <summary>
/// Registration tokens that always meet the same fate, by how they begin: <c>dead</c> is 404 UNREGISTERED, <c>bad0</c> 400
/// INVALID_ARGUMENT for <c>message.token</c>, <c>mismatch</c> 403 SENDER_ID_MISMATCH, <c>eeee</c> 500 INTERNAL; <c>quota</c> is 429
/// QUOTA_EXCEEDED and <c>fa11</c> 503 UNAVAILABLE, both twice per token and tag, and accepted from the third attempt on. The
/// <see cref="Fate"/>s' names do what all channels' do: <c>failed</c> is as <c>bad0</c>, <c>bounced</c> as <c>dead</c>.
/// </summary>
public sealed class FcmMagicTokens
{
    private const int FailuresBeforeSuccess = 2;
    private const int MaximumRemembered = 100_000;

    private readonly ConcurrentDictionary<(string Token, string? Tag), int> _attempts = new();

    /// <summary>The token's fate; null if it is an ordinary one.</summary>
    public FcmRejection? Check(string? token, string? tag) =>
        token switch
        {
            null => null,
            _ when FateOf(token) is Fate.Bounced || Begins(token, "dead") => FcmRejection.Unregistered,
            _ when FateOf(token) is Fate.Failed || Begins(token, "bad0") => FcmRejection.BadToken,
            _ when Begins(token, "mismatch") => FcmRejection.SenderIdMismatch,
            _ when Begins(token, "eeee") => FcmRejection.Internal,
            _ when Begins(token, "quota") && Attempt(token, tag) <= FailuresBeforeSuccess => FcmRejection.QuotaExceeded,
            _ when Begins(token, "fa11") && Attempt(token, tag) <= FailuresBeforeSuccess => FcmRejection.Unavailable,
            _ => null,
        };

    /// <summary>The fate that a token names; null for any other.</summary>
    public static Fate? FateOf(string? token) => token is null ? null : Fates.BeginningOf(token);

    private static bool Begins(string token, string fate) => token.StartsWith(fate, StringComparison.OrdinalIgnoreCase);

    private int Attempt(string token, string? tag)
    {
        if (_attempts.Count >= MaximumRemembered)
            _attempts.Clear();
        return _attempts.AddOrUpdate((token, tag), 1, (_, attempts) => attempts + 1);
    }
}
