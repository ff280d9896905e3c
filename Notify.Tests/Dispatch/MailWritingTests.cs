namespace Notify.Tests.Dispatch;

using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Microsoft.Extensions.Time.Testing;
using MimeKit;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.Email;
using Notify.Dispatch.Providers.Email.Mailchimp;
using Notify.Dispatch.Providers.Email.SendGrid;
using Notify.Dispatch.Providers.Email.Smtp;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using static Notify.Tests.Dispatch.ScriptedServer;

/// <summary>The MIME form of a mail: its lines, headers and attachments, and the options that providers must not apply to it.</summary>
public sealed class MailWritingTests
{
    private static readonly DateTimeOffset Now = new(2026, 5, 4, 12, 10, 0, TimeSpan.Zero);
    private static readonly EmailSender From = new("news@example.com", "Shop");

    /// <summary>RFC 5321, section 2.3.8: a client must not send CR or LF other than as CRLF.</summary>
    [Theory]
    [InlineData("a\rb")]
    [InlineData("a\r\r\nb\n\rc")]
    [InlineData("a\r\n.\r\nMAIL FROM:<x@example.com>")]
    [InlineData("a\n.\rb")]
    [InlineData("\r")]
    public void Line_endings_of_a_mail_are_CRLF_alone(string text)
    {
        foreach (var constraint in new[] { EncodingConstraint.SevenBit, EncodingConstraint.EightBit })
        {
            var raw = Written(new NotificationContent("t", $"{text}ü", $"<p>{text}</p>"), constraint);
            Assert.DoesNotMatch("\r(?!\n)|(?<!\r)\n", raw);
        }
    }

    [Theory]
    [InlineData("a\rb\r\nc\nd", "a\nb\nc\nd")]
    [InlineData("a\n\rb", "a\n\nb")]
    [InlineData("", null)]
    [InlineData(null, null)]
    public async Task Line_endings_are_the_same_for_every_provider(string? text, string? expected)
    {
        Assert.Equal(expected, EmailText.Of(text));
        var content = new NotificationContent("t", text, "<p>a\rb</p>");
        var sendGrid = JsonNode.Parse(SendGridMail.Of(Message(content), "a@example.com", "t", From).Serialize())!["content"]!.AsArray();
        Assert.Equal([.. new[] { expected }.OfType<string>(), "<p>a\nb</p>"], sendGrid.Select(c => c!["value"]!.ToString()));
        var mailchimp = (await MailchimpAsync(Message(content))).Mail!;
        Assert.Equal((expected, "<p>a\nb</p>"), (mailchimp["text"]?.ToString(), mailchimp["html"]!.ToString()));
    }

    /// <summary>RFC 2045, section 6.8: base64 keeps bytes; as 7bit or 8bit text a file's line endings become CRLF.</summary>
    [Theory]
    [InlineData("text/csv")]
    [InlineData("text/plain")]
    [InlineData("application/json")]
    [InlineData("application/pdf")]
    public void A_file_keeps_its_bytes(string type)
    {
        var bytes = "a;b\nc;d\r\n\re\0"u8.ToArray();
        var mail = Read(
            Written(
                new NotificationContent("t", "b", "<img src=\"cid:x\">", Attachments: [new("f", type, bytes), new("g", type, bytes, "x")])
            )
        );
        var files = mail.BodyParts.OfType<MimePart>().Where(p => p.FileName is not null).ToList();
        Assert.Equal(2, files.Count);
        foreach (var file in files)
        {
            using var decoded = new MemoryStream();
            file.Content!.DecodeTo(decoded, TestContext.Current.CancellationToken);
            Assert.Equal(
                (ContentEncoding.Base64, Convert.ToHexString(bytes)),
                (file.ContentTransferEncoding, Convert.ToHexString(decoded.ToArray()))
            );
        }
    }

