namespace Notify.Dispatch.Providers;

using System.Buffers;
using System.Globalization;
using System.IO.Compression;
using System.Net.Http.Headers;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using Notify.Domain.Notifications;
using Notify.Infrastructure.Networking;

/// <summary>What HTTP providers have in common: connections, time-outs, and telling «never left» from «perhaps arrived».</summary>
public static class ProviderCall
{
    /// <summary>The time limit for establishing a connection, unless a provider's settings have another.</summary>
    public static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(5);

    /// <summary>The longest answer that is read, in bytes. A caller that expects more says so.</summary>
    /// <remarks>
    /// A provider's answer to a send takes some kilobytes. The rest of a longer one is not read: it then is JSON that cannot be
    /// parsed, and the status alone counts.
    /// </remarks>
    public const int MaxAnswer = 256 * 1024;

    /// <summary>
    /// The code of a delivery without a call, because all permitted calls to the provider were running; it is no measure of the provider.
    /// </summary>
    public const string NoCallFree = "Concurrency";

    /// <summary>Checks what every provider's settings have in common; every fault is added to <paramref name="faults"/>.</summary>
    public static void Check(
        string section,
        Uri baseUrl,
        int concurrency,
        TimeSpan timeout,
        ICollection<string> faults,
        TimeSpan? connectTimeout = null,
        TimeSpan? totalTimeout = null
    )
    {
        Check(section, concurrency, timeout, faults, connectTimeout, totalTimeout);
        if (!baseUrl.IsAbsoluteUri || (baseUrl.Scheme != Uri.UriSchemeHttps && baseUrl.Scheme != Uri.UriSchemeHttp))
            faults.Add($"{section}:BaseUrl is \"{baseUrl}\"; give an address such as https://host");
    }

    /// <summary>The same for a provider without an address of its own.</summary>
    public static void Check(
        string section,
        int concurrency,
        TimeSpan timeout,
        ICollection<string> faults,
        TimeSpan? connectTimeout = null,
        TimeSpan? totalTimeout = null
    )
    {
        if (concurrency < 1)
            faults.Add($"{section}:Concurrency is {concurrency}; give 1 or more");
        foreach (var (name, time) in new[] { ("Timeout", timeout), ("ConnectTimeout", connectTimeout), ("TotalTimeout", totalTimeout) })
        {
            if (time <= TimeSpan.Zero)
                faults.Add($"{section}:{name} is {time}; give a time above zero");
        }
    }

    /// <summary>
    /// A client for one provider: long-lived connections, no redirects, no cookies. Its requests are sent only with their <see
    /// cref="SendPermit"/>.
    /// </summary>
    /// <param name="baseUrl">The provider's address; <c>null</c> where each message has one of its own.</param>
    /// <param name="timeout">How long one request may take, its connection and its answer included.</param>
    /// <param name="trustedCa">A certificate to trust instead of the system's; development only.</param>
    /// <param name="connectTimeout">The time limit for establishing a connection; <see cref="ConnectTimeout"/> where not given.</param>
    /// <param name="shape">Configures the handler for this provider.</param>
    public static HttpClient CreateClient(
        Uri? baseUrl,
        TimeSpan timeout,
        X509Certificate2? trustedCa = null,
        TimeSpan? connectTimeout = null,
        Action<SocketsHttpHandler>? shape = null
    )
    {
        var handler = CreateHandler(trustedCa, connectTimeout);
        shape?.Invoke(handler);
        var client = new HttpClient(new PermitHandler(handler, timeout)) { BaseAddress = baseUrl, Timeout = timeout };
        // RFC 9110, 12.5.3: without it any coding is acceptable.
        client.DefaultRequestHeaders.AcceptEncoding.Add(new StringWithQualityHeaderValue("identity"));
        return client;
    }

    /// <summary>The connections of such a client, for a library that brings a client of its own.</summary>
    public static SocketsHttpHandler CreateHandler(X509Certificate2? trustedCa = null, TimeSpan? connectTimeout = null)
    {
        var patience = connectTimeout ?? ConnectTimeout;
        var handler = new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            UseCookies = false,
            ActivityHeadersPropagator = null,
            EnableMultipleHttp2Connections = true,
            PooledConnectionIdleTimeout = TimeSpan.FromMinutes(10),
            PooledConnectionLifetime = TimeSpan.FromHours(1),
            KeepAlivePingDelay = TimeSpan.FromSeconds(30),
            KeepAlivePingTimeout = TimeSpan.FromSeconds(10),
            KeepAlivePingPolicy = HttpKeepAlivePingPolicy.WithActiveRequests,
            ConnectTimeout = patience, // with the handshake
            ConnectCallback = (context, cancellation) => ConnectAsync(context, patience, cancellation),
        };
        if (trustedCa is not null)
        {
            handler.SslOptions = new SslClientAuthenticationOptions
            {
                CertificateChainPolicy = new X509ChainPolicy
                {
                    TrustMode = X509ChainTrustMode.CustomRootTrust,
                    CustomTrustStore = { trustedCa },
                    RevocationMode = X509RevocationMode.NoCheck,
                },
            };
        }

