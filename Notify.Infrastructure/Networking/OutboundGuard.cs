namespace Notify.Infrastructure.Networking;

using System.Globalization;
using System.Net;
using System.Net.Sockets;

/// <summary>
/// Keeps calls to addresses that outsiders chose (a browser's push service, a webhook) out of our own networks. A name is
/// resolved once per connection, the result is checked, and the connection goes to exactly that address: a name that resolves
/// differently the next time gains nothing.
/// </summary>
/// <param name="allowPrivateNetworks">Lets everything through, and plain http; for development only.</param>
/// <param name="resolve">Resolves a name; the system's resolver unless given.</param>
/// <param name="inside">An origin in a private network that is permitted nevertheless, over plain http too: the sandbox's.</param>
public sealed class OutboundGuard(
    bool allowPrivateNetworks,
    Func<string, CancellationToken, Task<IPAddress[]>>? resolve = null,
    Uri? inside = null
)
{
    /// <summary>The time limit for establishing a connection, over all addresses of a name.</summary>
    public static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(5);

    // A name may have many addresses; more than these are not tried.
    private const int MaxAddresses = 4;

    // Names that no public resolver resolves: a resolver that does is inside (RFC 6761, 6762, 8375; .internal by ICANN).
    private static readonly string[] InsideNames =
    [
        ".localhost",
        ".local",
        ".localdomain",
        ".internal",
        ".intranet",
        ".lan",
        ".home",
        ".corp",
        ".home.arpa",
        ".arpa",
        ".onion",
        ".invalid",
    ];

    private readonly Func<string, CancellationToken, Task<IPAddress[]>> resolve = resolve ?? Dns.GetHostAddressesAsync;

    /// <summary>The rule as text, for the caller that gave the address.</summary>
    public string Rule => allowPrivateNetworks ? "must be an http or https address" : "must be an https address on the public Internet";

    /// <summary>
    /// Whether an address may be called, as far as can be decided without resolving its name: https, no user name or password, no address
    /// or name of ours, port 443 or none of a well-known service.
    /// </summary>
    public bool Allows(Uri address)
    {
        if (!address.IsAbsoluteUri || address.UserInfo.Length > 0 || address.IdnHost.Length == 0)
            return false;
        if (inside is not null && IsSameOrigin(inside, address))
            return true;
        if (allowPrivateNetworks)
            return address.Scheme == Uri.UriSchemeHttps || address.Scheme == Uri.UriSchemeHttp;
        if (address.Scheme != Uri.UriSchemeHttps || address.Port is not (443 or > 1023))
            return false;
        var host = address.IdnHost.Trim('[', ']').TrimEnd('.');
        return IPAddress.TryParse(host, out var literal)
            ? PublicAddress.Is(literal)
            : IsName(address.Host) && !Array.Exists(InsideNames, n => host.EndsWith(n, StringComparison.OrdinalIgnoreCase));
    }

    /// <summary>Whether two addresses have the same scheme, host and port.</summary>
    public static bool IsSameOrigin(Uri one, Uri other) =>
        Uri.Compare(one, other, UriComponents.SchemeAndServer, UriFormat.UriEscaped, StringComparison.OrdinalIgnoreCase) == 0;

    // Letters of any script, but no digits, dots or invisible characters that somebody might read as those of an address.
    private static bool IsName(string host)
    {
        var labels = host.TrimEnd('.').Split('.');
        return labels.Length > 1
            && labels.All(l => l.Length > 0)
            && !labels[^1].All(char.IsAsciiDigit)
            && host.All(c =>
                char.IsAsciiLetterOrDigit(c)
                || c is '-' or '_' or '.'
                || (
                    c > '\x7f'
                    && (
                        char.IsLetter(c)
                        || char.GetUnicodeCategory(c) is UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark
                    )
                )
            );
    }

    /// <summary>Connects to the first address of the host that is allowed and answers; for
    /// <see cref="SocketsHttpHandler.ConnectCallback"/>.</summary>
    /// <exception cref="ForbiddenAddressException">The host has no address that may be called; nothing was sent to it.</exception>
    public async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, CancellationToken cancellation)
    {
        var (host, port) = (context.DnsEndPoint.Host, context.DnsEndPoint.Port);
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        timeout.CancelAfter(ConnectTimeout);
        try
        {
            var addresses = await AllowedAsync(host, port, timeout.Token);
            for (var i = 0; ; i++)
            {
                try
                {
                    return await ConnectAsync(new IPEndPoint(addresses[i], port), addresses.Count - i, timeout.Token);
                }
                catch (Exception e)
                    when (i < addresses.Count - 1 && !timeout.IsCancellationRequested && e is SocketException or OperationCanceledException)
                {
                    // The next address may answer.
                }
            }
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new TimeoutException($"No connection within {ConnectTimeout.TotalSeconds:0} s.");
        }
    }

    private async Task<IReadOnlyList<IPAddress>> AllowedAsync(string host, int port, CancellationToken cancellation)
    {
        var isInside = inside is not null && inside.Port == port && inside.IdnHost.Equals(host, StringComparison.OrdinalIgnoreCase);
        var all = IPAddress.TryParse(host.Trim('[', ']').TrimEnd('.'), out var literal) ? [literal] : await resolve(host, cancellation);
        var allowed = all.Where(a => allowPrivateNetworks || isInside || PublicAddress.Is(a)).Take(MaxAddresses).ToList();
        return allowed.Count > 0 ? allowed : throw new ForbiddenAddressException();
    }

    // Each address has its part of what is left of the time, so that one which swallows everything does not use up the others'.
    private static async Task<Stream> ConnectAsync(IPEndPoint to, int left, CancellationToken cancellation)
    {
        var socket = new Socket(to.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        using var part = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        if (left > 1)
            part.CancelAfter(ConnectTimeout / MaxAddresses);
        try
        {
            await socket.ConnectAsync(to, part.Token);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}

/// <summary>An address leads into a private network, or to no network at all, and was not called.</summary>
public sealed class ForbiddenAddressException() : Exception("The address is not on the public Internet.");
