namespace Notify.Tests.Domain;

using Notify.Domain.Channels;
using Notify.Domain.Content;

public class LinkRewriterTests
{
    private const string Own = "https://n.example/";
    private static readonly SmsLimits Limits = new() { PublicUrl = "https://n.example" };

    [Theory]
    [InlineData("<a href=\"https://x.example/1?a=1&amp;b=2\">x</a>", "<a href=\"[0]\">x</a>", "https://x.example/1?a=1&b=2")]
    [InlineData("<a class='b' HREF = 'http://x.example' id=i>x</a>", "<a class='b' HREF = \"[0]\" id=i>x</a>", "http://x.example")]
    [InlineData("<a href=https://x.example/a?b>x</a>", "<a href=\"[0]\">x</a>", "https://x.example/a?b")]
    [InlineData("<map><area href=\"https://x.example\"></map>", "<map><area href=\"[0]\"></map>", "https://x.example")]
    [InlineData(
        "<a href=\"https://x.example/1\"></a><a href=\"https://x.example/2\"></a><a href=\"https://x.example/1\"></a>",
        "<a href=\"[0]\"></a><a href=\"[1]\"></a><a href=\"[0]\"></a>",
        "https://x.example/1 https://x.example/2"
    )]
    [InlineData(
        "<a title=\"a > b\" data-href=\"https://no.example\" href=\"https://x.example\">",
        "<a title=\"a > b\" data-href=\"https://no.example\" href=\"[0]\">",
        "https://x.example"
    )]
    [InlineData("<a/href=\"https://x.example\">", "<a/href=\"[0]\">", "https://x.example")]
    [InlineData("<a href=\"  https://x.example  \">", "<a href=\"[0]\">", "https://x.example")]
    [InlineData("<a href=\"https://x.example/?a=1&b=2&copy=3&#38;c=4\">", "<a href=\"[0]\">", "https://x.example/?a=1&b=2&copy=3&c=4")]
    [InlineData(
        "<area shape=rect coords=\"0,0,1,1\" href='HTTPS://X.example/A'>",
        "<area shape=rect coords=\"0,0,1,1\" href=\"[0]\">",
        "HTTPS://X.example/A"
    )]
    [InlineData("<a href=\"https://한글.example/길?값=1\">", "<a href=\"[0]\">", "https://한글.example/길?값=1")]
    public void Links_of_html_are_replaced_and_nothing_else(string html, string expected, string destinations)
    {
        var tracked = Rewrite(new NotificationContent("t", null, html));
        Assert.Equal((expected, destinations), (tracked.Content.Html, string.Join(' ', tracked.Destinations)));
    }

    [Theory]
    [InlineData("<a href=\"mailto:a@x.example\">")]
    [InlineData("<a href=\"tel:+12025550123\">")]
    [InlineData("<a href=\"#top\">")]
    [InlineData("<a href=\"/orders\">")]
    [InlineData("<a href=\"javascript:alert(1)\">")]
    [InlineData("<a href=\"//x.example\">")]
    [InlineData("<a href=\"data:text/html,<script>alert(1)</script>\">")]
    [InlineData("<a href=\"java&#115;cript:alert(1)\">")]
    [InlineData("<a href=\"&#x6a;avascript&colon;alert(1)\">")]
    [InlineData("<a href=\"vbscript:x\">")]
    [InlineData("<a href=\"file:///etc/passwd\">")]
    [InlineData("<a href=\"intent://x#Intent;end\">")]
    [InlineData("<a href=\"https://x.example/&#13;&#10;Set-Cookie: a=b\">")]
    [InlineData("<a href=\"https://x.example/a\nb\">")]
    [InlineData("<a href=\"https://\">")]
    [InlineData("<a href=\"https://x.example:99999/\">")]
    [InlineData("<a href=\"https://n.example/u/token\">")]
    [InlineData("<a href=\"\">")]
    [InlineData("<a href>")]
    [InlineData("<a href=")]
    [InlineData("<a href=\"https://x.example")]
    [InlineData("<a title=\"never closed href='https://x.example'>")]
    [InlineData("<abbr href=\"https://x.example\">")]
    [InlineData("<img src=\"https://x.example/i.png\"><link href=\"https://x.example/s.css\">")]
    [InlineData("<!-- <a href=\"https://x.example\"> -->")]
    [InlineData("<!-- <a href=\"https://x.example\">")]
    [InlineData("<style>a[href=\"https://x.example\"]{} <a href=\"https://x.example\"></style>")]
    [InlineData("<script>'<a href=\"https://x.example\">'</script>")]
    [InlineData("<p>https://x.example</p>")]
    [InlineData("<")]
    [InlineData("<a")]
    public void Html_without_web_links_is_unchanged(string html)
    {
        var tracked = Rewrite(new NotificationContent("t", null, html));
        Assert.Equal(html, tracked.Content.Html);
        Assert.Empty(tracked.Destinations);
    }

