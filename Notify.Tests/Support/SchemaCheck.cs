namespace Notify.Tests.Support;

using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

/// <summary>Checks values against the schemas of an OpenAPI 3.1 document, as far as the document uses JSON Schema; a keyword it does not
/// know is a fault.</summary>
public sealed class SchemaCheck(JsonNode document)
{
    private static readonly string[] Notes = ["description", "title", "example", "examples", "default", "deprecated"];

    /// <summary>Returns the faults of a value against a schema, each with its path.</summary>
    public IReadOnlyList<string> Faults(JsonNode? value, JsonNode schema)
    {
        var faults = new List<string>();
        Check(value, schema.AsObject(), "$", faults);
        return faults;
    }

    private void Check(JsonNode? value, JsonObject schema, string at, List<string> faults)
    {
        foreach (var (keyword, rule) in schema)
        {
            switch (keyword)
            {
                case "$ref":
                    var name = rule!.ToString()["#/components/schemas/".Length..];
                    Check(value, document["components"]!["schemas"]![name]!.AsObject(), at, faults);
                    break;
                case "type":
                    var types = rule is JsonArray many ? many.Select(t => t!.ToString()).ToArray() : [rule!.ToString()];
                    if (!types.Any(t => IsOf(value, t)))
                        faults.Add($"{at} is {value?.ToJsonString() ?? "null"}, not {string.Join(" or ", types)}");
                    break;
                case "enum":
                    if (!rule!.AsArray().Any(e => JsonNode.DeepEquals(e, value)))
                        faults.Add($"{at} is {value?.ToJsonString()}, not one of {rule.ToJsonString()}");
                    break;
                case "required":
                    foreach (var field in rule!.AsArray().Where(f => (value as JsonObject)?.ContainsKey(f!.ToString()) == false))
                        faults.Add($"{at}.{field} is missing");
                    break;
                case "properties":
                    foreach (var (field, v) in value as JsonObject ?? [])
                    {
                        if (rule![field] is JsonObject own)
                            Check(v, own, $"{at}.{field}", faults);
                        else if (schema["additionalProperties"] is null)
                            faults.Add($"{at}.{field} is not described");
                    }

                    break;
                case "additionalProperties":
                    foreach (var (field, v) in value as JsonObject ?? [])
                    {
                        if (schema["properties"]?[field] is null && rule is JsonObject others)
                            Check(v, others, $"{at}.{field}", faults);
                    }

                    break;
                case "items":
                    var i = 0;
                    foreach (var item in value as JsonArray ?? [])
                        Check(item, rule!.AsObject(), string.Create(CultureInfo.InvariantCulture, $"{at}[{i++}]"), faults);
                    break;
                case "oneOf" or "anyOf":
                    if (!rule!.AsArray().Any(s => Faults(value, s!).Count == 0))
                        faults.Add($"{at} fits none of {keyword}");
                    break;
                case "format":
                    if (value is not null && !IsFormat(value, rule!.ToString()))
                        faults.Add($"{at} is {value.ToJsonString()}, not of format {rule}");
                    break;
                default:
                    if (!Notes.Contains(keyword))
                        faults.Add($"{at}: the check does not know the keyword {keyword}");
                    break;
            }
        }
    }

    private static bool IsOf(JsonNode? value, string type) =>
        (type, value?.GetValueKind() ?? JsonValueKind.Null) switch
        {

            ("null", JsonValueKind.Null)
            or
            ("object", JsonValueKind.Object)
            or
            ("array", JsonValueKind.Array)
            or
            ("string", JsonValueKind.String)
            or ("number", JsonValueKind.Number) => true,
            ("boolean", JsonValueKind.True or JsonValueKind.False) => true,
            ("integer", JsonValueKind.Number) => long.TryParse(value!.ToJsonString(), CultureInfo.InvariantCulture, out _),
            _ => false,
        };

    private static bool IsFormat(JsonNode value, string format) =>
        format switch
        {
            "uri" => Uri.TryCreate(value.ToString(), UriKind.Absolute, out _),
            "date-time" => DateTimeOffset.TryParse(value.ToString(), CultureInfo.InvariantCulture, DateTimeStyles.None, out _),
            "uuid" => Guid.TryParse(value.ToString(), out _),
            "int32" => int.TryParse(value.ToString(), CultureInfo.InvariantCulture, out _),
            "int64" => long.TryParse(value.ToString(), CultureInfo.InvariantCulture, out _),
            "double" => double.TryParse(value.ToString(), CultureInfo.InvariantCulture, out _),
            _ => false,
        };
}
