namespace Notify.Sandbox.Smtp;

using System.Net;
using System.Net.Sockets;
using System.Security.Authentication;
using Microsoft.AspNetCore.Connections;
using Notify.Sandbox.Keys;

/// <summary>Where the mail server listens.</summary>
public sealed record SmtpAddress(IPAddress Ip, int Port)
{
    /// <summary>From an address such as <c>smtp://127.0.0.1:5092</c>; a name that is no IP address listens everywhere.</summary>
    public static SmtpAddress Of(BindingAddress address) =>
        new(
            address.Host == "localhost" ? IPAddress.Loopback
                : IPAddress.TryParse(address.Host.Trim('[', ']'), out var ip) ? ip
                : IPAddress.Any,
            address.Port
        );
}

/// <summary>Takes the mail server's connections.</summary>
public sealed class SmtpListener(SmtpAddress address, SmtpServer server, SandboxKeys keys) : BackgroundService
{
    private readonly TcpListener _listener = new(address.Ip, address.Port);

    /// <inheritdoc/>
    public override Task StartAsync(CancellationToken cancellationToken)
    {
        _listener.Start(); // a port that is taken is told at the start
        return base.StartAsync(cancellationToken);
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        _listener.Dispose();
        base.Dispose();
    }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
            _ = ServeAsync(await _listener.AcceptSocketAsync(stoppingToken), stoppingToken);
    }

    private async Task ServeAsync(Socket socket, CancellationToken stopping)
    {
        socket.NoDelay = true;
        await using var connection = new SmtpConnection(socket);
        try
        {
            await new SmtpSession(connection, server, keys.ApnsCertificate).RunAsync(stopping);
        }
        catch (Exception error)
            when (error
                    is IOException
                        or SocketException
                        or OperationCanceledException
                        or AuthenticationException
                        or ObjectDisposedException
            )
        {
            // The client has gone, does not trust the certificate, has said nothing for long, or the sandbox ends.
        }
    }
}
