using System.Net;
using System.Text;
using Notify.Dispatch.Dispatching;
using Notify.Dispatch.Sms.Vonage;
using Notify.Domain.Notifications;

namespace Notify.Tests.Dispatch;

public class VonageStatusTests
{
    private static readonly DateTimeOffset Attempt = new(2026, 5, 4, 12, 0, 0, TimeSpan.Zero);

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
        { "7", new AttemptOutcome.Rejected(Reasons.Rejected, "7") },
        { "12", new AttemptOutcome.Rejected(Reasons.Rejected, "12") },
        { "15", new AttemptOutcome.Rejected(Reasons.Rejected, "15") },
        { "29", new AttemptOutcome.Rejected(Reasons.Rejected, "29") },
        { "33", new AttemptOutcome.Rejected(Reasons.BadAddress, "33") },
        { "ninety", new AttemptOutcome.Rejected(Reasons.Rejected, "ninety") },
    };

    [Theory, MemberData(nameof(Statuses))]
    public void Two_hundred_says_nothing_and_the_status_all(string status, AttemptOutcome expected) => Assert.Equal(expected, Outcome(200, status));

    [Fact]
    public void A_long_text_s_first_part_names_it() => Assert.Equal(new AttemptOutcome.Accepted("ID0"), Outcome(200, "0", "0", "0"));

    [Theory]
    [InlineData("0,1")]
    [InlineData("1,0")]
    [InlineData("0,0,4")]
    [InlineData("7,0")]
    public void What_was_taken_in_part_is_not_repeated(string statuses) => Assert.Equal(new AttemptOutcome.Unknown(Reasons.PartlyAccepted), Outcome(200, statuses.Split(',')));

    [Fact]
    public void When_every_part_was_refused_the_first_says_why() => Assert.Equal(new AttemptOutcome.Halted("4"), Outcome(200, "4", "1"));

    public static readonly TheoryData<int, AttemptOutcome> Answers = new()
    {
        { 401, new AttemptOutcome.Halted("401") },
        { 403, new AttemptOutcome.Halted("403") },
        { 404, new AttemptOutcome.Halted("404") },
        { 400, new AttemptOutcome.Rejected(Reasons.Rejected, "400") },
        { 420, new AttemptOutcome.Retry(Reasons.Retry, "420") },
        { 429, new AttemptOutcome.Retry(Reasons.Retry, "429") },
        { 500, new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 503, new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 502, new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 504, new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 522, new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        { 302, new AttemptOutcome.Retry(Reasons.Retry, "302") },
    };

    [Theory, MemberData(nameof(Answers))]
    public void Another_answer_than_200_has_a_meaning_too(int status, AttemptOutcome expected) => Assert.Equal(expected, VonageStatus.Outcome((HttpStatusCode)status, null, null));

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
    [InlineData("""{"messages":[{"status":"0","message-id":"a"},{"status":null}]}""")]
    [InlineData("""{"messages":[{"status":"\ud800"}]}""")]
    public void Two_hundred_that_cannot_be_read_is_an_unknown_outcome(string body) =>
        Assert.Equal(new AttemptOutcome.Unknown(Reasons.UnreadableAnswer), VonageStatus.Outcome(HttpStatusCode.OK, VonageStatus.Read(Encoding.UTF8.GetBytes(body)), null));

    [Theory]
    [InlineData(-121, false)]
    [InlineData(-120, true)]
    [InlineData(0, true)]
    [InlineData(130, true)]
    [InlineData(131, false)]
    public void A_message_is_found_if_it_was_received_while_the_attempt_was_under_way(int seconds, bool found) =>
        Assert.Equal(found ? ["A"] : [], Find(Items(("A", "Hello", Attempt.AddSeconds(seconds)))));

    [Fact]
    public void The_oldest_is_named_first_and_another_text_is_another_message() =>
        Assert.Equal(["B", "A"], Find(Items(("A", "Hello", Attempt.AddSeconds(2)), ("B", "Hello", Attempt), ("C", "hello", Attempt))));

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("""{"count":0}""")]
    [InlineData("""{"items":[{"message-id":"A","body":"Hello","date-received":"soon"}]}""")]
    [InlineData("""{"items":[{"message-id":"A","body":"Hello"}]}""")]
    public void A_malformed_search_tells_nothing(string body) => Assert.Null(Find(body));

    private static AttemptOutcome Outcome(int http, params string[] statuses) =>
        VonageStatus.Outcome((HttpStatusCode)http, [.. statuses.Select((s, i) => new VonagePart(s, s == "0" ? $"ID{i}" : null))], null);

    private static IReadOnlyList<string>? Find(string body) => VonageStatus.Find(Encoding.UTF8.GetBytes(body), "Hello", Attempt, Attempt.AddSeconds(10));

    private static string Items(params (string Id, string Text, DateTimeOffset At)[] items) =>
        $$"""{"count":{{items.Length}},"items":[{{string.Join(",", items.Select(i => $$"""{"message-id":"{{i.Id}}","body":"{{i.Text}}","date-received":"{{i.At:yyyy-MM-dd HH:mm:ss}}"}"""))}}]}""";
}
