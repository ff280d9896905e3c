namespace Notify.Infrastructure.Hosting;

using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Threading.RateLimiting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Configuration;

/// <summary>How many requests of one network address are let through that nobody has authenticated.</summary>
/// <remarks>
/// Counted in each host, in memory. An IPv6 address counts as its network of 64 bits, of which one machine can have all. Behind a proxy
/// the address is the proxy's unless <c>Notify:TrustedProxies</c> names it.
/// </remarks>
public sealed record AddressLimit
{
    /// <summary>The highest limit that can be set.</summary>
    public const int Highest = 10_000_000;

    /// <summary>Requests a second, on average; 0: any number.</summary>
    public int PerSecond { get; init; }

    /// <summary>Requests at once after a pause.</summary>
    public int Burst { get; init; }

    /// <summary>Reads a limit; every fault is added to <paramref name="faults"/>.</summary>
    public static AddressLimit Read(IConfiguration configuration, string section, AddressLimit otherwise, ICollection<string> faults)
    {
        var settings = configuration.GetSection(section);
        var limit = new AddressLimit
        {
            PerSecond = Number(settings, nameof(PerSecond), otherwise.PerSecond, 0, faults),
            Burst = Number(settings, nameof(Burst), otherwise.Burst, 1, faults),
        };
        return limit;
    }

    /// <summary>The address that a request counts for.</summary>
    public static IPAddress KeyOf(IPAddress? address)
    {
        if (address is null)
            return IPAddress.None;
        if (address.IsIPv4MappedToIPv6)
            return address.MapToIPv4();
        if (address.AddressFamily != AddressFamily.InterNetworkV6)
            return address;
        var bytes = address.GetAddressBytes();
        bytes.AsSpan(8).Clear();
        return new IPAddress(bytes);
    }

    /// <summary>The bucket of an address.</summary>
    public RateLimitPartition<IPAddress> PartitionOf(HttpContext http)
    {
        var key = KeyOf(http.Connection.RemoteIpAddress);
        return PerSecond == 0
            ? RateLimitPartition.GetNoLimiter(key)
            : RateLimitPartition.GetTokenBucketLimiter(
                key,
                _ => new TokenBucketRateLimiterOptions
                {
                    TokenLimit = Burst,
                    TokensPerPeriod = PerSecond,
                    ReplenishmentPeriod = TimeSpan.FromSeconds(1),
                    QueueLimit = 0,
                }
            );
    }

    private static int Number(IConfigurationSection settings, string name, int otherwise, int lowest, ICollection<string> faults)
    {
        if (settings[name] is not { Length: > 0 } text)
            return otherwise;
        if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= lowest && number <= Highest)
            return number;
        faults.Add($"{settings.Path}:{name} is \"{text}\"; give {lowest} to {Highest}");
        return otherwise;
    }
}