    [Theory]
    [InlineData("See https://x.example/a.", "See [0].", "https://x.example/a")]
    [InlineData("(https://x.example/a_(b)), next", "([0]), next", "https://x.example/a_(b)")]
    [InlineData("https://x.example/?a=1&b=2#c\nhttp://y.example!", "[0]\n[1]!", "https://x.example/?a=1&b=2#c http://y.example")]
    [InlineData("<https://x.example>", "<[0]>", "https://x.example")]
    [InlineData(
        "mail a@x.example, www.x.example, https://, ftp://x.example",
        "mail a@x.example, www.x.example, https://, ftp://x.example",
        ""
    )]
    [InlineData("링크 https://x.example/한글 끝", "링크 [0] 끝", "https://x.example/한글")]
    public void Links_of_texts_are_replaced_without_what_stands_around(string text, string expected, string destinations)
    {
        var tracked = Rewrite(new NotificationContent(Body: text), Channel.Sms);
        Assert.Equal((expected, destinations), (tracked.Content.Body, string.Join(' ', tracked.Destinations)));
    }

    /// <summary>
    /// RFC 3986, section 2 and appendix C: brackets of other scripts, <c>|</c>, <c>"</c>, <c>&lt;</c> and <c>]</c> are in no URI;
    /// the apostrophe is. Unicode, general category: punctuation of all scripts ends a link.
    /// </summary>
    [Theory]
    [InlineData("（https://x.example/a）をご覧ください", "（[0]）をご覧ください", "https://x.example/a")]
    [InlineData("「https://x.example/a」です。", "「[0]」です。", "https://x.example/a")]
    [InlineData("【https://x.example/a】", "【[0]】", "https://x.example/a")]
    [InlineData("请看https://x.example/a，谢谢", "请看[0]，谢谢", "https://x.example/a")]
    [InlineData("https://x.example/a、https://y.example/b。", "[0]、[1]。", "https://x.example/a https://y.example/b")]
    [InlineData("https://x.example/it's?q=o'neil", "[0]", "https://x.example/it's?q=o'neil")]
    [InlineData("'https://x.example/a'", "'[0]'", "https://x.example/a")]
    [InlineData("[https://x.example/a] [x](https://x.example/a)", "[[0]] [x]([0])", "https://x.example/a")]
    [InlineData(
        "“https://x.example/a” «https://y.example/b» „https://z.example/c“",
        "“[0]” «[1]» „[2]“",
        "https://x.example/a https://y.example/b https://z.example/c"
    )]
    [InlineData(
        "*https://x.example/a* **https://x.example/a** _https://x.example/a_ ~https://x.example/a~",
        "*[0]* **[0]** _[0]_ ~[0]~",
        "https://x.example/a"
    )]
    [InlineData("https://x.example/token_ https://x.example/token-", "[0] [1]", "https://x.example/token_ https://x.example/token-")]
    [InlineData("https://x.example/a؟ https://x.example/a، https://x.example/a؛", "[0]؟ [0]، [0]؛", "https://x.example/a")]
    [InlineData("https://x.example/a। https://x.example/a॥", "[0]। [0]॥", "https://x.example/a")]
    [InlineData(
        "https://x.example/a를 https://y.example에서 https://z.example/에서",
        "[0]를 [1]에서 [2]에서",
        "https://x.example/a https://y.example https://z.example/"
    )]
    [InlineData("https://x.example/a…https://y.example/b—c", "[0]…[1]—c", "https://x.example/a https://y.example/b")]
    [InlineData("https://x.example/a|https://y.example/b", "[0]|[1]", "https://x.example/a https://y.example/b")]
    [InlineData(
        "https://x.example/a,https://y.example/b;https://z.example",
        "[0],[1];[2]",
        "https://x.example/a https://y.example/b https://z.example"
    )]
    [InlineData("https://x.example/a?u=https://y.example/b,c", "[0]", "https://x.example/a?u=https://y.example/b,c")]
    [InlineData(
        "https://x.example/a\"b https://x.example/a`b https://x.example/a{b} https://x.example/a\\b",
        "[0]\"b [0]`b [0]{b} [0]\\b",
        "https://x.example/a"
    )]
    [InlineData("https://[2001:db8::1]:8443/a] x", "[0]] x", "https://[2001:db8::1]:8443/a")]
    [InlineData("(see https://x.example/a_(b)?c=(d)).", "(see [0]).", "https://x.example/a_(b)?c=(d)")]
    [InlineData("詳細はhttps://x.example/a", "詳細は[0]", "https://x.example/a")]
    [InlineData("https://x.example/a\U0001F600 https://x.example/a\u3000b", "[0]\U0001F600 [0]\u3000b", "https://x.example/a")]
    [InlineData("https://예시.한국/길 https://münchen.example/straße", "[0] [1]", "https://예시.한국/길 https://münchen.example/straße")]
    [InlineData("https://x.example/!?!... https://x.example/a?", "[0]!?!... [1]?", "https://x.example/ https://x.example/a")]
    [InlineData(
        "https://x.example/#!/a https://x.example/a;v=1,2 https://x.example/$a+b@c:d",
        "[0] [1] [2]",
        "https://x.example/#!/a https://x.example/a;v=1,2 https://x.example/$a+b@c:d"
    )]
    [InlineData("(https://x.example/a)(https://y.example/b)", "([0])([1])", "https://x.example/a https://y.example/b")]
    [InlineData(
        "['https://x.example/a','https://y.example/b'] {'u':'https://z.example','n':1}",
        "['[0]','[1]'] {'u':'[2]','n':1}",
        "https://x.example/a https://y.example/b https://z.example"
    )]
    [InlineData(
        "(https://x.example/a)and (https://x.example/a):1 (https://x.example/a_(b)c)",
        "([0])and ([0]):1 ([1])",
        "https://x.example/a https://x.example/a_(b)c"
    )]
    [InlineData(
        "https://x.example/a.https://y.example/b!https://z.example",
        "[0].[1]![2]",
        "https://x.example/a https://y.example/b https://z.example"
    )]
    [InlineData(
        "https://web.archive.org/web/2020/https://x.example/ https://y.example/?u=https://x.example",
        "[0] [1]",
        "https://web.archive.org/web/2020/https://x.example/ https://y.example/?u=https://x.example"
    )]
    [InlineData(
        "https://x.example/로부터 https://x.example/으로부터 https://x.example/에서의",
        "[0]로부터 [0]으로부터 [0]에서의",
        "https://x.example/"
    )]
    [InlineData(
        "https://x.example/한테 https://x.example/이에요 https://x.example/라며",
        "[0]한테 [0]이에요 [0]라며",
        "https://x.example/"
    )]
    [InlineData(
        "https://예시.한국에서 https://예시.한국을 https://예시.한국 https://예시.한국/길",
        "[0]에서 [0]을 [0] [1]",
        "https://예시.한국 https://예시.한국/길"
    )]
    [InlineData("https://例子.中国/ https://例子.中国:8443/a", "[0] [1]", "https://例子.中国/ https://例子.中国:8443/a")]
    [InlineData("https://x.example/?검색=1 https://x.example/?그리고", "[0] [1]?그리고", "https://x.example/?검색=1 https://x.example/")]
    public void A_link_of_a_text_ends_where_a_reader_sees_its_end(string text, string expected, string destinations)
    {
        var tracked = Rewrite(new NotificationContent(Body: text), Channel.Sms);
        Assert.Equal((expected, destinations), (tracked.Content.Body, string.Join(' ', tracked.Destinations)));
    }

