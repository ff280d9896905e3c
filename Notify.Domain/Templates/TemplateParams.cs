namespace Notify.Domain.Templates;

using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Fluid.Values;

/// <summary>A request's parameters: checked against a template's rules, and made into plain values that are never evaluated.</summary>
public static partial class TemplateParams
{
    /// <summary>The most that a request's parameters may have together, in characters of JSON.</summary>
    public const int MaxSize = 64 * 1024;

    private const int MaxDigits = 28;

    public const string NameRule = "must be 1 to 64 of A-Z a-z 0-9 _ and not begin with a digit";

    private static readonly string[] Schemes = ["https", "http", "mailto", "tel"];

    /// <summary>Whether a parameter may be called so.</summary>
    public static bool IsName(string text) => Name().IsMatch(text);

    /// <summary>Returns every fault of a request's parameters, by name; faults of all of them have an empty name.</summary>
    public static IReadOnlyList<(string Name, string Fault)> Check(IReadOnlyDictionary<string, ParameterRule> rules, JsonElement? given)
    {
        var faults = new List<(string, string)>();
        var present = new HashSet<string>(StringComparer.Ordinal);
        if (given is { ValueKind: JsonValueKind.Object } all)
        {
            if (all.GetRawText().Length > MaxSize)
                return [("", $"must have at most {MaxSize / 1024} KiB together")];
            foreach (var p in all.EnumerateObject())
            {
                if (!rules.TryGetValue(p.Name, out var rule))
                    faults.Add(
                        (
                            p.Name,
                            rules.Count == 0
                                ? "is not known to this template, which has no parameters"
                                : $"is not known to this template; known are {string.Join(", ", rules.Keys.Order(StringComparer.Ordinal))}"
                        )
                    );
                else if (p.Value.ValueKind != JsonValueKind.Null && present.Add(p.Name) && Fault(rule.Type, p.Value) is { } fault)
                    faults.Add((p.Name, fault));
            }
        }

        faults.AddRange(
            rules
                .Where(r => r.Value.Required && !present.Contains(r.Key))
                .OrderBy(r => r.Key, StringComparer.Ordinal)
                .Select(r => (r.Key, $"is required: give a {Describe(r.Value.Type)}"))
        );
        return faults;
    }

    /// <summary>The parameters as templates see them.</summary>
    public static IEnumerable<(string Name, FluidValue Value)> Values(IReadOnlyDictionary<string, ParameterRule> rules, JsonElement? given)
    {
        if (given is not { ValueKind: JsonValueKind.Object } all)
            yield break;
        foreach (var p in all.EnumerateObject())
            if (rules.TryGetValue(p.Name, out var rule))
                yield return (
                    p.Name,
                    rule.Type == ParameterType.Date && IsDate(p.Value, out var date) ? new DateTimeValue(date) : ValueOf(p.Value)
                );
    }

    /// <summary>Parameters such as a request might have, to try a template with.</summary>
    public static JsonElement Sample(IReadOnlyDictionary<string, ParameterRule> rules) =>
        JsonSerializer.SerializeToElement(
            rules.ToDictionary(
                r => r.Key,
                object (r) =>
                    r.Value.Type switch
                    {
                        ParameterType.Number => 1,
                        ParameterType.Boolean => true,
                        ParameterType.Date => "2026-12-01T09:00:00Z",
                        ParameterType.Array => new[] { r.Key },
                        ParameterType.Object => new Dictionary<string, string> { ["name"] = r.Key },
                        ParameterType.Url => "https://example.com/",
                        _ => r.Key,
                    }
            )
        );

    /// <summary>Whether a link may lead there.</summary>
    public static bool IsLink(string text) =>
        Uri.TryCreate(text, UriKind.Absolute, out var uri) && Schemes.Contains(uri.Scheme) && !text.Any(char.IsControl);

