namespace Notify.Tests.Dispatch;

using System.Net;
using System.Text;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.Sms.Twilio;
using Notify.Domain.Notifications;

public class TwilioStatusTests
{
    // Twilio: OpenAPI, CreateMessage (201 alone, with a sid); error dictionary, twilio.com/docs/api/errors/{code}.
    public static readonly TheoryData<int, int?, AttemptOutcome> Answers = new()
    {
        { 201, null, new AttemptOutcome.Accepted("SM1") },
        { 200, null, new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
        { 202, null, new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
        { 204, null, new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
        { 303, null, new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
        { 408, null, new AttemptOutcome.Retry(Reasons.Retry, "408") },
        { 429, 20429, new AttemptOutcome.Retry(Reasons.Retry, "20429") },
        { 429, null, new AttemptOutcome.Retry(Reasons.Retry, "429") },
        { 500, 20500, new AttemptOutcome.Retry(Reasons.Retry, "20500") },
        { 503, 20503, new AttemptOutcome.Retry(Reasons.Retry, "20503") },
        { 500, null, new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 503, null, new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 502, null, new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 504, null, new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 504, 20504, new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 520, null, new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 527, null, new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 400, 21610, new AttemptOutcome.Rejected(Reasons.OptedOutAtProvider, "21610", AddressVerdict.Suppress) },
        { 400, 21211, new AttemptOutcome.Rejected(Reasons.BadAddress, "21211") },
        { 400, 21614, new AttemptOutcome.Rejected(Reasons.BadAddress, "21614") },
        { 400, 21612, new AttemptOutcome.Rejected(Reasons.Rejected, "21612") },
        { 400, 21617, new AttemptOutcome.Rejected(Reasons.Rejected, "21617") },
        { 400, 30450, new AttemptOutcome.Rejected(Reasons.Rejected, "30450") },
        { 400, null, new AttemptOutcome.Retry(Reasons.Retry, "400") }, // not Twilio's own
        { 503, 503, new AttemptOutcome.Unknown(Reasons.GatewayAnswered) }, // a gateway's JSON: the dictionary begins with 10001
        { 400, 21265, new AttemptOutcome.Rejected(Reasons.BadAddress, "21265") }, // a short code
        { 400, 21266, new AttemptOutcome.Rejected(Reasons.BadAddress, "21266") }, // the sender's own number
        { 400, 21267, new AttemptOutcome.Halted("21267") },
        { 400, 21401, new AttemptOutcome.Halted("21401") },
        { 400, 21601, new AttemptOutcome.Halted("21601") },
        { 400, 21607, new AttemptOutcome.Halted("21607") },
        { 400, 21608, new AttemptOutcome.Halted("21608", IsAttempt: true) }, // a trial account's number that is not verified
        { 400, 10001, new AttemptOutcome.Halted("10001") },
        { 400, 20005, new AttemptOutcome.Halted("20005") },
        { 400, 21212, new AttemptOutcome.Halted("21212") },
        { 400, 21606, new AttemptOutcome.Halted("21606") },
        { 400, 21659, new AttemptOutcome.Halted("21659") },
        { 400, 21609, new AttemptOutcome.Halted("21609") }, // the StatusCallback is no valid URL
        { 400, 21661, new AttemptOutcome.Halted("21661") },
        { 400, 21701, new AttemptOutcome.Halted("21701") },
        { 400, 21703, new AttemptOutcome.Halted("21703") }, // the messaging service has no number that can send
        { 400, 21704, new AttemptOutcome.Halted("21704") },
        { 400, 21705, new AttemptOutcome.Halted("21705") }, // no such messaging service
        { 404, 21705, new AttemptOutcome.Halted("21705") },
        { 400, 21611, new AttemptOutcome.Retry(Reasons.Retry, "21611") }, // the sender's queue is full
        { 400, 21408, new AttemptOutcome.Rejected(Reasons.CountryNotEnabled, "21408") },
        { 403, 21408, new AttemptOutcome.Rejected(Reasons.CountryNotEnabled, "21408") },
        { 400, 21635, new AttemptOutcome.Rejected(Reasons.BadAddress, "21635") },
        { 405, 20004, new AttemptOutcome.Halted("20004") },
        { 401, 20003, new AttemptOutcome.Halted("20003") },
        { 403, 20005, new AttemptOutcome.Halted("20005") },
        { 404, 20404, new AttemptOutcome.Halted("20404") },
    };

    [Theory, MemberData(nameof(Answers))]
    public void An_answer_has_a_meaning(int status, int? code, AttemptOutcome expected) =>
        Assert.Equal(expected, TwilioStatus.Outcome((HttpStatusCode)status, code, status < 300 ? "SM1" : null, null));

    [Theory]
    [InlineData(429, 20429)]
    [InlineData(503, 20503)]
    public void Twilio_s_own_word_on_when_to_come_back_counts(int status, int code) =>
        Assert.Equal(
            TimeSpan.FromSeconds(7),
            Assert.IsType<AttemptOutcome.Retry>(TwilioStatus.Outcome((HttpStatusCode)status, code, null, TimeSpan.FromSeconds(7))).After
        );

    [Fact]
    public void An_error_is_read() =>
        Assert.Equal((21211, null), Read("""{"code":21211,"message":"The 'To' number +1500 is not a valid phone number.","status":400}"""));

    [Fact]
    public void A_message_is_read() => Assert.Equal((null, "SM1"), Read("""{"sid":"SM1","code":null,"status":"queued"}"""));

    [Theory]
    [InlineData("")]
    [InlineData("not json")]
    [InlineData("<html>502</html>")]
    [InlineData("[]")]
    [InlineData("1")]
    [InlineData("{}")]
    [InlineData("""{"code":"21211","sid":5}""")]
    [InlineData("""{"code":1.5}""")]
    [InlineData("""{"code":99999999999}""")]
    [InlineData("""{"sid":"\ud800"}""")]
    public void A_malformed_body_says_nothing(string body) => Assert.Equal(default, Read(body));

    [Fact]
    public void A_created_message_without_an_ID_is_unknown() =>
        Assert.Equal(new AttemptOutcome.Unknown(Reasons.UnreadableAnswer), TwilioStatus.Outcome(HttpStatusCode.Created, null, null, null));

    private static (int? Code, string? Sid) Read(string body) => TwilioStatus.Read(Encoding.UTF8.GetBytes(body));
}
