namespace Notify.Tests.Dispatch;

using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.Configuration;
using Notify.Dispatch;
using Notify.Dispatch.Providers.Email.Mailchimp;
using Notify.Dispatch.Providers.Email.SendGrid;
using Notify.Dispatch.Providers.Sms;
using Notify.Dispatch.Providers.Sms.Twilio;
using Notify.Dispatch.Providers.Sms.Vonage;
using Notify.Dispatch.Receipts;
using Notify.Domain.Notifications;

/// <summary>Reading of receipts, each in the form of its provider.</summary>
public sealed class ReceiptReadingTests
{
    private const string Form = "application/x-www-form-urlencoded",
        Json = "application/json";
    private static readonly Guid Delivery = Guid.Parse("0b1f7c3e-52ab-8d0e-9c41-6a7d2f90e513");

    [Theory]
    [InlineData("queued", null, ReportKind.Accepted, null, null)]
    [InlineData("sent", null, ReportKind.Accepted, null, null)]
    [InlineData("delivered", null, ReportKind.Delivered, null, null)]
    [InlineData("read", null, ReportKind.Opened, null, null)]
    [InlineData("undelivered", "30003", ReportKind.Failed, Reasons.Undelivered, null)]
    [InlineData("undelivered", "30005", ReportKind.Failed, Reasons.BadAddress, null)]
    [InlineData("undelivered", "30006", ReportKind.Failed, Reasons.BadAddress, null)]
    [InlineData("failed", "21408", ReportKind.Failed, Reasons.CountryNotEnabled, null)]
    [InlineData("undelivered", "30007", ReportKind.Failed, Reasons.Rejected, null)]
    [InlineData("failed", "21610", ReportKind.Failed, Reasons.OptedOutAtProvider, Reasons.OptedOutAtProvider)]
    [InlineData("failed", null, ReportKind.Failed, Reasons.Undelivered, null)]
    [InlineData("canceled", null, ReportKind.Failed, Reasons.Undelivered, null)]
    [InlineData("partially_read", null, ReportKind.Ignored, null, null)]
    public void Twilio_says(string status, string? code, ReportKind what, string? reason, string? suppress)
    {
        var r = Assert.Single(
            Read(
                new TwilioReceipts(),
                $"MessageSid=SM1&MessageStatus={status}&To=%2B821012345678{(code is null ? "" : $"&ErrorCode={code}")}",
                Form,
                $"?d={Delivery:N}"
            ).Receipts
        );
        Assert.Equal(
            (what, reason, suppress, "SM1", Delivery, "+821012345678"),
            (r.What, r.Reason, r.Suppress, r.MessageId, r.DeliveryId, r.Address)
        );
        Assert.Equal(code is null ? $"SM1:{status}" : $"SM1:{status}:{code}", r.EventId);
    }

    [Theory]
    [InlineData("delivered", "0", ReportKind.Delivered, null, null)]
    [InlineData("accepted", "0", ReportKind.Accepted, null, null)]
    [InlineData("buffered", "0", ReportKind.Accepted, null, null)]
    [InlineData("failed", "2", ReportKind.Failed, Reasons.Undelivered, null)]
    [InlineData("failed", "3", ReportKind.Failed, Reasons.BadAddress, Reasons.BadAddress)]
    [InlineData("rejected", "4", ReportKind.Failed, Reasons.OptedOutAtProvider, Reasons.OptedOutAtProvider)]
    [InlineData("rejected", "6", ReportKind.Failed, Reasons.Rejected, null)]
    [InlineData("rejected", "9", ReportKind.Failed, Reasons.OptedOutAtProvider, Reasons.OptedOutAtProvider)]
    [InlineData("expired", "1", ReportKind.Failed, Reasons.Undelivered, null)]
    [InlineData("unknown", "1", ReportKind.Ignored, null, null)]
    public void Vonage_says(string status, string code, ReportKind what, string? reason, string? suppress)
    {
        var fields =
            $"msisdn=821012345678&to=Notify&messageId=0A1&status={status}&err-code={code}&client-ref={Delivery:N}&timestamp=1760000000&sig=x";
        var json = "{" + string.Join(",", Signatures.Form(Encoding.UTF8.GetBytes(fields)).Select(f => $"\"{f.Key}\":\"{f.Value}\"")) + "}";
        foreach (
            var read in new[]
            {
                Read(new VonageReceipts(), fields, Form),
                Read(new VonageReceipts(), json, Json),
                Read(new VonageReceipts(), "", null, "?" + fields, HttpMethod.Get),
            }
        )
        {
            var r = Assert.Single(read.Receipts);
            Assert.Equal(
                (what, reason, suppress, "0A1", Delivery, "+821012345678", $"0A1:{status}:{code}"),
                (r.What, r.Reason, r.Suppress, r.MessageId, r.DeliveryId, r.Address, r.EventId)
            );
            Assert.NotEmpty(r.Raw);
        }
    }

