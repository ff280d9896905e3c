namespace Notify.Tests.Support;

using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;

/// <summary>
/// A provider's address at which connections are accepted and TLS handshakes are held until they are let through: a host then
/// has made everything ready for its calls, and no byte of them has left.
/// </summary>
internal sealed class HeldConnections : IAsyncDisposable
{
    private readonly TcpListener listener = new(IPAddress.Loopback, 0);
    private readonly TaskCompletionSource open = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource stop = new();
    private readonly Uri target;
    private readonly X509Certificate2? certificate;
    private readonly Task accepting;
    private int established;

    /// <summary>Starts to listen.</summary>
    /// <param name="target">Where connections lead once they are let through.</param>
    /// <param name="certificate">The certificate to end TLS with, where the target speaks without; <c>null</c>: bytes pass as they
    /// are.</param>
    public HeldConnections(Uri target, X509Certificate2? certificate = null)
    {
        (this.target, this.certificate) = (target, certificate);
        listener.Start();
        accepting = AcceptAsync();
    }

    /// <summary>Where it listens.</summary>
    public Uri Url => new($"https://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}");

    /// <summary>Connections on which the client has finished its handshake.</summary>
    public int Established => Volatile.Read(ref established);

    /// <summary>Lets everything through from now on.</summary>
    public void LetThrough() => open.TrySetResult();

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        listener.Stop();
        await accepting.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (!stop.IsCancellationRequested)
            _ = ServeAsync(await listener.AcceptSocketAsync(stop.Token), stop.Token);
    }

    private async Task ServeAsync(Socket socket, CancellationToken cancellation)
    {
        try
        {
            await using var raw = new NetworkStream(socket, ownsSocket: true);
            await open.Task.WaitAsync(cancellation);
            using var provider = new TcpClient();
            await provider.ConnectAsync(target.Host, target.Port, cancellation);
            var server = provider.GetStream();
            await using var tls = certificate is null ? null : new SslStream(raw);
            if (tls is not null)
                await tls.AuthenticateAsServerAsync(certificate!);
            Interlocked.Increment(ref established);
            var client = (Stream?)tls ?? raw;
            await Task.WhenAny(client.CopyToAsync(server, cancellation), server.CopyToAsync(client, cancellation));
        }
        catch (Exception e)
            when (e
                    is IOException
                        or SocketException
                        or OperationCanceledException
                        or System.Security.Authentication.AuthenticationException
            )
        {
            // One of the two has gone, or the test has ended.
        }
    }
}
