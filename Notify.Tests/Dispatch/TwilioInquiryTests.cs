namespace Notify.Tests.Dispatch;

using System.Text;
using System.Text.Json;
using Notify.Dispatch.Providers.Sms.Twilio;

/// <summary>A message is found among those to its number, and an answer without it is complete only where no other can be it.</summary>
/// <remarks>Twilio: Messages resource, «Read multiple Message resources»; «Smart encoding»; «Message redaction»; trial accounts.</remarks>
public class TwilioInquiryTests
{
    private static readonly DateTimeOffset Attempt = new(2026, 5, 4, 12, 0, 0, TimeSpan.Zero);

    [Theory]
    [InlineData(-3901, false)]
    [InlineData(-3600, true)] // the database's clock was an hour fast when the attempt was recorded
    [InlineData(0, true)]
    [InlineData(3610, true)]
    [InlineData(3911, false)]
    public void Message_is_found_if_it_was_made_during_the_attempt(int seconds, bool found)
    {
        Assert.Equal(found ? "SM1" : "", Answer(Page(("SM1", "Hello", Attempt.AddSeconds(seconds)))));
    }

    [Fact]
    public void Text_with_a_trial_accounts_line_before_it_is_found() =>
        Assert.Equal("SM1", Answer(Page(("SM1", "Sent from your Twilio trial account - Hello", Attempt))));

    [Theory]
    [InlineData("hello")]
    [InlineData("Other words")]
    [InlineData("Hell")]
    public void Another_text_is_another_message(string text) => Assert.Equal("", Answer(Page(("SM1", text, Attempt))));

    [Theory]
    [InlineData("He said: \u201cHello\u201d \u2013 now", "He said: \"Hello\" - now")] // smart encoding
    [InlineData("Hello", "")] // redacted
    [InlineData("Order 1", "Order 10")] // another delivery's longer text, or words that a provider wrote behind it
    [InlineData("\ud83d\udc4b", "?")] // without a letter nothing can be compared
    public void Changed_text_makes_the_answer_unclear(string sent, string kept) =>
        Assert.Equal(" unclear: SM1", Answer(Page(("SM1", kept, Attempt)), sent));

    [Fact]
    public void Changed_text_of_another_time_is_another_message() => Assert.Equal("", Answer(Page(("SM1", "", Attempt.AddHours(-1)))));

    [Fact]
    public void Oldest_message_comes_first() =>
        Assert.Equal(
            "SM4 SM2",
            Answer(
                Page(
                    ("SM1", "Other", Attempt),
                    ("SM2", "Hello", Attempt.AddSeconds(2)),
                    ("SM3", "Hello", Attempt.AddHours(-2)),
                    ("SM4", "Hello", Attempt)
                )
            )
        );

    [Fact]
    public void Empty_list_is_a_clear_no() => Assert.Equal("", Answer("""{"messages":[]}"""));

    [Theory]
    [InlineData("""{"sid":"SM1","body":"Hello","date_created":null}""", " unclear: SM1")]
    [InlineData("""{"sid":"SM1","body":"Hello"}""", " unclear: SM1")]
    [InlineData("""{"body":"Hello","date_created":"Mon, 04 May 2026 12:00:01 +0000"}""", " incomplete")]
    [InlineData("""{"sid":"SM1","date_created":"Mon, 04 May 2026 12:00:01 +0000"}""", " unclear: SM1")]
    public void Message_without_time_ID_or_text_may_be_it(string message, string expected) =>
        Assert.Equal(expected, Answer($$"""{"messages":[{{message}}]}"""));

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
    [InlineData("""{"messages":[],"next_page_uri":"https://elsewhere.example/2"}""")]
    [InlineData("""{"messages":[],"next_page_uri":7}""")]
    public void Malformed_page_is_no_answer(string body) => Assert.Null(Read(body));

    [Theory]
    [InlineData(0, -2, "/2")]
    [InlineData(-2, 0, "/2")] // the order within a page is not relied on
    [InlineData(-2, -2, null)]
    public void Pages_are_read_until_one_is_older_throughout(int first, int second, string? next)
    {
        var page = Page(("SM1", "x", Attempt.AddHours(first)), ("SM2", "x", Attempt.AddHours(second)));
        Assert.Equal(next, Read($"{page[..^1]},\"next_page_uri\":\"/2\"}}")!.Next);
    }

    private static string Answer(string body, string sent = "Hello")
    {
        var page = Read(body, sent)!;
        var unclear = page.Unclear.Count > 0 ? $" unclear: {string.Join(' ', page.Unclear)}" : "";
        return $"{string.Join(' ', page.Sids)}{unclear}{(page.IsComplete ? "" : " incomplete")}";
    }

    private static TwilioPage? Read(string body, string sent = "Hello") =>
        TwilioInquiry.Read(Encoding.UTF8.GetBytes(body), sent, Attempt, Attempt.AddSeconds(10));

    private static string Page(params (string Sid, string Body, DateTimeOffset Created)[] messages) =>
        JsonSerializer.Serialize(
            new
            {
                messages = messages.Select(m => new
                {
                    sid = m.Sid,
                    body = m.Body,
                    date_created = $"{m.Created:ddd, dd MMM yyyy HH:mm:ss} +0000",
                }),
            }
        );
}
