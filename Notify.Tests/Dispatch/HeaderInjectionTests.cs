namespace Notify.Tests.Dispatch;

using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using MimeKit;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.Email;
using Notify.Dispatch.Providers.Email.Mailchimp;
using Notify.Dispatch.Providers.Email.SendGrid;
using Notify.Dispatch.Providers.Email.Smtp;
using Notify.Domain.Channels;
using Notify.Domain.Content;

/// <summary>
/// Injection of headers by subjects, and by files' names, types and content IDs: a sent mail has no headers but ours.
/// </summary>
public sealed class HeaderInjectionTests
{
    private const string Bcc = "Bcc: victim@example.com";

    private static readonly string[] Corpus =
    [
        .. from line in new[]
        {
            "\r\n",
            "\n",
            "\r",
            "\n\r",
            "\r\n\r\n",
            "\r\n ",
            "\r\n\t",
            "\0\r\n",
            "\u2028",
            "\u2029",
            "\u0085",
            "\v",
            "\f",
            "\x1c",
            "\x1e",
            "\\r\\n",
            "%0d%0a",
            "&#13;&#10;",
            "\u560d\u560a",
            "\ufeff\r\n",
        }
        select $"Hello{line}{Bcc}",
        $"{Bcc}\r\nHello",
        "\r\nHello\r\n.\r\nMAIL FROM:<x@example.com>",
        "\r\n.\r\n",
        "Hello\r\nContent-Type: text/html\r\n\r\n<script>",
        "=?utf-8?B?SGVsbG8NCkJjYzogdmljdGltQGV4YW1wbGUuY29t?=",
        "=?utf-8?Q?Hello=0D=0ABcc:_victim@example.com?=",
        "=?utf-8?Q?a?=\r\n =?utf-8?Q?b?=",
        "\"; filename=\"evil.exe",
        "a\"b\\c\"; x=\"y",
        "name\r\nContent-Disposition: inline",
        "../../etc/passwd",
        "..\\..\\windows\\system.ini",
        "C:\\evil\r\n.exe",
        "file\u202egnp.exe",
        "\u202e\u202d\u2066abc\u2069",
        "\u200b\u200c\u200d\u2060",
        "invoice.pdf\0.exe",
        new string('A', 5000),
        new string('가', 3000),
        $"{new string('x', 990)}\r\n{Bcc}",
        string.Concat(Enumerable.Repeat("👋", 600)),
        string.Concat(Enumerable.Repeat("a\r\n ", 300)),
        "\x7f\x1b[2J\x1b]0;title\a",
        "e\u0301\u0301\u0301\u0301",
        "-->]]>'\"<img src=x onerror=alert(1)>",
        ";;;,,,",
        "  \t ",
        "\ud83d\udc4b\r\n\ud83d\udc4b",
        "X-SMTPAPI: {}",
        "--=-boundary\r\nContent-Type: text/plain\r\n\r\nx\r\n--=-boundary--",
    ];

    private static readonly string[] Types =
    [
        "text/plain",
        "text/plain\r\nX: y",
        "multipart/mixed; boundary=x",
        "message/rfc822",
        "text/html; charset=\"\r\nX: y\"",
        "",
        "image/png",
    ];

    [Fact]
    public void There_are_enough_of_them() => Assert.True(Corpus.Distinct().Count() >= 40, $"{Corpus.Length}");

