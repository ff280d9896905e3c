namespace Notify.Tests.Dispatch;

using System.Net;
using System.Text;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.Apns;
using Notify.Domain.Notifications;

public class ApnsStatusTests
{
    private static readonly DateTimeOffset Since = new(2026, 5, 1, 0, 0, 0, TimeSpan.Zero);

    // Apple: Handling notification responses from APNs; every status and reason of its table.
    public static readonly TheoryData<int, string?, AttemptOutcome> Answers = new()
    {
        { 200, null, new AttemptOutcome.Accepted("id") },
        { 400, "BadCollapseId", Rejected("BadCollapseId") },
        { 400, "BadDeviceToken", new AttemptOutcome.Rejected(Reasons.BadAddress, "BadDeviceToken") },
        { 400, "BadExpirationDate", Rejected("BadExpirationDate") },
        { 400, "BadMessageId", Rejected("BadMessageId") },
        { 400, "BadPriority", Rejected("BadPriority") },
        { 400, "BadTopic", new AttemptOutcome.Halted("BadTopic") },
        { 400, "DeviceTokenNotForTopic", new AttemptOutcome.Rejected(Reasons.BadAddress, "DeviceTokenNotForTopic") },
        { 400, "DuplicateHeaders", Rejected("DuplicateHeaders") },
        { 400, "IdleTimeout", new AttemptOutcome.Retry(Reasons.Retry, "IdleTimeout") },
        { 400, "InvalidPushType", Rejected("InvalidPushType") },
        { 400, "MissingDeviceToken", Rejected("MissingDeviceToken") },
        { 400, "MissingTopic", new AttemptOutcome.Halted("MissingTopic") },
        { 400, "PayloadEmpty", Rejected("PayloadEmpty") },
        { 400, "TopicDisallowed", new AttemptOutcome.Halted("TopicDisallowed") },
        { 403, "BadCertificate", new AttemptOutcome.Halted("BadCertificate") },
        { 403, "BadCertificateEnvironment", new AttemptOutcome.Halted("BadCertificateEnvironment") },
        { 403, "ExpiredProviderToken", new AttemptOutcome.Halted("ExpiredProviderToken") },
        { 403, "Forbidden", new AttemptOutcome.Halted("Forbidden") },
        { 403, "InvalidProviderToken", new AttemptOutcome.Halted("InvalidProviderToken") },
        { 403, "MissingProviderToken", new AttemptOutcome.Halted("MissingProviderToken") },
        { 403, "UnrelatedKeyIdInToken", new AttemptOutcome.Halted("UnrelatedKeyIdInToken") },
        { 404, "BadPath", new AttemptOutcome.Halted("BadPath") },
        { 405, "MethodNotAllowed", new AttemptOutcome.Halted("MethodNotAllowed") },
        { 410, "ExpiredToken", new AttemptOutcome.Rejected(Reasons.Unregistered, "ExpiredToken", AddressVerdict.Dead, Since) },
        { 410, "Unregistered", new AttemptOutcome.Rejected(Reasons.Unregistered, "Unregistered", AddressVerdict.Dead, Since) },
        { 413, "PayloadTooLarge", new AttemptOutcome.Rejected(Reasons.TooLarge, "PayloadTooLarge") },
        {
            429,
            "TooManyProviderTokenUpdates",
            new AttemptOutcome.Retry(Reasons.Retry, "TooManyProviderTokenUpdates", TimeSpan.FromMinutes(1))
        },
        { 429, "TooManyRequests", new AttemptOutcome.Retry(Reasons.Retry, "TooManyRequests", ConcernsAddress: true) },
        { 500, "InternalServerError", new AttemptOutcome.Retry(Reasons.Retry, "InternalServerError") },
        { 503, "ServiceUnavailable", new AttemptOutcome.Retry(Reasons.Retry, "ServiceUnavailable") },
        { 503, "Shutdown", new AttemptOutcome.Retry(Reasons.Retry, "Shutdown") },
        // What Apple does not document.
        { 202, null, new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
        { 404, null, new AttemptOutcome.Halted("404") },
        { 408, null, new AttemptOutcome.Retry(Reasons.Retry, "408") },
        { 400, null, new AttemptOutcome.Retry(Reasons.Retry, "400") },
        { 410, null, new AttemptOutcome.Halted("410") }, // a gateway's drops no token
        { 403, null, new AttemptOutcome.Halted("403") },
        { 418, "Teapot", Rejected("Teapot") },
        { 502, null, new AttemptOutcome.Retry(Reasons.Retry, "502") },
        { 301, null, new AttemptOutcome.Halted("301") },
    };

    [Theory, MemberData(nameof(Answers))]
    public void An_answer_has_a_meaning(int status, string? reason, AttemptOutcome expected) =>
        Assert.Equal(expected, ApnsStatus.Outcome((HttpStatusCode)status, reason, Since, "id", null));

    // Apple: «For a successful request, the body of the response is empty», and its header apns-id names the notification.
    [Theory]
    [InlineData("id", false, true)]
    [InlineData("id", true, true)]
    [InlineData(null, false, true)]
    [InlineData(null, true, false)]
    public void Page_without_an_ID_is_no_yes(string? id, bool hasBody, bool accepted) =>
        Assert.Equal(accepted, ApnsStatus.Outcome(HttpStatusCode.OK, null, null, id, null, hasBody) is AttemptOutcome.Accepted);

    [Theory]
    [InlineData(400, "BadTopic")]
    [InlineData(400, "TopicDisallowed")]
    [InlineData(400, "BadDeviceToken")]
    [InlineData(400, "DeviceTokenNotForTopic")]
    [InlineData(403, "BadCertificateEnvironment")]
    public void A_wrong_topic_or_environment_condemns_no_token(int status, string reason) =>
        Assert.NotEqual(
            AddressVerdict.Dead,
            (ApnsStatus.Outcome((HttpStatusCode)status, reason, Since, null, null) as AttemptOutcome.Rejected)?.Verdict
        );

    [Theory]
    [InlineData(429, "TooManyRequests")]
    [InlineData(429, "TooManyProviderTokenUpdates")]
    [InlineData(500, "InternalServerError")]
    [InlineData(503, "ServiceUnavailable")]
    public void Apple_s_own_word_on_when_to_come_back_counts(int status, string reason) =>
        Assert.Equal(
            TimeSpan.FromSeconds(90),
            Assert
                .IsType<AttemptOutcome.Retry>(ApnsStatus.Outcome((HttpStatusCode)status, reason, null, null, TimeSpan.FromSeconds(90)))
                .After
        );

    [Fact]
    public void A_410_carries_since_when_the_token_is_dead()
    {
        var (reason, timestamp) = Read("""{"reason":"Unregistered","timestamp":1777593600000}""");
        Assert.Equal(("Unregistered", Since), (reason, timestamp));
    }

    [Theory]
    [InlineData("")]
    [InlineData("not json")]
    [InlineData("<html>")]
    [InlineData("[]")]
    [InlineData("\"text\"")]
    [InlineData("null")]
    [InlineData("{}")]
    [InlineData("""{"reason":7}""")]
    [InlineData("""{"reason":null,"timestamp":null}""")]
    [InlineData("""{"reason":{"a":1},"timestamp":[1]}""")]
    [InlineData("""{"timestamp":"1777593600000"}""")]
    [InlineData("""{"timestamp":true}""")]
    [InlineData("""{"reason":"\ud800"}""")]
    [InlineData("{\"reason\":\"\u0000")]
    public void A_malformed_body_says_nothing(string body) => Assert.Equal(default, Read(body));

    [Theory]
    [InlineData("0")]
    [InlineData("-1")]
    [InlineData("1.5")]
    [InlineData("9e99")]
    [InlineData("99999999999999999999")]
    [InlineData("253402300800000")]
    [InlineData("\"1777593600000\"")]
    public void A_senseless_time_stamp_is_none(string timestamp) =>
        Assert.Equal(("Unregistered", null), Read($$"""{"reason":"Unregistered","timestamp":{{timestamp}}}"""));

    [Fact]
    public void Bytes_that_are_no_text_say_nothing() => Assert.Equal(default, ApnsStatus.Read([0xFF, 0xFE, 0x00]));

    private static (string? Reason, DateTimeOffset? Timestamp) Read(string body) => ApnsStatus.Read(Encoding.UTF8.GetBytes(body));

    private static AttemptOutcome.Rejected Rejected(string code) => new(Reasons.Rejected, code);
}
