namespace Notify.Tests.Dispatch;

using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using MimeKit;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.Email;
using Notify.Dispatch.Providers.Email.Mailchimp;
using Notify.Dispatch.Providers.Email.SendGrid;
using Notify.Dispatch.Providers.Email.Smtp;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Sandbox.SendGrid;
using SendGridMail = Notify.Dispatch.Providers.Email.SendGrid.SendGridMail;

/// <summary>Files and unsubscribe headers in the form of each mail provider; and many mails in one request.</summary>
public sealed class EmailFilesTests
{
    private static readonly byte[] Binary = [.. Enumerable.Range(0, 256).Select(i => (byte)i)];
    private static readonly Uri Link = new("https://notify.example.com/u/AQx");

    private static readonly NotificationContent WithFiles = new(
        "Your invoice",
        "It is attached.",
        "<img src='cid:logo'>",
        Attachments:
        [
            new EmailAttachment("Rechnung März 안녕.pdf", "application/pdf", Binary),
            new EmailAttachment("logo.png", "image/png", [137, 80, 78, 71], "logo"),
        ]
    );

    private static readonly EmailSender From = new("news@example.com", "Shop");

    [Fact]
    public async Task A_mail_server_gets_files_pictures_and_the_link()
    {
        await using var server = new ScriptedMailServer();
        var options = new SmtpOptions
        {
            Host = "127.0.0.1",
            Port = server.Port,
            Security = SmtpSecurity.None,
            From = "Shop <news@example.com>",
        };
        using var provider = new SmtpProvider(options, From, TimeProvider.System);
        Assert.IsType<AttemptOutcome.Accepted>(await provider.SendAsync(Message(), TestContext.Current.CancellationToken));

        var mail = MimeMessage.Load(new MemoryStream(Encoding.UTF8.GetBytes(server.Mails.Single())), TestContext.Current.CancellationToken);
        Assert.Equal($"<{Link}>", mail.Headers["List-Unsubscribe"]);
        Assert.Equal("List-Unsubscribe=One-Click", mail.Headers["List-Unsubscribe-Post"]);
        Assert.Equal(("It is attached.", "<img src='cid:logo'>"), (mail.TextBody!.Trim(), mail.HtmlBody!.Trim()));
        var pdf = Assert.IsType<MimePart>(Assert.Single(mail.Attachments));
        Assert.Equal(("Rechnung März 안녕.pdf", "application/pdf"), (pdf.FileName, pdf.ContentType.MimeType));
        Assert.Equal(Binary, Bytes(pdf));
        var logo = mail.BodyParts.OfType<MimePart>().Single(p => p.ContentId == "logo");
        Assert.Equal(("inline", "image/png"), (logo.ContentDisposition!.Disposition, logo.ContentType.MimeType));
    }

    [Fact]
    public async Task Mailchimp_gets_files_pictures_and_the_link()
    {
        await using var server = await ScriptedServer.Http1Async(
            ScriptedServer.Answer(200, """[{"email":"a@example.com","status":"sent","_id":"abc"}]""")
        );
        using var provider = new MailchimpProvider(
            new MailchimpOptions
            {
                ApiKey = "k",
                From = "Shop <news@example.com>",
                BaseUrl = server.Url,
            },
            From,
            TimeProvider.System
        );
        Assert.IsType<AttemptOutcome.Accepted>(await provider.SendAsync(Message(), TestContext.Current.CancellationToken));
        var mail = JsonNode.Parse(server.Received[0].Body)!["message"]!;
        Assert.Equal($"<{Link}>", mail["headers"]!["List-Unsubscribe"]!.ToString());
        Assert.Equal(
            ("application/pdf", "Rechnung März 안녕.pdf", Convert.ToBase64String(Binary)),
            FileOf(mail["attachments"]!.AsArray().Single()!, "name")
        );
        Assert.Equal(("image/png", "logo", Convert.ToBase64String([137, 80, 78, 71])), FileOf(mail["images"]!.AsArray().Single()!, "name"));
    }

    [Fact]
    public void SendGrid_gets_files_pictures_and_the_link()
    {
        var mail = JsonNode.Parse(SendGridMail.Of(Message(), "a@example.com", "s", From).Serialize())!;
        Assert.Equal($"<{Link}>", mail["personalizations"]![0]!["headers"]!["List-Unsubscribe"]!.ToString());
        Assert.Equal(
            ("application/pdf", "Rechnung März 안녕.pdf", Convert.ToBase64String(Binary)),
            FileOf(mail["attachments"]![0]!, "filename")
        );
        Assert.Equal(
            ("inline", "logo"),
            (mail["attachments"]![1]!["disposition"]!.ToString(), mail["attachments"]![1]!["content_id"]!.ToString())
        );
        Assert.Empty(Faults(mail));
    }

    [Fact]
    public async Task Without_a_link_there_are_no_such_headers()
    {
        await using var server = new ScriptedMailServer();
        var options = new SmtpOptions
        {
            Host = "127.0.0.1",
            Port = server.Port,
            Security = SmtpSecurity.None,
            From = "Shop <news@example.com>",
        };
        using var provider = new SmtpProvider(options, From, TimeProvider.System);
        await provider.SendAsync(Message() with { Unsubscribe = null }, TestContext.Current.CancellationToken);
        Assert.DoesNotContain("List-Unsubscribe", server.Mails.Single(), StringComparison.OrdinalIgnoreCase);
        var mail = JsonNode.Parse(SendGridMail.Of(Message() with { Unsubscribe = null }, "a@example.com", "s", From).Serialize())!;
        Assert.Equal(["Auto-Submitted"], mail["personalizations"]![0]!["headers"]!.AsObject().Select(h => h.Key));
    }

