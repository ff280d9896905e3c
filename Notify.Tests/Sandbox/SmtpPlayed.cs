namespace Notify.Tests.Sandbox;

using System.Net.Security;
using System.Net.Sockets;
using System.Text;
using MailKit.Net.Smtp;
using MailKit.Security;
using MimeKit;
using Notify.Tests.Support;

/// <summary>The sandbox's mail server, spoken to by MailKit and by hand over a real socket.</summary>
[Collection(PlayedSandboxCollection.Name)]
public sealed class SmtpPlayed(PlayedSandbox sandbox)
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_mail_arrives_as_it_was_written()
    {
        var mark = Guid.NewGuid().ToString("N");
        using var client = await ConnectAsync();
        var mail = Mail("안녕 " + mark, "a@mail.example", "b@mail.example");
        mail.Body = new BodyBuilder
        {
            TextBody = $".dot\r\n..dots {mark}\r\n",
            HtmlBody = $"<p>{new string('x', 2000)} 한 {mark}</p>",
        }.ToMessageBody();

        await client.SendAsync(mail, Stop);

        var entries = await sandbox.Client.LedgerAsync(mark, "smtp");
        Assert.Equal(["a@mail.example", "b@mail.example"], entries.Select(e => e.To));
        Assert.All(
            entries,
            e =>
            {
                Assert.Equal((mail.MessageId, "accepted", "hello@sandbox.example"), (e.MessageId!, e.Outcome, e.Header("mail-from")));
                Assert.StartsWith($"안녕 {mark}\n.dot\n..dots {mark}\n<p>", e.Text!.ReplaceLineEndings("\n"), StringComparison.Ordinal);
            }
        );
        await client.SendAsync(Mail("again " + mark, "a@mail.example"), Stop); // on the same connection
        Assert.Equal((3, 3), await sandbox.Client.CountAsync(mark));
    }

    [Fact]
    public async Task The_account_is_asked_for_and_TLS_before_it()
    {
        using var plain = new SmtpClient();
        await plain.ConnectAsync("127.0.0.1", sandbox.SmtpPort, SecureSocketOptions.None, Stop);
        Assert.True(
            plain.Capabilities.HasFlag(
                SmtpCapabilities.StartTLS
                    | SmtpCapabilities.Pipelining
                    | SmtpCapabilities.EightBitMime
                    | SmtpCapabilities.Size
                    | SmtpCapabilities.EnhancedStatusCodes
            )
        );
        Assert.False(plain.Capabilities.HasFlag(SmtpCapabilities.Authentication));
        await Assert.ThrowsAsync<MailKit.ServiceNotAuthenticatedException>(() => plain.SendAsync(Mail("s", "a@mail.example"), Stop));

        using var wrong = new SmtpClient { CheckCertificateRevocation = false, ServerCertificateValidationCallback = (_, _, _, _) => true };
        await wrong.ConnectAsync("127.0.0.1", sandbox.SmtpPort, SecureSocketOptions.StartTls, Stop);
        await Assert.ThrowsAsync<AuthenticationException>(() => wrong.AuthenticateAsync(sandbox.Account("smtpUserName"), "wrong", Stop));
    }

    [Theory]
    [InlineData("failed", SmtpStatusCode.MailboxUnavailable, "5.1.0")]
    [InlineData("bounced", SmtpStatusCode.MailboxUnavailable, "5.1.1")]
    [InlineData("invalid", SmtpStatusCode.MailboxNameNotAllowed, "5.1.3")]
    [InlineData("failing", SmtpStatusCode.ErrorInProcessing, "4.3.0")]
    public async Task A_magic_recipient_is_refused(string who, SmtpStatusCode status, string enhanced)
    {
        var address = $"{who}+{Guid.NewGuid():N}@mail.example";
        using var client = await ConnectAsync();
        var refusal = await Assert.ThrowsAsync<SmtpCommandException>(() => client.SendAsync(Mail("s", address), Stop));
        Assert.Equal((status, true), (refusal.StatusCode, refusal.Message.StartsWith(enhanced, StringComparison.Ordinal)));
        var entry = Assert.Single(await sandbox.Client.LedgerAsync(provider: "smtp"), e => e.To == address);
        Assert.Equal($"{(int)status} {enhanced}", entry.Outcome);
        await client.SendAsync(Mail("s", "a@mail.example"), Stop); // nothing else is harmed
    }

    [Fact]
    public async Task Unavailable_is_taken_the_third_time_slow_late_and_unknown_breaks_off_after_the_dot()
    {
        var mark = Guid.NewGuid().ToString("N");
        using var client = await ConnectAsync();
        for (var i = 0; i < 2; i++)
            Assert.Equal(
                SmtpStatusCode.ErrorInProcessing,
                (
                    await Assert.ThrowsAsync<SmtpCommandException>(() => client.SendAsync(Mail(mark, "unavailable@mail.example"), Stop))
                ).StatusCode
            );
        await client.SendAsync(Mail(mark, "unavailable@mail.example"), Stop);
        var began = TimeProvider.System.GetTimestamp();
        await client.SendAsync(Mail(mark, "slow@mail.example"), Stop);
        Assert.InRange(TimeProvider.System.GetElapsedTime(began).TotalSeconds, 2.9, 30);
        await Assert.ThrowsAnyAsync<Exception>(() => client.SendAsync(Mail(mark, "unknown@mail.example"), Stop));
        Assert.Equal(
            ["451 4.3.2", "451 4.3.2", "accepted", "accepted", "accepted"],
            (await sandbox.Client.LedgerAsync(mark)).Select(e => e.Outcome)
        );
    }

    [Theory]
    [InlineData(503, SmtpStatusCode.ErrorInProcessing)]
    [InlineData(400, SmtpStatusCode.TransactionFailed)]
    public async Task Faults_are_answered_to_the_dot(int status, SmtpStatusCode code)
    {
        using var client = await ConnectAsync();
        await sandbox.Client.KnobsAsync("smtp", new { errorRate = 1, errorStatus = status });
        var refusal = await Assert.ThrowsAsync<SmtpCommandException>(() => client.SendAsync(Mail("s", "a@mail.example"), Stop));
        await sandbox.Client.KnobsAsync("smtp", new { });
        Assert.Equal((SmtpErrorCode.MessageNotAccepted, code), (refusal.ErrorCode, refusal.StatusCode));
    }

    [Fact]
    public async Task A_black_hole_takes_the_mail_and_never_answers_until_it_is_turned_off()
    {
        var mark = Guid.NewGuid().ToString("N");
        using var client = await ConnectAsync();
        await sandbox.Client.KnobsAsync("smtp", new { blackhole = true });
        var sending = client.SendAsync(Mail(mark, "a@mail.example"), Stop);
        await Eventually.Becomes(() => sandbox.Client.CountAsync(mark), c => c == (1, 0), "it is recorded");
        Assert.False(sending.IsCompleted);
        await sandbox.Client.KnobsAsync("smtp", new { refuse = true });
        await Assert.ThrowsAnyAsync<Exception>(() => sending);
        await Assert.ThrowsAnyAsync<Exception>(ConnectAsync);
        await sandbox.Client.KnobsAsync("smtp", new { });
    }

    [Theory]
    [InlineData("MAIL FROM:<x@sandbox.example>", "503")]
    [InlineData("EHLO", "501")]
    [InlineData("EHLO me|MAIL FROM:<x@sandbox.example>", "530")]
    [InlineData("EHLO me|AUTH PLAIN AGEAYg==", "538")]
    [InlineData("EHLO me|RCPT TO:<a@mail.example>", "503")]
    [InlineData("EHLO me|DATA", "503")]
    [InlineData("EHLO me|FETCH", "500")]
    [InlineData("TLS|MAIL FROM:<x@sandbox.example>", "530")]
    [InlineData("TLS|AUTH PLAIN AGEAYg==", "535")]
    [InlineData("TLS|AUTH CRAM-MD5", "504")]
    [InlineData("TLS|AUTH PLAIN !", "501")]
    [InlineData("TLS|STARTTLS", "503")]
    [InlineData("AUTH|MAIL FROM:x@sandbox.example", "501")]
    [InlineData("AUTH|MAIL FROM:<x@elsewhere.example>", "550")]
    [InlineData("AUTH|MAIL FROM:<x@sandbox.example> SIZE=99999999", "552")]
    [InlineData("AUTH|MAIL FROM:<x@sandbox.example> SMTPUTF8", "555")]
    [InlineData("AUTH|MAIL FROM:<x@sandbox.example>|DATA", "554")]
    [InlineData("AUTH|MAIL FROM:<x@sandbox.example>|MAIL FROM:<x@sandbox.example>", "503")]
    [InlineData("MAIL|RCPT TO:<a@mail.example>|DATA|Subject: no From\r\n\r\n.", "554")]
    [InlineData(
        "MAIL|RCPT TO:<a@mail.example>|DATA|From: x@sandbox.example\r\nDate: Tue, 6 Oct 2026 08:00:00 +0000\r\n\r\nbare\nLF\r\n.",
        "554"
    )]
    [InlineData("MAIL|RCPT TO:<a@mail.example>|DATA|From: x@sandbox.example\r\nDate: Tue, 6 Oct 2026 08:00:00 +0000\r\n\r\né\r\n.", "554")]
    [InlineData(
        "MAIL|RCPT TO:<a@mail.example>|DATA|From: x@sandbox.example\r\nDate: Tue, 6 Oct 2026 08:00:00 +0000\r\n\r\nfine\r\n.",
        "250"
    )]
    [InlineData("MAIL|RCPT TO:<a@mail.example>|RSET|RCPT TO:<a@mail.example>", "503")]
    public async Task The_dialogue_is_strict(string said, string answered)
    {
        await using var dialogue = await Dialogue.ConnectAsync(sandbox);
        var last = "";
        foreach (var line in said.Split('|'))
            last = await dialogue.SayAsync(line);
        Assert.StartsWith(answered, last, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Commands_may_come_all_at_once()
    {
        await using var dialogue = await Dialogue.ConnectAsync(sandbox);
        await dialogue.SayAsync("AUTH");
        Assert.StartsWith(
            "250",
            await dialogue.SayAsync("MAIL FROM:<x@sandbox.example>\r\nRCPT TO:<a@mail.example>\r\nRCPT TO:<b@mail.example>\r\nDATA"),
            StringComparison.Ordinal
        );
        Assert.Equal(["250", "250", "354"], [await dialogue.NextAsync(), await dialogue.NextAsync(), await dialogue.NextAsync()]);
    }

    private async Task<SmtpClient> ConnectAsync()
    {
        var client = new SmtpClient
        {
            CheckCertificateRevocation = false,
            ServerCertificateValidationCallback = (_, _, _, _) => true,
            LocalDomain = "tests",
        };
        await client.ConnectAsync("127.0.0.1", sandbox.SmtpPort, SecureSocketOptions.StartTls, Stop);
        await client.AuthenticateAsync(sandbox.Account("smtpUserName"), sandbox.Account("smtpPassword"), Stop);
        return client;
    }

    private static MimeMessage Mail(string subject, params string[] to)
    {
        var mail = new MimeMessage
        {
            Subject = subject,
            Body = new TextPart("plain") { Text = "v" },
        };
        mail.From.Add(new MailboxAddress("Notify", "hello@sandbox.example"));
        mail.To.AddRange(to.Select(address => new MailboxAddress(null, address)));
        return mail;
    }

    // TLS, AUTH and MAIL stand for all that leads up to there.
    private sealed class Dialogue(PlayedSandbox sandbox, Stream stream) : IAsyncDisposable
    {
        private StreamReader reader = new(stream);

        public static async Task<Dialogue> ConnectAsync(PlayedSandbox sandbox)
        {
            var socket = new TcpClient();
            await socket.ConnectAsync("127.0.0.1", sandbox.SmtpPort, Stop);
            var dialogue = new Dialogue(sandbox, socket.GetStream());
            Assert.Equal("220", await dialogue.NextAsync());
            return dialogue;
        }

        public async Task<string> SayAsync(string line)
        {
            switch (line)
            {
                case "TLS":
                    await SayAsync("EHLO me");
                    await SayAsync("STARTTLS");
                    var tls = new SslStream(stream, false, (_, _, _, _) => true);
                    await tls.AuthenticateAsClientAsync("localhost");
                    (stream, reader) = (tls, new StreamReader(tls));
                    return await SayAsync("EHLO me");
                case "AUTH":
                    await SayAsync("TLS");
                    await SayAsync("AUTH LOGIN");
                    await SayAsync(Convert.ToBase64String(Encoding.UTF8.GetBytes(sandbox.Account("smtpUserName"))));
                    return await SayAsync(Convert.ToBase64String(Encoding.UTF8.GetBytes(sandbox.Account("smtpPassword"))));
                case "MAIL":
                    await SayAsync("AUTH");
                    return await SayAsync("MAIL FROM:<x@sandbox.example>");
                default:
                    await stream.WriteAsync(Encoding.UTF8.GetBytes(line + "\r\n"), Stop);
                    return await NextAsync();
            }
        }

        public async Task<string> NextAsync()
        {
            var line = await reader.ReadLineAsync(Stop) ?? "";
            while (line.Length > 3 && line[3] == '-')
                line = await reader.ReadLineAsync(Stop) ?? "";
            return line.Length >= 3 ? line[..3] : line;
        }

        public ValueTask DisposeAsync() => stream.DisposeAsync();
    }
}
