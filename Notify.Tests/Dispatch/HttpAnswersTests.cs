namespace Notify.Tests.Dispatch;

using System.IO.Compression;
using System.Net;
using System.Text;
using Microsoft.AspNetCore.Http;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.Apns;
using Notify.Dispatch.Providers.Email.Mailchimp;
using Notify.Dispatch.Providers.Email.SendGrid;
using Notify.Dispatch.Providers.Fcm;
using Notify.Dispatch.Providers.Sms.Twilio;
using Notify.Dispatch.Providers.Sms.Vonage;
using Notify.Domain.Notifications;
using static Notify.Tests.Dispatch.ScriptedServer;

/// <summary>Answers that no provider documents, at every adapter alike. Authority: RFC 9110, section 15.</summary>
public sealed class HttpAnswersTests
{
    public static readonly TheoryData<string> Messages = ["twilio", "vonage", "sendgrid", "mailchimp"];

    public static readonly TheoryData<string> Pushes = ["apns", "fcm"];

    // 15.2: the exchange goes on in another protocol. 15.4.2, 15.4.3: after 301 and 302 user agents ask by GET for what a POST has made.
    [Theory, MemberData(nameof(Messages))]
    public void Message_that_may_have_been_taken_is_unknown(string provider)
    {
        foreach (var status in new[] { 101, 300, 301, 302, 303, 304, 305, 200, 201, 202, 204, 206 })
            Assert.Equal(new AttemptOutcome.Unknown(Reasons.UnreadableAnswer), Of(provider, status));
    }

    // 15.4.8, 15.4.9: the same request, elsewhere. 15.5: the client, or the account. RFC 6585, 6: a network's login page.
    [Theory, MemberData(nameof(Messages)), MemberData(nameof(Pushes))]
    public void Fault_of_address_key_or_account_halts(string provider)
    {
        foreach (var status in new[] { 307, 308, 401, 402, 403, 404, 405, 407, 410, 415, 426, 511 })
            Assert.Equal(new AttemptOutcome.Halted($"{status}"), Of(provider, status));
    }

    [Theory, MemberData(nameof(Messages)), MemberData(nameof(Pushes))]
    public void Refusal_without_the_providers_own_document_fails_nothing_permanently(string provider)
    {
        foreach (var status in new[] { 400, 406, 408, 409, 411, 417, 421, 422, 425, 429, 431, 451, 499 })
            Assert.Equal(new AttemptOutcome.Retry(Reasons.Retry, $"{status}"), WithoutTime(Of(provider, status)));
    }

    [Theory, MemberData(nameof(Pushes))]
    public void Push_redirected_elsewhere_halts(string provider)
    {
        foreach (var status in new[] { 300, 301, 302, 303 })
            Assert.Equal(new AttemptOutcome.Halted($"{status}"), Of(provider, status));
    }

    // RFC 8259, 8.1: «Implementations that parse JSON texts MAY ignore the presence of a byte order mark».
    [Fact]
    public void Byte_order_mark_before_an_answer_is_passed_over()
    {
        Assert.Equal((null, "SM1"), TwilioStatus.Read(Marked("""{"sid":"SM1"}""")));
        Assert.Equal("a", Assert.Single(VonageStatus.Read(Marked("""{"messages":[{"status":"0","message-id":"a"}]}"""))!).MessageId);
        Assert.Equal(
            new AttemptOutcome.Accepted("a"),
            MailchimpStatus.Outcome(HttpStatusCode.OK, Marked("""[{"status":"sent","_id":"a"}]"""), null)
        );
        Assert.Equal("a", FcmStatus.ReadName(Marked("""{"name":"a"}""")));
        Assert.Equal("X", FcmStatus.ReadError(Marked("""{"error":{"status":"X"}}""")).Status);
        Assert.Equal("Unregistered", ApnsStatus.Read(Marked("""{"reason":"Unregistered"}""")).Reason);
        Assert.Equal("from", Assert.Single(SendGridStatus.Read(Marked("""{"errors":[{"field":"from","message":"m"}]}"""))));
        Assert.True(SendGridStatus.IsDocument(Marked("""{"errors":[{"message":"m"}]}""")));
    }

    // RFC 9110, 8.4: gateways compress what nobody asked them to.
    [Theory]
    [InlineData("gzip")]
    [InlineData("deflate")]
    [InlineData("br")]
    [InlineData("gzip, br")]
    public async Task Compressed_answer_is_read(string codings)
    {
        var (status, body) = await AnswerAsync(codings, Coded("""{"sid":"SM1"}""", codings));
        Assert.Equal((201, """{"sid":"SM1"}"""), (status, body));
    }

    [Theory]
    [InlineData("gzip")]
    [InlineData("br")]
    [InlineData("unheard-of")]
    public async Task Answer_that_is_not_coded_as_it_says_leaves_the_status(string coding)
    {
        var (status, body) = await AnswerAsync(coding, Encoding.UTF8.GetBytes("no such coding at all"));
        Assert.Equal(201, status);
        Assert.DoesNotContain("SM1", body, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Compressed_answer_is_read_up_to_the_bound()
    {
        var (_, body) = await AnswerAsync("gzip", Coded(new string('x', 40 * ProviderCall.MaxAnswer), "gzip"));
        Assert.Equal(ProviderCall.MaxAnswer, body.Length);
    }

    private static AttemptOutcome Of(string provider, int status)
    {
        var (http, page) = ((HttpStatusCode)status, "<html>"u8.ToArray());
        return provider switch
        {
            "twilio" => TwilioStatus.Outcome(http, null, null, null),
            "vonage" => VonageStatus.Outcome(http, null, null),
            "sendgrid" => SendGridStatus.Outcome(http, [], null, null, hasDocument: false),
            "mailchimp" => MailchimpStatus.Outcome(http, page, null),
            "apns" => ApnsStatus.Outcome(http, null, null, null, null, hasBody: true),
            _ => FcmStatus.Outcome(http, default, null, default, null),
        };
    }

    private static AttemptOutcome WithoutTime(AttemptOutcome outcome) =>
        outcome is AttemptOutcome.Retry r ? r with { After = null } : outcome;

    private static byte[] Marked(string json) => [0xEF, 0xBB, 0xBF, .. Encoding.UTF8.GetBytes(json)];

    private static byte[] Coded(string text, string codings)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        foreach (var coding in codings.Split(", "))
        {
            using var coded = new MemoryStream();
            using (
                Stream coder = coding switch
                {
                    "gzip" => new GZipStream(coded, CompressionMode.Compress),
                    "br" => new BrotliStream(coded, CompressionMode.Compress),
                    _ => new ZLibStream(coded, CompressionMode.Compress),
                }
            )
                coder.Write(bytes);
            bytes = coded.ToArray();
        }

        return bytes;
    }

    private static async Task<(int Status, string Body)> AnswerAsync(string codings, byte[] body)
    {
        await using var server = await Http1Async(
            async (_, context) =>
            {
                context.Response.StatusCode = 201;
                context.Response.Headers.ContentEncoding = codings;
                await context.Response.Body.WriteAsync(body);
            }
        );
        using var client = ProviderCall.CreateClient(server.Url, TimeSpan.FromSeconds(20));
        using var request = new HttpRequestMessage(HttpMethod.Get, "/");
        var (response, _) = await ProviderCall.SendAsync(client, request, TestContext.Current.CancellationToken);
        using (response)
            return ((int)response!.StatusCode, await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken));
    }
}