    [Fact]
    public void A_thousand_equal_mails_are_one_request_in_which_each_is_alone()
    {
        var mails = Enumerable
            .Range(0, SendGridMail.MaxRecipients)
            .Select(i => new AddressedMail(Message() with { Unsubscribe = new Uri(Link, $"/u/{i}") }, $"p{i}@example.com", $"Hello {i}"))
            .ToList();
        var mail = JsonNode.Parse(SendGridMail.OfMany(mails, From).Serialize())!;
        Assert.Empty(Faults(mail));
        var personal = mail["personalizations"]!.AsArray();
        Assert.Equal(1000, personal.Count);
        for (var i = 0; i < personal.Count; i++)
        {
            Assert.Equal($"p{i}@example.com", personal[i]!["to"]!.AsArray().Single()!["email"]!.ToString());
            Assert.Equal(
                ($"Hello {i}", mails[i].Message.DeliveryId.ToString()),
                (personal[i]!["subject"]!.ToString(), personal[i]!["custom_args"]!["notify_delivery"]!.ToString())
            );
            Assert.EndsWith($"/u/{i}>", personal[i]!["headers"]!["List-Unsubscribe"]!.ToString(), StringComparison.Ordinal);
        }

        Assert.Equal(2, mail["attachments"]!.AsArray().Count);
        Assert.Equal(2, mail["content"]!.AsArray().Count);
    }

    [Fact]
    public void Mails_that_differ_are_not_one_request()
    {
        var other = Message() with
        {
            Content = WithFiles with { Attachments = [WithFiles.Attachments![0], WithFiles.Attachments[1] with { Content = [1] }] },
        };
        Assert.Throws<ArgumentException>(() =>
            SendGridMail.OfMany([new(Message(), "a@example.com", "s"), new(other, "b@example.com", "s")], From)
        );
        Assert.Throws<ArgumentException>(() => SendGridMail.OfMany([], From));
        Assert.Throws<ArgumentException>(() =>
            SendGridMail.OfMany([.. Enumerable.Repeat(new AddressedMail(Message(), "a@example.com", "s"), 1001)], From)
        );
        Assert.True(
            SendGridMail.HaveOneContent(WithFiles, WithFiles with { Title = "Another subject", Attachments = [.. WithFiles.Attachments] })
        );
        Assert.False(SendGridMail.HaveOneContent(WithFiles, WithFiles with { Body = "x" }));
        Assert.False(SendGridMail.HaveOneContent(WithFiles, WithFiles with { Html = null }));
        Assert.False(SendGridMail.HaveOneContent(WithFiles, WithFiles with { Attachments = null }));
    }

    [Theory]
    [InlineData("report.pdf", "report.pdf")]
    [InlineData("../../etc/passwd", "passwd")]
    [InlineData("C:\\temp\\x.txt", "x.txt")]
    [InlineData("a\r\nb\0.txt", "ab.txt")]
    [InlineData("file\u202egnp.exe", "filegnp.exe")]
    [InlineData("say \"hi\": <b>?.txt", "say _hi__ _b__.txt")]
    [InlineData("  .hidden. ", "hidden")]
    [InlineData("사진 👋.png", "사진 👋.png")]
    [InlineData("..", null)]
    [InlineData("folder/", null)]
    [InlineData("\r\n\t", null)]
    [InlineData("", null)]
    public void A_file_s_name_is_a_name_and_nothing_else(string name, string? clean) => Assert.Equal(clean, AttachmentRules.Clean(name));

    [Fact]
    public void A_long_name_keeps_its_ending_and_no_half_characters()
    {
        Assert.Equal(AttachmentRules.MaxName, AttachmentRules.Clean(new string('a', 500) + ".pdf")!.Length);
        Assert.EndsWith(".pdf", AttachmentRules.Clean(new string('a', 500) + ".pdf"), StringComparison.Ordinal);
        var wave = AttachmentRules.Clean("x" + string.Concat(Enumerable.Repeat("👋", 200)) + ".pdf")!;
        Assert.Equal(wave, new UTF8Encoding(false, true).GetString(new UTF8Encoding(false, true).GetBytes(wave)));
        Assert.Equal(wave, AttachmentRules.Clean(wave));
    }

    private static OutboundMessage Message() => new(Guid.NewGuid(), "a@example.com", WithFiles, Priority.Normal, null, Link);

    private static byte[] Bytes(MimePart part)
    {
        using var buffer = new MemoryStream();
        part.Content!.DecodeTo(buffer);
        return buffer.ToArray();
    }

    private static (string, string, string) FileOf(JsonNode file, string name) =>
        (file["type"]!.ToString(), file[name]!.ToString(), file["content"]!.ToString());

    private static IReadOnlyList<SendGridError> Faults(JsonNode mail)
    {
        using var document = JsonDocument.Parse(mail.ToJsonString());
        return SendGridRules.Check(document.RootElement, TimeProvider.System.GetUtcNow()).Errors;
    }
}