    [Fact]
    public void Vonage_s_Messages_API_says_it_in_its_own_names()
    {
        var r = Assert.Single(
            Read(
                new VonageReceipts(),
                $$$"""{"message_uuid":"u-1","to":"821012345678","from":"Notify","status":"undeliverable","client_ref":"{{{Delivery}}}","error":{"type":"https://x","title":"1300"},"usage":{"price":"0.1"}}""",
                Json
            ).Receipts
        );
        Assert.Equal((ReportKind.Failed, Delivery, "+821012345678", "u-1"), (r.What, r.DeliveryId, r.Address, r.MessageId));
    }

    [Theory]
    [InlineData("""{"event":"processed"}""", ReportKind.Accepted, null, null)]
    [InlineData("""{"event":"delivered"}""", ReportKind.Delivered, null, null)]
    [InlineData("""{"event":"deferred"}""", ReportKind.Ignored, null, null)]
    [InlineData("""{"event":"bounce","type":"bounce","status":"5.1.1"}""", ReportKind.Failed, Reasons.HardBounced, Reasons.HardBounced)]
    [InlineData("""{"event":"bounce","type":"blocked","status":"5.7.1"}""", ReportKind.Failed, Reasons.Undelivered, null)]
    [InlineData("""{"event":"dropped","reason":"Bounced Address"}""", ReportKind.Failed, Reasons.HardBounced, Reasons.HardBounced)]
    [InlineData("""{"event":"dropped","reason":"Spam Reporting Address"}""", ReportKind.Failed, Reasons.Complained, Reasons.Complained)]
    [InlineData(
        """{"event":"dropped","reason":"Unsubscribed Address"}""",
        ReportKind.Failed,
        Reasons.OptedOutAtProvider,
        Reasons.OptedOutAtProvider
    )]
    [InlineData("""{"event":"open"}""", ReportKind.Opened, null, null)]
    [InlineData("""{"event":"open","sg_machine_open":true}""", ReportKind.Delivered, null, null)]
    [InlineData("""{"event":"spamreport"}""", ReportKind.Complained, null, Reasons.Complained)]
    [InlineData("""{"event":"unsubscribe"}""", ReportKind.Unsubscribed, null, Reasons.OptedOutAtProvider)]
    [InlineData("""{"event":"group_unsubscribe"}""", ReportKind.Unsubscribed, null, null)]
    [InlineData("""{"event":"click","url":"https://x"}""", ReportKind.Ignored, null, null)]
    public void SendGrid_says(string item, ReportKind what, string? reason, string? suppress)
    {
        var whole =
            item[..^1]
            + $$""","sg_event_id":"e-1","sg_message_id":"abc.filter0001.1-2-3.0","notify_delivery":"{{Delivery}}","timestamp":1760000000,"email":"kim@mail.example"}""";
        var r = Assert.Single(Read(new SendGridReceipts(), $"[ {whole} ]", Json).Receipts);
        Assert.Equal(
            (what, reason, suppress, "abc", Delivery, "kim@mail.example", "e-1"),
            (r.What, r.Reason, r.Suppress, r.MessageId, r.DeliveryId, r.Address, r.EventId)
        );
        Assert.Equal(DateTimeOffset.FromUnixTimeSeconds(1_760_000_000), r.At);
        Assert.Equal(whole, Encoding.UTF8.GetString(r.Raw));
    }

