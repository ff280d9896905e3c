namespace Notify.Sandbox.Fcm;

using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;

/// <summary>Rules for a message, beyond the types of its fields (Firebase: REST resource projects.messages).</summary>
public static class FcmRules
{
    /// <summary>Bytes of a message at most: of its data's names and values and its notification's texts.</summary>
    public const int MaximumMessage = 4_096;

    /// <summary>The same of a message to a topic or condition.</summary>
    public const int MaximumTopicMessage = 2_048;

    private const decimal MaximumTtl = 28 * 24 * 60 * 60;

    // Google calls the token's length variable; none as short as this was ever seen.
    private const int MinimumToken = 16;
    private const int MaximumToken = 4_096;

    private static readonly string[] Targets = ["token", "topic", "condition"];
    private static readonly SearchValues<char> TokenCharacters = SearchValues.Create(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-:"
    );

    /// <summary>Returns why the message is refused, or null.</summary>
    /// <param name="request">A request whose fields have their types.</param>
    public static FcmRejection? Check(JsonElement request)
    {
        if (FcmSchema.Find(request, "message") is not { } message)
            return FcmRejection.Invalid("Message is missing.", new FcmViolation("message", "Message is missing."));

        return CheckTarget(message) ?? CheckData(message) ?? CheckTtl(message) ?? CheckSize(message) ?? CheckToken(message);
    }

    /// <summary>Names that data may not have.</summary>
    public static bool IsReserved(string key) =>
        key is "from" or "message_type"
        || key.StartsWith("google", StringComparison.Ordinal)
        || key.StartsWith("gcm", StringComparison.Ordinal);

    private static FcmRejection? CheckTarget(JsonElement message)
    {
        var named = Targets.Where(target => FcmSchema.Find(message, target) is not null).ToList();
        if (named.Count > 1)
        {
            return FcmRejection.Malformed(
                new FcmViolation(
                    "message",
                    $"Invalid value at 'message' (oneof), oneof field 'target' is already set. Cannot set '{named[1]}'"
                )
            );
        }

        return named.Count == 1 && FcmSchema.Find(message, named[0])!.Value.GetString() is { Length: > 0 }
            ? null
            : FcmRejection.Invalid(
                "Recipient of the message is not set.",
                new FcmViolation("message", "Recipient of the message is not set.")
            );
    }

    private static FcmRejection? CheckData(JsonElement message)
    {
        foreach (var (path, data) in Data(message))
        {
            foreach (var entry in data.EnumerateObject())
            {
                if (IsReserved(entry.Name))
                    return FcmRejection.Invalid(
                        $"Invalid data payload key: {entry.Name}",
                        new FcmViolation($"{path}.{entry.Name}", "Invalid data payload key")
                    );
            }
        }

        return null;
    }

    private static FcmRejection? CheckTtl(JsonElement message)
    {
        if (FcmSchema.Find(FcmSchema.Find(message, "android"), "ttl")?.GetString() is not { } ttl)
            return null;

        var seconds = decimal.Parse(
            ttl.AsSpan(0, ttl.Length - 1),
            NumberStyles.AllowDecimalPoint | NumberStyles.AllowLeadingSign,
            CultureInfo.InvariantCulture
        );
        return seconds is >= 0 and <= MaximumTtl
            ? null
            : FcmRejection.Invalid("Invalid ttl", new FcmViolation("message.android.ttl", $"Invalid ttl: {ttl}"));
    }

    private static FcmRejection? CheckSize(JsonElement message)
    {
        var size = Data(message)
            .Sum(data => data.Fields.EnumerateObject().Sum(entry => Bytes(entry.Name) + Bytes(entry.Value.GetString())));
        JsonElement?[] notifications =
        [
            FcmSchema.Find(message, "notification"),
            FcmSchema.Find(FcmSchema.Find(message, "android"), "notification"),
        ];
        foreach (var notification in notifications.OfType<JsonElement>())
            size += notification
                .EnumerateObject()
                .Where(field => field.Value.ValueKind == JsonValueKind.String)
                .Sum(field => Bytes(field.Value.GetString()));

        return size > (FcmSchema.Find(message, "token") is null ? MaximumTopicMessage : MaximumMessage) ? FcmRejection.TooLarge : null;
    }

    private static FcmRejection? CheckToken(JsonElement message) =>
        FcmSchema.Find(message, "token")?.GetString() is { } token
        && (token.Length is < MinimumToken or > MaximumToken || token.AsSpan().ContainsAnyExcept(TokenCharacters))
            ? FcmRejection.BadToken
            : null;

    private static IEnumerable<(string Path, JsonElement Fields)> Data(JsonElement message)
    {
        if (FcmSchema.Find(message, "data") is { } data)
            yield return ("message.data", data);
        if (FcmSchema.Find(FcmSchema.Find(message, "android"), "data") is { } android)
            yield return ("message.android.data", android);
    }

    private static int Bytes(string? text) => Encoding.UTF8.GetByteCount(text ?? "");
}
