namespace Notify.Sandbox.WebPush;

using System.Buffers.Text;
using System.Collections.Concurrent;
using System.Security.Cryptography;
using Notify.Sandbox.Magic;

/// <summary>A subscription that the sandbox made in a browser's place, private key included.</summary>
/// <param name="ApplicationServerKey">The only VAPID key that may send to it, base64url; null lets any.</param>
public sealed record Subscription(
    string Id,
    ECDiffieHellman PrivateKey,
    byte[] PublicKey,
    byte[] Authentication,
    string? ApplicationServerKey
)
{
    /// <summary>How often a message with a topic has been tried.</summary>
    public ConcurrentDictionary<string, int> Attempts { get; } = new(StringComparer.Ordinal);
}

/// <summary>
/// The subscriptions, until the sandbox ends. An ID begins with its fate, if it has one:
/// <c>gone-</c> is 410, <c>notfound-</c> 404, <c>toolarge-</c> 413, <c>failing-</c> 500, <c>moved-</c> 307 to another address;
/// <c>throttled-</c> is 429 with <c>Retry-After: 1</c> twice per topic, then accepted; <c>lost-</c> is accepted, and the
/// first answer per topic is lost. The <see cref="Fate"/>s' names do what all channels' do: <c>failed-</c> is 400, <c>bounced-</c> 410.
/// </summary>
public sealed class Subscriptions
{
    /// <summary>The fates that a subscription can be made with.</summary>
    public static readonly IReadOnlyList<string> Fates =
    [
        .. Magic.Fates.Names,
        "gone",
        "notfound",
        "toolarge",
        "failing",
        "moved",
        "throttled",
        "lost",
    ];

    private const int MaximumKept = 100_000;
    private const int RefusalsBeforeSuccess = 2;

    private readonly ConcurrentDictionary<string, Subscription> _subscriptions = new(StringComparer.Ordinal);

    /// <summary>Makes one.</summary>
    public Subscription Create(string? fate, string? applicationServerKey)
    {
        if (_subscriptions.Count >= MaximumKept)
            _subscriptions.Clear();

        var key = ECDiffieHellman.Create(ECCurve.NamedCurves.nistP256);
        var point = key.ExportParameters(includePrivateParameters: false).Q;
        var id = (fate is null ? "" : fate + "-") + Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(16));
        return _subscriptions[id] = new Subscription(
            id,
            key,
            [4, .. point.X!, .. point.Y!],
            RandomNumberGenerator.GetBytes(16),
            applicationServerKey
        );
    }

    /// <summary>One that is known; null for any other.</summary>
    public Subscription? Find(string id) => _subscriptions.GetValueOrDefault(id);

    /// <summary>Returns the forced outcome for a message that is otherwise valid.</summary>
    public static (WebPushRejection? Rejection, bool IsAnswerLost) Check(Subscription subscription, string topic)
    {
        return WordOf(subscription) switch
        {
            "failed" => (WebPushRejection.Refused, false),
            "unknown" => (null, true),
            "gone" or "bounced" => (WebPushRejection.Gone, false),
            "notfound" => (WebPushRejection.NotFound, false),
            "toolarge" => (WebPushRejection.TooLarge, false),
            "failing" => (WebPushRejection.ServerError, false),
            "moved" => (WebPushRejection.Moved, false),
            "throttled" => (Attempt(subscription, topic) <= RefusalsBeforeSuccess ? WebPushRejection.TooManyRequests : null, false),
            "lost" => (null, Attempt(subscription, topic) == 1),
            _ => (null, false),
        };
    }

    /// <summary>Whether its answers take their time.</summary>
    public static bool IsSlow(Subscription subscription) => WordOf(subscription) == "slow";

    private static string WordOf(Subscription subscription) =>
        subscription.Id.IndexOf('-') is > 0 and var dash && subscription.Id[..dash] is var word && Fates.Contains(word) ? word : "";

    private static int Attempt(Subscription subscription, string topic) =>
        subscription.Attempts.AddOrUpdate(topic, 1, (_, attempts) => attempts + 1);
}
