namespace Notify.Tests.Support;

using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;

/// <summary>A post as it came, and how it was answered.</summary>
public sealed record ReceivedPost(string Id, string Body, int Status)
{
    /// <summary>The body.</summary>
    public JsonNode Json { get; } = JsonNode.Parse(Body)!;

    public string Type => Json["type"]!.ToString();

    public JsonNode Data => Json["data"]!;

    public string Subject => Data["subject"]!.ToString();

    public bool WasTaken => Status == 204;

    /// <inheritdoc />
    public override string ToString() => $"{Status} {Id} {Type} {Subject}";
}

/// <summary>Receives alerts as a team's own service would, and checks each signature by what Standard Webhooks says.</summary>
public sealed class WebhookReceiver : IAsyncDisposable
{
    private readonly byte[] key = RandomNumberGenerator.GetBytes(32);
    private readonly HttpListener listener = new();
    private readonly ConcurrentQueue<ReceivedPost> posts = new();
    private readonly Task serving;

    /// <summary>Listens on a free port.</summary>
    public WebhookReceiver()
    {
        Url = $"http://127.0.0.1:{HostProcess.FreePort()}/alerts/";
        listener.Prefixes.Add(Url);
        listener.Start();
        serving = Task.Run(ServeAsync);
    }

    /// <summary>Where it listens.</summary>
    public string Url { get; }

    /// <summary>The secret to sign with.</summary>
    public string Secret => $"whsec_{Convert.ToBase64String(key)}";

    /// <summary>The status code for a valid post.</summary>
    public int Answer { get; set; } = 204;

    /// <summary>All that came.</summary>
    public IReadOnlyList<ReceivedPost> Posts => [.. posts];

    /// <summary>Returns the accepted posts about a subject.</summary>
    public IReadOnlyList<ReceivedPost> Taken(string subject) => [.. posts.Where(p => p.WasTaken && p.Subject == subject)];

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        listener.Stop();
        await serving;
        listener.Close();
    }

    private async Task ServeAsync()
    {
        while (listener.IsListening)
        {
            HttpListenerContext context;
            try
            {
                context = await listener.GetContextAsync();
            }
            catch (Exception e) when (e is HttpListenerException or ObjectDisposedException)
            {
                return;
            }

            using var reader = new StreamReader(context.Request.InputStream, Encoding.UTF8);
            var body = await reader.ReadToEndAsync();
            var headers = context.Request.Headers;
            var status = IsSigned(headers["webhook-id"], headers["webhook-timestamp"], headers["webhook-signature"], body) ? Answer : 401;
            posts.Enqueue(new ReceivedPost(headers["webhook-id"] ?? "", body, status));
            context.Response.StatusCode = status;
            context.Response.Close();
        }
    }

    private bool IsSigned(string? id, string? timestamp, string? signatures, string body)
    {
        if (id is null || signatures is null || !long.TryParse(timestamp, NumberStyles.None, CultureInfo.InvariantCulture, out var seconds))
            return false;
        if (Math.Abs(TimeProvider.System.GetUtcNow().ToUnixTimeSeconds() - seconds) > 300)
            return false;
        using var hmac = new HMACSHA256(key);
        hmac.TransformBlock(Encoding.ASCII.GetBytes(id + "."), 0, id.Length + 1, null, 0);
        hmac.TransformBlock(Encoding.ASCII.GetBytes(timestamp + "."), 0, timestamp.Length + 1, null, 0);
        var bytes = Encoding.UTF8.GetBytes(body);
        hmac.TransformFinalBlock(bytes, 0, bytes.Length);
        return signatures.Split(' ').Contains($"v1,{Convert.ToBase64String(hmac.Hash!)}");
    }
}
