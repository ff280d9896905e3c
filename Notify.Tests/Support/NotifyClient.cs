namespace Notify.Tests.Support;

using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;

/// <summary>An answer of the API.</summary>
public sealed record Reply(int Status, string Text, string? ContentType, HttpResponseHeaders Headers)
{
    private readonly Lazy<JsonNode?> json = new(() => JsonNode.Parse(Text));

    /// <summary>The body as JSON.</summary>
    public JsonNode Json => json.Value!;

    /// <summary>A field of the body, as text; <c>null</c> where it is absent.</summary>
    public string? this[string field] => Json[field]?.ToString();

    /// <summary>A problem's code; <c>null</c> for any other answer.</summary>
    public string? Code => ContentType == "application/problem+json" ? this["code"] : null;

    /// <summary>Asserts the status, showing the body where it is another.</summary>
    public Reply Is(int status)
    {
        Assert.True(Status == status, $"expected {status}, got {Status}: {Text}");
        return this;
    }

    /// <summary>Asserts a problem document with a code and a trace ID, and nothing of our insides.</summary>
    public Reply IsProblem(int status, string code)
    {
        Is(status);
        Assert.Equal("application/problem+json", ContentType);
        Assert.Equal(code, this["code"]);
        Assert.Equal(status.ToString(System.Globalization.CultureInfo.InvariantCulture), this["status"]);
        Assert.False(string.IsNullOrEmpty(this["traceId"]), Text);
        Assert.False(string.IsNullOrEmpty(this["title"]), Text);
        Assert.False(string.IsNullOrEmpty(this["detail"]), Text);
        Assert.False(string.IsNullOrEmpty(this["type"]), Text);
        Assert.DoesNotContain("   at ", Text, StringComparison.Ordinal);
        Assert.DoesNotContain("Exception", Text, StringComparison.Ordinal);
        return this;
    }

    /// <inheritdoc />
    public override string ToString() => $"{Status} {Text}";
}

/// <summary>A client of the API: one appKey and appSecret.</summary>
public sealed class NotifyClient : IDisposable
{
    /// <summary>JSON as callers write it.</summary>
    public static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web)
    {
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    };

    private readonly HttpClient http;

    /// <summary>A caller with a key.</summary>
    public NotifyClient(Uri api, string? appKey, string? appSecret, TimeSpan? patience = null)
    {
        (AppKey, Credentials) = (appKey ?? "", $"{appKey}:{appSecret}");
        http = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false })
        {
            BaseAddress = api,
            Timeout = patience ?? TimeSpan.FromSeconds(60),
        };
        if (appKey is not null)
            http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue(
                "Basic",
                Convert.ToBase64String(Encoding.UTF8.GetBytes($"{appKey}:{appSecret}"))
            );
    }

    /// <summary>The same client at another Api.</summary>
    /// <param name="patience">How long it waits for an answer; a minute when none is given.</param>
    public NotifyClient At(Uri api, TimeSpan? patience = null)
    {
        var other = new NotifyClient(api, null, null, patience);
        other.http.DefaultRequestHeaders.Authorization = http.DefaultRequestHeaders.Authorization;
        return other;
    }

    /// <summary>The client's ID.</summary>
    public string AppKey { get; }

    /// <summary><c>appKey:appSecret</c>.</summary>
    public string Credentials { get; }

    /// <summary>Calls the API.</summary>
    public async Task<Reply> CallAsync(HttpMethod method, string path, object? body = null, Action<HttpRequestMessage>? shape = null)
    {
        using var request = new HttpRequestMessage(method, path);
        if (body is not null)
            request.Content = body as HttpContent ?? JsonContent.Create(body, body.GetType(), options: Json);
        shape?.Invoke(request);
        using var response = await http.SendAsync(request, TestContext.Current.CancellationToken);
        return new Reply(
            (int)response.StatusCode,
            await response.Content.ReadAsStringAsync(),
            response.Content.Headers.ContentType?.MediaType,
            response.Headers
        );
    }

    /// <summary>Posts JSON exactly as written.</summary>
    public Task<Reply> PostRawAsync(string path, string json) =>
        CallAsync(HttpMethod.Post, path, new StringContent(json, Encoding.UTF8, "application/json"));

    public Task<Reply> GetAsync(string path) => CallAsync(HttpMethod.Get, path);

    public Task<Reply> PostAsync(string path, object body) => CallAsync(HttpMethod.Post, path, body);

    public Task<Reply> PutAsync(string path, object body) => CallAsync(HttpMethod.Put, path, body);

    public Task<Reply> DeleteAsync(string path) => CallAsync(HttpMethod.Delete, path);

    /// <summary>Requests a notification.</summary>
    public Task<Reply> SendAsync(object request) => PostAsync("/v1/notifications", request);

    /// <summary>Cancels a notification.</summary>
    public Task<Reply> CancelAsync(string eventId) => CallAsync(HttpMethod.Post, $"/v1/notifications/{eventId}/cancel");

    /// <summary>Asks for a notification.</summary>
    public async Task<NotificationState> StateAsync(string eventId, string query = "") =>
        new((await GetAsync($"/v1/notifications/{eventId}{query}")).Is(200).Json);

    /// <summary>The notification's events.</summary>
    public async Task<IReadOnlyList<RecordedEvent>> EventsAsync(string eventId) =>
        [.. (await GetAsync($"/v1/notifications/{eventId}/events")).Is(200).Json["events"]!.AsArray().Select(e => new RecordedEvent(e!))];

    /// <summary>The names of the notification's events.</summary>
    public async Task<string[]> EventTypesAsync(string eventId) => [.. (await EventsAsync(eventId)).Select(e => e.Type)];

    /// <summary>Waits until the notification has a status.</summary>
    public Task<NotificationState> BecomesAsync(string eventId, string status, TimeSpan? within = null) =>
        Eventually.Becomes(() => StateAsync(eventId), s => s.Status == status, $"{eventId} becomes {status}", within);

    /// <inheritdoc />
    public void Dispose() => http.Dispose();
}

/// <summary>A notification as the API shows it.</summary>
public sealed record NotificationState(JsonNode Json)
{
    public string Status => Json["status"]!.GetValue<string>();

    public IReadOnlyList<DeliveryState> Deliveries { get; } = [.. Json["deliveries"]!.AsArray().Select(d => new DeliveryState(d!))];

    /// <summary>The only delivery on a channel.</summary>
    public DeliveryState On(string channel) => Assert.Single(Deliveries, d => d.Channel == channel);

    /// <inheritdoc />
    public override string ToString() => Json.ToJsonString();
}

/// <summary>A delivery as the API shows it.</summary>
public sealed record DeliveryState(JsonNode Json)
{
    public string Id => this["deliveryId"]!;

    public string Channel => this["channel"]!;

    public string Status => this["status"]!;

    public string? Reason => this["reason"];

    public int Attempts => Json["attempts"]!.GetValue<int>();

    public string? ProviderMessageId => this["providerMessageId"];

    public string? this[string field] => Json[field]?.ToString();
}

/// <summary>An event as the API shows it.</summary>
public sealed record RecordedEvent(JsonNode Json)
{
    public string Type => Json["type"]!.GetValue<string>();

    public long Version => Json["version"]!.GetValue<long>();

    public DateTimeOffset Timestamp => Json["timestamp"]!.GetValue<DateTimeOffset>();

    public JsonNode Data => Json["data"]!;
}