    [Fact]
    public async Task A_mail_server_gets_no_header_but_ours()
    {
        await using var server = new ScriptedMailServer();
        var options = new SmtpOptions
        {
            Host = "127.0.0.1",
            Port = server.Port,
            Security = SmtpSecurity.None,
            From = "Shop <news@example.com>",
        };
        using var provider = new SmtpProvider(options, options.LoadSender("Smtp", [])!, TimeProvider.System);
        foreach (var hostile in Corpus)
        {
            foreach (var mail in Mails(hostile))
            {
                var before = server.Commands.Count;
                var outcome = await provider.SendAsync(mail, TestContext.Current.CancellationToken);
                Assert.True(outcome is AttemptOutcome.Accepted, $"{Show(hostile)}: {outcome}");
                Assert.Single(server.Commands.Skip(before), c => c.StartsWith("RCPT", StringComparison.OrdinalIgnoreCase));
                Assert.Single(server.Commands.Skip(before), c => c.StartsWith("MAIL", StringComparison.OrdinalIgnoreCase));
                AssertHeaders(server.Mails[^1], hostile, mail);
            }
        }
    }

    [Fact]
    public async Task SendGrid_is_told_no_header_but_ours()
    {
        await using var server = await ScriptedServer.Http1Async(ScriptedServer.Answer(202, "", ("X-Message-Id", "m-1")));
        Assert.True(EmailSender.TryParse("Shop <news@example.com>", out var from));
        using var provider = new SendGridProvider(
            new SendGridOptions { ApiKey = "SG.key", BaseUrl = server.Url },
            from,
            TimeProvider.System
        );
        await EachAsync(
            provider,
            server,
            (json, hostile) =>
            {
                var personal = json["personalizations"]!.AsArray().Single()!.AsObject();
                Assert.Equal(["custom_args", "headers", "subject", "to"], personal.Select(p => p.Key).Order());
                Assert.Equal(
                    ["Auto-Submitted", "List-Unsubscribe", "List-Unsubscribe-Post"],
                    personal["headers"]!.AsObject().Select(h => h.Key)
                );
                Assert.Equal(["attachments", "content", "from", "personalizations", "tracking_settings"], json.Select(p => p.Key).Order());
                AssertLine(personal["subject"]!.ToString(), hostile);
                foreach (var file in json["attachments"]!.AsArray())
                    AssertFile(file!["filename"]!.ToString(), file["type"]!.ToString(), file["content_id"]?.ToString(), hostile);
            }
        );
    }

    [Fact]
    public async Task Mailchimp_is_told_no_header_but_ours()
    {
        await using var server = await ScriptedServer.Http1Async(
            ScriptedServer.Answer(200, """[{"email":"someone@example.com","status":"sent","_id":"abc"}]""")
        );
        var options = new MailchimpOptions
        {
            ApiKey = "k",
            From = "Shop <news@example.com>",
            BaseUrl = server.Url,
        };
        using var provider = new MailchimpProvider(options, options.LoadSender("Mailchimp", [])!, TimeProvider.System);
        await EachAsync(
            provider,
            server,
            (json, hostile) =>
            {
                var mail = json["message"]!.AsObject();
                Assert.Equal(
                    ["Auto-Submitted", "List-Unsubscribe", "List-Unsubscribe-Post"],
                    mail["headers"]!.AsObject().Select(h => h.Key)
                );
                AssertLine(mail["subject"]!.ToString(), hostile);
                Assert.Equal("someone@example.com", mail["to"]!.AsArray().Single()!["email"]!.ToString());
                foreach (var file in mail["attachments"]?.AsArray() ?? [])
                    AssertFile(file!["name"]!.ToString(), file["type"]!.ToString(), null, hostile);
                foreach (var file in mail["images"]?.AsArray() ?? [])
                    AssertFile("x", file!["type"]!.ToString(), file["name"]!.ToString(), hostile);
            }
        );
    }

    private static async Task EachAsync(IDeliveryProvider provider, ScriptedServer server, Action<JsonObject, string> check)
    {
        var sent = 0;
        foreach (var hostile in Corpus)
        {
            foreach (var mail in Mails(hostile))
            {
                var outcome = await provider.SendAsync(mail, TestContext.Current.CancellationToken);
                Assert.True(outcome is AttemptOutcome.Accepted, $"{Show(hostile)}: {outcome}");
                check(JsonNode.Parse(server.Received[sent++].Body)!.AsObject(), Show(hostile));
            }
        }
    }

