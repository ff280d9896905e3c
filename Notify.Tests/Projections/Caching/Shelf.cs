namespace Notify.Tests.Projections.Caching;

using System.Collections.Concurrent;
using Microsoft.Extensions.Caching.Distributed;

/// <summary>A second level that keeps its entries permanently, and can be made to reject writes, to fail and to hang.</summary>
internal sealed class Shelf : IDistributedCache
{
    /// <summary>The entries, by name.</summary>
    public ConcurrentDictionary<string, byte[]> Things { get; } = new();

    /// <summary>Whether it rejects writes, so that its entries become stale.</summary>
    public bool IsFull { get; set; }

    /// <summary>Runs before each answer.</summary>
    public Func<Task> Before { get; set; } = () => Task.CompletedTask;

    /// <summary>How often it was asked.</summary>
    public int Asked { get; private set; }

    public async Task<byte[]?> GetAsync(string key, CancellationToken token = default)
    {
        Asked++;
        await Before();
        return Things.GetValueOrDefault(key);
    }

    public async Task SetAsync(string key, byte[] value, DistributedCacheEntryOptions options, CancellationToken token = default)
    {
        await Before();
        if (!IsFull)
            Things[key] = [.. value];
    }

    public Task RemoveAsync(string key, CancellationToken token = default) => Task.FromResult(Things.TryRemove(key, out _));

    public Task RefreshAsync(string key, CancellationToken token = default) => Task.CompletedTask;

    public byte[]? Get(string key) => throw new NotSupportedException();

    public void Set(string key, byte[] value, DistributedCacheEntryOptions options) => throw new NotSupportedException();

    public void Remove(string key) => throw new NotSupportedException();

    public void Refresh(string key) => throw new NotSupportedException();
}
