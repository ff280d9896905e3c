namespace Notify.Tests.Domain;

using System.Text.Json;
using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Planning;
using static Notify.Tests.Domain.Some;

public class DigestTextTests
{
    private static readonly DigestItem[] Two =
    [
        new("a", "App", "likes your\n picture", "https://example.com/1", null, Noon),
        new("b", null, "Bot <b@example.com> & co", null, null, Noon),
    ];

    [Fact]
    public void Each_channel_tells_every_one_in_its_own_way()
    {
        var sms = DigestText.Of(Channel.Sms, "social", 2, Two, new SmsLimits());
        Assert.Equal("2 x social\n- App: likes your picture https://example.com/1\n- Bot <b@example.com> & co", sms.Body);
        Assert.True(SmsText.IsGsm7(sms.Body));

        var push = DigestText.Of(Channel.Push, "social", 2, Two, new SmsLimits());
        Assert.Equal(("2 × social", "• App: likes your picture\n• Bot <b@example.com> & co", null), (push.Title, push.Body, push.Url));
        Assert.Equal("https://example.com/1", DigestText.Of(Channel.Push, "social", 1, [Two[0]], new SmsLimits()).Url);

        var email = DigestText.Of(Channel.Email, "social", 3, Two, new SmsLimits());
        Assert.Equal("3 × social", email.Title);
        Assert.Equal(
            "3 × social\n\nApp\nlikes your\n picture\nhttps://example.com/1\n\nBot <b@example.com> & co\n\n+ 1 more\n",
            email.Body
        );
        Assert.Contains(
            "<li><strong>App</strong><br>likes your<br> picture<br><a href=\"https://example.com/1\">https://example.com/1</a></li>",
            email.Html,
            StringComparison.Ordinal
        );
        Assert.Contains("<li>Bot &lt;b@example.com&gt; &amp; co</li>", email.Html, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1, "x")]
    [InlineData(3, "x")]
    [InlineData(3, "말")]
    [InlineData(10, "말")]
    public void An_SMS_stays_within_its_limits_and_counts_what_it_has_no_room_for(int segments, string letter)
    {
        var many = Enumerable
            .Range(0, 200)
            .Select(i => new DigestItem($"e-{i}", $"{i}", string.Concat(Enumerable.Repeat(letter, 100)), null, null, Noon))
            .ToArray();
        var body = DigestText.Of(Channel.Sms, "social", 700, many, new SmsLimits { MaxSegments = segments }).Body!;

        Assert.InRange(SmsText.Segments(body), 1, segments);
        var told = body.Split('\n').Count(l => l.StartsWith("- ", StringComparison.Ordinal));
        Assert.EndsWith($"\n+ {700 - told} more", body, StringComparison.Ordinal);
        Assert.True(told > 0 || (segments == 1 && letter != "x"));
    }

    [Fact]
    public void A_push_is_cut_to_what_every_provider_takes_and_no_character_is_cut_in_half()
    {
        var many = Enumerable
            .Range(0, 200)
            .Select(i => new DigestItem($"e-{i}", null, string.Concat(Enumerable.Repeat("🎉", 100)), null, null, Noon))
            .ToArray();
        var body = DigestText.Of(Channel.Push, "social", 200, many, new SmsLimits()).Body!;
        Assert.InRange(System.Text.Encoding.UTF8.GetByteCount(body), 1, 1500);
        Assert.DoesNotContain('\uFFFD', System.Text.Encoding.UTF8.GetString(System.Text.Encoding.UTF8.GetBytes(body)));
    }

    [Fact]
    public void A_template_gets_each_one_s_parameters_unless_they_are_too_large_and_the_whole_stays_small()
    {
        static JsonElement Params(int bytes) => JsonSerializer.SerializeToElement(new { x = new string('x', bytes - 8) });
        Assert.Equal(DigestText.MaxParams, Params(DigestText.MaxParams).GetRawText().Length);
        var items = DigestText
            .Params(
                2,
                [
                    new("a", null, null, null, Params(DigestText.MaxParams), Noon),
                    new("b", "t", null, null, Params(DigestText.MaxParams + 1), Noon),
                ]
            )
            .GetProperty("items");
        Assert.Equal(
            (JsonValueKind.Object, JsonValueKind.Null, "b", "t"),
            (
                items[0].GetProperty("params").ValueKind,
                items[1].GetProperty("params").ValueKind,
                items[1].GetProperty("eventId").GetString(),
                items[1].GetProperty("title").GetString()
            )
        );

        var most = Enumerable
            .Range(0, DigestRule.MostItems)
            .Select(i =>
                DigestText.Shortened(
                    new DigestItem(
                        $"e-{i}",
                        new string('t', 1000),
                        new string('b', 500_000),
                        $"https://example.com/{new string('u', 1980)}",
                        Params(64 * 1024),
                        Noon
                    )
                )
            )
            .ToList();
        Assert.All(most, i => Assert.InRange(i.Body!.Length, 1, 10_000));
        Assert.InRange(DigestText.Params(1000, most).GetRawText().Length, DigestRule.MostItems * 3000, 1024 * 1024);
    }
}
