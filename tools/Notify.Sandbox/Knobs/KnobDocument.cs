namespace Notify.Sandbox.Knobs;

using System.Text.Json;

/// <summary>Reads knobs from JSON and names every fault at once.</summary>
public sealed class KnobDocument
{
    private const string ReceiptNames = "none | delivered | failed | late | shuffled | repeated";

    private readonly Dictionary<string, string[]> _errors = new(StringComparer.Ordinal);
    private ProviderKnobs _knobs = new();

    /// <summary>The knobs, or by field what is wrong with them.</summary>
    public static (ProviderKnobs Knobs, IDictionary<string, string[]> Errors) Parse(JsonElement document)
    {
        var reading = new KnobDocument();
        if (document.ValueKind != JsonValueKind.Object)
            reading._errors[""] = ["must be a JSON object"];
        else
            foreach (var property in document.EnumerateObject())
                reading.Read(property.Name, property.Value);

        return (reading._knobs, reading._errors);
    }

    private void Read(string name, JsonElement value) =>
        _knobs = name switch
        {
            "latencyMs" => _knobs with { LatencyMs = Integer(name, value, 0, 600_000) },
            "jitter" => _knobs with { Jitter = Fraction(name, value) },
            "errorRate" => _knobs with { ErrorRate = Fraction(name, value) },
            "errorStatus" => _knobs with { ErrorStatus = Integer(name, value, 400, 599) },
            "retryAfterSeconds" => _knobs with
            {
                RetryAfterSeconds = value.ValueKind == JsonValueKind.Null ? null : Integer(name, value, 0, 86_400),
            },
            "gateway" => _knobs with { Gateway = Gateway(name, value) },
            "blackhole" => _knobs with { Blackhole = Flag(name, value) },
            "refuse" => _knobs with { Refuse = Flag(name, value) },
            "receipts" => _knobs with { Receipts = Receipts(name, value) },
            _ => Fault(name, "is not a knob", _knobs),
        };

    private int Integer(string name, JsonElement value, int lowest, int highest) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out var number) && number >= lowest && number <= highest
            ? number
            : Fault(name, $"must be an integer from {lowest} to {highest}", 0);

    private double Fraction(string name, JsonElement value) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var number) && number is >= 0 and <= 1
            ? number
            : Fault(name, "must be a number from 0 to 1", 0d);

    private bool Flag(string name, JsonElement value) =>
        value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetBoolean() : Fault(name, "must be true or false", false);

    private GatewayKnob Gateway(string name, JsonElement value) =>
        (value.ValueKind == JsonValueKind.String ? value.GetString() : null) switch
        {
            "none" => GatewayKnob.None,
            "lost" => GatewayKnob.Lost,
            "passed" => GatewayKnob.Passed,
            _ => Fault(name, "must be one of none | lost | passed", GatewayKnob.None),
        };

    private ReceiptKnob Receipts(string name, JsonElement value) =>
        (value.ValueKind == JsonValueKind.String ? value.GetString() : null) switch
        {
            "none" => ReceiptKnob.None,
            "delivered" => ReceiptKnob.Delivered,
            "failed" => ReceiptKnob.Failed,
            "late" => ReceiptKnob.Late,
            "shuffled" => ReceiptKnob.Shuffled,
            "repeated" => ReceiptKnob.Repeated,
            _ => Fault(name, $"must be one of {ReceiptNames}", ReceiptKnob.None),
        };

    private T Fault<T>(string name, string message, T instead)
    {
        _errors[name] = [message];
        return instead;
    }
}
