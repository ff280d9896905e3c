namespace Notify.Tests.Dispatch;

using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;

/// <summary>A provider's stand-in on a real socket: records what it is asked and answers as the test's script says.</summary>
internal sealed class ScriptedServer : IAsyncDisposable
{
    private readonly WebApplication app;
    private readonly ConcurrentQueue<ReceivedRequest> received = new();

    private ScriptedServer(WebApplication app) => this.app = app;

    /// <summary>Where it listens.</summary>
    public Uri Url { get; private set; } = null!;

    /// <summary>The received requests, in order.</summary>
    public IReadOnlyList<ReceivedRequest> Received => [.. received];

    /// <summary>Answers one request; the first argument counts requests from 1.</summary>
    public delegate Task Script(int number, HttpContext context);

    /// <summary>Plain HTTP/1.1, as for Twilio.</summary>
    public static Task<ScriptedServer> Http1Async(Script script, int port = 0) =>
        StartAsync(script, port, options => options.Protocols = HttpProtocols.Http1, "http");

    /// <summary>HTTP/2 over TLS alone, as APNs; trusted by who trusts <see cref="Certificate.CaPath"/>.</summary>
    public static Task<ScriptedServer> Http2Async(Script script, int port = 0) =>
        StartAsync(
            script,
            port,
            options =>
            {
                options.Protocols = HttpProtocols.Http2;
                options.UseHttps(Certificate.Server);
            },
            "https"
        );

    /// <summary>A port on which nobody listens.</summary>
    public static int ClosedPort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    /// <summary>Answers with a status and a JSON body.</summary>
    public static Script Answer(int status, string body = "", params (string Name, string Value)[] headers) =>
        async (_, context) =>
        {
            context.Response.StatusCode = status;
            foreach (var (name, value) in headers)
                context.Response.Headers[name] = value;
            await context.Response.WriteAsync(body);
        };

    /// <summary>Answers the first request in one way and the following ones in others; the last way stays.</summary>
    public static Script InTurn(params Script[] scripts) =>
        (number, context) => scripts[Math.Min(number, scripts.Length) - 1](number, context);

    /// <summary>Never answers.</summary>
    public static readonly Script Silence = (_, context) =>
        Task.Delay(Timeout.Infinite, context.RequestAborted).ContinueWith(_ => { }, TaskScheduler.Default);

    /// <summary>Breaks the connection, or the HTTP/2 stream, once the request is there.</summary>
    public static readonly Script Break = (_, context) =>
    {
        context.Abort();
        return Task.CompletedTask;
    };

    /// <summary>Stops as a provider's server does for maintenance: GOAWAY on HTTP/2, closed idle connections on HTTP/1.1.</summary>
    public Task StopAsync() => app.StopAsync();

    /// <inheritdoc />
    public ValueTask DisposeAsync() => app.DisposeAsync();

    private static async Task<ScriptedServer> StartAsync(Script script, int port, Action<ListenOptions> listen, string scheme)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrelCore().UseKestrelHttpsConfiguration().ConfigureKestrel(k => k.Listen(IPAddress.Loopback, port, listen));
        var server = new ScriptedServer(builder.Build());
        var count = 0;
        server.app.Run(async context =>
        {
            using var body = new StreamReader(context.Request.Body);
            server.received.Enqueue(
                new ReceivedRequest(
                    context.Request.Method,
                    context.Request.Path + context.Request.QueryString,
                    context.Request.Protocol,
                    context.Request.Headers.ToDictionary(h => h.Key.ToLowerInvariant(), h => h.Value.ToString()),
                    await body.ReadToEndAsync(),
                    context.Connection.Id
                )
            );
            await script(Interlocked.Increment(ref count), context);
        });
        await server.app.StartAsync();
        server.Url = new Uri($"{scheme}://127.0.0.1:{new Uri(server.app.Urls.Single()).Port}");
        return server;
    }

    /// <summary>A request as it arrived; header names in lower case.</summary>
    public sealed record ReceivedRequest(
        string Method,
        string Target,
        string Protocol,
        IReadOnlyDictionary<string, string> Headers,
        string Body,
        string Connection
    );

    /// <summary>A certificate for 127.0.0.1, its own authority.</summary>
    public static class Certificate
    {
        public static X509Certificate2 Server { get; } = Make();

        /// <summary>A PEM file with its authority.</summary>
        public static string CaPath { get; } = Write(Server.ExportCertificatePem());

        /// <summary>A PEM file with an authority that signed nothing here.</summary>
        public static string OtherCaPath { get; } = Write(Make().ExportCertificatePem());

        private static X509Certificate2 Make()
        {
            using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            var request = new CertificateRequest("CN=Notify tests", key, HashAlgorithmName.SHA256);
            var names = new SubjectAlternativeNameBuilder();
            names.AddIpAddress(IPAddress.Loopback);
            request.CertificateExtensions.Add(names.Build());
            request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
            var now = TimeProvider.System.GetUtcNow();
            return request.CreateSelfSigned(now.AddDays(-1), now.AddDays(1));
        }

        private static string Write(string pem)
        {
            var path = Path.Combine(Path.GetTempPath(), $"notify-tests-{Guid.NewGuid():N}.pem");
            File.WriteAllText(path, pem);
            AppDomain.CurrentDomain.ProcessExit += (_, _) => File.Delete(path);
            return path;
        }
    }
}