    /// <summary>In scripts without blanks the end of the address cannot be determined. A wrong destination is worse than none.</summary>
    [Theory]
    [InlineData("https://x.example/をご覧ください")]
    [InlineData("https://x.example/wiki/中国")]
    [InlineData("https://x.example/ที่นี่")]
    [InlineData("https://例子.中国请看")]
    [InlineData("https://例え.テストをご覧")]
    public void A_link_whose_end_is_unclear_stays_as_it_is(string text)
    {
        var tracked = Rewrite(new NotificationContent(Body: text), Channel.Sms);
        Assert.Equal((text, 0), (tracked.Content.Body, tracked.Destinations.Count));
    }

    [Theory]
    [InlineData("https://x.example/a%2Fb/../c/%7Ed?e=f%20g&sig=%2B%3D#h", "https://x.example/a%2Fb/../c/%7Ed?e=f%20g&sig=%2B%3D#h")]
    [InlineData("https://한글.example/길?값=1", "https://xn--bj0bj06e.example/%EA%B8%B8?%EA%B0%92=1")]
    [InlineData("https://user@münchen.example:8443/a b", "https://user@xn--mnchen-3ya.example:8443/a%20b")]
    [InlineData("https://x.example/\U0001F600", "https://x.example/%F0%9F%98%80")]
    [InlineData("https://a@STRAẞE.example:8443/ẞ", "https://a@xn--strae-oqa.example:8443/%E1%BA%9E")]
    [InlineData("https://x.example/\r\nSet-Cookie: a=b", null)]
    [InlineData("https://x.example/\u0085", null)]
    [InlineData("javascript:alert(1)", null)]
    [InlineData("data:text/html,x", null)]
    [InlineData("//x.example", null)]
    [InlineData("/x", null)]
    [InlineData("", null)]
    public void An_address_stands_in_a_header_as_it_was_written_or_as_browsers_write_it(string address, string? header) =>
        Assert.Equal(header, LinkRewriter.ForHeader(address));

