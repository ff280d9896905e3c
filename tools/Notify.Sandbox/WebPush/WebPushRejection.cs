namespace Notify.Sandbox.WebPush;

using System.Text;

/// <summary>Why a push service refuses a message, with the HTTP status that says so.</summary>
/// <remarks>RFC 8030 and RFC 8292 name the statuses; the words are the sandbox's own.</remarks>
public sealed record WebPushRejection(int Status, string Reason)
{
    /// <summary>The answer's JSON.</summary>
    public ReadOnlyMemory<byte> Body { get; } = Encoding.ASCII.GetBytes($$"""{"code":{{Status}},"error":"{{Reason}}"}""");

    internal static readonly WebPushRejection BadTtl = new(400, nameof(BadTtl));
    internal static readonly WebPushRejection BadTopic = new(400, nameof(BadTopic));
    internal static readonly WebPushRejection BadUrgency = new(400, nameof(BadUrgency));
    internal static readonly WebPushRejection BadContentEncoding = new(400, nameof(BadContentEncoding));
    internal static readonly WebPushRejection Undecryptable = new(400, nameof(Undecryptable));
    internal static readonly WebPushRejection Refused = new(400, nameof(Refused));
    internal static readonly WebPushRejection MissingAuthorization = new(401, nameof(MissingAuthorization));
    internal static readonly WebPushRejection BadAuthorization = new(403, nameof(BadAuthorization));
    internal static readonly WebPushRejection BadSignature = new(403, nameof(BadSignature));
    internal static readonly WebPushRejection BadAudience = new(403, nameof(BadAudience));
    internal static readonly WebPushRejection ExpiredToken = new(403, nameof(ExpiredToken));
    internal static readonly WebPushRejection ExpiryTooLate = new(403, nameof(ExpiryTooLate));
    internal static readonly WebPushRejection BadSubject = new(403, nameof(BadSubject));
    internal static readonly WebPushRejection WrongKey = new(403, nameof(WrongKey));
    internal static readonly WebPushRejection NotFound = new(404, nameof(NotFound));
    internal static readonly WebPushRejection MethodNotAllowed = new(405, nameof(MethodNotAllowed));
    internal static readonly WebPushRejection Gone = new(410, nameof(Gone));
    internal static readonly WebPushRejection TooLarge = new(413, nameof(TooLarge));
    internal static readonly WebPushRejection TooManyRequests = new(429, nameof(TooManyRequests));
    internal static readonly WebPushRejection Moved = new(307, nameof(Moved));
    internal static readonly WebPushRejection ServerError = new(500, nameof(ServerError));
}
