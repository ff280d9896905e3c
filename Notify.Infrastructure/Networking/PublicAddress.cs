namespace Notify.Infrastructure.Networking;

using System.Net;
using System.Net.Sockets;

/// <summary>Tells addresses of the public Internet from all others.</summary>
/// <remarks>IANA's special-purpose address registries for IPv4 and IPv6.</remarks>
public static class PublicAddress
{
    private static readonly IPNetwork[] SpecialV4 =
    [
        .. new[]
        {
            "0.0.0.0/8", // this network
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16", // private
            "100.64.0.0/10", // shared by carriers' NAT
            "127.0.0.0/8", // loopback
            "169.254.0.0/16", // link-local, among it the clouds' metadata
            "192.0.0.0/24",
            "192.88.99.0/24", // protocol assignments, 6to4 relays
            "192.0.2.0/24",
            "198.51.100.0/24",
            "203.0.113.0/24", // documentation
            "198.18.0.0/15", // benchmarks
            "224.0.0.0/4",
            "240.0.0.0/4", // multicast, reserved, broadcast
        }.Select(n => IPNetwork.Parse(n)),
    ];

    // Only global unicast is public at all: loopback, link-local, unique local, multicast, mapped and NAT64 addresses lie outside.
    private static readonly IPNetwork GlobalUnicastV6 = IPNetwork.Parse("2000::/3");

    private static readonly IPNetwork[] SpecialV6 =
    [
        .. new[]
        {
            "2001::/23", // protocol assignments, among them Teredo
            "2001:db8::/32",
            "3fff::/20", // documentation
            "2002::/16", // 6to4, which names an IPv4 address
        }.Select(n => IPNetwork.Parse(n)),
    ];

    /// <summary>Whether an address is public. One that wraps another (mapped, NAT64, 6to4, Teredo, ISATAP) never is.</summary>
    public static bool Is(IPAddress address) =>
        address.AddressFamily switch
        {
            AddressFamily.InterNetwork => !Array.Exists(SpecialV4, n => n.Contains(address)),
            AddressFamily.InterNetworkV6 => !address.IsIPv4MappedToIPv6
                && address.ScopeId == 0
                && GlobalUnicastV6.Contains(address)
                && !Array.Exists(SpecialV6, n => n.Contains(address))
                && !IsIsatap(address),
            _ => false,
        };

    // RFC 5214: an interface that is named 00-00-5E-FE or 02-00-5E-FE, and then the IPv4 address.
    private static bool IsIsatap(IPAddress address)
    {
        Span<byte> bytes = stackalloc byte[16];
        address.TryWriteBytes(bytes, out _);
        return bytes[8] is 0 or 2 && bytes[9] == 0 && bytes[10] == 0x5E && bytes[11] == 0xFE;
    }
}
