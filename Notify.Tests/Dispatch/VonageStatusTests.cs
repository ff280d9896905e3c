namespace Notify.Tests.Dispatch;

using System.Net;
using System.Text;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.Sms.Vonage;
using Notify.Domain.Notifications;

public class VonageStatusTests
{
    // Vonage: SMS API 1.2 (OpenAPI); «Troubleshooting failed SMS».
    public static readonly TheoryData<string, AttemptOutcome> Statuses = new()
    {
        { "0", new AttemptOutcome.Accepted("ID0") },
        { "1", new AttemptOutcome.Retry(Reasons.Retry, "1", TimeSpan.FromSeconds(1)) },
        { "5", new AttemptOutcome.Retry(Reasons.Retry, "5") },
        { "10", new AttemptOutcome.Retry(Reasons.Retry, "10") },
        { "4", new AttemptOutcome.Halted("4") },
        { "8", new AttemptOutcome.Halted("8") },
        { "9", new AttemptOutcome.Halted("9") },
        { "11", new AttemptOutcome.Halted("11") },
        { "14", new AttemptOutcome.Halted("14") },
        { "2", new AttemptOutcome.Rejected(Reasons.Rejected, "2") },
        { "3", new AttemptOutcome.Rejected(Reasons.Rejected, "3") },
        { "6", new AttemptOutcome.Rejected(Reasons.Rejected, "6") },
        { "7", new AttemptOutcome.Rejected(Reasons.BadAddress, "7") }, // «blacklisted and may not receive»
        { "12", new AttemptOutcome.Rejected(Reasons.Rejected, "12") },
        { "15", new AttemptOutcome.Halted("15") }, // the sender
        { "22", new AttemptOutcome.Halted("22") },
        { "23", new AttemptOutcome.Halted("23") }, // the callback
        { "32", new AttemptOutcome.Halted("32") },
        { "29", new AttemptOutcome.Halted("29", IsAttempt: true) }, // «your account is still in demo mode»
        { "33", new AttemptOutcome.Rejected(Reasons.BadAddress, "33") },
        { "ninety", new AttemptOutcome.Rejected(Reasons.Rejected, "ninety") },
    };

    [Theory, MemberData(nameof(Statuses))]
    public void Two_hundred_says_nothing_and_the_status_all(string status, AttemptOutcome expected) =>
        Assert.Equal(expected, Outcome(200, status));

    [Fact]
    public void A_long_text_s_first_part_names_it() => Assert.Equal(new AttemptOutcome.Accepted("ID0"), Outcome(200, "0", "0", "0"));

    // OpenAPI, Message: each part has a status and, where it was taken, a message-id. The answer names the part that was taken.
    [Theory]
    [InlineData("0,1", "ID0", 1)]
    [InlineData("1,0", "ID1", 1)]
    [InlineData("0,0,4", "ID0", 1)]
    [InlineData("7,0", "ID1", 1)]
    [InlineData("5,0,5", "ID1", 2)]
    public void Partly_taken_SMS_is_dispatched_under_the_taken_parts_ID(string statuses, string id, int refused) =>
        Assert.Equal(new AttemptOutcome.Accepted(id, refused), Outcome(200, statuses.Split(',')));

    [Theory]
    [InlineData(202)]
    [InlineData(429)]
    [InlineData(500)]
    [InlineData(502)]
    public void Taken_part_is_never_repeated_whatever_the_status(int status) =>
        Assert.Equal(new AttemptOutcome.Accepted("ID0", 1), Outcome(status, "0", "5"));

    [Fact]
    public void Part_without_an_ID_is_not_surely_taken() =>
        Assert.Equal(
            new AttemptOutcome.Unknown(Reasons.UnreadableAnswer),
            VonageStatus.Outcome(HttpStatusCode.OK, [new VonagePart("0", null)], null)
        );

    [Fact]
    public void Taken_part_beside_an_unreadable_one_is_never_repeated()
    {
        var parts = VonageStatus.Read("""{"messages":[{"status":"0","message-id":"a"},{"status":null}]}"""u8.ToArray());
        Assert.Equal(new AttemptOutcome.Accepted("a", 1), VonageStatus.Outcome(HttpStatusCode.OK, parts, null));
    }

    [Theory]
    [InlineData(401)]
    [InlineData(400)]
    public void Refused_parts_say_why_whatever_the_status(int status) => Assert.Equal(new AttemptOutcome.Halted("4"), Outcome(status, "4"));

    [Fact]
    public void When_every_part_was_refused_the_first_says_why() => Assert.Equal(new AttemptOutcome.Halted("4"), Outcome(200, "4", "1"));

    public static readonly TheoryData<int, AttemptOutcome> Answers = new()
    {
        { 401, new AttemptOutcome.Halted("401") },
        { 403, new AttemptOutcome.Halted("403") },
        { 404, new AttemptOutcome.Halted("404") },
        { 400, new AttemptOutcome.Retry(Reasons.Retry, "400") },
        { 420, new AttemptOutcome.Retry(Reasons.Retry, "420") },
        { 429, new AttemptOutcome.Retry(Reasons.Retry, "429") },
        { 500, new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 503, new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 502, new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 504, new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 522, new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 201, new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
        { 202, new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
        { 204, new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
        { 303, new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
        { 405, new AttemptOutcome.Halted("405") },
        { 408, new AttemptOutcome.Retry(Reasons.Retry, "408") },
    };

    [Theory, MemberData(nameof(Answers))]
    public void Another_answer_than_200_has_a_meaning_too(int status, AttemptOutcome expected) =>
        Assert.Equal(expected, VonageStatus.Outcome((HttpStatusCode)status, null, null));

    [Theory]
    [InlineData("")]
    [InlineData("<html>")]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("""{"messages":{}}""")]
    [InlineData("""{"messages":[]}""")]
    [InlineData("""{"messages":[1]}""")]
    [InlineData("""{"messages":[{}]}""")]
    [InlineData("""{"messages":[{"status":0}]}""")]
    [InlineData("""{"messages":[{"status":"0"}]}""")]
    [InlineData("""{"messages":[{"status":"7"},{"status":null}]}""")]
    [InlineData("""{"messages":[{"status":"\ud800"}]}""")]
    public void Two_hundred_that_cannot_be_read_is_an_unknown_outcome(string body) =>
        Assert.Equal(
            new AttemptOutcome.Unknown(Reasons.UnreadableAnswer),
            VonageStatus.Outcome(HttpStatusCode.OK, VonageStatus.Read(Encoding.UTF8.GetBytes(body)), null)
        );

    private static AttemptOutcome Outcome(int http, params string[] statuses) =>
        VonageStatus.Outcome((HttpStatusCode)http, [.. statuses.Select((s, i) => new VonagePart(s, s == "0" ? $"ID{i}" : null))], null);
}
