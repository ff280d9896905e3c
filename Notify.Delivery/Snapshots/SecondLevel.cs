namespace Notify.Delivery.Snapshots;

using System.Text;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Logging;
using Notify.Delivery.Privacy;
using Notify.Delivery.Telemetry;
using Notify.Domain.Recipients;
using Notify.Infrastructure.Hosting;
using StackExchange.Redis;

/// <summary>
/// Redis as the cache's second level, shared by all hosts. Its entries and their names are encrypted under the master key, and a slow
/// or unavailable Redis is skipped. It may lose entries, or return stale or forged ones: <see cref="Snapshots"/> verifies each.
/// </summary>
public sealed class SecondLevel(IDistributedCache redis, MasterKeyRing ring, TimeProvider clock, ILogger<SecondLevel> log)
    : IDistributedCache
{
    /// <summary>How long an answer is waited for.</summary>
    public static readonly TimeSpan Limit = TimeSpan.FromMilliseconds(50);

    /// <summary>How long Redis is not asked after it did not answer; then one call tries.</summary>
    public static readonly TimeSpan Pause = TimeSpan.FromSeconds(5);

    // Documents of another version of Notify are not read: their fields may have another meaning.
    private static readonly string Shape = $"{typeof(Recipient).Module.ModuleVersionId:N}{typeof(Snapshots).Module.ModuleVersionId:N}";
    private volatile DerivedKey? derived;
    private long asksAgainAt;

    /// <summary>Whether Redis did not answer the last time.</summary>
    public bool IsAway => Volatile.Read(ref asksAgainAt) != 0;

    /// <inheritdoc />
    public async Task<byte[]?> GetAsync(string key, CancellationToken token = default)
    {
        var (answered, opened) = await TryAsync(
            async () =>
            {
                var name = NameOf(key);
                return await redis.GetAsync(name, CancellationToken.None) is { } found
                    ? Aead.Decrypt(Key(), found, Encoding.UTF8.GetBytes(name))
                    : null;
            },
            token
        );
        Telemetry.CountRedisReads(
            !answered ? "failed"
            : opened is null ? "miss"
            : "hit"
        );
        return opened;
    }

    /// <inheritdoc />
    public Task SetAsync(string key, byte[] value, DistributedCacheEntryOptions options, CancellationToken token = default) =>
        TryAsync(
            async () =>
            {
                var name = NameOf(key);
                await redis.SetAsync(name, Aead.Encrypt(Key(), value, Encoding.UTF8.GetBytes(name)), options, CancellationToken.None);
                return true;
            },
            token
        );

    /// <inheritdoc />
    public Task RemoveAsync(string key, CancellationToken token = default) =>
        TryAsync(
            async () =>
            {
                await redis.RemoveAsync(NameOf(key), CancellationToken.None);
                return true;
            },
            token
        );

    /// <inheritdoc />
    public Task RefreshAsync(string key, CancellationToken token = default) => Task.CompletedTask; // nothing expires by not being read

    /// <inheritdoc />
    public byte[]? Get(string key) => GetAsync(key).GetAwaiter().GetResult();

    /// <inheritdoc />
    public void Set(string key, byte[] value, DistributedCacheEntryOptions options) =>
        SetAsync(key, value, options).GetAwaiter().GetResult();

    /// <inheritdoc />
    public void Remove(string key) => RemoveAsync(key).GetAwaiter().GetResult();

    /// <inheritdoc />
    public void Refresh(string key) { }

    // Follows the master key that wraps: entries under another one are not found any more.
    private byte[] Key()
    {
        var (known, master) = (derived, ring.CurrentId);
        if (known?.MasterKey != master)
            derived = known = new DerivedKey(master, ring.Derive(master, "cache"));
        return known.Bytes;
    }

    // A user's ID may say who it is.
    private string NameOf(string key) => ring.Fingerprint("cache", $"{Shape}\n{key}");

    private async Task<(bool Answered, T? Answer)> TryAsync<T>(Func<Task<T>> ask, CancellationToken cancellation)
    {
        if (!MayAsk())
            return (false, default);
        try
        {
            var answer = await ask().WaitAsync(Limit, clock, cancellation);
            if (Interlocked.Exchange(ref asksAgainAt, 0) != 0)
                log.LogInformation("Redis answers again; the cache's second level is used.");
            return (true, answer);
        }
#pragma warning disable CA1031 // Whatever is wrong with Redis, the database has what was asked for.
        catch (Exception e) when (!cancellation.IsCancellationRequested)
#pragma warning restore CA1031
        {
            if (Interlocked.Exchange(ref asksAgainAt, AfterPause()) == 0)
                log.LogWarning("Redis does not answer ({Reason}); the cache does without its second level until it does.", Reason(e));
            return (false, default);
        }
    }

    // The library's own message about a lost connection is a page of its state.
    private static string Reason(Exception e) =>
        e switch
        {
            TimeoutException => $"not within {Limit.TotalMilliseconds:N0} ms",
            RedisConnectionException => "there is no connection",
            _ => e.Message.Split('\n')[0],
        };

    private bool MayAsk()
    {
        var again = Volatile.Read(ref asksAgainAt);
        return again == 0 || (clock.GetTimestamp() >= again && Interlocked.CompareExchange(ref asksAgainAt, AfterPause(), again) == again);
    }

    // By a clock that nobody sets.
    private long AfterPause() => clock.GetTimestamp() + (long)(Pause.TotalSeconds * clock.TimestampFrequency);

    private sealed record DerivedKey(string MasterKey, byte[] Bytes);
}
