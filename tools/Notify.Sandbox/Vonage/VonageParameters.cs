namespace Notify.Sandbox.Vonage;

using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.WebUtilities;

/// <summary>A request's parameters, from a form or from a flat JSON object; an empty one counts as not given.</summary>
public sealed class VonageParameters
{
    private readonly Dictionary<string, string> _values = new(StringComparer.Ordinal);

    private VonageParameters() { }

    /// <summary>A parameter; null where not given.</summary>
    public string? this[string name] => _values.GetValueOrDefault(name);

    /// <summary>All of them.</summary>
    public IReadOnlyDictionary<string, string> All => _values;

    /// <summary>Reads a body; null for JSON that is no flat object.</summary>
    public static VonageParameters? Parse(ReadOnlySpan<byte> body, bool isJson) =>
        isJson ? ParseJson(body) : ParseForm(Encoding.UTF8.GetString(body));

    /// <summary>Reads a form or a query; of a repeated parameter the last counts.</summary>
    public static VonageParameters ParseForm(string form)
    {
        var parameters = new VonageParameters();
        foreach (var pair in new QueryStringEnumerable(form))
            parameters.Set(pair.DecodeName().ToString(), pair.DecodeValue().ToString());
        return parameters;
    }

    /// <summary>A body as it may be kept: the secret taken out.</summary>
    public static byte[]? WithoutSecret(ReadOnlySpan<byte> body, bool isJson)
    {
        const string Secret = "api_secret";
        if (isJson)
            return Providers.Secrets.InJson(body, Secret);

        var pairs = Encoding.UTF8.GetString(body).Split('&');
        return Array.Exists(pairs, IsSecret)
            ? Encoding.UTF8.GetBytes(string.Join('&', pairs.Select(pair => IsSecret(pair) ? $"{Secret}=[redacted]" : pair)))
            : null;

        static bool IsSecret(string pair) => pair.StartsWith(Secret + "=", StringComparison.Ordinal);
    }

    private static VonageParameters? ParseJson(ReadOnlySpan<byte> body)
    {
        var reader = new Utf8JsonReader(body);
        try
        {
            using var document = JsonDocument.ParseValue(ref reader);
            if (document.RootElement.ValueKind != JsonValueKind.Object)
                return null;

            var parameters = new VonageParameters();
            foreach (var property in document.RootElement.EnumerateObject())
            {
                if (property.Value.ValueKind is JsonValueKind.Object or JsonValueKind.Array)
                    return null;
                parameters.Set(property.Name, property.Value.ToString());
            }

            return parameters;
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException) // the latter: half a surrogate pair
        {
            return null;
        }
    }

    private void Set(string name, string value)
    {
        if (value.Length > 0)
            _values[name] = value;
    }
}