    // As subject, and where the first line becomes the subject; and in every field of files.
    private static IEnumerable<OutboundMessage> Mails(string hostile)
    {
        var files = Types
            .Append(hostile)
            .Select((type, i) => new EmailAttachment(hostile, type, [1, 2, 3], i % 2 == 0 ? hostile : $"cid-{i}"))
            .ToList();
        yield return Mail(new NotificationContent(hostile, "text", "<p>html</p>", Attachments: files));
        yield return Mail(new NotificationContent(null, $"{hostile}\nmore", null, Attachments: files));
    }

    private static OutboundMessage Mail(NotificationContent content) =>
        new(
            Guid.NewGuid(),
            "someone@example.com",
            content with
            {
                Body = content.Body is { } b && b.Trim().Length > 0 ? b : "text",
            },
            Priority.Normal,
            null,
            new Uri("https://notify.example.com/u/AQx")
        );

    private static void AssertHeaders(string raw, string hostile, OutboundMessage sent)
    {
        var head = raw[..raw.IndexOf("\r\n\r\n", StringComparison.Ordinal)].Split("\r\n");
        Assert.All(
            head,
            l => Assert.True(l.StartsWith(' ') || l.StartsWith('\t') || Regex.IsMatch(l, "^[A-Za-z-]+:"), $"{Show(hostile)}: {l}")
        );
        Assert.All(head, l => Assert.DoesNotContain(l, c => char.IsControl(c) && c != '\t'));
        Assert.All(head, l => Assert.True(l.Length <= 998, $"{Show(hostile)}: {l.Length} characters in a line"));
        Assert.Equal(
            [
                "auto-submitted",
                "content-type",
                "date",
                "from",
                "list-unsubscribe",
                "list-unsubscribe-post",
                "message-id",
                "mime-version",
                "subject",
                "to",
            ],
            head.Where(l => l[0] is not (' ' or '\t')).Select(l => l[..l.IndexOf(':', StringComparison.Ordinal)].ToLowerInvariant()).Order()
        );

        var mail = MimeMessage.Load(new MemoryStream(Encoding.UTF8.GetBytes(raw)));
        AssertLine(mail.Subject!, hostile);
        Assert.Equal("someone@example.com", mail.To.Mailboxes.Single().Address);
        Assert.Empty(mail.Bcc);
        var allowed = new[] { "content-type", "content-transfer-encoding", "content-disposition", "content-id" };
        Assert.All(mail.BodyParts, p => Assert.All(p.Headers, h => Assert.Contains(h.Field.ToLowerInvariant(), allowed)));
        var files = mail.BodyParts.OfType<MimePart>().Where(p => p.FileName is not null).ToList();
        Assert.Equal(sent.Content.Attachments!.Count, files.Count);
        Assert.All(files, f => AssertFile(f.FileName!, f.ContentType.MimeType, f.ContentId, hostile));
    }

    private static void AssertLine(string subject, string hostile)
    {
        Assert.DoesNotContain(subject, c => char.IsControl(c) || c is '\u2028' or '\u2029');
        Assert.False(string.IsNullOrWhiteSpace(subject), hostile);
    }

    private static void AssertFile(string name, string type, string? contentId, string hostile)
    {
        Assert.True(name.Length is > 0 and <= AttachmentRules.MaxName, hostile);
        Assert.DoesNotContain(name, c => char.IsControl(c) || c is '/' or '\\' or '"' or '\u2028' or '\u2029' or '\u202e');
        Assert.Matches("^[a-z]+/[A-Za-z0-9.+-]+$", type);
        if (contentId is not null)
            Assert.Matches("^[A-Za-z0-9._@+-]+$", contentId);
    }

    private static string Show(string hostile) => System.Text.Json.JsonSerializer.Serialize(hostile.Length > 60 ? hostile[..60] : hostile);
}
