namespace Notify.Dispatch.Providers.Email.Smtp;

using MailKit;
using MailKit.Net.Smtp;

/// <summary>Ends a connection whose server writes longer replies than any server needs.</summary>
/// <remarks>MailKit keeps a reply in memory however long it is; its protocol logger sees the bytes as they come.</remarks>
internal sealed class ReplyBound : IProtocolLogger
{
    /// <summary>The most that a server may write between two commands, in bytes. Replies have lines of 512 (RFC 5321, 4.5.3.1.5).</summary>
    public const int MaxReply = 64 * 1024;

    private int received;

    /// <inheritdoc />
    public IAuthenticationSecretDetector? AuthenticationSecretDetector { get; set; }

    /// <inheritdoc />
    public void LogConnect(Uri uri) => received = 0;

    /// <inheritdoc />
    public void LogClient(byte[] buffer, int offset, int count) => received = 0;

    /// <inheritdoc />
    public void LogServer(byte[] buffer, int offset, int count)
    {
        received += count;
        if (received > MaxReply)
            throw new SmtpProtocolException($"The server's reply is longer than {MaxReply} bytes.");
    }

    /// <inheritdoc />
    public void Dispose() { }
}
