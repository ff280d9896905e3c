namespace Notify.Sandbox.WebPush;

using System.Buffers;
using System.Globalization;

/// <summary>Rules for the headers of a push message (RFC 8030, section 5; RFC 8291, section 4).</summary>
public static class WebPushRules
{
    /// <summary>Body bytes at most.</summary>
    public const int MaximumBody = 4_096;

    private const int MaximumTopic = 32;

    private static readonly SearchValues<char> Base64Url = SearchValues.Create(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    );

    /// <summary>The headers, authorization aside, and the body's size.</summary>
    public static WebPushRejection? Check(IHeaderDictionary headers, int bodyLength)
    {
        if (headers["TTL"] is not { Count: 1 } ttl || !uint.TryParse(ttl[0], NumberStyles.None, CultureInfo.InvariantCulture, out _))
            return WebPushRejection.BadTtl;
        if (
            headers["Topic"] is { Count: > 0 } topic
            && !(topic is [{ Length: > 0 and <= MaximumTopic } name] && !name.AsSpan().ContainsAnyExcept(Base64Url))
        )
            return WebPushRejection.BadTopic;
        if (headers["Urgency"] is { Count: > 0 } urgency && urgency is not ["very-low" or "low" or "normal" or "high"])
            return WebPushRejection.BadUrgency;
        if (bodyLength > MaximumBody)
            return WebPushRejection.TooLarge;
        return bodyLength > 0 && headers.ContentEncoding is not ["aes128gcm"] ? WebPushRejection.BadContentEncoding : null;
    }
}
