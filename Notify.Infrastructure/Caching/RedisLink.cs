namespace Notify.Infrastructure.Caching;

using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Caching.StackExchangeRedis;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using StackExchange.Redis;

/// <summary>
/// The connection to Redis, made and tried at the host's start, and made again by itself; a Redis that is away delays the start
/// by two seconds at most.
/// </summary>
public sealed class RedisLink : IHostedService, IAsyncDisposable
{
    private static readonly TimeSpan StartUp = TimeSpan.FromSeconds(2);
    private readonly Lazy<Task<IConnectionMultiplexer>> connection;
    private readonly TimeProvider clock;

    /// <summary>Connects to nothing yet.</summary>
    public RedisLink(ConfigurationOptions options, TimeProvider clock)
    {
        this.clock = clock;
        connection = new(async () => await ConnectionMultiplexer.ConnectAsync(options));
        Cache = new RedisCache(
            Options.Create(new RedisCacheOptions { InstanceName = "notify:", ConnectionMultiplexerFactory = () => connection.Value })
        );
    }

    /// <summary>The cache in Redis.</summary>
    public IDistributedCache Cache { get; }

    /// <summary>Reads an address as StackExchange.Redis writes it, and lets no call wait for a server that is away.</summary>
    /// <returns><c>null</c> when it cannot be read.</returns>
    public static ConfigurationOptions? Read(string text)
    {
        try
        {
            var options = ConfigurationOptions.Parse(text);
            options.AbortOnConnectFail = false;
            options.ConnectTimeout = (int)StartUp.TotalMilliseconds;
            options.BacklogPolicy = BacklogPolicy.FailFast;
            options.ClientName ??= "notify";
            return options.EndPoints.Count > 0 ? options : null;
        }
        catch (Exception e) when (e is ArgumentException or FormatException or OverflowException)
        {
            return null;
        }
    }

    /// <inheritdoc />
    public async Task StartAsync(CancellationToken cancellationToken) =>
        await ((Task)Cache.GetAsync("start", CancellationToken.None))
            .WaitAsync(StartUp, clock, cancellationToken)
            .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

    /// <inheritdoc />
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        if (connection is { IsValueCreated: true, Value.IsCompletedSuccessfully: true })
            await (await connection.Value).DisposeAsync();
    }
}
