namespace Notify.Dispatch.Receipts;

/// <summary>The providers that post receipts, by the name of their section under <c>Providers</c>.</summary>
public sealed record ReceiptSources(IReadOnlyDictionary<string, IReceiptSource> All);