    /// <summary>A text without what could change the text around it: control characters but tab and line breaks, and marks that turn the
    /// direction of writing over.</summary>
    public static string Clean(string text)
    {
        var first = 0;
        while (first < text.Length && !IsForeign(text[first]))
            first++;
        if (first == text.Length)
            return text;
        var clean = new StringBuilder(text, 0, first, text.Length);
        foreach (var c in text.AsSpan(first))
            if (!IsForeign(c))
                clean.Append(c);
        return clean.ToString();
    }

    private static bool IsForeign(char c) =>
        (char.IsControl(c) && c is not ('\t' or '\n' or '\r'))
        || c is (>= '\u202A' and <= '\u202E') or (>= '\u2066' and <= '\u2069') or '\u2028' or '\u2029' or '\uFEFF';

    private static FluidValue ValueOf(JsonElement value) =>
        value.ValueKind switch
        {
            JsonValueKind.String => new StringValue(Clean(value.GetString()!)),
            JsonValueKind.Number => value.TryGetDecimal(out var number)
                ? Liquid.NumberFilters.Value(number)
                : new StringValue(value.GetRawText()),
            JsonValueKind.True => BooleanValue.True,
            JsonValueKind.False => BooleanValue.False,
            JsonValueKind.Array => new ArrayValue([.. value.EnumerateArray().Select(ValueOf)]),
            JsonValueKind.Object => new DictionaryValue(
                new FluidValueDictionaryFluidIndexable(
                    value.EnumerateObject().ToDictionary(p => p.Name, p => ValueOf(p.Value), StringComparer.Ordinal)
                )
            ),
            _ => NilValue.Instance,
        };

    private static string? Fault(ParameterType type, JsonElement value)
    {
        var fits = type switch
        {
            ParameterType.String => value.ValueKind == JsonValueKind.String,
            ParameterType.Number => value.ValueKind == JsonValueKind.Number && value.TryGetDecimal(out _),
            ParameterType.Boolean => value.ValueKind is JsonValueKind.True or JsonValueKind.False,
            ParameterType.Date => IsDate(value, out _),
            ParameterType.Array => value.ValueKind == JsonValueKind.Array,
            ParameterType.Object => value.ValueKind == JsonValueKind.Object,
            ParameterType.Url => value.ValueKind == JsonValueKind.String && value.GetString()!.Length <= 2000 && IsLink(value.GetString()!),
            _ => true,
        };
        return !fits ? $"must be a {Describe(type)}"
            : AreCountable(value) ? null
            : $"must have no number of more than {MaxDigits} digits";
    }

    // As a text a number that is none of .NET's would be counted by its first digits.
    private static bool AreCountable(JsonElement value) =>
        value.ValueKind switch
        {
            JsonValueKind.Number => value.TryGetDecimal(out _),
            JsonValueKind.Array => value.EnumerateArray().All(AreCountable),
            JsonValueKind.Object => value.EnumerateObject().All(p => AreCountable(p.Value)),
            _ => true,
        };

    private static bool IsDate(JsonElement value, out DateTimeOffset date)
    {
        date = default;
        return value.ValueKind == JsonValueKind.String
            && Iso().IsMatch(value.GetString()!)
            && DateTimeOffset.TryParse(value.GetString(), CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out date);
    }

    private static string Describe(ParameterType type) =>
        type switch
        {
            ParameterType.Number => "number of at most 28 digits",
            ParameterType.Boolean => "boolean: true or false",
            ParameterType.Date => "date in ISO 8601, such as 2026-12-01 or 2026-12-01T09:00:00Z",
            ParameterType.Array => "list",
            ParameterType.Object => "JSON object",
            ParameterType.Url => "url: absolute, with https, http, mailto or tel, and at most 2,000 characters",
            ParameterType.String => "string",
            _ => "value",
        };

    [GeneratedRegex(@"^[A-Za-z_][A-Za-z0-9_]{0,63}\z")]
    private static partial Regex Name();

    [GeneratedRegex(@"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,7})?)?(Z|[+-]\d\d:\d\d)?)?\z")]
    private static partial Regex Iso();
}