    /// <summary>
    /// RFC 2047, section 2: an encoded word has at most 75 characters, a line with one 76; section 5 (3): it holds whole characters.
    /// </summary>
    [Theory]
    [InlineData("Grüße")]
    [InlineData("주문하신 상품이 출발했습니다. 배송 조회는 앱에서 하실 수 있으며 문의는 고객센터로 부탁드립니다. 감사합니다. 또 만나요.")]
    [InlineData("👩‍💻👩‍💻👩‍💻👩‍💻👩‍💻👩‍💻👩‍💻👩‍💻👩‍💻👩‍💻👩‍💻👩‍💻")]
    [InlineData("Ihre Bestellung ist unterwegs, und zwar schneller als gedacht: sie kommt schon morgen früh an")]
    [InlineData("=?utf-8?B?SGVsbG8=?=")]
    [InlineData("see =?utf-8?Q?a?= there")]
    [InlineData("a_word_that_is_longer_than_any_line_of_a_mail_should_be_and_cannot_be_folded_anywhere_since_it_has_no_blanks")]
    public void A_subject_is_read_as_it_was_written(string subject)
    {
        foreach (var from in new[] { From, new EmailSender("news@example.com", subject) })
        {
            var raw = Written(new NotificationContent(subject, "b"), from: from);
            var head = raw[..raw.IndexOf("\r\n\r\n", StringComparison.Ordinal)].Split("\r\n");
            Assert.All(head, l => Assert.DoesNotContain(l, c => c is < ' ' or > '~'));
            Assert.All(head.SelectMany(l => Regex.Matches(l, @"=\?[^ ?]+\?[bBqQ]\?[^ ?]*\?=")), w => Assert.InRange(w.Length, 1, 75));
            Assert.All(head.Where(l => l.Contains("=?", StringComparison.Ordinal)), l => Assert.InRange(l.Length, 1, 76));
            var mail = Read(raw);
            Assert.Equal(
                (subject, from.Name, from.Address),
                (mail.Subject, mail.From.Mailboxes.Single().Name, mail.From.Mailboxes.Single().Address)
            );
        }
    }

    [Fact]
    public void A_plain_subject_is_written_as_it_is() =>
        Assert.Contains(
            "\r\nSubject: Your order is on its way\r\n",
            Written(new NotificationContent("Your order is on its way", "b")),
            StringComparison.Ordinal
        );

    /// <summary>RFC 3834, section 5: automatic mail says so. RFC 8058, section 3.1: one click only where it is kept.</summary>
    [Fact]
    public void Every_mail_says_that_it_is_automatic_and_where_to_unsubscribe()
    {
        var link = new Uri("https://notify.example.com/u/x");
        Assert.Equal([("Auto-Submitted", "auto-generated")], EmailHeaders.Of(Message()));
        Assert.Equal(
            [
                ("Auto-Submitted", "auto-generated"),
                ("List-Unsubscribe", "<https://notify.example.com/u/x>"),
                ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
            ],
            EmailHeaders.Of(Message() with { Unsubscribe = link })
        );
        Assert.Equal(
            [("Auto-Submitted", "auto-generated"), ("List-Unsubscribe", "<https://notify.example.com/u/x>")],
            EmailHeaders.Of(Message() with { Unsubscribe = link, HasOneClick = false })
        );
    }

