namespace Notify.Tests.Support;

using System.Net.Http.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;

/// <summary>A message that a provider received: one entry of the sandbox's ledger.</summary>
public sealed record LedgerEntry(JsonNode Json)
{
    public long Sequence => Json["sequence"]!.GetValue<long>();

    public string Provider => Json["provider"]!.GetValue<string>();

    public string? To => Json["to"]?.GetValue<string>();

    public string? Text => Json["text"]?.GetValue<string>();

    public string? MessageId => Json["providerMessageId"]?.GetValue<string>();

    public string Outcome => Json["outcome"]!.GetValue<string>();

    public bool IsAccepted => Outcome == "accepted";

    public DateTimeOffset ReceivedAt => Json["receivedAt"]!.GetValue<DateTimeOffset>();

    public string? Header(string name) => Json["request"]!["headers"]![name]?.GetValue<string>();

    /// <inheritdoc />
    public override string ToString() => $"{Provider} {To} {Outcome} {Text}";
}

/// <summary>A browser's push subscription, as its page gets it.</summary>
public sealed record WebSubscription(string Endpoint, WebSubscriptionKeys Keys)
{
    /// <summary>How the ledger calls it.</summary>
    [JsonIgnore]
    public string Id => Endpoint[(Endpoint.LastIndexOf('/') + 1)..];
}

/// <summary>Its keys, base64url.</summary>
public sealed record WebSubscriptionKeys(string P256dh, string Auth);

/// <summary>The sandbox's ledger and knobs.</summary>
public sealed class SandboxClient(Uri address) : IDisposable
{
    private readonly HttpClient http = new() { BaseAddress = address, Timeout = TimeSpan.FromSeconds(30) };

    /// <summary>All that mentions a text, oldest first; all there is when none is given.</summary>
    public async Task<List<LedgerEntry>> LedgerAsync(string? text = null, string? provider = null) =>
        await EntriesAsync(text, provider).ToListAsync();

    /// <summary>The same, a page at a time.</summary>
    public async IAsyncEnumerable<LedgerEntry> EntriesAsync(string? text = null, string? provider = null)
    {
        const int Page = 10_000;
        for (var (after, count) = (0L, Page); count == Page; )
        {
            var page = (
                await http.GetFromJsonAsync<JsonNode>(
                    $"/ledger?limit={Page}&after={after}&provider={provider}&text={Uri.EscapeDataString(text ?? "")}"
                )
            )!["entries"]!.AsArray();
            count = page.Count;
            foreach (var entry in page.Select(e => new LedgerEntry(e!)))
            {
                after = entry.Sequence;
                yield return entry;
            }
        }
    }

    /// <summary>Has the sandbox forget all entries.</summary>
    public async Task ClearAsync() => (await http.DeleteAsync("/ledger")).EnsureSuccessStatusCode();

    /// <summary>How many requests mention a text, and how many of them were accepted.</summary>
    public async Task<(int Received, int Accepted)> CountAsync(string? text = null)
    {
        var summary = (await http.GetFromJsonAsync<JsonNode>($"/ledger/summary?text={Uri.EscapeDataString(text ?? "")}"))!;
        return (summary["received"]!.GetValue<int>(), summary["accepted"]!.GetValue<int>());
    }

    /// <summary>Sets a provider's fault settings; absent ones return to their defaults.</summary>
    public async Task KnobsAsync(string provider, object knobs) =>
        (await http.PutAsJsonAsync($"/knobs/{provider}", knobs, NotifyClient.Json)).EnsureSuccessStatusCode();

    /// <summary>Has somebody write an SMS to the provider's account.</summary>
    /// <returns>The status with which the webhook answered.</returns>
    public async Task<int?> InboundAsync(string provider, string from, string text)
    {
        using var response = await http.PostAsJsonAsync($"/inbound/{provider}", new { from, text }, NotifyClient.Json);
        return (await response.EnsureSuccessStatusCode().Content.ReadFromJsonAsync<JsonNode>())!["status"]?.GetValue<int>();
    }

    /// <summary>A browser's subscription.</summary>
    /// <param name="fate">The simulated outcome of messages to it; <c>null</c>: they arrive.</param>
    /// <param name="applicationServerKey">The only VAPID key that may send to it.</param>
    public async Task<WebSubscription> SubscribeAsync(string? fate = null, string? applicationServerKey = null)
    {
        using var response = await http.PostAsJsonAsync("/webpush/subscriptions", new { fate, applicationServerKey }, NotifyClient.Json);
        return (await response.EnsureSuccessStatusCode().Content.ReadFromJsonAsync<WebSubscription>(NotifyClient.Json))!;
    }

    /// <summary>Makes all providers behave again.</summary>
    public async Task BehaveAsync()
    {
        foreach (var (provider, _) in (await http.GetFromJsonAsync<JsonObject>("/knobs"))!)
            await KnobsAsync(provider, new { });
    }

    /// <inheritdoc />
    public void Dispose() => http.Dispose();
}
