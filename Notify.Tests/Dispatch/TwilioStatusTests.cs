using System.Net;
using System.Text;
using Notify.Dispatch.Dispatching;
using Notify.Dispatch.Sms.Twilio;
using Notify.Domain.Notifications;

namespace Notify.Tests.Dispatch;

public class TwilioStatusTests
{
    private static readonly DateTimeOffset Attempt = new(2026, 5, 4, 12, 0, 0, TimeSpan.Zero);

    public static readonly TheoryData<int, int?, AttemptOutcome> Answers = new()
    {
        { 201, null, new AttemptOutcome.Accepted("SM1") },
        { 200, null, new AttemptOutcome.Accepted("SM1") },
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
        { 400, null, new AttemptOutcome.Rejected(Reasons.Rejected, "400") },
        { 400, 21212, new AttemptOutcome.Halted("21212") },
        { 400, 21606, new AttemptOutcome.Halted("21606") },
        { 400, 21659, new AttemptOutcome.Halted("21659") },
        { 401, 20003, new AttemptOutcome.Halted("20003") },
        { 403, 20005, new AttemptOutcome.Halted("20005") },
        { 404, 20404, new AttemptOutcome.Halted("20404") },
        { 302, null, new AttemptOutcome.Retry(Reasons.Retry, "302") },
    };

    [Theory, MemberData(nameof(Answers))]
    public void An_answer_has_a_meaning(int status, int? code, AttemptOutcome expected) =>
        Assert.Equal(expected, TwilioStatus.Outcome((HttpStatusCode)status, code, status < 300 ? "SM1" : null, null));

    [Theory]
    [InlineData(429, 20429)]
    [InlineData(503, 20503)]
    public void Twilio_s_own_word_on_when_to_come_back_counts(int status, int code) =>
        Assert.Equal(TimeSpan.FromSeconds(7),
            Assert.IsType<AttemptOutcome.Retry>(TwilioStatus.Outcome((HttpStatusCode)status, code, null, TimeSpan.FromSeconds(7))).After);

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

    [Theory]
    [InlineData(-121, false)]
    [InlineData(-120, true)]
    [InlineData(0, true)]
    [InlineData(130, true)]
    [InlineData(131, false)]
    public void A_message_is_found_if_it_was_made_while_the_attempt_was_under_way(int seconds, bool found) =>
        Assert.Equal(found ? ["SM1"] : [], Find(Page(("SM1", "Hello", Attempt.AddSeconds(seconds)))));

    [Fact]
    public void Another_text_is_another_message() => Assert.Equal([], Find(Page(("SM1", "Hello!", Attempt), ("SM2", "hello", Attempt))));

    [Fact]
    public void All_that_it_may_be_are_found_the_oldest_first() => Assert.Equal(
        ["SM4", "SM2"], Find(Page(("SM1", "Other", Attempt), ("SM2", "Hello", Attempt.AddSeconds(2)), ("SM3", "Hello", Attempt.AddHours(-1)), ("SM4", "Hello", Attempt))));

    [Fact]
    public void An_empty_list_is_a_clear_no() => Assert.Equal([], Find("""{"messages":[]}"""));

    [Theory]
    [InlineData("")]
    [InlineData("<html>")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("{}")]
    [InlineData("""{"messages":null}""")]
    [InlineData("""{"messages":{}}""")]
    [InlineData("""{"messages":[1]}""")]
    [InlineData("""{"messages":[{"body":1}]}""")]
    [InlineData("""{"messages":[{"body":"\ud800"}]}""")]
    [InlineData("""{"code":20003,"status":401}""")]
    public void A_malformed_list_is_no_answer(string body) => Assert.Null(Find(body));

    [Fact]
    public void A_message_without_a_time_or_an_id_does_not_count() => Assert.Equal(
        [], Find("""{"messages":[{"sid":"SM1","body":"Hello","date_created":null},{"sid":"SM2","body":"Hello"},{"body":"Hello","date_created":"Mon, 04 May 2026 12:00:01 +0000"}]}"""));

    private static (int? Code, string? Sid) Read(string body) => TwilioStatus.Read(Encoding.UTF8.GetBytes(body));

    private static IReadOnlyList<string>? Find(string body) => TwilioStatus.Find(Encoding.UTF8.GetBytes(body), "Hello", Attempt, Attempt.AddSeconds(10));

    private static string Page(params (string Sid, string Body, DateTimeOffset Created)[] messages) =>
        $$"""{"messages":[{{string.Join(',', messages.Select(m => $$"""{"sid":"{{m.Sid}}","body":"{{m.Body}}","date_created":"{{m.Created:ddd, dd MMM yyyy HH:mm:ss}} +0000"}"""))}}]}""";
}
