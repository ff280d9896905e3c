namespace Notify.Sandbox.Apns;

using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;

/// <summary>
/// Rules for a notification request (Apple: Sending notification requests to APNs), without those for its provider token.
/// </summary>
/// <param name="bundleIds">The account's apps.</param>
public sealed class ApnsRules(IReadOnlyList<string> bundleIds)
{
    /// <summary>Payload bytes at most.</summary>
    public const int MaximumPayload = 4_096;

    /// <summary>Payload bytes at most for push type <c>voip</c>.</summary>
    public const int MaximumVoipPayload = 5_120;

    private const int MaximumCollapseId = 64;

    // Apple calls the token's length variable, but has never issued one of fewer than 32 bytes.
    private const int MinimumTokenLength = 64;
    private const int MaximumTokenLength = 200;

    private static readonly SearchValues<char> HexDigits = SearchValues.Create("0123456789abcdefABCDEF");
    private static readonly string[] SingleHeaders =
    [
        "authorization",
        "apns-id",
        "apns-topic",
        "apns-push-type",
        "apns-priority",
        "apns-expiration",
        "apns-collapse-id",
    ];

    private readonly Dictionary<string, string>[] _topics = [.. bundleIds.Select(TopicsByPushType)];

    /// <summary>Repeated headers.</summary>
    public static ApnsRejection? CheckSingle(IHeaderDictionary headers)
    {
        foreach (var name in SingleHeaders)
        {
            if (headers[name].Count > 1)
                return ApnsRejection.DuplicateHeaders;
        }

        return null;
    }

    /// <summary>Method and path; <paramref name="deviceToken"/> is what follows <c>/3/device/</c>.</summary>
    public static ApnsRejection? CheckTarget(string method, string path, out string deviceToken)
    {
        deviceToken = "";
        if (!HttpMethods.IsPost(method))
            return ApnsRejection.MethodNotAllowed;
        if (path == "/3/device")
            return ApnsRejection.MissingDeviceToken;
        if (!path.StartsWith(ApnsDialect.DevicePath, StringComparison.Ordinal))
            return ApnsRejection.BadPath;

        deviceToken = path[ApnsDialect.DevicePath.Length..];
        if (deviceToken.Contains('/'))
            return ApnsRejection.BadPath;
        return deviceToken.Length == 0 ? ApnsRejection.MissingDeviceToken : null;
    }

    /// <summary>The apns-* headers, then the device token.</summary>
    /// <param name="isDevelopment">Whether the development server is asked.</param>
    public ApnsRejection? CheckHeaders(IHeaderDictionary headers, string deviceToken, bool isDevelopment)
    {
        // Apple requires the push type for iOS 13 and later, so that a missing one is as invalid as an unknown one.
        if (Value(headers, "apns-push-type") is not { } pushType || !_topics[0].ContainsKey(pushType))
            return ApnsRejection.InvalidPushType;
        if (!IsPriority(Value(headers, "apns-priority"), pushType))
            return ApnsRejection.BadPriority;
        if (!IsExpiration(Value(headers, "apns-expiration")))
            return ApnsRejection.BadExpirationDate;
        if (Value(headers, "apns-collapse-id") is { } collapseId && Encoding.UTF8.GetByteCount(collapseId) > MaximumCollapseId)
            return ApnsRejection.BadCollapseId;

        if (Value(headers, "apns-topic") is not { Length: > 0 } topic)
            return ApnsRejection.MissingTopic;
        if (Array.FindIndex(_topics, app => app[pushType] == topic) is var app && app < 0)
            return topic.Contains(' ') ? ApnsRejection.BadTopic : ApnsRejection.DeviceTokenNotForTopic;

        if (!IsDeviceToken(deviceToken) || (ApnsMagicTokens.IsOfDevelopment(deviceToken) && !isDevelopment))
            return ApnsRejection.BadDeviceToken;
        return ApnsMagicTokens.IsOfLastApp(deviceToken) && app != _topics.Length - 1 ? ApnsRejection.DeviceTokenNotForTopic : null;
    }

    /// <summary>The payload: a JSON object with an object <c>aps</c>.</summary>
    public static ApnsRejection? CheckPayload(IHeaderDictionary headers, ReadOnlySpan<byte> payload)
    {
        if (payload.IsEmpty)
            return ApnsRejection.PayloadEmpty;
        if (payload.Length > (headers["apns-push-type"] == "voip" ? MaximumVoipPayload : MaximumPayload))
            return ApnsRejection.PayloadTooLarge;

        // Apple documents no reason for a payload that is not what it should be. PayloadEmpty comes nearest
        // (there is nothing in it to be shown), and a client has to treat it as permanent just the same.
        return HasAps(payload) ? null : ApnsRejection.PayloadEmpty;
    }

    private static string? Value(IHeaderDictionary headers, string name) => headers[name] is { Count: 1 } values ? values[0] : null;

    /// <summary>10 (the default), 5 or 1; for <c>background</c> only 5, which therefore has to be named.</summary>
    private static bool IsPriority(string? value, string pushType) =>
        pushType == "background" ? value == "5" : value is null or "10" or "5" or "1";

    /// <summary>Seconds since the epoch, or 0 for "try once".</summary>
    private static bool IsExpiration(string? value) =>
        value is null || (long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out _));

    private static bool IsDeviceToken(string token) =>
        token.Length is >= MinimumTokenLength and <= MaximumTokenLength
        && token.Length % 2 == 0
        && !token.AsSpan().ContainsAnyExcept(HexDigits);

    private static bool HasAps(ReadOnlySpan<byte> payload)
    {
        var reader = new Utf8JsonReader(payload);
        var hasAps = false;
        try
        {
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
                return false;

            while (reader.Read())
            {
                if (reader is { TokenType: JsonTokenType.PropertyName, CurrentDepth: 1 } && reader.ValueTextEquals("aps"u8))
                    hasAps = reader.Read() && reader.TokenType == JsonTokenType.StartObject;
            }
        }
        catch (JsonException)
        {
            return false;
        }

        return hasAps;
    }

    private static Dictionary<string, string> TopicsByPushType(string bundleId) =>
        new(StringComparer.Ordinal)
        {
            ["alert"] = bundleId,
            ["background"] = bundleId,
            ["controls"] = bundleId + ".push-type.controls",
            ["location"] = bundleId + ".location-query",
            ["voip"] = bundleId + ".voip",
            ["complication"] = bundleId + ".complication",
            ["fileprovider"] = bundleId + ".pushkit.fileprovider",
            ["liveactivity"] = bundleId + ".push-type.liveactivity",
            ["pushtotalk"] = bundleId + ".voip-ptt",
            ["widgets"] = bundleId + ".push-type.widgets",
            ["mdm"] = bundleId,
        };
}
