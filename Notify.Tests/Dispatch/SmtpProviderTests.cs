namespace Notify.Tests.Dispatch;

using Microsoft.Extensions.Time.Testing;
using MimeKit;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.Email.Smtp;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;

public sealed class SmtpProviderTests : IAsyncDisposable
{
    private static readonly DateTimeOffset Now = new(2026, 5, 4, 12, 10, 0, TimeSpan.Zero);
    private static readonly Guid Delivery = Guid.Parse("0199c0de-0000-7000-8000-000000000001");
    private readonly List<IAsyncDisposable> servers = [];
    private SmtpProvider? provider;

    public async ValueTask DisposeAsync()
    {
        provider?.Dispose();
        foreach (var server in servers)
            await server.DisposeAsync();
    }

    [Fact]
    public async Task A_mail_arrives_as_it_was_meant()
    {
        var server = Serve();
        var id = $"{Delivery:N}@example.com";
        Assert.Equal(
            new AttemptOutcome.Accepted(id),
            await SendAsync(new NotificationContent(Title: "Gruß 안녕", Body: "line\n.\n..dots\nend", Html: "<p>안녕 👋</p>"))
        );

        var mail = await MimeMessage.LoadAsync(
            new MemoryStream(System.Text.Encoding.UTF8.GetBytes(Assert.Single(server.Mails))),
            TestContext.Current.CancellationToken
        );
        Assert.Equal(("Gruß 안녕", id), (mail.Subject, mail.MessageId));
        Assert.Equal("line\n.\n..dots\nend", mail.TextBody!.ReplaceLineEndings("\n").TrimEnd('\n'));
        Assert.Equal("<p>안녕 👋</p>", mail.HtmlBody!.Trim());
        Assert.Equal("\"Acme, Inc.\" <news@example.com>", mail.From.ToString());
        Assert.Equal(Now, mail.Date);
        Assert.Contains("MAIL FROM:<news@example.com>", server.Commands[1], StringComparison.Ordinal);
        Assert.Contains(server.Commands, c => c.StartsWith("RCPT TO:<someone@xn--mnchen-3ya.example>", StringComparison.Ordinal));
    }

    [Fact]
    public async Task No_header_can_be_slipped_in()
    {
        var server = Serve();
        await SendAsync(new NotificationContent(Title: "Hello\r\nBcc: all@example.com\r\n\r\nbody", Body: "b"));
        var mail = await MimeMessage.LoadAsync(
            new MemoryStream(System.Text.Encoding.UTF8.GetBytes(Assert.Single(server.Mails))),
            TestContext.Current.CancellationToken
        );
        Assert.Empty(mail.Bcc);
        Assert.Equal("Hello Bcc: all@example.com body", mail.Subject);
        Assert.Single(server.Commands, c => c.StartsWith("RCPT", StringComparison.Ordinal));
    }

    [Fact]
    public async Task One_connection_carries_many_mails()
    {
        var server = Serve();
        for (var i = 0; i < 5; i++)
            Assert.IsType<AttemptOutcome.Accepted>(await SendAsync());
        Assert.Equal((1, 5), (server.Connections, server.Mails.Count));
    }

    [Fact]
    public async Task A_connection_that_died_while_idle_costs_no_attempt()
    {
        var server = Serve();
        Assert.IsType<AttemptOutcome.Accepted>(await SendAsync());
        server.HangUp();
        Assert.IsType<AttemptOutcome.Accepted>(await SendAsync());
        Assert.Equal((2, 2), (server.Connections, server.Mails.Count));
    }

