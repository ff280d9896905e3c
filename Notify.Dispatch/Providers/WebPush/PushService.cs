namespace Notify.Dispatch.Providers.WebPush;

using System.Collections.Concurrent;
using System.Security.Cryptography;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;
using Notify.Domain.Notifications;

/// <summary>The push services that subscriptions have named so far, by origin; there is one for each browser vendor.</summary>
/// <param name="publicKey">The VAPID public key, base64url.</param>
/// <param name="concurrency">Calls under way at once, over all of them.</param>
public sealed class PushServices(ECDsa key, string publicKey, string subject, int concurrency, TimeProvider clock)
{
    // Anybody can register a subscription at an origin of their own; the state kept of each is small, and bounded.
    private const int MaxKept = 1000;

    private readonly ConcurrentDictionary<string, PushService> services = new(StringComparer.Ordinal);
    private readonly SigningCredentials credentials = new(new ECDsaSecurityKey(key), SecurityAlgorithms.EcdsaSha256);
    private readonly Lock signing = new();

    /// <summary>The service of a subscription's endpoint.</summary>
    public PushService Of(Uri endpoint)
    {
        var origin = endpoint.GetComponents(UriComponents.SchemeAndServer, UriFormat.UriEscaped);
        if (services.TryGetValue(origin, out var known))
            return known;
        if (services.Count >= MaxKept)
        {
            foreach (var (idle, service) in services)
            {
                if (service.IsIdle)
                    services.TryRemove(idle, out _);
            }
        }

        return services.GetOrAdd(origin, o => new PushService(expires => Sign(o, expires), Math.Max(1, concurrency / 4), clock));
    }

    // RFC 8292, sections 2 and 3.
    private string Sign(string origin, DateTimeOffset expires)
    {
        lock (signing)
        {
            var token = new JsonWebTokenHandler { SetDefaultTimesOnTokenCreation = false }.CreateToken(
                new SecurityTokenDescriptor
                {
                    Audience = origin,
                    Expires = expires.UtcDateTime,
                    Claims = new Dictionary<string, object> { [JwtRegisteredClaimNames.Sub] = subject },
                    SigningCredentials = credentials,
                }
            );
            return $"vapid t={token}, k={publicKey}";
        }
    }
}

/// <summary>One push service: the token that it is shown, and how it has been answering.</summary>
/// <param name="sign">Makes the <c>Authorization</c> header with an expiry.</param>
/// <param name="share">The calls that it may occupy while it does not answer.</param>
public sealed class PushService(Func<DateTimeOffset, string> sign, int share, TimeProvider clock)
{
    /// <summary>How long an acceptance speaks for the token when a later call is refused.</summary>
    public static readonly TimeSpan Trusted = TimeSpan.FromMinutes(10);

    // A token is good for 6 to 12 hours, ending on a grid; push services allow 24.
    private static readonly TimeSpan Grid = TimeSpan.FromHours(6);

    private readonly Lock gate = new();
    private (DateTimeOffset Expires, string Header) token;
    private DateTimeOffset acceptedAt = DateTimeOffset.MinValue;
    private int underWay;
    private volatile bool isSilent;

    /// <summary>Whether no call is under way.</summary>
    public bool IsIdle => Volatile.Read(ref underWay) == 0;

    /// <summary>Whether it accepted something lately with the token that it is shown.</summary>
    public bool AcceptedLately
    {
        get
        {
            lock (gate)
                return clock.GetUtcNow() - acceptedAt < Trusted;
        }
    }

    /// <summary>The <c>Authorization</c> header's value.</summary>
    public string Authorization()
    {
        var now = clock.GetUtcNow();
        var expires = new DateTimeOffset(now.Ticks - (now.Ticks % Grid.Ticks), TimeSpan.Zero) + (2 * Grid);
        lock (gate)
        {
            if (token.Expires != expires)
                token = (expires, sign(expires));
            return token.Header;
        }
    }

    /// <summary>
    /// Begins a call, unless the service does not answer and already occupies its share of calls: the others are for services
    /// that do answer.
    /// </summary>
    public bool TryEnter()
    {
        if (Interlocked.Increment(ref underWay) <= share || !isSilent)
            return true;
        Interlocked.Decrement(ref underWay);
        return false;
    }

    /// <summary>Ends a call.</summary>
    public void Leave(AttemptOutcome? outcome)
    {
        Interlocked.Decrement(ref underWay);
        if (outcome is AttemptOutcome.NotSent)
            return; // it was not called
        isSilent =
            outcome
                is null
                    or AttemptOutcome.Unknown { Reason: not Reasons.UnreadableAnswer }
                    or AttemptOutcome.Retry { Reason: Reasons.ConnectionLost };
        if (outcome is not AttemptOutcome.Accepted)
            return;
        lock (gate)
            acceptedAt = clock.GetUtcNow();
    }
}
