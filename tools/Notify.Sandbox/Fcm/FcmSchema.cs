namespace Notify.Sandbox.Fcm;

using System.Globalization;
using System.Text;
using System.Text.Json;

/// <summary>
/// Every field of a send request with its type (the discovery document of fcm v1). Other fields are rejected, as are values
/// of another type. Names may be in lowerCamelCase or, as in protocol buffers, with underscores.
/// </summary>
public static class FcmSchema
{
    private delegate void Check(JsonElement value, string path, List<FcmViolation> violations);

    private static readonly Check Text = (value, path, violations) =>
        Expect(value.ValueKind == JsonValueKind.String, "TYPE_STRING", value, path, violations);
    private static readonly Check Flag = (value, path, violations) =>
        Expect(value.ValueKind is JsonValueKind.True or JsonValueKind.False, "TYPE_BOOL", value, path, violations);
    private static readonly Check Whole = (value, path, violations) =>
        Expect(value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out _), "TYPE_INT32", value, path, violations);
    private static readonly Check Fraction = (value, path, violations) =>
        Expect(value.ValueKind == JsonValueKind.Number, "TYPE_FLOAT", value, path, violations);
    private static readonly Check Free = (value, path, violations) =>
        Expect(value.ValueKind == JsonValueKind.Object, "type.googleapis.com/google.protobuf.Struct", value, path, violations);
    private static readonly Check Duration = (value, path, violations) =>
        Expect(
            value.ValueKind == JsonValueKind.String && IsDuration(value.GetString()!),
            "type.googleapis.com/google.protobuf.Duration",
            value,
            path,
            violations
        );
    private static readonly Check Time = (value, path, violations) =>
        Expect(
            value.ValueKind == JsonValueKind.String && value.TryGetDateTimeOffset(out _),
            "type.googleapis.com/google.protobuf.Timestamp",
            value,
            path,
            violations
        );
    private static readonly Check Texts = ListOf(Text);
    private static readonly Check TextMap = MapOfText;
    private static readonly Check Label = Object(new() { ["analyticsLabel"] = Text });

    private static readonly Check Light = Object(
        new()
        {
            ["color"] = Object(
                new()
                {
                    ["red"] = Fraction,
                    ["green"] = Fraction,
                    ["blue"] = Fraction,
                    ["alpha"] = Fraction,
                }
            ),
            ["lightOnDuration"] = Duration,
            ["lightOffDuration"] = Duration,
        }
    );

    private static readonly Check AndroidNotification = Object(
        new()
        {
            ["title"] = Text,
            ["body"] = Text,
            ["icon"] = Text,
            ["color"] = Text,
            ["sound"] = Text,
            ["tag"] = Text,
            ["clickAction"] = Text,
            ["bodyLocKey"] = Text,
            ["bodyLocArgs"] = Texts,
            ["titleLocKey"] = Text,
            ["titleLocArgs"] = Texts,
            ["channelId"] = Text,
            ["ticker"] = Text,
            ["sticky"] = Flag,
            ["eventTime"] = Time,
            ["localOnly"] = Flag,
            ["defaultSound"] = Flag,
            ["defaultVibrateTimings"] = Flag,
            ["defaultLightSettings"] = Flag,
            ["notificationPriority"] = OneOf(
                "PRIORITY_UNSPECIFIED",
                "PRIORITY_MIN",
                "PRIORITY_LOW",
                "PRIORITY_DEFAULT",
                "PRIORITY_HIGH",
                "PRIORITY_MAX"
            ),
            ["vibrateTimings"] = ListOf(Duration),
            ["visibility"] = OneOf("VISIBILITY_UNSPECIFIED", "PRIVATE", "PUBLIC", "SECRET"),
            ["notificationCount"] = Whole,
            ["lightSettings"] = Light,
            ["image"] = Text,
            ["bypassProxyNotification"] = Flag,
            ["proxy"] = OneOf("PROXY_UNSPECIFIED", "ALLOW", "DENY", "IF_PRIORITY_LOWERED"),
        }
    );

    private static readonly Check Message = Object(
        new()
        {
            ["name"] = Text,
            ["token"] = Text,
            ["topic"] = Text,
            ["condition"] = Text,
            ["data"] = TextMap,
            ["fcmOptions"] = Label,
            ["notification"] = Object(
                new()
                {
                    ["title"] = Text,
                    ["body"] = Text,
                    ["image"] = Text,
                }
            ),
            ["android"] = Object(
                new()
                {
                    ["collapseKey"] = Text,
                    ["priority"] = OneOf("NORMAL", "HIGH"),
                    ["ttl"] = Duration,
                    ["restrictedPackageName"] = Text,
                    ["data"] = TextMap,
                    ["notification"] = AndroidNotification,
                    ["fcmOptions"] = Label,
                    ["directBootOk"] = Flag,
                }
            ),
            ["webpush"] = Object(
                new()
                {
                    ["headers"] = TextMap,
                    ["data"] = TextMap,
                    ["notification"] = Free,
                    ["fcmOptions"] = Object(new() { ["link"] = Text, ["analyticsLabel"] = Text }),
                }
            ),
            ["apns"] = Object(
                new()
                {
                    ["headers"] = TextMap,
                    ["payload"] = Free,
                    ["fcmOptions"] = Object(new() { ["analyticsLabel"] = Text, ["image"] = Text }),
                }
            ),
        }
    );

    private static readonly Check Request = Object(new() { ["message"] = Message, ["validateOnly"] = Flag });

    /// <summary>All that is wrong with a request.</summary>
    public static List<FcmViolation> Faults(JsonElement request)
    {
        var violations = new List<FcmViolation>();
        Request(request, "", violations);
        return violations;
    }

    /// <summary>Finds a field by its name in lowerCamelCase, however it is written; null where it is absent or null.</summary>
    public static JsonElement? Find(JsonElement? container, string name)
    {
        if (container is not { ValueKind: JsonValueKind.Object } fields)
            return null;
        foreach (var field in fields.EnumerateObject())
            if (field.Value.ValueKind != JsonValueKind.Null && CamelCase(field.Name) == name)
                return field.Value;
        return null;
    }

    /// <summary>Seconds of a duration such as <c>3.5s</c>.</summary>
    public static bool IsDuration(string text) =>
        text.EndsWith('s')
        && decimal.TryParse(
            text.AsSpan(0, text.Length - 1),
            NumberStyles.AllowDecimalPoint | NumberStyles.AllowLeadingSign,
            CultureInfo.InvariantCulture,
            out _
        );

    private static Check Object(Dictionary<string, Check> fields) =>
        (value, path, violations) =>
        {
            if (!Expect(value.ValueKind == JsonValueKind.Object, "message", value, path, violations))
                return;

            foreach (var field in value.EnumerateObject())
            {
                if (!fields.TryGetValue(CamelCase(field.Name), out var check))
                    violations.Add(
                        new FcmViolation(
                            path,
                            $"Invalid JSON payload received. Unknown name \"{field.Name}\"{(path.Length == 0 ? "" : $" at '{path}'")}: Cannot find field."
                        )
                    );
                else if (field.Value.ValueKind != JsonValueKind.Null)
                    check(field.Value, path.Length == 0 ? field.Name : $"{path}.{field.Name}", violations);
            }
        };

    private static void MapOfText(JsonElement value, string path, List<FcmViolation> violations)
    {
        if (!Expect(value.ValueKind == JsonValueKind.Object, "Map", value, path, violations))
            return;

        var index = 0;
        foreach (var entry in value.EnumerateObject())
            Text(entry.Value, $"{path}[{index++}].value", violations);
    }

    private static Check ListOf(Check item) =>
        (value, path, violations) =>
        {
            if (!Expect(value.ValueKind == JsonValueKind.Array, "list", value, path, violations))
                return;

            var index = 0;
            foreach (var each in value.EnumerateArray())
                item(each, $"{path}[{index++}]", violations);
        };

    private static Check OneOf(params string[] names) =>
        (value, path, violations) =>
            Expect(
                value.ValueKind == JsonValueKind.String && names.Contains(value.GetString(), StringComparer.OrdinalIgnoreCase),
                "TYPE_ENUM",
                value,
                path,
                violations
            );

    private static bool Expect(bool holds, string type, JsonElement value, string path, List<FcmViolation> violations)
    {
        if (!holds)
            violations.Add(new FcmViolation(path, $"Invalid value at '{path}' ({type}), {value.GetRawText()}"));
        return holds;
    }

    private static string CamelCase(string name)
    {
        if (!name.Contains('_'))
            return name;

        var camel = new StringBuilder(name.Length);
        foreach (var part in name.Split('_'))
            camel.Append(camel.Length == 0 || part.Length == 0 ? part : char.ToUpperInvariant(part[0]) + part[1..]);
        return camel.ToString();
    }
}