    public static readonly TheoryData<string, string, AttemptOutcome> Refusals = new()
    {
        { "greeting", "554 5.7.1 go away", new AttemptOutcome.Halted("554 5.7.1") },
        { "greeting", "421 4.3.2 shutting down", new AttemptOutcome.Retry(Reasons.Retry, "421 4.3.2") },
        { "MAIL", "550 5.7.1 not you", new AttemptOutcome.Halted("550 5.7.1") },
        { "MAIL", "451 4.3.0 later", new AttemptOutcome.Retry(Reasons.Retry, "451 4.3.0") },
        { "MAIL", "552 5.3.4 too big", new AttemptOutcome.Rejected(Reasons.TooLarge, "552 5.3.4") },
        {
            "RCPT",
            "550 5.1.1 <someone@example.com>: no such user",
            new AttemptOutcome.Rejected(Reasons.HardBounced, "550 5.1.1", AddressVerdict.Suppress)
        },
        { "RCPT", "550 no such user", new AttemptOutcome.Rejected(Reasons.BadAddress, "550") },
        // RFC 2034, 3: the code begins the text, and its class is the reply's. All else that looks like one is an address or a version.
        { "RCPT", "550 rejected, 5.1.1.20 is on a list", new AttemptOutcome.Rejected(Reasons.BadAddress, "550") },
        { "RCPT", "550 5.2.1.7 is on a list", new AttemptOutcome.Rejected(Reasons.BadAddress, "550") },
        { "RCPT", "550 refused by filter 5.1.1", new AttemptOutcome.Rejected(Reasons.BadAddress, "550") },
        { "RCPT", "550 4.1.1 of another class", new AttemptOutcome.Rejected(Reasons.BadAddress, "550") },
        { "RCPT", "550-5.1.1 no\r\n550 5.1.1 no", new AttemptOutcome.Rejected(Reasons.HardBounced, "550 5.1.1", AddressVerdict.Suppress) },
        { "RCPT", "552 5.2.2 mailbox full", new AttemptOutcome.Rejected(Reasons.Rejected, "552 5.2.2") },
        { "RCPT", "450 4.2.0 greylisted", new AttemptOutcome.Retry(Reasons.Retry, "450 4.2.0", ConcernsAddress: true) },
        { "RCPT", "452 mailbox full", new AttemptOutcome.Retry(Reasons.Retry, "452", ConcernsAddress: true) },
        { "RCPT", "451 4.3.0 later", new AttemptOutcome.Retry(Reasons.Retry, "451 4.3.0") },
        { "RCPT", "552 mailbox full", new AttemptOutcome.Rejected(Reasons.Rejected, "552") },
        { "RCPT", "556 takes no mail", new AttemptOutcome.Rejected(Reasons.BadAddress, "556") }, // RFC 7504, 4
        // RFC 2034, 3: the code begins the text, and its class is the reply's. All else that looks like one is an address or a version.
        { "RCPT", "550 rejected, 5.1.1.20 is on a list", new AttemptOutcome.Rejected(Reasons.BadAddress, "550") },
        { "RCPT", "550 5.2.1.7 is on a list", new AttemptOutcome.Rejected(Reasons.BadAddress, "550") },
        { "RCPT", "550 refused by filter 5.1.1", new AttemptOutcome.Rejected(Reasons.BadAddress, "550") },
        { "RCPT", "550 4.1.1 of another class", new AttemptOutcome.Rejected(Reasons.BadAddress, "550") },
        {
            "RCPT",
            "550-5.1.1 no such user\r\n550 5.1.1 at all",
            new AttemptOutcome.Rejected(Reasons.HardBounced, "550 5.1.1", AddressVerdict.Suppress)
        },
        // Said at RCPT or at the end, and meant for us: RFC 3463, 3.2 (sender) and 3.8; RFC 7372 (DKIM, SPF); RFC 7505 (null MX).
        { "RCPT", "550 5.1.8 <news@example.com>: domain not found", new AttemptOutcome.Halted("550 5.1.8") },
        { "RCPT", "550 5.1.7 sender", new AttemptOutcome.Halted("550 5.1.7") },
        { ".", "550 5.7.26 unauthenticated", new AttemptOutcome.Halted("550 5.7.26") },
        { ".", "550 5.7.23 SPF", new AttemptOutcome.Halted("550 5.7.23") },
        { ".", "550 5.7.20 DKIM", new AttemptOutcome.Halted("550 5.7.20") },
        { "RCPT", "550 5.7.27 null MX", new AttemptOutcome.Halted("550 5.7.27") },
        { "RCPT", "550 5.7.10 encrypt first", new AttemptOutcome.Halted("550 5.7.10") },
        { "RCPT", "554 5.7.1 relay access denied", new AttemptOutcome.Halted("554 5.7.1", IsAttempt: true) },
        { "RCPT", "503 5.5.1 AUTH first", new AttemptOutcome.Halted("503 5.5.1", IsAttempt: true) },
        { "DATA", "503 5.5.1 RCPT first", new AttemptOutcome.Halted("503 5.5.1", IsAttempt: true) },
        { ".", "554 5.3.5 configuration error", new AttemptOutcome.Halted("554 5.3.5", IsAttempt: true) },
        { ".", "554 5.6.0 content", new AttemptOutcome.Rejected(Reasons.Rejected, "554 5.6.0") },
        // Replies out of step.
        { "MAIL", "354 go on", new AttemptOutcome.Retry(Reasons.Retry, "354") },
        { "RCPT", "354 go on", new AttemptOutcome.Retry(Reasons.Retry, "354") },
        { "DATA", "250 fine", new AttemptOutcome.Retry(Reasons.Retry, "250") },
        { ".", "354 go on", new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
        { "DATA", "451 4.3.0 later", new AttemptOutcome.Retry(Reasons.Retry, "451 4.3.0") },
        { ".", "550 5.7.1 spam", new AttemptOutcome.Rejected(Reasons.Rejected, "550 5.7.1") },
        { ".", "451 4.7.1 later", new AttemptOutcome.Retry(Reasons.Retry, "451 4.7.1") },
        { ".", "552 5.3.4 too big", new AttemptOutcome.Rejected(Reasons.TooLarge, "552 5.3.4") },
    };

    [Theory, MemberData(nameof(Refusals))]
    public async Task A_refusal_has_a_meaning(string at, string answer, AttemptOutcome expected)
    {
        Serve(line => line.StartsWith(at, StringComparison.OrdinalIgnoreCase) ? answer : null);
        Assert.Equal(expected, await SendAsync());
    }

    // Relaying refused is the settings' fault, as long as nothing else passes; after that it is this recipient's.
    [Fact]
    public async Task Policy_refusal_concerns_the_recipient_where_others_are_accepted()
    {
        var isRefused = false;
        Serve(line => isRefused && line.StartsWith("RCPT", StringComparison.Ordinal) ? "554 5.7.1 policy" : null);
        Assert.IsType<AttemptOutcome.Accepted>(await SendAsync());
        isRefused = true;
        Assert.Equal(new AttemptOutcome.Rejected(Reasons.Rejected, "554 5.7.1"), await SendAsync());
    }

    // RFC 4954, 6: authentication required (530), too weak (534), refused (535), wanted encrypted (538), at whichever command.
    [Theory]
    [InlineData("MAIL", "530 5.7.0 Authentication required", "530")]
    [InlineData("RCPT", "530 5.7.0 Authentication required", "530")]
    [InlineData("DATA", "530 5.7.0 Authentication required", "530 5.7.0")]
    [InlineData(".", "530 5.7.0 Authentication required", "530")]
    [InlineData("RCPT", "535 5.7.8 wrong", "535 5.7.8")]
    [InlineData("RCPT", "534 5.7.9 too weak", "534 5.7.9")]
    [InlineData("MAIL", "538 5.7.11 encrypt first", "538 5.7.11")]
    public async Task Missing_authentication_halts_at_any_command(string at, string answer, string code)
    {
        Serve(line => line.StartsWith(at, StringComparison.OrdinalIgnoreCase) ? answer : null);
        Assert.Equal(new AttemptOutcome.Halted(code), await SendAsync());
    }

    [Fact]
    public async Task Server_without_AUTH_halts()
    {
        servers.Add(new ScriptedMailServer());
        provider = Provider(((ScriptedMailServer)servers[0]).Port, user: "u");
        Assert.Equal(new AttemptOutcome.Halted("auth"), await SendAsync());
        Assert.DoesNotContain(((ScriptedMailServer)servers[0]).Commands, c => c.StartsWith("MAIL", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Server_with_unknown_mechanisms_alone_halts()
    {
        servers.Add(new ScriptedMailServer(null, "AUTH X-OWN"));
        provider = Provider(((ScriptedMailServer)servers[0]).Port, user: "u");
        Assert.Equal(new AttemptOutcome.Halted("auth"), await SendAsync());
    }

    // RFC 4954, 6: «454 Temporary authentication failure».
    [Fact]
    public async Task Authentication_that_fails_for_now_is_tried_again()
    {
        servers.Add(
            new ScriptedMailServer(line => line.StartsWith("AUTH", StringComparison.Ordinal) ? "454 4.7.0 later" : null, "AUTH PLAIN")
        );
        provider = Provider(((ScriptedMailServer)servers[0]).Port, user: "u");
        Assert.Equal(new AttemptOutcome.Retry(Reasons.Retry, "454"), await SendAsync());
    }

    // RFC 5321, 4.2.1 and 4.3.2: the first digit decides.
    [Theory]
    [InlineData("250 2.0.0 queued")]
    [InlineData("251 queued")]
    [InlineData("252 queued, not verified")]
    public async Task Any_positive_reply_to_the_final_dot_is_a_yes(string answer)
    {
        Serve(line => line == "." ? answer : null);
        Assert.IsType<AttemptOutcome.Accepted>(await SendAsync());
    }

    // RFC 5321, 4.1.1.10: «Receipt of the end of mail data indication requires the server to process the stored mail».
    [Fact]
    public async Task Mail_cut_before_its_final_dot_is_tried_again()
    {
        var server = Serve(line => line == "DATA" ? ScriptedMailServer.CutData : null);
        var large = string.Concat(Enumerable.Repeat("A line of a large mail that no socket takes whole.\n", 250_000));
        Assert.Equal(new AttemptOutcome.Retry(Reasons.ConnectionLost, null), await SendAsync(new NotificationContent("t", large)));
        Assert.Empty(server.Mails);
    }

    // RFC 5321, 4.5.3.1.5: a reply line has 512 octets at most.
    [Theory]
    [InlineData("greeting", "220", false)]
    [InlineData(".", "250", true)]
    public async Task Endless_reply_is_not_read(string at, string code, bool isUnknown)
    {
        var reply = string.Concat(Enumerable.Repeat($"{code}-a line of a reply that does not end\r\n", 25_000)) + $"{code} end";
        Serve(line => line == at ? reply : null);
        AttemptOutcome expected = isUnknown
            ? new AttemptOutcome.Unknown(Reasons.ConnectionLost)
            : new AttemptOutcome.Retry(Reasons.ConnectionLost, null);
        Assert.Equal(expected, await SendAsync());
    }

    [Fact]
    public async Task Mail_goes_by_DATA_where_CHUNKING_is_offered()
    {
        servers.Add(new ScriptedMailServer(null, "CHUNKING", "BINARYMIME", "8BITMIME"));
        provider = Provider(((ScriptedMailServer)servers[0]).Port);
        Assert.IsType<AttemptOutcome.Accepted>(await SendAsync());
        Assert.Contains("DATA", ((ScriptedMailServer)servers[0]).Commands);
    }

    [Theory]
    [InlineData("greeting")]
    [InlineData("EHLO")]
    [InlineData("MAIL")]
    [InlineData("RCPT")]
    [InlineData("DATA")]
    public async Task Connection_lost_before_the_mail_is_sent_is_retried(string at)
    {
        var server = Serve(line => line.StartsWith(at, StringComparison.OrdinalIgnoreCase) ? ScriptedMailServer.Drop : null);
        Assert.Equal(new AttemptOutcome.Retry(Reasons.ConnectionLost, null), await SendAsync());
        Assert.Empty(server.Mails);
    }

    [Theory]
    [InlineData(ScriptedMailServer.Drop, Reasons.ConnectionLost)]
    [InlineData(ScriptedMailServer.Silence, Reasons.TimedOut)]
    public async Task A_lost_answer_after_the_final_dot_is_an_unknown_outcome(string how, string reason)
    {
        var server = Serve(line => line == "." ? how : null, timeout: TimeSpan.FromMilliseconds(700));
        Assert.Equal(new AttemptOutcome.Unknown(reason), await SendAsync());
        Assert.Single(server.Mails);
    }

    [Fact]
    public async Task Silence_before_the_mail_leaves_is_tried_again()
    {
        Serve(
            line => line.StartsWith("RCPT", StringComparison.Ordinal) ? ScriptedMailServer.Silence : null,
            timeout: TimeSpan.FromMilliseconds(700)
        );
        Assert.Equal(new AttemptOutcome.Retry(Reasons.TimedOut, null), await SendAsync());
    }

    [Fact]
    public async Task A_server_that_is_not_there_is_tried_again()
    {
        provider = Provider(ScriptedServer.ClosedPort());
        Assert.Equal(new AttemptOutcome.Retry(Reasons.ConnectionLost, null), await SendAsync());
    }

    [Fact]
    public async Task Without_STARTTLS_no_mail_leaves()
    {
        var server = Serve(security: SmtpSecurity.StartTls);
        Assert.Equal(new AttemptOutcome.Halted("starttls"), await SendAsync());
        Assert.DoesNotContain(server.Commands, c => c.StartsWith("MAIL", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_wrong_password_halts()
    {
        servers.Add(
            new ScriptedMailServer(line => line.StartsWith("AUTH", StringComparison.Ordinal) ? "535 5.7.8 wrong" : null, "AUTH PLAIN")
        );
        provider = Provider(((ScriptedMailServer)servers[0]).Port, user: "u");
        Assert.Equal(new AttemptOutcome.Halted("535"), await SendAsync());
    }

    [Fact]
    public void Every_fault_of_the_settings_is_told()
    {
        var faults = new List<string>();
        new SmtpOptions
        {
            Host = "smtp://x",
            Port = 0,
            UserName = "u",
            Concurrency = 0,
            Timeout = TimeSpan.Zero,
            TrustedCaPath = "/nowhere/ca.pem",
            From = "nobody",
        }.LoadSender("Providers:Smtp", faults);
        Assert.Equal(7, faults.Count);
        Assert.All(faults, f => Assert.StartsWith("Providers:Smtp:", f, StringComparison.Ordinal));
    }

    private ScriptedMailServer Serve(
        Func<string, string?>? script = null,
        TimeSpan? timeout = null,
        SmtpSecurity security = SmtpSecurity.None
    )
    {
        var server = new ScriptedMailServer(script);
        servers.Add(server);
        provider = Provider(server.Port, timeout, security);
        return server;
    }

    private static SmtpProvider Provider(int port, TimeSpan? timeout = null, SmtpSecurity security = SmtpSecurity.None, string? user = null)
    {
        var options = new SmtpOptions
        {
            Host = "127.0.0.1",
            Port = port,
            Security = security,
            From = "\"Acme, Inc.\" <news@example.com>",
            Timeout = timeout ?? TimeSpan.FromSeconds(20),
            UserName = user,
            Password = user,
        };
        var faults = new List<string>();
        var from = options.LoadSender("Providers:Smtp", faults);
        Assert.Empty(faults);
        // The time stamp is a test's, the time-outs are real.
        return new SmtpProvider(options, from!, timeout is null ? new FakeTimeProvider(Now) : TimeProvider.System);
    }

    private Task<AttemptOutcome> SendAsync(NotificationContent? content = null) =>
        provider!.SendAsync(
            new OutboundMessage(
                Delivery,
                "someone@münchen.example",
                content ?? new NotificationContent(Title: "t", Body: "b"),
                Priority.Normal,
                null
            ),
            TestContext.Current.CancellationToken
        );
}
