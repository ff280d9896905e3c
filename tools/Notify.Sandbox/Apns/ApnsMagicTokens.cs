namespace Notify.Sandbox.Apns;

using System.Collections.Concurrent;
using Notify.Sandbox.Magic;

/// <summary>
/// Device tokens that always meet the same fate, by their first four digits:
/// <c>dead</c> is 410 Unregistered as of now, <c>bad0</c> 400 BadDeviceToken, <c>eeee</c> 500 InternalServerError,
/// <c>fa11</c> 503 ServiceUnavailable twice per token and <c>apns-id</c> and accepted from the third attempt on. Of the fates
/// that all channels have, <c>de11</c> is delivered, <c>bad0</c> failed, <c>dead</c> bounced, <c>510e</c> slow, <c>1057</c> unknown.
/// </summary>
public sealed class ApnsMagicTokens
{
    private const int FailuresBeforeSuccess = 2;
    private const int MaximumRemembered = 100_000;

    private readonly ConcurrentDictionary<(string Token, string? MessageId), int> _attempts = new();

    /// <summary>The token's fate; null if it is an ordinary one.</summary>
    public ApnsRejection? Check(string deviceToken, string? requestedMessageId)
    {
        if (deviceToken.StartsWith("dead", StringComparison.OrdinalIgnoreCase))
            return ApnsRejection.Unregistered;
        if (deviceToken.StartsWith("bad0", StringComparison.OrdinalIgnoreCase))
            return ApnsRejection.BadDeviceToken;
        if (deviceToken.StartsWith("eeee", StringComparison.OrdinalIgnoreCase))
            return ApnsRejection.InternalServerError;

        return
            deviceToken.StartsWith("fa11", StringComparison.OrdinalIgnoreCase)
            && Attempt(deviceToken, requestedMessageId) <= FailuresBeforeSuccess
            ? ApnsRejection.ServiceUnavailable
            : null;
    }

    /// <summary>Whether the token belongs to the last of the account's apps (<c>a992</c>); an ordinary one belongs to any.</summary>
    public static bool IsOfLastApp(string deviceToken) => deviceToken.StartsWith("a992", StringComparison.OrdinalIgnoreCase);

    /// <summary>Whether only the development server knows the token (<c>5a9d</c>).</summary>
    public static bool IsOfDevelopment(string deviceToken) => deviceToken.StartsWith("5a9d", StringComparison.OrdinalIgnoreCase);

    /// <summary>The fate of a token that is taken; null for an ordinary one.</summary>
    public static Fate? FateOf(string deviceToken) =>
        deviceToken.AsSpan(0, Math.Min(4, deviceToken.Length)) switch
        {
            "510e" or "510E" => Fate.Slow,
            "1057" => Fate.Unknown,
            _ => null,
        };

    private int Attempt(string deviceToken, string? messageId)
    {
        if (_attempts.Count >= MaximumRemembered)
            _attempts.Clear();
        return _attempts.AddOrUpdate((deviceToken, messageId), 1, (_, attempts) => attempts + 1);
    }
}