        return handler;
    }

    /// <summary>Sends a request; a call that has no answer becomes an outcome.</summary>
    /// <param name="maxAnswer">How much of the body is read, in bytes.</param>
    /// <param name="readsBody">
    /// Whether an answer's body is read; <c>null</c>: every one is. A body that breaks off makes the outcome unknown, so none is read where
    /// the headers say all.
    /// </param>
    /// <returns>Either the response, with its body read unless <paramref name="readsBody"/> says otherwise, or the outcome.</returns>
    public static async Task<(HttpResponseMessage? Response, AttemptOutcome? Outcome)> SendAsync(
        HttpClient client,
        HttpRequestMessage request,
        CancellationToken cancellation,
        int maxAnswer = MaxAnswer,
        Func<HttpResponseMessage, bool>? readsBody = null
    )
    {
        // The client's own time-out ends with the headers; the body's time counts, too.
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        timeout.CancelAfter(client.Timeout);
        HttpResponseMessage? response = null;
        try
        {
            response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, timeout.Token);
            if (readsBody?.Invoke(response) != false)
                await ReadAsync(response, maxAnswer, timeout.Token);
            var whole = response;
            response = null;
            return (whole, null);
        }
        catch (CallNotMadeException e)
        {
            return (null, new AttemptOutcome.NotSent(e.Reason));
        }
        catch (HttpRequestException e) when (e.InnerException is CallNotMadeException refused)
        {
            return (null, new AttemptOutcome.NotSent(refused.Reason));
        }
        catch (HttpRequestException e) when (e.InnerException is ForbiddenAddressException)
        {
            return (null, new AttemptOutcome.Rejected(Reasons.BadAddress, "ForbiddenAddress"));
        }
        catch (HttpRequestException e)
            when (e.HttpRequestError
                    is HttpRequestError.ConnectionError
                        or HttpRequestError.NameResolutionError
                        or HttpRequestError.SecureConnectionError
                        or HttpRequestError.ProxyTunnelError
                        or HttpRequestError.VersionNegotiationError
            )
        {
            return (null, new AttemptOutcome.Retry(Reasons.ConnectionLost, e.HttpRequestError.ToString()));
        }
        catch (Exception e) when (e is HttpRequestException or IOException) // the latter: while the body was read
        {
            return (null, Broken(request, Reasons.ConnectionLost));
        }
        catch (OperationCanceledException)
        {
            return (null, Broken(request, Reasons.TimedOut));
        }
        finally
        {
            response?.Dispose();
        }
    }

    // Puts the body, or its beginning, in the place of the stream that it came by.
    private static async Task ReadAsync(HttpResponseMessage response, int most, CancellationToken cancellation)
    {
        using var content = response.Content;
        using var kept = new MemoryStream();
        var buffer = ArrayPool<byte>.Shared.Rent(16 * 1024);
        try
        {
            await using var stream = Decoded(await content.ReadAsStreamAsync(cancellation), content.Headers.ContentEncoding);
            while (kept.Length < most && await stream.ReadAsync(buffer, cancellation) is > 0 and var count)
                kept.Write(buffer, 0, (int)Math.Min(count, most - kept.Length));
        }
        catch (Exception e) when (e is InvalidDataException || (e is InvalidOperationException and not ObjectDisposedException))
        {
            // Not encoded as its header says: the decoded part counts, and else the status alone.
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }

        response.Content = new ByteArrayContent(kept.ToArray());
    }

    // Nobody was asked to compress, and gateways do it all the same.
    private static Stream Decoded(Stream stream, ICollection<string> codings)
    {
        foreach (var coding in codings.Reverse())
        {
            stream = coding.ToLowerInvariant() switch
            {
                "gzip" or "x-gzip" => new GZipStream(stream, CompressionMode.Decompress),
                "deflate" => new ZLibStream(stream, CompressionMode.Decompress),
                "br" => new BrotliStream(stream, CompressionMode.Decompress),
                _ => stream,
            };
        }

        return stream;
    }

    // A request that was still waiting for its connection has not left.
    private static AttemptOutcome Broken(HttpRequestMessage request, string reason) =>
        request.Content is PermittedContent { HasLeft: false }
            ? new AttemptOutcome.Retry(reason, null)
            : new AttemptOutcome.Unknown(reason);

    /// <summary>How long all requests for one delivery may take together, where the settings do not say: three times one, and at most 40
    /// s.</summary>
    public static TimeSpan TotalTimeout(TimeSpan? configured, TimeSpan timeout) =>
        configured ?? TimeSpan.FromSeconds(Math.Max(timeout.TotalSeconds, Math.Min(3 * timeout.TotalSeconds, 40)));

    /// <summary>The provider's <c>Retry-After</c>, in seconds or as a date; <c>null</c> when absent or past.</summary>
    public static TimeSpan? RetryAfter(HttpResponseHeaders headers, DateTimeOffset now) =>
        headers.RetryAfter switch
        {
            { Delta: { } delta } when delta > TimeSpan.Zero => delta,
            { Date: { } date } when date > now => date - now,
            _ => null,
        };

    /// <summary>A status code as the provider's code.</summary>
    public static string Code(HttpResponseMessage response) => ((int)response.StatusCode).ToString(CultureInfo.InvariantCulture);

    private static async ValueTask<Stream> ConnectAsync(
        SocketsHttpConnectionContext context,
        TimeSpan patience,
        CancellationToken cancellation
    )
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        timeout.CancelAfter(patience);
        try
        {
            await socket.ConnectAsync(context.DnsEndPoint, timeout.Token);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            socket.Dispose();
            throw new TimeoutException($"No connection within {patience.TotalSeconds:0.#} s.");
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
