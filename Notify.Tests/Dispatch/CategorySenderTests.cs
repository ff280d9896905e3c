namespace Notify.Tests.Dispatch;

using System.Text.Json.Nodes;
using MimeKit;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.Email;
using Notify.Dispatch.Providers.Email.SendGrid;
using Notify.Dispatch.Providers.Email.Smtp;
using Notify.Domain.Channels;
using Notify.Domain.Content;

/// <summary>A category's emails name their sender and the address for answers; the sender's address stays.</summary>
/// <remarks>RFC 5322, section 3.6.2 (From, Reply-To); SendGrid v3 Mail Send: <c>from.name</c>, <c>reply_to</c>.</remarks>
public class CategorySenderTests
{
    private static readonly EmailSender From = new("notify@shop.example", "Shop");

    [Theory]
    [InlineData(null, null, "Shop")]
    [InlineData("Accounts", "accounts@shop.example", "Accounts")]
    [InlineData("Größe \"und\" mehr", "accounts@shop.example", "Größe \"und\" mehr")]
    public void Mail_server_gets_the_category_s_sender_name_and_address_for_answers(string? name, string? replyTo, string shown)
    {
        using var written = new MemoryStream();
        SmtpMail
            .Of(Message(name, replyTo), "kim@example.com", "Invoice", From, DateTimeOffset.UnixEpoch)
            .WriteTo(written, TestContext.Current.CancellationToken);
        written.Position = 0;
        var mail = MimeMessage.Load(written, TestContext.Current.CancellationToken);

        var from = Assert.IsType<MailboxAddress>(Assert.Single(mail.From));
        Assert.Equal((shown, "notify@shop.example"), (from.Name, from.Address));
        Assert.Equal(replyTo is null ? [] : [replyTo], mail.ReplyTo.Mailboxes.Select(m => m.Address));
    }

    [Fact]
    public void SendGrid_gets_the_category_s_sender_name_and_address_for_answers()
    {
        var plain = JsonNode.Parse(SendGridMail.Of(Message(null, null), "kim@example.com", "Invoice", From).Serialize())!;
        var named = JsonNode.Parse(
            SendGridMail.Of(Message("Accounts", "accounts@shop.example"), "kim@example.com", "Invoice", From).Serialize()
        )!;

        Assert.Equal(("Shop", null), (plain["from"]!["name"]!.ToString(), plain["reply_to"]?.ToString()));
        Assert.Equal(("Accounts", "notify@shop.example"), (named["from"]!["name"]!.ToString(), named["from"]!["email"]!.ToString()));
        Assert.Equal("accounts@shop.example", named["reply_to"]!["email"]!.ToString());
    }

    [Fact]
    public void Mails_of_two_senders_never_share_a_request() =>
        Assert.NotEqual(SendGridMail.SharedBy(Message("Accounts", null)), SendGridMail.SharedBy(Message("Shop", null)));

    private static OutboundMessage Message(string? name, string? replyTo) =>
        new(
            Guid.CreateVersion7(),
            "kim@example.com",
            new NotificationContent("Invoice", "Your invoice"),
            Priority.Normal,
            null,
            FromName: name,
            ReplyTo: replyTo
        );
}