    [Theory]
    [InlineData("send", "", ReportKind.Accepted, null, null)]
    [InlineData("delivered", "", ReportKind.Delivered, null, null)]
    [InlineData("deferral", "", ReportKind.Ignored, null, null)]
    [InlineData("hard_bounce", ",\"bounce_description\":\"bad_mailbox\"", ReportKind.Failed, Reasons.HardBounced, Reasons.HardBounced)]
    [InlineData("soft_bounce", ",\"bounce_description\":\"mailbox_full\"", ReportKind.Failed, Reasons.Undelivered, null)]
    [InlineData("reject", ",\"reject\":{\"reason\":\"spam\"}", ReportKind.Failed, Reasons.Complained, Reasons.Complained)]
    [InlineData("reject", "", ReportKind.Failed, Reasons.Rejected, null)]
    [InlineData("open", "", ReportKind.Opened, null, null)]
    [InlineData("spam", "", ReportKind.Complained, null, Reasons.Complained)]
    [InlineData("unsub", "", ReportKind.Unsubscribed, null, Reasons.OptedOutAtProvider)]
    [InlineData("click", "", ReportKind.Ignored, null, null)]
    public void Mailchimp_says(string name, string more, ReportKind what, string? reason, string? suppress)
    {
        var item =
            $$$"""{"event":"{{{name}}}","_id":"m1","ts":1760000000,"msg":{"_id":"m1","email":"kim@mail.example","metadata":{"notify_delivery":"{{{Delivery}}}"}{{{more}}}}}""";
        var r = Assert.Single(Read(new MailchimpReceipts(), "mandrill_events=" + Uri.EscapeDataString($"[{item}]"), Form).Receipts);
        Assert.Equal(
            (what, reason, suppress, "m1", Delivery, "kim@mail.example", $"m1:{name}:1760000000"),
            (r.What, r.Reason, r.Suppress, r.MessageId, r.DeliveryId, r.Address, r.EventId)
        );
        Assert.Equal(item, Encoding.UTF8.GetString(r.Raw));
    }

    [Theory]
    [InlineData("""{"type":"blacklist","action":"add","reject":{"email":"kim@mail.example"},"ts":1}""")]
    [InlineData("""{"event":"inbound","ts":1,"msg":{"text":"hi"}}""")]
    public void Event_without_a_message_is_kept_and_ignored(string item) =>
        Assert.Equal(
            ReportKind.Ignored,
            Assert.Single(Read(new MailchimpReceipts(), "mandrill_events=" + Uri.EscapeDataString($"[{item}]"), Form).Receipts).What
        );

    [Fact]
    public void An_opening_repeated_a_second_later_is_another_receipt_of_Mailchimp() =>
        Assert.NotEqual(
            Read(
                new MailchimpReceipts(),
                "mandrill_events=" + Uri.EscapeDataString("""[{"event":"open","_id":"m1","ts":1,"msg":{"_id":"m1"}}]"""),
                Form
            )
                .Receipts[0]
                .EventId,
            Read(
                new MailchimpReceipts(),
                "mandrill_events=" + Uri.EscapeDataString("""[{"event":"open","_id":"m1","ts":2,"msg":{"_id":"m1"}}]"""),
                Form
            )
                .Receipts[0]
                .EventId
        );

