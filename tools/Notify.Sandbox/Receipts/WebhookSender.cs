namespace Notify.Sandbox.Receipts;

/// <summary>A request to a customer's webhook.</summary>
/// <param name="Make">Makes the request for one attempt, signed as of now.</param>
/// <param name="IsInsistent">Whether the provider posts again until it is answered with 2xx.</param>
public sealed record WebhookPost(Func<HttpRequestMessage> Make, bool IsInsistent);

/// <summary>Posts to webhooks. Posts that a provider repeats until they are accepted are repeated here for about a minute.</summary>
public sealed class WebhookSender : IDisposable
{
    private const int Connections = 32;
    private const int Repeats = 6;
    private static readonly TimeSpan FirstPause = TimeSpan.FromSeconds(1);

    private readonly TimeProvider _time;
    private readonly HttpClient _client;

    /// <summary>Opens no connection yet.</summary>
    public WebhookSender(IConfiguration configuration, TimeProvider time)
    {
        _time = time;
        Base = configuration["Sandbox:WebhookUrl"] is { Length: > 0 } url ? url.TrimEnd('/') : null;
        _client = new HttpClient(
            new SocketsHttpHandler
            {
                MaxConnectionsPerServer = Connections,
                AllowAutoRedirect = false,
                UseProxy = false,
            }
        )
        {
            Timeout = TimeSpan.FromSeconds(10),
        };
    }

    private string? Base { get; }

    /// <summary>Where the account's webhook of a provider leads; null: nowhere, since none is set.</summary>
    public string? AddressOf(string provider) => Base is null ? null : $"{Base}/receipts/{provider}";

    /// <summary>Posts once; a rejected post that the provider repeats goes on in the background.</summary>
    public async Task PostAsync(WebhookPost post, CancellationToken cancellation)
    {
        if (await TryAsync(post, cancellation) is not (>= 200 and < 300) && post.IsInsistent)
            _ = InsistAsync(post, cancellation);
    }

    /// <summary>Posts once, and says what was answered; null: nothing.</summary>
    public async Task<int?> TryAsync(WebhookPost post, CancellationToken cancellation)
    {
        try
        {
            using var request = post.Make();
            using var response = await _client.SendAsync(request, cancellation);
            return (int)response.StatusCode;
        }
        catch (Exception error) when (error is HttpRequestException or OperationCanceledException)
        {
            return null; // A receiver that is away; whether this is lost is the provider's to say.
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _client.Dispose();

    private async Task InsistAsync(WebhookPost post, CancellationToken cancellation)
    {
        var pause = FirstPause;
        for (var i = 0; i < Repeats; i++, pause *= 2)
        {
            await Task.Delay(pause, _time, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (cancellation.IsCancellationRequested || await TryAsync(post, cancellation) is >= 200 and < 300)
                return;
        }
    }
}
