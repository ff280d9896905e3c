namespace Notify.Sandbox.Providers;

using Notify.Sandbox.Knobs;

/// <summary>A request as a provider judges it.</summary>
public readonly ref struct ProviderRequest
{
    /// <summary>The request without its body, which has been read.</summary>
    public required HttpRequest Http { get; init; }

    /// <summary>The raw body, cut where it is longer than the provider allows.</summary>
    public required ReadOnlySpan<byte> Body { get; init; }

    /// <summary>The decrypted body; null when it is not encrypted or cannot be decrypted.</summary>
    public required byte[]? Opened { get; init; }

    /// <summary>When the request arrived.</summary>
    public required DateTimeOffset ReceivedAt { get; init; }

    /// <summary>The fault to answer with if the request is otherwise good; null for none.</summary>
    public required ProviderFault? Fault { get; init; }

    /// <summary>Which receipts are to follow if the request is accepted.</summary>
    public required ReceiptKnob Receipts { get; init; }
}

/// <summary>A fault that a knob asks for: an HTTP status and, if set, a <c>Retry-After</c> in seconds.</summary>
public readonly record struct ProviderFault(int Status, int? RetryAfterSeconds);
