namespace Notify.Dispatch.Providers.Email.Smtp;

using System.Net.Sockets;
using MailKit;
using MailKit.Net.Smtp;
using MailKit.Security;
using MimeKit;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Infrastructure.Hosting;

/// <summary>Email over a mail server of one's own.</summary>
/// <remarks>
/// RFC 5321, through MailKit. Until the message has been written almost to its end, any fault means that nothing was sent.
/// After that its final dot may have left, and a lost answer is an unknown outcome, which is never repeated. The
/// <c>Message-ID</c> follows from the delivery.
/// </remarks>
public sealed class SmtpProvider : IDeliveryProvider, IDisposable
{
    private readonly SmtpOptions options;
    private readonly EmailSender from;
    private readonly SmtpConnections connections;
    private readonly TimeProvider clock;
    private long acceptedAt;

    /// <summary>How long an accepted mail speaks for the settings when a later one's recipient is refused.</summary>
    public static readonly TimeSpan Trusted = TimeSpan.FromMinutes(10);

    /// <summary>Opens no connection yet.</summary>
    public SmtpProvider(SmtpOptions options, EmailSender from, TimeProvider clock)
    {
        (this.options, this.from, this.clock) = (options, from, clock);
        connections = new SmtpConnections(options, clock);
    }

    /// <summary>Made from its settings.</summary>
    public static IDeliveryProvider? Create(IConfigurationSection settings, TimeProvider clock, ICollection<string> faults)
    {
        var before = faults.Count;
        var options = settings.Read<SmtpOptions>(faults);
        var from = options.LoadSender(settings.Path, faults);
        return faults.Count == before ? new SmtpProvider(options, from!, clock) : null;
    }

    /// <inheritdoc />
    public string Name => "smtp";

    /// <inheritdoc />
    public Lane Lane => Lane.Email;

    /// <inheritdoc />
    public int Concurrency => options.Concurrency;

    /// <inheritdoc />
    public TimeSpan TotalTimeout => options.Timeout + TimeSpan.FromSeconds(5); // its own time-out knows whether the mail had begun to leave

    /// <inheritdoc />
    public void Dispose() => connections.Dispose();

    /// <inheritdoc />
    public async Task<AttemptOutcome> SendAsync(OutboundMessage message, CancellationToken cancellation)
    {
        if (EmailAddresses.ToAscii(message.Address) is not { } to)
            return new AttemptOutcome.Rejected(Reasons.BadAddress, "domain");
        if (EmailSubject.Of(message.Content) is not { } subject)
            return new AttemptOutcome.Rejected(Reasons.NoContent, "subject");
        using var mail = SmtpMail.Of(message, to, subject, from, clock.GetUtcNow());

        using var timeout = new CancellationTokenSource(options.Timeout, clock);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellation);
        var left = new LeftHere();
        SmtpClient? client = null;
        try
        {
            client = await connections.TakeAsync(stop.Token);
            if (!Takes(client, to))
            {
                connections.Return(client);
                client = null;
                return new AttemptOutcome.Rejected(Reasons.BadAddress, "smtputf8"); // says nothing about the mailbox: nothing is suppressed
            }

            await client.SendAsync(FormatFor(to), mail, stop.Token, left);
            connections.Return(client);
            client = null;
            return Accept(mail.MessageId);
        }
        catch (CallNotMadeException e)
        {
            return new AttemptOutcome.NotSent(e.Reason);
        }
        catch (SmtpCommandException e)
        {
            var hasConnection = client is not null;
            if (client is { IsConnected: true })
            {
                connections.Return(client);
                client = null;
            }

            // RFC 5321, 4.2.1: any 2yz after the final dot is a yes; MailKit knows 250 alone. Of 3yz nobody knows what it says.
            return (e.ErrorCode, (int)e.StatusCode) switch
            {
                (SmtpErrorCode.MessageNotAccepted, >= 200 and < 300) => Accept(mail.MessageId),
                (SmtpErrorCode.MessageNotAccepted, < 400 or >= 600) => new AttemptOutcome.Unknown(Reasons.UnreadableAnswer),
                _ => SmtpStatus.Outcome(StageOf(e, hasConnection), (int)e.StatusCode, e.Message, AcceptedLately),
            };
        }
        catch (AuthenticationException e)
        {
            return SmtpStatus.OfAuthentication((e.InnerException as SmtpCommandException) is { } refusal ? (int)refusal.StatusCode : null);
        }
        catch (ServiceNotAuthenticatedException) // 530 to a command of the mail
        {
            return SmtpStatus.OfAuthentication((int)SmtpStatusCode.AuthenticationRequired);
        }
        catch (Exception e) when (e is SslHandshakeException or NotSupportedException)
        {
            return new AttemptOutcome.Halted(e is SslHandshakeException ? "tls" : "starttls"); // its certificate, or no STARTTLS at all
        }
        catch (Exception e)
            when (e is SmtpProtocolException or IOException or SocketException or ServiceNotConnectedException or OperationCanceledException
            )
        {
            var reason =
                e is not OperationCanceledException ? Reasons.ConnectionLost
                : timeout.IsCancellationRequested ? Reasons.TimedOut
                : Reasons.HostLost;
            // RFC 5321, 4.1.1.10: a server acts on no mail whose final dot has not come.
            return left.MayBeWhole ? new AttemptOutcome.Unknown(reason) : new AttemptOutcome.Retry(reason, null);
        }
        finally
        {
            client?.Dispose();
        }
    }

    private bool AcceptedLately => Interlocked.Read(ref acceptedAt) is not 0 and var at && clock.GetElapsedTime(at) < Trusted;

    private AttemptOutcome.Accepted Accept(string? messageId)
    {
        Interlocked.Exchange(ref acceptedAt, clock.GetTimestamp());
        return new AttemptOutcome.Accepted(messageId);
    }

    // RFC 6531, section 3.2: without SMTPUTF8 no address in letters beyond ASCII is given to a server; it goes with 8BITMIME.
    private static bool Takes(SmtpClient client, string to) =>
        to.All(char.IsAscii)
        || (client.Capabilities.HasFlag(SmtpCapabilities.UTF8) && client.Capabilities.HasFlag(SmtpCapabilities.EightBitMime));

    private static FormatOptions FormatFor(string to)
    {
        if (to.All(char.IsAscii))
            return FormatOptions.Default;
        var format = FormatOptions.Default.Clone();
        format.International = true;
        return format;
    }

    private static SmtpStage StageOf(SmtpCommandException e, bool hasConnection) =>
        e.ErrorCode switch
        {
            SmtpErrorCode.UnexpectedStatusCode when hasConnection => SmtpStage.Message, // to DATA
            SmtpErrorCode.SenderNotAccepted => SmtpStage.Sender,
            SmtpErrorCode.RecipientNotAccepted => SmtpStage.Recipient,
            SmtpErrorCode.MessageNotAccepted => SmtpStage.Message,
            _ => SmtpStage.Session,
        };

    // MailKit reports progress after each part of the message's own bytes, and before the final dot: a mail whose dot has not
    // come is none (RFC 5321 4.1.1.10). The last part may wait in MailKit's buffer, to leave together with the dot.
    private sealed class LeftHere : ITransferProgress
    {
        private const int Buffered = 4096;

        private readonly SendPermit? permit = SendPermit.Current;

        public bool MayBeWhole { get; private set; }

        public void Report(long bytesTransferred, long totalSize)
        {
            permit?.CheckLease();
            MayBeWhole = bytesTransferred + Buffered >= totalSize;
        }

        public void Report(long bytesTransferred) => Report(bytesTransferred, 0);
    }
}
