namespace Notify.Sandbox.Apns;

using System.Text;

/// <summary>
/// Apple's error strings with their HTTP status
/// (Handling notification responses from APNs, table "Response error strings").
/// </summary>
public sealed class ApnsRejection
{
    private ApnsRejection(int status, string reason)
    {
        Status = status;
        Reason = reason;
        Body = Encoding.ASCII.GetBytes($$"""{"reason":"{{reason}}"}""");
    }

    /// <summary>HTTP status.</summary>
    public int Status { get; }

    /// <summary>The error string.</summary>
    public string Reason { get; }

    /// <summary>The answer's JSON, without a time stamp.</summary>
    public ReadOnlyMemory<byte> Body { get; }

    /// <summary>410 Unregistered with its time stamp (epoch milliseconds) since when the token is dead.</summary>
    public static ReadOnlyMemory<byte> UnregisteredSince(DateTimeOffset since) =>
        Encoding.ASCII.GetBytes($$"""{"reason":"Unregistered","timestamp":{{since.ToUnixTimeMilliseconds()}}}""");

    internal static readonly ApnsRejection BadCollapseId = new(400, nameof(BadCollapseId));
    internal static readonly ApnsRejection BadDeviceToken = new(400, nameof(BadDeviceToken));
    internal static readonly ApnsRejection BadExpirationDate = new(400, nameof(BadExpirationDate));
    internal static readonly ApnsRejection BadMessageId = new(400, nameof(BadMessageId));
    internal static readonly ApnsRejection BadPriority = new(400, nameof(BadPriority));
    internal static readonly ApnsRejection BadTopic = new(400, nameof(BadTopic));
    internal static readonly ApnsRejection DeviceTokenNotForTopic = new(400, nameof(DeviceTokenNotForTopic));
    internal static readonly ApnsRejection DuplicateHeaders = new(400, nameof(DuplicateHeaders));
    internal static readonly ApnsRejection InvalidPushType = new(400, nameof(InvalidPushType));
    internal static readonly ApnsRejection MissingDeviceToken = new(400, nameof(MissingDeviceToken));
    internal static readonly ApnsRejection MissingTopic = new(400, nameof(MissingTopic));
    internal static readonly ApnsRejection PayloadEmpty = new(400, nameof(PayloadEmpty));
    internal static readonly ApnsRejection ExpiredProviderToken = new(403, nameof(ExpiredProviderToken));
    internal static readonly ApnsRejection Forbidden = new(403, nameof(Forbidden));
    internal static readonly ApnsRejection InvalidProviderToken = new(403, nameof(InvalidProviderToken));
    internal static readonly ApnsRejection MissingProviderToken = new(403, nameof(MissingProviderToken));
    internal static readonly ApnsRejection BadPath = new(404, nameof(BadPath));
    internal static readonly ApnsRejection MethodNotAllowed = new(405, nameof(MethodNotAllowed));
    internal static readonly ApnsRejection Unregistered = new(410, nameof(Unregistered));
    internal static readonly ApnsRejection PayloadTooLarge = new(413, nameof(PayloadTooLarge));
    internal static readonly ApnsRejection TooManyProviderTokenUpdates = new(429, nameof(TooManyProviderTokenUpdates));
    internal static readonly ApnsRejection TooManyRequests = new(429, nameof(TooManyRequests));
    internal static readonly ApnsRejection InternalServerError = new(500, nameof(InternalServerError));
    internal static readonly ApnsRejection ServiceUnavailable = new(503, nameof(ServiceUnavailable));

    /// <summary>What Apple would say with a status that a knob asks for; the status itself is kept.</summary>
    public static ApnsRejection ForStatus(int status)
    {
        var usual = status switch
        {
            400 => BadDeviceToken,
            404 => BadPath,
            405 => MethodNotAllowed,
            410 => Unregistered,
            413 => PayloadTooLarge,
            429 => TooManyRequests,
            503 => ServiceUnavailable,
            >= 500 => InternalServerError,
            _ => Forbidden,
        };
        return usual.Status == status ? usual : new ApnsRejection(status, usual.Reason);
    }
}