    /// <summary>
    /// RFC 6531, section 3.2: an address beyond ASCII goes only to a server that offers SMTPUTF8, which goes with 8BITMIME.
    /// </summary>
    [Theory]
    [InlineData(true, "8BITMIME", "SMTPUTF8")]
    [InlineData(false, "8BITMIME")]
    [InlineData(false, "SMTPUTF8")]
    public async Task A_name_beyond_ASCII_goes_only_to_a_server_that_takes_it(bool isTaken, params string[] extensions)
    {
        await using var server = new ScriptedMailServer(null, extensions);
        var options = new SmtpOptions
        {
            Host = "127.0.0.1",
            Port = server.Port,
            Security = SmtpSecurity.None,
            From = "news@example.com",
        };
        using var provider = new SmtpProvider(options, options.LoadSender("Smtp", [])!, TimeProvider.System);
        var outcome = await provider.SendAsync(Message() with { Address = "pelé@münchen.example" }, TestContext.Current.CancellationToken);
        if (isTaken)
        {
            Assert.IsType<AttemptOutcome.Accepted>(outcome);
            Assert.Contains(
                server.Commands,
                c => c.StartsWith("MAIL", StringComparison.Ordinal) && c.EndsWith(" SMTPUTF8", StringComparison.Ordinal)
            );
            Assert.Contains(server.Commands, c => c.StartsWith("RCPT TO:<pelé@", StringComparison.Ordinal));
        }
        else
        {
            Assert.Equal(new AttemptOutcome.Rejected(Reasons.BadAddress, "smtputf8"), outcome);
            Assert.DoesNotContain(server.Commands, c => c.StartsWith("MAIL", StringComparison.Ordinal));
        }

        // The connection is as good as before.
        Assert.IsType<AttemptOutcome.Accepted>(await provider.SendAsync(Message(), TestContext.Current.CancellationToken));
        Assert.Equal(1, server.Connections);
    }

    /// <summary>
    /// SendGrid and Mailchimp document no address beyond ASCII before the @; their SMTP to the recipient needs SMTPUTF8 for it.
    /// </summary>
    [Fact]
    public async Task A_name_beyond_ASCII_ends_before_an_API_is_called()
    {
        var message = Message() with { Address = "pelé@example.com" };
        var (outcome, mail) = await MailchimpAsync(message);
        Assert.Equal((new AttemptOutcome.Rejected(Reasons.BadAddress, "smtputf8"), null), (outcome, mail));
        await using var server = await Http1Async(Answer(202));
        using var provider = new SendGridProvider(
            new SendGridOptions { ApiKey = "SG.key", BaseUrl = server.Url },
            From,
            TimeProvider.System
        );
        Assert.Equal(
            new AttemptOutcome.Rejected(Reasons.BadAddress, "smtputf8"),
            await provider.SendAsync(message, TestContext.Current.CancellationToken)
        );
        Assert.Empty(server.Received);
    }

    /// <summary>SendGrid, Mail Send, tracking_settings; Mailchimp Transactional, messages/send, track_opens and track_clicks.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Tracking_by_a_provider_is_off_unless_asked_for(bool tracking)
    {
        var settings = JsonNode.Parse(SendGridMail.OfMany([new(Message(), "a@example.com", "t")], From, tracking).Serialize())![
            "tracking_settings"
        ];
        string[] kinds = ["click_tracking", "ganalytics", "open_tracking", "subscription_tracking"];
        Assert.Equal(tracking ? [] : kinds, settings?.AsObject().Select(s => s.Key).Order() ?? Enumerable.Empty<string>());
        Assert.All(settings?.AsObject() ?? [], s => Assert.False((bool)s.Value!["enable"]!));
        var (_, mail) = await MailchimpAsync(Message(), tracking);
        bool? expected = tracking ? null : false;
        Assert.Equal((expected, expected), ((bool?)mail!["track_opens"], (bool?)mail["track_clicks"]));
    }

    /// <summary>
    /// SendGrid, Mail Send, subject: the line limit of RFC 2822, section 2.1.1, which is 998 characters with the field's name.
    /// </summary>
    [Fact]
    public async Task A_subject_fits_the_line_that_an_API_allows()
    {
        var message = Message(new NotificationContent(new string('x', 1000), "b"));
        var subject = (await MailchimpAsync(message)).Mail!["subject"]!.ToString();
        Assert.Equal((998 - "Subject: ".Length, '…'), (subject.Length, subject[^1]));
        Assert.Equal(1000, EmailSubject.Of(message.Content)!.Length);
    }