    [Fact]
    public void Rewritten_address_is_valid_in_a_header()
    {
        var random = new Random(20261123);
        string[] parts =
        [
            "a",
            ".",
            "..",
            "한",
            "ß",
            "\u200d",
            "\U0001F600",
            "\ud83d",
            "%",
            "%zz",
            "@",
            ":",
            "[",
            "]",
            "::1",
            "/",
            "\\",
            "?",
            "#",
            " ",
            "\u00ad",
            "xn--",
            "-",
            "1",
            "\"",
            "\u3002",
            "\u0301",
            "\r",
            "\0",
        ];
        var rewritten = 0;
        for (var i = 0; i < 20_000; i++)
        {
            var address = "https://" + string.Concat(Enumerable.Range(0, random.Next(1, 8)).Select(_ => parts[random.Next(parts.Length)]));
            if (LinkRewriter.ForHeader(address) is not { } header)
                continue;
            rewritten++;
            Assert.True(
                header.StartsWith("https://", StringComparison.OrdinalIgnoreCase) && header.All(c => c is > ' ' and <= '~'),
                header
            );
        }

        Assert.InRange(rewritten, 1000, 20_000);
    }

    [Fact]
    public void A_link_in_html_and_text_is_one()
    {
        var tracked = Rewrite(new NotificationContent("t", "https://x.example/a", "<a href=\"https://x.example/a\">"));
        Assert.Equal(("[0]", "<a href=\"[0]\">", 1), (tracked.Content.Body, tracked.Content.Html, tracked.Destinations.Count));
    }

    [Fact]
    public void The_image_stands_at_the_end_of_the_body_of_an_email_only()
    {
        var opens = new TrackOptions { Opens = true };
        Assert.Contains(
            "<p>x</p><img src=\"[pixel]\"",
            LinkRewriter
                .Rewrite(
                    new NotificationContent(Html: "<body><p>x</p></body>", Track: opens),
                    Channel.Email,
                    i => "",
                    "[pixel]",
                    Own,
                    Limits
                )
                .Content.Html,
            StringComparison.Ordinal
        );
        var sms = new NotificationContent(Body: "x", Track: opens);
        Assert.Equal(sms, LinkRewriter.Rewrite(sms, Channel.Sms, i => "", "[pixel]", Own, Limits).Content);
    }

    [Fact]
    public void Content_is_not_tracked_without_consent_or_in_a_push()
    {
        var content = new NotificationContent("t", "https://x.example", "<a href=\"https://x.example\">");
        Assert.Same(content, LinkRewriter.Rewrite(content, Channel.Email, i => "", "", Own, Limits).Content);
        Assert.Empty(Rewrite(content, Channel.Push).Destinations);
    }

    [Theory]
    [InlineData("<a ")]
    [InlineData("<a href=\"")]
    [InlineData("<!--")]
    [InlineData("<script>")]
    [InlineData("https://x.example/((((")]
    [InlineData("https://x.example/))))")]
    [InlineData("https://,")]
    [InlineData("https://x.example/가")]
    [InlineData("https://x.example/a.'")]
    public void A_hostile_message_of_half_a_megabyte_takes_no_time(string part)
    {
        var text = string.Concat(Enumerable.Repeat(part, 512 * 1024 / part.Length));
        var clock = System.Diagnostics.Stopwatch.StartNew();
        Rewrite(new NotificationContent("t", text, text));
        Assert.True(clock.Elapsed < TimeSpan.FromSeconds(5), $"{clock.Elapsed}");
    }

    private static TrackedContent Rewrite(NotificationContent content, Channel channel = Channel.Email) =>
        LinkRewriter.Rewrite(content with { Track = new TrackOptions { Links = true } }, channel, i => $"[{i}]", "", Own, Limits);
}
