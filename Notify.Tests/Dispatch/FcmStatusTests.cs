namespace Notify.Tests.Dispatch;

using System.Net;
using System.Text;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.Fcm;
using Notify.Domain.Notifications;

public class FcmStatusTests
{
    private static readonly DateTimeOffset Called = new(2026, 5, 1, 0, 0, 0, TimeSpan.Zero);

    // Firebase: FCM error codes; every code of its table with the status that it comes with.
    public static readonly TheoryData<int, string?, string?, bool, AttemptOutcome> Answers = new()
    {
        { 200, null, null, false, new AttemptOutcome.Accepted("name") },
        {
            404,
            "NOT_FOUND",
            "UNREGISTERED",
            false,
            new AttemptOutcome.Rejected(Reasons.Unregistered, "UNREGISTERED", AddressVerdict.Dead, Called)
        },
        { 400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", false, new AttemptOutcome.Rejected(Reasons.Rejected, "INVALID_ARGUMENT") },
        {
            400,
            "INVALID_ARGUMENT",
            "INVALID_ARGUMENT",
            true,
            new AttemptOutcome.Rejected(Reasons.BadAddress, "INVALID_ARGUMENT", AddressVerdict.Dead, Called)
        },
        { 400, "INVALID_ARGUMENT", null, false, new AttemptOutcome.Rejected(Reasons.Rejected, "INVALID_ARGUMENT") },
        { 400, "INVALID_ARGUMENT", "UNSPECIFIED_ERROR", false, new AttemptOutcome.Rejected(Reasons.Rejected, "UNSPECIFIED_ERROR") },
        { 403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH", false, new AttemptOutcome.Rejected(Reasons.BadAddress, "SENDER_ID_MISMATCH") },
        { 403, "PERMISSION_DENIED", null, false, new AttemptOutcome.Halted("PERMISSION_DENIED") },
        { 401, "UNAUTHENTICATED", null, false, new AttemptOutcome.Halted("UNAUTHENTICATED") },
        // Of tokens that Apple or a browser's push service gave: one such token must not wait for ever, nor be taken for the project's
        // fault.
        { 401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR", false, new AttemptOutcome.Halted("THIRD_PARTY_AUTH_ERROR", IsAttempt: true) },
        { 403, "PERMISSION_DENIED", "THIRD_PARTY_AUTH_ERROR", false, new AttemptOutcome.Halted("THIRD_PARTY_AUTH_ERROR", IsAttempt: true) },
        {
            429,
            "RESOURCE_EXHAUSTED",
            "QUOTA_EXCEEDED",
            false,
            new AttemptOutcome.Retry(Reasons.Retry, "QUOTA_EXCEEDED", TimeSpan.FromMinutes(1))
        },
        { 500, "INTERNAL", "INTERNAL", false, new AttemptOutcome.Retry(Reasons.Retry, "INTERNAL") },
        { 503, "UNAVAILABLE", "UNAVAILABLE", false, new AttemptOutcome.Retry(Reasons.Retry, "UNAVAILABLE") },
        // What Firebase does not document.
        { 404, "NOT_FOUND", null, false, new AttemptOutcome.Halted("NOT_FOUND", IsAttempt: true) }, // the project, or the token
        { 404, null, null, false, new AttemptOutcome.Halted("404") },
        { 400, null, null, false, new AttemptOutcome.Retry(Reasons.Retry, "400") },
        { 201, null, null, false, new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
        { 204, null, null, false, new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
        { 405, null, null, false, new AttemptOutcome.Halted("405") },
        { 408, null, null, false, new AttemptOutcome.Retry(Reasons.Retry, "408") },
        { 413, null, null, false, new AttemptOutcome.Rejected(Reasons.TooLarge, "413") },
        { 418, "TEAPOT", null, false, new AttemptOutcome.Rejected(Reasons.Rejected, "TEAPOT") },
        { 418, null, null, false, new AttemptOutcome.Retry(Reasons.Retry, "418") },
        { 502, null, null, false, new AttemptOutcome.Retry(Reasons.Retry, "502") },
        { 504, null, null, true, new AttemptOutcome.Retry(Reasons.Retry, "504") },
        { 503, null, "UNREGISTERED", false, new AttemptOutcome.Retry(Reasons.Retry, "UNREGISTERED") },
        { 302, null, null, false, new AttemptOutcome.Halted("302") },
    };

    [Theory, MemberData(nameof(Answers))]
    public void An_answer_has_a_meaning(int http, string? status, string? errorCode, bool blamesToken, AttemptOutcome expected) =>
        Assert.Equal(expected, FcmStatus.Outcome((HttpStatusCode)http, new FcmError(status, errorCode, blamesToken), "name", Called, null));

    [Theory]
    [InlineData(401, "UNAUTHENTICATED", null)]
    [InlineData(403, "PERMISSION_DENIED", null)]
    [InlineData(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH")]
    [InlineData(404, "NOT_FOUND", null)]
    [InlineData(404, null, null)]
    [InlineData(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT")]
    public void A_wrong_project_account_or_message_condemns_no_token(int http, string? status, string? errorCode) =>
        Assert.NotEqual(
            AddressVerdict.Dead,
            (
                FcmStatus.Outcome((HttpStatusCode)http, new FcmError(status, errorCode, false), null, Called, null)
                as AttemptOutcome.Rejected
            )?.Verdict
        );

    [Theory]
    [InlineData(429, "QUOTA_EXCEEDED")]
    [InlineData(500, "INTERNAL")]
    [InlineData(503, "UNAVAILABLE")]
    [InlineData(502, null)]
    public void Google_s_own_word_on_when_to_come_back_counts(int http, string? errorCode) =>
        Assert.Equal(
            TimeSpan.FromSeconds(90),
            Assert
                .IsType<AttemptOutcome.Retry>(
                    FcmStatus.Outcome((HttpStatusCode)http, new FcmError(null, errorCode, false), null, Called, TimeSpan.FromSeconds(90))
                )
                .After
        );

    [Fact]
    public void An_error_is_read_from_its_details()
    {
        Assert.Equal(
            new FcmError("NOT_FOUND", "UNREGISTERED", false),
            Read(
                """{"error":{"code":404,"message":"m","status":"NOT_FOUND","details":[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"UNREGISTERED"}]}}"""
            )
        );
        Assert.Equal(
            new FcmError("PERMISSION_DENIED", null, false),
            Read(
                """{"error":{"code":403,"status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"X","errorCode":"UNREGISTERED"}]}}"""
            )
        );
    }

    [Theory]
    [InlineData("""[{"field":"message.token","description":"d"}]""", true)]
    [InlineData("""[{"field":"message.token"},{"field":"message.token"}]""", true)]
    [InlineData("""[{"field":"message.token"},{"field":"message.android.ttl"}]""", false)]
    [InlineData("""[{"field":"message.data"}]""", false)]
    [InlineData("""[{"description":"message.token"}]""", false)]
    [InlineData("""["message.token"]""", false)]
    [InlineData("[]", false)]
    [InlineData("""{"field":"message.token"}""", false)]
    public void Only_a_violation_of_the_token_alone_blames_the_token(string violations, bool blamed)
    {
        var error = Read(
            $$$"""{"error":{"status":"INVALID_ARGUMENT","details":[{"@type":"a.FcmError","errorCode":"INVALID_ARGUMENT"},{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":{{{violations}}}}]}}"""
        );
        Assert.Equal(new FcmError("INVALID_ARGUMENT", "INVALID_ARGUMENT", blamed), error);
    }

    [Theory]
    [InlineData("")]
    [InlineData("<html>")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("{}")]
    [InlineData("""{"error":"text"}""")]
    [InlineData("""{"error":null}""")]
    [InlineData("""{"error":{"status":7,"details":"x"}}""")]
    [InlineData("""{"error":{"details":[null,7,"x",[],{}]}}""")]
    [InlineData("""{"error":{"details":[{"@type":7,"errorCode":"X"}]}}""")]
    [InlineData("""{"error":{"details":[{"@type":"a.FcmError","errorCode":["X"]}]}}""")]
    [InlineData("""{"error":{"status":"\ud800"}}""")]
    [InlineData("""{"error":{"status":"INTER""")]
    public void A_malformed_body_says_nothing(string body) => Assert.Equal(default, Read(body));

    [Theory]
    [InlineData("""{"name":"projects/p/messages/1"}""", "projects/p/messages/1")]
    [InlineData("""{"name":7}""", null)]
    [InlineData("{}", null)]
    [InlineData("<html>", null)]
    [InlineData("", null)]
    public void The_name_of_an_accepted_message_is_read(string body, string? name) =>
        Assert.Equal(name, FcmStatus.ReadName(Encoding.UTF8.GetBytes(body)));

    private static FcmError Read(string body) => FcmStatus.ReadError(Encoding.UTF8.GetBytes(body));
}