    public static TheoryData<string, string, string?> Malformed =>
        new()
        {
            { "twilio", "{}", Json },
            { "twilio", "MessageStatus=sent", Form },
            { "twilio", "MessageSid=SM1", Form },
            { "twilio", "", Form },
            { "vonage", "nothing", Json },
            { "vonage", "[1]", Json },
            { "vonage", "status=delivered", Form },
            { "vonage", "messageId=1", Form },
            { "vonage", "", null },
            { "sendgrid", "", Json },
            { "sendgrid", "{}", Json },
            { "sendgrid", "[1]", Json },
            { "sendgrid", "[{}]", Json },
            { "sendgrid", """[{"event":"open"}]""", Json },
            { "sendgrid", "[{\"event\":\"\\ud800\"}]", Json },
            { "mailchimp", "", Form },
            { "mailchimp", "mandrill_events=", Form },
            { "mailchimp", "mandrill_events=%7B%7D", Form },
            { "mailchimp", "mandrill_events=%5B1%5D", Form },
        };

    [Theory, MemberData(nameof(Malformed))]
    public void Unreadable_receipt_is_reported_in_a_short_text(string provider, string body, string? type)
    {
        var read = Read(Adapters.Receipts[provider], body, type);
        Assert.Empty(read.Receipts);
        Assert.NotNull(read.Fault);
    }

    [Fact]
    public void No_post_however_mangled_makes_a_reader_fail()
    {
        string[] bodies =
        [
            "MessageSid=SM1&MessageStatus=delivered&To=%2B821012345678&ErrorCode=30003",
            "msisdn=821012345678&messageId=0A1&status=failed&err-code=3&client-ref=x",
            $$"""[{"event":"bounce","sg_event_id":"e","sg_message_id":"a.b","timestamp":1760000000,"notify_delivery":"{{Delivery}}"}]""",
            "mandrill_events="
                + Uri.EscapeDataString(
                    """[{"event":"reject","_id":"m","ts":1,"msg":{"_id":"m","reject":{"reason":"spam"},"metadata":{"notify_delivery":"x"}}}]"""
                ),
        ];
        var random = new Random(20261201);
        for (var i = 0; i < 4_000; i++)
        {
            var bytes = Encoding.UTF8.GetBytes(bodies[i % bodies.Length]);
            for (var edits = random.Next(1, 5); edits > 0; edits--)
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            foreach (var source in Adapters.Receipts.Values)
            {
                foreach (var r in Read(source, bytes, i % 2 == 0 ? Form : Json).Receipts)
                    Assert.True(
                        r.EventId.All(c => c is > ' ' and <= '~')
                            && r.EventId.Length <= 200
                            && (r.Code?.Length ?? 0) <= 60
                            && r.MessageId?.Any(c => c is <= ' ' or > '~') != true,
                        r.EventId
                    );
            }
        }
    }

    [Theory]
    [InlineData("STOP", Reasons.OptedOutByReply, null)]
    [InlineData(" stop. ", Reasons.OptedOutByReply, null)]
    [InlineData("Stop All", Reasons.OptedOutByReply, null)]
    [InlineData("Arrêt", Reasons.OptedOutByReply, null)]
    [InlineData("수신거부", Reasons.OptedOutByReply, null)]
    [InlineData("unsubscribe", Reasons.OptedOutByReply, null)]
    [InlineData("START", null, Reasons.OptedOutByReply)]
    [InlineData("unstop!", null, Reasons.OptedOutByReply)]
    [InlineData("please don't stop", null, null)]
    [InlineData("stopped", null, null)]
    [InlineData("the end", null, null)]
    [InlineData("YES", null, null)] // at Twilio alone it means START
    [InlineData("s t o p", null, null)]
    [InlineData("", null, null)]
    [InlineData(null, null, null)]
    public void A_reply_that_is_nothing_but_the_word_counts(string? text, string? suppress, string? lift) =>
        Assert.Equal((suppress, lift), StopWords.Read(text));

