namespace Notify.Delivery.Snapshots;

using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Logging;
using Notify.Delivery.Privacy;
using Notify.Infrastructure.Caching;
using Notify.Infrastructure.Hosting;

/// <summary>The cache's size. Settings <c>Notify:Cache:…</c>; where its second level is, <c>ConnectionStrings:redis</c> says.</summary>
public sealed record CacheSettings
{
    /// <summary>The size of a host's cache in memory, in megabytes of JSON; 0 turns the cache off, also in Redis.</summary>
    public int Megabytes { get; init; } = 64;

    /// <summary>The time that entries are kept, in memory and in Redis. Every use checks the current version, whatever its age.</summary>
    public TimeSpan Expiry { get; init; } = TimeSpan.FromMinutes(10);
}

/// <summary>Adds the cache to a host.</summary>
public static class CacheServices
{
    /// <summary>Reads the settings, and adds the cache with one level, or with two where Redis is configured.</summary>
    public static void AddCache(this WebApplicationBuilder builder, ICollection<string> faults)
    {
        var settings = builder.Configuration.GetSection("Notify:Cache").Read<CacheSettings>(faults);
        if (settings.Megabytes is < 0 or > 1024 * 1024)
            faults.Add($"Notify:Cache:Megabytes is {settings.Megabytes}; give 0 (nothing is kept) to {1024 * 1024}");
        if (settings.Expiry <= TimeSpan.Zero)
            faults.Add($"Notify:Cache:Expiry is {settings.Expiry}; give a time above zero");
        var text = builder.Configuration.GetConnectionString("redis");
        var redis = string.IsNullOrWhiteSpace(text) ? null : RedisLink.Read(text);
        if (redis is null && !string.IsNullOrWhiteSpace(text))
            // Without the text, which may hold a password.
            faults.Add("ConnectionStrings:redis cannot be read; give an address such as 127.0.0.1:6379,password=…,ssl=true");

        var services = builder.Services.AddSnapshots(settings);
        if (redis is null || settings.Megabytes <= 0)
            return;
        services
            .AddSingleton(s => new RedisLink(redis, s.GetRequiredService<TimeProvider>()))
            .AddHostedService(s => s.GetRequiredService<RedisLink>());
        services.AddSingleton(s => new SecondLevel(
            s.GetRequiredService<RedisLink>().Cache,
            s.GetRequiredService<MasterKeyRing>(),
            s.GetRequiredService<TimeProvider>(),
            s.GetRequiredService<ILogger<SecondLevel>>()
        ));
        services.AddSingleton<IDistributedCache>(s => s.GetRequiredService<SecondLevel>());
        services.AddHealthChecks().AddCheck<RedisHealth>("redis", tags: ["ready"]);
    }

    /// <summary>Adds <see cref="Snapshots"/> and the host's own level; an <see cref="IDistributedCache"/>, where there is one, is the
    /// second.</summary>
    public static IServiceCollection AddSnapshots(this IServiceCollection services, CacheSettings settings)
    {
        services.AddMemoryCache(o => o.SizeLimit = Math.Max(1, settings.Megabytes) * 1024L * 1024);
        services.AddHybridCache(o =>
        {
            o.DefaultEntryOptions = new HybridCacheEntryOptions { Expiration = settings.Expiry, LocalCacheExpiration = settings.Expiry };
            o.MaximumPayloadBytes = 4 * 1024 * 1024;
        });
        return services.AddSingleton<IHybridCacheSerializerFactory, SnapshotJson>().AddSingleton(settings).AddSingleton<Snapshots>();
    }
}

/// <summary>Whether Redis answers. A host whose Redis is away stays ready, and says so: it reads everything from the database.</summary>
public sealed class RedisHealth(SecondLevel second) : IHealthCheck
{
    /// <inheritdoc />
    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        await second.GetAsync("health", cancellationToken);
        return second.IsAway
            ? HealthCheckResult.Degraded("Redis does not answer; everything is read from the database.")
            : HealthCheckResult.Healthy();
    }
}
