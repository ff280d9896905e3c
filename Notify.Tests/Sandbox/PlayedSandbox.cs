namespace Notify.Tests.Sandbox;

using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Notify.Tests.Support;

/// <summary>A request that came to the account's webhook, raw.</summary>
public sealed record WebhookRequest(string Method, string Url, IReadOnlyDictionary<string, string> Headers, byte[] Body)
{
    /// <summary>The body as text.</summary>
    public string Text => Encoding.UTF8.GetString(Body);

    public string? Header(string name) => Headers.GetValueOrDefault(name.ToLowerInvariant());
}

/// <summary>A sandbox of the tests' own, whose knobs may be turned, with a webhook that keeps all that comes.</summary>
public sealed class PlayedSandbox : IAsyncLifetime
{
    private readonly HttpListener listener = new();
    private readonly ConcurrentQueue<WebhookRequest> received = new();
    private HostProcess process = null!;
    private Task serving = Task.CompletedTask;

    public Uri Url { get; } = new($"http://127.0.0.1:{HostProcess.FreePort()}");

    public int SmtpPort { get; } = HostProcess.FreePort();

    /// <summary>Apple's server for production.</summary>
    public Uri ApnsUrl { get; } = new($"https://127.0.0.1:{HostProcess.FreePort()}");

    /// <summary>Apple's server for development.</summary>
    public Uri ApnsDevelopmentUrl { get; } = new($"https://127.0.0.1:{HostProcess.FreePort()}");

    /// <summary>The second app of the APNs account.</summary>
    public const string SecondTopic = "dev.notify.second";

    /// <summary>Where the account's webhooks lead.</summary>
    public string WebhookBase { get; } = $"http://127.0.0.1:{HostProcess.FreePort()}";

    public SandboxClient Client { get; private set; } = null!;

    public HttpClient Http { get; } = new(new SocketsHttpHandler { UseProxy = false });

    public JsonElement Accounts { get; private set; }

    /// <summary>Status codes that the webhook returns to the next requests; then it returns 204 again.</summary>
    public ConcurrentQueue<int> Answers { get; } = new();

    /// <summary>All that came to the webhook and was answered with 204, and mentions a text.</summary>
    public IReadOnlyList<WebhookRequest> Received(string text) =>
        [.. received.Where(r => Uri.UnescapeDataString(r.Url + r.Text).Contains(text, StringComparison.Ordinal))];

    public string Account(string name) => Accounts.GetProperty(name).GetString()!;

    public async ValueTask InitializeAsync()
    {
        Accounts = await TestRun.Accounts;
        Client = new SandboxClient(Url);
        listener.Prefixes.Add(WebhookBase + "/");
        listener.Start();
        serving = Task.Run(ServeAsync);
        process = HostProcess.Start(
            "Sandbox",
            Repository.Program("tools/Notify.Sandbox"),
            [],
            new Dictionary<string, string>
            {
                ["Sandbox__Home"] = TestRun.SandboxHome,
                ["Sandbox__Url"] = Url.ToString().TrimEnd('/'),
                ["Sandbox__ApnsUrl"] = ApnsUrl.ToString().TrimEnd('/'),
                ["Sandbox__ApnsDevelopmentUrl"] = ApnsDevelopmentUrl.ToString().TrimEnd('/'),
                ["Sandbox__ApnsTopics"] = SecondTopic,
                ["Sandbox__SmtpUrl"] = $"smtp://127.0.0.1:{SmtpPort}",
                ["Sandbox__WebhookUrl"] = WebhookBase,
            },
            TestRun.Log("played-sandbox")
        );
        await Eventually.Holds(
            async () =>
            {
                if (process.HasEnded)
                    throw new InvalidOperationException(process.Tail(20));
                try
                {
                    return (await Http.GetAsync(new Uri(Url, "/health/ready"))).IsSuccessStatusCode;
                }
                catch (HttpRequestException)
                {
                    return false;
                }
            },
            "the sandbox is ready"
        );
    }

    /// <summary>Posts a form.</summary>
    public async Task<JsonElement> PostFormAsync(string path, IEnumerable<KeyValuePair<string, string>> form, int status = 200)
    {
        using var response = await Http.PostAsync(
            new Uri(Url, path),
            new FormUrlEncodedContent(form),
            TestContext.Current.CancellationToken
        );
        Assert.Equal(status, (int)response.StatusCode);
        return await response.Content.ReadFromJsonAsync<JsonElement>(TestContext.Current.CancellationToken);
    }

    /// <summary>Posts JSON.</summary>
    public async Task<JsonElement> PostJsonAsync(string path, object body, int status = 200)
    {
        using var response = await Http.PostAsJsonAsync(new Uri(Url, path), body, TestContext.Current.CancellationToken);
        Assert.Equal(status, (int)response.StatusCode);
        return await response.Content.ReadFromJsonAsync<JsonElement>(TestContext.Current.CancellationToken);
    }

    public async ValueTask DisposeAsync()
    {
        if (process is not null)
            await process.DisposeAsync();
        listener.Stop();
        await serving;
        listener.Close();
        Client?.Dispose();
        Http.Dispose();
    }

    private async Task ServeAsync()
    {
        while (listener.IsListening)
        {
            try
            {
                var context = await listener.GetContextAsync();
                using var body = new MemoryStream();
                await context.Request.InputStream.CopyToAsync(body);
                var status = Answers.TryDequeue(out var next) ? next : 204;
                var headers = context.Request.Headers.AllKeys.ToDictionary(k => k!.ToLowerInvariant(), k => context.Request.Headers[k]!);
                if (status == 204)
                    received.Enqueue(
                        new WebhookRequest(context.Request.HttpMethod, context.Request.Url!.AbsoluteUri, headers, body.ToArray())
                    );
                context.Response.StatusCode = status;
                context.Response.Close();
            }
            catch (Exception e) when (e is HttpListenerException or ObjectDisposedException)
            {
                return;
            }
        }
    }
}

/// <summary>The tests of a sandbox of their own: one after the other, since they turn its knobs.</summary>
[CollectionDefinition(Name)]
public sealed class PlayedSandboxCollection : ICollectionFixture<PlayedSandbox>
{
    public const string Name = "PlayedSandbox";
}
