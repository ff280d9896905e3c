namespace Notify.Sandbox.Smtp;

using System.Security.Cryptography;
using MimeKit;
using Notify.Sandbox.Keys;
using Notify.Sandbox.Knobs;
using Notify.Sandbox.Ledger;
using Notify.Sandbox.Magic;
using Notify.Sandbox.Providers;

/// <summary>Judges what a mail server is asked: senders, recipients, mails; knobs and ledger work as for the other providers.</summary>
/// <remarks>There are no receipts: a mail server bounces by mail, and nobody reads that.</remarks>
public sealed class SmtpServer(
    SmtpDialect dialect,
    MagicAddresses magic,
    SandboxKeys keys,
    RequestLedger ledger,
    KnobBoard board,
    TimeProvider time
)
{
    /// <summary>Bytes of a mail at most.</summary>
    public const int MaximumMail = 30 * 1024 * 1024;

    private readonly KnobSwitch _knobs = board[dialect.Name];
    private readonly byte _provider = ledger.IndexOf(dialect);
    private readonly string _ownDomain = keys.Identity.SmtpFrom[keys.Identity.SmtpFrom.IndexOf('@')..];

    /// <summary>Whether connections are broken off at once.</summary>
    public bool IsRefusing => _knobs.Current.Refuse;

    /// <summary>Whether this is the account.</summary>
    public bool IsAccount(string user, string password) => user == keys.Identity.SmtpUserName && password == keys.Identity.SmtpPassword;

    /// <summary>Why a sender is refused; null when it is not.</summary>
    public string? CheckSender(string address) =>
        address.Length > 0 && !MailAddress.IsDeliverable(address) ? "553 5.1.7 That is no address"
        : address.Length > 0 && !address.EndsWith(_ownDomain, StringComparison.OrdinalIgnoreCase)
            ? "550 5.7.1 You may not send for that domain"
        : null;

    /// <summary>Why a recipient is refused; null when it is not. A refusal is recorded.</summary>
    public string? CheckRecipient(SmtpMail envelope, string address)
    {
        var refusal = MagicAddresses.WordOf(address) switch
        {
            _ when !MailAddress.IsDeliverable(address) => "553 5.1.3 That is no address",
            MagicAddresses.Invalid => "553 5.1.3 That is no address",
            "failed" => "550 5.1.0 Mail to this recipient is refused",
            "bounced" => "550 5.1.1 There is no such mailbox",
            _ => null,
        };
        if (refusal is not null)
            Record(envelope with { To = [address] }, time.GetUtcNow(), null, OutcomeOf(refusal));
        return refusal;
    }

    /// <summary>Takes a mail, and says what is answered to its final dot; null: nothing, the connection is broken off.</summary>
    /// <param name="untilGone">Ends when the client has gone.</param>
    public async Task<string?> TakeAsync(SmtpMail mail, string? fault, Func<Task> untilGone, CancellationToken cancellation)
    {
        var receivedAt = time.GetUtcNow();
        var knobs = _knobs.Current;
        var message = SmtpMail.Parse(mail.Data);
        if (knobs.Blackhole)
        {
            Record(mail, receivedAt, message, "blackholed");
            await Task.WhenAny(_knobs.WaitWhileBlackholedAsync(cancellation), untilGone());
            return null;
        }

        var words = mail.To.Select(MagicAddresses.WordOf).ToList();
        if ((fault ?? SmtpMail.Check(message, mail) ?? Refuse(mail.To, message?.Subject) ?? Fail(knobs.DrawFault())) is { } refusal)
        {
            Record(mail, receivedAt, message, OutcomeOf(refusal));
            await DelayAsync(knobs.DrawLatency(), cancellation);
            return refusal;
        }

        var isDropped = words.Contains(MagicAddresses.Dropped);
        Record(mail, receivedAt, message, isDropped ? "aborted" : ProviderAnswer.Accepted);
        await DelayAsync(knobs.DrawLatency() + (words.Contains("slow") ? Fates.SlowAnswer : TimeSpan.Zero), cancellation);
        return isDropped || words.Contains("unknown") || words.Contains(MagicAddresses.Unanswered)
            ? null
            : $"250 2.0.0 Queued as {RandomNumberGenerator.GetHexString(12)}";
    }

    private string? Refuse(IEnumerable<string> to, string? subject)
    {
        foreach (var address in to)
        {
            switch (MagicAddresses.WordOf(address))
            {
                case MagicAddresses.Failing:
                    return "451 4.3.0 Local error in processing";
                case MagicAddresses.Unavailable when magic.IsStillUnavailable(address, subject):
                    return "451 4.3.2 The system is not accepting messages now";
            }
        }

        return null;
    }

    // A fault that is transient over HTTP is transient here.
    private static string? Fail(ProviderFault? fault) =>
        fault?.Status switch
        {
            null => null,
            429 => "451 4.7.1 Too many messages, try again later",
            408 or >= 500 => "451 4.3.0 Local error in processing",
            _ => "554 5.0.0 Transaction failed",
        };

    // The three digits, and the enhanced code.
    private static string OutcomeOf(string reply) => string.Join(' ', reply.Split(' ').Take(2));

    private Task DelayAsync(TimeSpan delay, CancellationToken cancellation) =>
        delay > TimeSpan.Zero ? Task.Delay(delay, time, cancellation) : Task.CompletedTask;

    private void Record(SmtpMail mail, DateTimeOffset receivedAt, MimeMessage? message, string outcome)
    {
        var headers = new HeaderDictionary { ["helo"] = mail.Greeting, ["mail-from"] = mail.From };
        foreach (var recipient in mail.To)
            ledger.Record(new LedgerEntry(_provider, receivedAt, "RCPT", recipient, headers), mail.Data, message?.MessageId, outcome);
    }
}