    /// <summary>
    /// RFC 2047, section 6.2: text that looks like an encoded word is shown decoded in any header. RFC 5322, 2.1.1: 998.
    /// </summary>
    [Theory]
    [InlineData("ü =?utf-8?B?SGk=?=", 1)]
    [InlineData("=?utf-8?B?SGk=?= 😀", 1)]
    [InlineData("=?utf-8?B?SGk=?= ", 1)]
    [InlineData("=?utf-8?B?SGk=?= 가", 900)]
    public async Task Text_that_looks_like_an_encoded_word_is_encoded_for_an_API(string text, int times)
    {
        var (title, from) = (text + new string(text[^1], times - 1), new EmailSender("news@example.com", text));
        var mail = (await MailchimpAsync(Message(new NotificationContent(title, "b")) with { FromName = text })).Mail!;
        var sendGrid = JsonNode.Parse(SendGridMail.Of(Message(), "a@example.com", "t", from).Serialize())!["from"]!["name"]!.ToString();
        var subject = mail["subject"]!.ToString();
        Assert.InRange(subject.Length, 1, 998 - "Subject: ".Length);
        foreach (var encoded in new[] { subject, mail["from_name"]!.ToString(), sendGrid })
        {
            Assert.True(Ascii.IsValid(encoded), encoded);
            var shown = MimeKit.Utils.Rfc2047.DecodeText(Encoding.ASCII.GetBytes(encoded));
            Assert.StartsWith(text.Trim(), shown, StringComparison.Ordinal);
        }
    }

    /// <summary>RFC 2369, section 2, and RFC 3986: the header's address is ASCII.</summary>
    [Fact]
    public void The_address_to_unsubscribe_at_is_ASCII() =>
        Assert.Equal(
            "<https://xn--mnchen-3ya.example/u/x>",
            EmailHeaders
                .Of(Message() with { Unsubscribe = new Uri("https://münchen.example/u/x") })
                .First(h => h.Name == "List-Unsubscribe")
                .Value
        );

    private static MimeMessage Read(string raw) =>
        MimeMessage.Load(new MemoryStream(Encoding.UTF8.GetBytes(raw)), TestContext.Current.CancellationToken);

    private static string Written(
        NotificationContent content,
        EncodingConstraint constraint = EncodingConstraint.EightBit,
        EmailSender? from = null
    )
    {
        using var mail = SmtpMail.Of(Message(content), "someone@example.com", EmailSubject.Of(content)!, from ?? From, Now);
        mail.Prepare(constraint);
        using var stream = new MemoryStream();
        var format = FormatOptions.Default.Clone();
        format.NewLineFormat = NewLineFormat.Dos;
        format.EnsureNewLine = true;
        mail.WriteTo(format, stream, TestContext.Current.CancellationToken);
        return Encoding.UTF8.GetString(stream.ToArray());
    }

    private static async Task<(AttemptOutcome Outcome, JsonObject? Mail)> MailchimpAsync(OutboundMessage message, bool tracking = false)
    {
        const string Sent = """[{"email":"a@example.com","status":"sent","_id":"abc","reject_reason":null}]""";
        await using var server = await Http1Async(Answer(200, Sent));
        using var provider = new MailchimpProvider(
            new MailchimpOptions
            {
                ApiKey = "k",
                BaseUrl = server.Url,
                Tracking = tracking,
            },
            From,
            new FakeTimeProvider(Now)
        );
        var outcome = await provider.SendAsync(message, TestContext.Current.CancellationToken);
        return (outcome, server.Received.Count == 0 ? null : JsonNode.Parse(server.Received[0].Body)!["message"]!.AsObject());
    }

    private static OutboundMessage Message(NotificationContent? content = null) =>
        new(
            Guid.Parse("0199c0de-0000-7000-8000-000000000001"),
            "someone@example.com",
            content ?? new NotificationContent("t", "b"),
            Priority.Normal,
            null
        );
}
