namespace Notify.Sandbox.Access;

using System.Net;
using System.Security.Cryptography;
using System.Text;

/// <summary>
/// Guards what is the sandbox's own and no provider's: the ledger, which holds all that was sent, the knobs, and inbound messages. They
/// need the key <c>Sandbox:Key</c>; without one they are open as long as the sandbox listens on the machine itself alone.
/// </summary>
public sealed class ControlKey
{
    private const string Bearer = "Bearer ",
        Basic = "Basic ";

    private readonly byte[]? _key;
    private readonly bool _isLocal;

    /// <summary>Makes the guard.</summary>
    /// <param name="key">The key; null or empty: none.</param>
    /// <param name="host">The host at which the sandbox listens, as its address names it.</param>
    public ControlKey(string? key, string host)
    {
        _key = string.IsNullOrEmpty(key) ? null : Hash(key);
        _isLocal = host == "localhost" || (IPAddress.TryParse(host.Trim('[', ']'), out var ip) && IPAddress.IsLoopback(ip));
    }

    /// <summary>Whether nobody can pass, since there is no key and the sandbox listens for others.</summary>
    public bool IsClosed => _key is null && !_isLocal;

    /// <summary>Lets a request pass that has the key: as <c>Bearer</c>, or as the password of <c>Basic</c> (<c>curl -u :KEY</c>).</summary>
    /// <returns>The problem; null: go on.</returns>
    public IResult? Check(HttpRequest request)
    {
        if (IsClosed)
            return Problem.Of(StatusCodes.Status403Forbidden, "no_key", "Set Sandbox:Key: this sandbox listens on more than its machine.");
        if (_key is null || IsKey(request.Headers.Authorization.ToString(), _key))
            return null;

        request.HttpContext.Response.Headers.WWWAuthenticate = "Basic realm=\"sandbox\"";
        const string Detail = "Send Sandbox:Key as a bearer token, or as the password of Basic.";
        return Problem.Of(StatusCodes.Status401Unauthorized, "unauthorized", Detail);
    }

    private static bool IsKey(string header, byte[] key) =>
        KeyOf(header) is { } given && CryptographicOperations.FixedTimeEquals(Hash(given), key);

    private static byte[] Hash(string key) => SHA256.HashData(Encoding.UTF8.GetBytes(key));

    private static string? KeyOf(string header)
    {
        if (header.StartsWith(Bearer, StringComparison.OrdinalIgnoreCase))
            return header[Bearer.Length..].Trim();
        if (!header.StartsWith(Basic, StringComparison.OrdinalIgnoreCase))
            return null;

        var bytes = new byte[header.Length];
        return Convert.TryFromBase64String(header[Basic.Length..].Trim(), bytes, out var length)
            ? Encoding.UTF8.GetString(bytes.AsSpan(0, length)).Split(':', 2) is [_, var password]
                ? password
                : null
            : null;
    }
}
