namespace Notify.Sandbox.Knobs;

using System.Text.Json.Serialization;
using Notify.Sandbox.Providers;

/// <summary>The receipts that a provider sends after it has accepted a message that asked for them.</summary>
public enum ReceiptKnob
{
    /// <summary>Reports nothing.</summary>
    None,

    /// <summary>Reports each step up to the delivery, in order.</summary>
    Delivered,

    /// <summary>Reports that it could not be delivered.</summary>
    Failed,

    /// <summary>As <see cref="Delivered"/>, ten seconds late.</summary>
    Late,

    /// <summary>As <see cref="Delivered"/>, the last step first.</summary>
    Shuffled,

    /// <summary>As <see cref="Delivered"/>, each step twice.</summary>
    Repeated,
}

/// <summary>Which part a gateway before the provider has in a fault.</summary>
public enum GatewayKnob
{
    /// <summary>None: the provider itself answers, in its own error shape.</summary>
    None,

    /// <summary>It answers with a page of its own, and the provider never gets the request.</summary>
    Lost,

    /// <summary>It answers with a page of its own, and the provider takes the request all the same.</summary>
    Passed,
}

/// <summary>How one provider misbehaves. The default is not at all.</summary>
public sealed record ProviderKnobs
{
    /// <summary>Milliseconds between judging and answering, 0 to 600,000.</summary>
    public int LatencyMs { get; init; }

    /// <summary>How far the latency varies to either side, as a fraction of it: 0 to 1.</summary>
    public double Jitter { get; init; }

    /// <summary>The fraction of otherwise good requests that fail, 0 to 1.</summary>
    public double ErrorRate { get; init; }

    /// <summary>The HTTP status that they fail with, 400 to 599.</summary>
    public int ErrorStatus { get; init; } = 500;

    /// <summary>Whether a gateway answers them, instead of the provider.</summary>
    [JsonConverter(typeof(CamelCaseEnumConverter<GatewayKnob>))]
    public GatewayKnob Gateway { get; init; }

    /// <summary>Their <c>Retry-After</c>, 0 to 86,400 seconds; null sends none.</summary>
    public int? RetryAfterSeconds { get; init; }

    /// <summary>Reads requests and never answers.</summary>
    public bool Blackhole { get; init; }

    /// <summary>Breaks the connection (HTTP/2: the stream) off at once instead of answering.</summary>
    public bool Refuse { get; init; }

    /// <summary>Which receipts follow.</summary>
    [JsonConverter(typeof(CamelCaseEnumConverter<ReceiptKnob>))]
    public ReceiptKnob Receipts { get; init; }

    internal ProviderFault? DrawFault() =>
        ErrorRate > 0 && Random.Shared.NextDouble() < ErrorRate ? new ProviderFault(ErrorStatus, RetryAfterSeconds) : null;

    internal TimeSpan DrawLatency() =>
        LatencyMs == 0 ? TimeSpan.Zero : TimeSpan.FromMilliseconds(LatencyMs * (1 + Jitter * (2 * Random.Shared.NextDouble() - 1)));

    private sealed class CamelCaseEnumConverter<T>() : JsonStringEnumConverter<T>(System.Text.Json.JsonNamingPolicy.CamelCase)
        where T : struct, Enum;
}
