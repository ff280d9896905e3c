namespace Notify.Tests.Dispatch;

using System.Diagnostics;
using Notify.Dispatch.Providers.Email;
using Notify.Domain.Content;

public class EmailSubjectTests
{
    [Theory]
    [InlineData("Title", "Body", "<p>Html</p>", "Title")]
    [InlineData(null, "\n \r\n First line \nSecond", null, "First line")]
    [InlineData("", "Body", null, "Body")]
    [InlineData(" \n ", "Body", null, "Body")]
    [InlineData(
        null,
        null,
        "<html><head><title>T</title><style>p{}</style></head><body><!-- no --><script>x()</script>\n<h1>Your&nbsp;parcel</h1> "
            + "&amp; more</body></html>",
        "Your parcel & more"
    )]
    [InlineData(null, " ", "<p>Html</p>", "Html")]
    [InlineData(null, null, "<img src=\"x\"><br>", null)]
    [InlineData(null, null, "&#13;&#10;Bcc: x", "Bcc: x")]
    [InlineData(null, "", "", null)]
    [InlineData(null, null, null, null)]
    public void It_is_the_title_or_the_first_words(string? title, string? body, string? html, string? subject) =>
        Assert.Equal(subject, EmailSubject.Of(new NotificationContent(title, body, html)));

    // RFC 2047: a mail program shows the text that its author wrote.
    [Theory]
    [InlineData("Plain title", "Plain title")]
    [InlineData("=?utf-8?B?SGk=?=", "=?utf-8?B?PT91dGYtOD9CP1NHaz0/PQ==?=")]
    [InlineData("2 + 2 =? 4", "=?utf-8?B?MiArIDIgPT8gNA==?=")]
    [InlineData("Größe =?", "=?utf-8?B?R3LDtsOfZSA9Pw==?=")]
    [InlineData("Größe", "Größe")]
    public void Subject_that_looks_like_an_encoded_word_is_encoded_for_providers_APIs(string title, string subject) =>
        Assert.Equal(subject, EmailSubject.InApi(new NotificationContent(title)));

    [Fact]
    public void Encoded_subject_is_one_line_within_the_providers_limit_and_reads_as_it_was_written()
    {
        var subject = EmailSubject.InApi(new NotificationContent(string.Concat(Enumerable.Repeat("=? ", 330))))!;
        Assert.InRange(subject.Length, 1, EmailSubject.MaxInApi);
        Assert.DoesNotContain('\n', subject);
        Assert.StartsWith(
            "=? =? =?",
            MimeKit.Utils.Rfc2047.DecodeText(System.Text.Encoding.ASCII.GetBytes(subject)),
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void A_title_is_kept_whole_and_what_is_made_of_a_text_is_short()
    {
        Assert.Equal(1000, EmailSubject.Of(new NotificationContent(new string('x', 1000)))!.Length);
        var words = EmailSubject.Of(new NotificationContent(Body: string.Concat(Enumerable.Repeat("abcdefghi ", 20))))!;
        Assert.Equal(string.Concat(Enumerable.Repeat("abcdefghi ", 7)).TrimEnd() + "…", words);
        var endless = EmailSubject.Of(new NotificationContent(Body: "x" + string.Concat(Enumerable.Repeat("👋", 100))))!;
        Assert.InRange(endless.Length, 70, EmailSubject.MaxDerived);
        Assert.DoesNotContain(endless.EnumerateRunes(), r => r == System.Text.Rune.ReplacementChar);
    }

    [Theory]
    [InlineData("<!--")]
    [InlineData("<head")]
    [InlineData("<script>")]
    [InlineData("<")]
    public void Hostile_HTML_takes_no_longer(string piece)
    {
        var watch = Stopwatch.StartNew();
        EmailSubject.Of(new NotificationContent(Html: string.Concat(Enumerable.Repeat(piece, 200_000 / piece.Length))));
        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(2), $"{watch.Elapsed}");
    }
}
