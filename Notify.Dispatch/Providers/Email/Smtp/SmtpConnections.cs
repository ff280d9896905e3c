namespace Notify.Dispatch.Providers.Email.Smtp;

using System.Collections.Concurrent;
using System.Security.Cryptography.X509Certificates;
using MailKit.Net.Smtp;
using MailKit.Security;

/// <summary>Connections to one mail server, kept for the next mail. As many as mails are under way at once, and no more.</summary>
public sealed class SmtpConnections(SmtpOptions options, TimeProvider clock) : IDisposable
{
    // Servers hang up after some minutes of silence (RFC 5321 4.5.3.2.7 asks for five).
    private static readonly TimeSpan Fresh = TimeSpan.FromMinutes(1);

    private readonly ConcurrentStack<(SmtpClient Client, long Since)> idle = new();
    private readonly X509Certificate2? trusted = TrustedCa.Load(options.TrustedCaPath);

    /// <summary>A connection that is ready for a mail. Throws what MailKit throws when there is none to be had.</summary>
    public async Task<SmtpClient> TakeAsync(CancellationToken cancellation)
    {
        while (idle.TryPop(out var kept))
        {
            if (kept.Client.IsConnected && clock.GetElapsedTime(kept.Since) < Fresh && await AnswersAsync(kept.Client, cancellation))
                return kept.Client;
            kept.Client.Dispose();
        }

        var client = new PermittedSmtpClient(options.Timeout) { CheckCertificateRevocation = false };
        try
        {
            if (trusted is not null)
                client.ServerCertificateValidationCallback = (_, certificate, _, _) => IsTrusted(certificate);
            await client.ConnectAsync(
                options.Host,
                options.EffectivePort,
                options.Security switch
                {
                    SmtpSecurity.StartTls => SecureSocketOptions.StartTls,
                    SmtpSecurity.Tls => SecureSocketOptions.SslOnConnect,
                    _ => SecureSocketOptions.None,
                },
                cancellation
            );
            // DATA and never BDAT (RFC 3030): a mail whose final dot has not come is none.
            client.Capabilities &= ~(SmtpCapabilities.Chunking | SmtpCapabilities.BinaryMime);
            await AuthenticateAsync(client, cancellation);
            return client;
        }
        catch
        {
            client.Dispose();
            throw;
        }
    }

    // MailKit reports a missing AUTH as it does a missing STARTTLS.
    private async Task AuthenticateAsync(SmtpClient client, CancellationToken cancellation)
    {
        if (options.UserName is not { } user)
            return;
        try
        {
            await client.AuthenticateAsync(user, options.Password!, cancellation);
        }
        catch (NotSupportedException e)
        {
            throw new AuthenticationException("The server offers no AUTH that is known here.", e);
        }
    }

    /// <summary>Keeps a connection for the next mail.</summary>
    public void Return(SmtpClient client)
    {
        if (client.IsConnected)
            idle.Push((client, clock.GetTimestamp()));
        else
            client.Dispose();
    }

    /// <inheritdoc />
    public void Dispose()
    {
        while (idle.TryPop(out var kept))
            kept.Client.Dispose();
        trusted?.Dispose();
    }

    // A connection that died while it was idle must not cost a mail an attempt.
    private static async Task<bool> AnswersAsync(SmtpClient client, CancellationToken cancellation)
    {
        try
        {
            await client.NoOpAsync(cancellation);
            return true;
        }
        catch (Exception e)
            when (e is IOException or MailKit.CommandException or MailKit.ProtocolException or MailKit.ServiceNotConnectedException)
        {
            return false;
        }
    }

    private bool IsTrusted(X509Certificate? certificate)
    {
        if (certificate is null)
            return false;
        using var chain = new X509Chain
        {
            ChainPolicy =
            {
                TrustMode = X509ChainTrustMode.CustomRootTrust,
                CustomTrustStore = { trusted! },
                RevocationMode = X509RevocationMode.NoCheck,
            },
        };
        using var server = new X509Certificate2(certificate);
        return chain.Build(server) && server.MatchesHostname(options.Host);
    }
}