    /// <summary>Twilio, Support for opt-out keywords: START, YES and UNSTOP opt a number in again.</summary>
    [Theory]
    [InlineData("YES", true)]
    [InlineData("yes.", true)]
    [InlineData("UNSTOP", true)]
    [InlineData("yes please call", false)]
    [InlineData("yesterday", false)]
    public void At_Twilio_a_yes_opts_in_again(string text, bool lifts)
    {
        var post = new ReceiptPost(
            HttpMethod.Post,
            [],
            new QueryCollection(),
            "",
            new HeaderDictionary(),
            "application/x-www-form-urlencoded",
            System.Text.Encoding.UTF8.GetBytes($"MessageSid=SM1&From=%2B12025550147&Body={Uri.EscapeDataString(text)}")
        );
        Assert.Equal(lifts ? Reasons.OptedOutByReply : null, Assert.Single(new TwilioReceipts().Read(post).Receipts).Lift);
    }

    [Theory]
    [InlineData("https://own.example/", "https://receipts.example", "https://notify.example", "https://own.example")]
    [InlineData(null, "https://receipts.example/", "https://notify.example", "https://receipts.example")]
    [InlineData(null, null, "https://notify.example", "https://notify.example")]
    [InlineData(null, null, null, "http://caller.example")]
    public void A_receipt_is_signed_over_the_configured_address(string? own, string? receipts, string? url, string expected)
    {
        var configuration = new ConfigurationBuilder()
            .AddInMemoryCollection(
                new Dictionary<string, string?>
                {
                    ["Providers:Twilio:ReceiptsUrl"] = own,
                    ["Notify:ReceiptsUrl"] = receipts,
                    ["Notify:PublicUrl"] = url,
                }
            )
            .Build();
        Assert.Equal(
            $"{expected}/receipts/twilio?d=1",
            ReceiptsUrl.Signed(configuration, configuration.GetSection("Providers:Twilio"), "http://caller.example", "/receipts/twilio?d=1")
        );
    }

    [Fact]
    public void A_person_s_reply_is_read_from_either_carrier()
    {
        var twilio = Assert.Single(
            Read(
                new TwilioReceipts(),
                "MessageSid=SM9&SmsStatus=received&From=%2B821012345678&To=%2B15005550006&Body=STOP&OptOutType=STOP",
                Form
            ).Receipts
        );
        Assert.Equal((ReportKind.Inbound, Reasons.OptedOutByReply, "+821012345678"), (twilio.What, twilio.Suppress, twilio.Address));
        var vonage = Assert.Single(
            Read(new VonageReceipts(), "msisdn=821012345678&to=15005550006&messageId=0B2&text=Stop&type=text&keyword=STOP", Form).Receipts
        );
        Assert.Equal((ReportKind.Inbound, Reasons.OptedOutByReply, "+821012345678"), (vonage.What, vonage.Suppress, vonage.Address));
        var own = Assert.Single(
            Read(new TwilioReceipts(), "MessageSid=SM9&SmsStatus=received&From=%2B1&Body=nein+danke&OptOutType=STOP", Form).Receipts
        );
        Assert.Equal(Reasons.OptedOutByReply, own.Suppress);
    }

    [Fact]
    public void A_service_on_the_Internet_is_not_told_an_address_of_this_machine()
    {
        var (here, there) = (new Uri("http://127.0.0.1:5081"), new Uri("https://notify.example.com"));
        Assert.Null(ReceiptsUrl.For(here, new Uri("https://api.twilio.com")));
        Assert.Equal(here, ReceiptsUrl.For(here, new Uri("http://127.0.0.1:5090")));
        Assert.Equal(there, ReceiptsUrl.For(there, new Uri("https://api.twilio.com")));
        Assert.Null(ReceiptsUrl.For(null, there));
    }

    private static ReadReceipts Read(IReceiptSource source, string body, string? type, string query = "", HttpMethod? method = null) =>
        Read(source, Encoding.UTF8.GetBytes(body), type, query, method);

    private static ReadReceipts Read(IReceiptSource source, byte[] body, string? type, string query = "", HttpMethod? method = null) =>
        source.Read(
            new ReceiptPost(
                method ?? HttpMethod.Post,
                [],
                new QueryCollection(QueryHelpers.ParseQuery(query)),
                query,
                new HeaderDictionary(),
                type,
                body
            )
        );
}
