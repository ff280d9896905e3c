namespace Notify.Api.Contract;

using System.Collections.Concurrent;
using System.Globalization;
using System.Reflection;
using System.Text.Json;

/// <summary>
/// Compares JSON with the type it is meant for and names every difference at once: unknown fields, wrong types, values
/// that are not among the allowed. A serializer would stop at the first.
/// </summary>
public static class JsonShape
{
    private static readonly ConcurrentDictionary<Type, Dictionary<string, Type>> Fields = new();

    /// <summary>Checks an element.</summary>
    public static FaultList Check(JsonElement element, Type type)
    {
        var faults = new FaultList();
        Check(element, type, "", faults);
        return faults;
    }

    private static void Check(JsonElement element, Type type, string path, FaultList faults)
    {
        var mayBeNull = !type.IsValueType || Nullable.GetUnderlyingType(type) is not null;
        type = Nullable.GetUnderlyingType(type) ?? type;
        if (type == typeof(JsonElement))
        {
            CheckFree(element, path, faults);
            return;
        }

        if (element.ValueKind == JsonValueKind.Null)
        {
            // A field may be null where its type permits; the whole body may not.
            if (path.Length == 0)
                faults.Add(("$", "must be an object"));
            else if (!mayBeNull)
                faults.Add((path, "must not be null; leave it out"));
            return;
        }

        if (element.ValueKind == JsonValueKind.String && !CheckText(element, path, faults))
            return;
        if (type == typeof(string))
            Expect(element.ValueKind == JsonValueKind.String, "must be a string");
        else if (type == typeof(bool))
            Expect(element.ValueKind is JsonValueKind.True or JsonValueKind.False, "must be true or false");
        else if (type == typeof(int))
            Expect(element.ValueKind == JsonValueKind.Number && element.TryGetInt32(out _), "must be a whole number");
        else if (type == typeof(double))
            Expect(
                element.ValueKind == JsonValueKind.Number && element.TryGetDouble(out var number) && double.IsFinite(number),
                "must be a number"
            );
        else if (type == typeof(Guid))
            Expect(
                element.ValueKind == JsonValueKind.String && element.TryGetGuid(out _),
                "must be a UUID, such as 0b1f7c3e-52ab-8d0e-9c41-6a7d2f90e513"
            );
        else if (type == typeof(DateTimeOffset))
            Expect(
                element.ValueKind == JsonValueKind.String && element.TryGetDateTimeOffset(out _),
                "must be a time in ISO 8601, such as 2026-12-01T09:00:00Z"
            );
        else if (type.IsEnum)
        {
            var names = Enum.GetNames(type).Select(JsonNamingPolicy.CamelCase.ConvertName).ToList();
            Expect(
                element.ValueKind == JsonValueKind.String && names.Contains(element.GetString()!),
                $"must be one of {string.Join(", ", names)}"
            );
        }
        else if (Items(type) is { } item)
        {
            if (!Expect(element.ValueKind == JsonValueKind.Array, "must be a list"))
                return;
            var i = 0;
            foreach (var e in element.EnumerateArray())
            {
                var at = string.Create(CultureInfo.InvariantCulture, $"{path}[{i++}]");
                if (e.ValueKind == JsonValueKind.Null)
                    faults.Add((at, "must not be null"));
                else
                    Check(e, item, at, faults);
            }
        }
        else if (Values(type) is { } value)
        {
            if (!Expect(element.ValueKind == JsonValueKind.Object, "must be an object"))
                return;
            foreach (var (name, v) in Named(element, path, faults))
                Check(v, value, Join(path, name), faults);
        }
        else
        {
            if (!Expect(element.ValueKind == JsonValueKind.Object, "must be an object"))
                return;
            var fields = Fields.GetOrAdd(type, FieldsOf);
            foreach (var (name, v) in Named(element, path, faults))
            {
                if (fields.TryGetValue(name, out var field))
                    Check(v, field, Join(path, name), faults);
                else
                    faults.Add(Join(path, name), () => $"is not known here; known are {string.Join(", ", fields.Keys)}");
            }
        }

        bool Expect(bool holds, string fault)
        {
            if (!holds)
                faults.Add((path.Length == 0 ? "$" : path, fault));
            return holds;
        }
    }

    private static void CheckFree(JsonElement element, string path, FaultList faults)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.String:
                CheckText(element, path, faults);
                break;
            case JsonValueKind.Array:
                foreach (var e in element.EnumerateArray())
                    CheckFree(e, path, faults);
                break;
            case JsonValueKind.Object:
                foreach (var (name, v) in Named(element, path, faults))
                    CheckFree(v, Join(path, name), faults);
                break;
        }
    }

    private const string HalfAPair = "has half a surrogate pair, which is not text";

    // NUL cannot be stored, and half a surrogate pair is not text.
    private static bool CheckText(JsonElement element, string path, FaultList faults)
    {
        if (!element.GetRawText().Contains("\\u", StringComparison.Ordinal))
            return true;
        try
        {
            if (!element.GetString()!.Contains('\0', StringComparison.Ordinal))
                return true;
            faults.Add((path.Length == 0 ? "$" : path, "must not contain the character U+0000"));
        }
        catch (InvalidOperationException)
        {
            faults.Add((path.Length == 0 ? "$" : path, HalfAPair));
        }

        return false;
    }

    // The fields of an object; a name that is no text is a fault of the object.
    private static List<(string Name, JsonElement Value)> Named(JsonElement element, string path, FaultList faults)
    {
        var fields = new List<(string, JsonElement)>();
        foreach (var p in element.EnumerateObject())
        {
            try
            {
                fields.Add((p.Name, p.Value));
            }
            catch (InvalidOperationException)
            {
                faults.Add((path.Length == 0 ? "$" : path, "has a name with half a surrogate pair, which is not text"));
            }
        }

        return fields;
    }

    private static Dictionary<string, Type> FieldsOf(Type type) =>
        type.GetProperties(BindingFlags.Public | BindingFlags.Instance)
            .Where(p => p.CanRead && p.GetIndexParameters().Length == 0 && p.Name != "EqualityContract")
            .ToDictionary(p => JsonNamingPolicy.CamelCase.ConvertName(p.Name), p => p.PropertyType, StringComparer.Ordinal);

    private static Type? Items(Type type) =>
        type.IsGenericType && type.GetGenericTypeDefinition() is var g && (g == typeof(IReadOnlyList<>) || g == typeof(List<>))
            ? type.GetGenericArguments()[0]
            : null;

    private static Type? Values(Type type) =>
        type.IsGenericType
        && type.GetGenericTypeDefinition() is var g
        && (g == typeof(IReadOnlyDictionary<,>) || g == typeof(Dictionary<,>))
            ? type.GetGenericArguments()[1]
            : null;

    private static string Join(string path, string name) => path.Length == 0 ? name : $"{path}.{name}";
}
