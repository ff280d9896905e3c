namespace Notify.Tests.Templates;

using Notify.Domain.Channels;

/// <summary>
/// Where in HTML a value may stand. WHATWG HTML, 13.2.5 Tokenization: character references are decoded in attributes before a URL is
/// parsed; WHATWG URL, 4.4: tabs and line breaks are removed from it. SVG 2, animation elements: they set attributes of others.
/// </summary>
public sealed class HtmlContextTests
{
    [Theory]
    [InlineData("<a href=\"java&#115;cript:{{ x }}\">", "which is code")]
    [InlineData("<a href=\"&#x6A;avascript&colon;{{ x }}\">", "which is code")]
    [InlineData("<a href=\"&#106avascript&#58{{ x }}\">", "character reference")]
    [InlineData("<a href=\"&#106avascript&#58;{{ x }}\">", "which is code")]
    [InlineData("<a href='java&Tab;scr&NewLine;ipt&#x0003a;go({{ x }})'>", "which is code")]
    [InlineData("<img src=\"d&#97;ta&colon;text/html,{{ x }}\">", "which is code")]
    [InlineData("<a href=\"{{ x }}&colon;{{ y }}\">", "makes a scheme of it")]
    [InlineData("<a href=\"{{ x }}&#x3A;alert(1)\">", "makes a scheme of it")]
    [InlineData("<a href=\"javascript&{{ x }}\">", "character reference")]
    [InlineData("<svg><a><animate attributeName=\"href\" to=\"{{ x }}\"/></a></svg>", "sets other attributes")]
    [InlineData("<svg><a><set attributeName='xlink:href' to='{{ x }}'/></a></svg>", "sets other attributes")]
    [InlineData("<svg><animate attributeName=\"{{ x }}\" values=\"javascript:alert(1)\"></svg>", "sets other attributes")]
    [InlineData("<svg><ANIMATE attributeName=href VALUES=\"{{ x }};{{ y }}\"></svg>", "sets other attributes")]
    [InlineData("<script src=\"{{ x }}\"></script>", "which is code")]
    [InlineData("{% capture c %}<a href=\"{% endcapture %}{{ c }}{{ x }}\">", "what is captured ends inside")]
    [InlineData("{% capture c %}<script>{% endcapture %}{{ c }}{{ x }}</script>", "what is captured ends inside")]
    [InlineData("{% if y %}<script>{% endif %}{{ x }}", "as conditions decide")]
    [InlineData("{% if y %}<script>{% else %}<p>{% endif %}{{ x }}", "as conditions decide")]
    [InlineData("<a {% if y %}href{% else %}title{% endif %}=\"{{ x }}\">", "whose name conditions decide")]
    [InlineData("{% if y %}<a href=\"{% else %}<a title=\"{% endif %}{{ x }}\">", "whose name conditions decide")]
    [InlineData("{% case y %}{% when 1 %}<style>{% when 2 %}<p>{% endcase %}{{ x }}", "as conditions decide")]
    [InlineData("{% for i in y %}{{ x }}<script>{% endfor %}", "a turn of the loop ends inside another")]
    [InlineData("{% for i in y %}<a href='{% break %}'>{% endfor %}{{ x }}", "as conditions decide")]
    [InlineData(
        "{% for i in y %}{{ x }}{% if i %}<script>{% continue %}</script>{% endif %}{% endfor %}",
        "a turn of the loop ends inside another"
    )]
    [InlineData("{% for i in y %}{% capture c %}<b {% break %}>{% endcapture %}{% endfor %}{{ c }}{{ x }}", "of what is captured")]
    [InlineData("<a href=\"{% cycle 'javascript', 'x' %}:{{ x }}\">", "makes a scheme of it")]
    [InlineData("<p>{{ x }}</p><a href=\"", "are never closed")]
    [InlineData("<p>{{ x }}</p><a ", "ends inside a tag")]
    [InlineData("<p>{{ x }}</p><style>", "ends inside a tag")]
    [InlineData("<p>{{ x }}</p><!-- ", "ends inside a tag")]
    [InlineData("<<script>{{ x }}</script>", "stands inside <script>")]
    [InlineData("<script></scriptx>{{ x }}</script>", "stands inside <script>")]
    [InlineData("<script><!--<script></script>{{ x }}</script>", "stands inside <script>")]
    [InlineData("<b\u00A0title=\"{{ x }}\">", "stands inside a tag")]
    [InlineData("<b\vtitle=\"{{ x }}\">", "stands inside a tag")]
    [InlineData("<p title / = \"{{ x }}\">", "stands inside a tag")]
    [InlineData("<a href=\"javascript&#0000000000000000000000000000000000000000058;{{ x }}\">", "which is code")]
    [InlineData("<a href=\"javascript&#x000000000000000000000000000000000000003A;{{ x }}\">", "which is code")]
    [InlineData("<svg><style><a title='</style><p title=\"'{{ x }}\">", "may stand inside a tag")]
    [InlineData("<svg><title><a href='{{ x }}'></title></svg>", "stands inside <title>")]
    [InlineData("<!--[if mso]><p title=\"<![endif]-->{{ x }}\">", "may stand inside a tag")]
    [InlineData("{% if y %}<!-- {% endif %}{{ x }}-->", "may stand inside a tag")]
    public void A_value_that_could_be_code_is_refused(string html, string why) =>
        Assert.Contains(why, Liquids.Fault(Liquids.Html(html + "{% if x or y %}{% endif %}")).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("<p {% if y %}hidden{% endif %} title=\"{{ x }}\">", "<p  title=\"k\">")]
    [InlineData("<tr{% unless y %} class=\"{{ x }}\"{% endunless %}><td>{{ x }}</td></tr>", "<tr class=\"k\"><td>k</td></tr>")]
    [InlineData("<{% if y %}ul{% else %}ol{% endif %}><li>{{ x }}</li></ul>", "<ol><li>k</li></ul>")]
    [InlineData("{% if y %}<b>{% endif %}{{ x }}{% if y %}</b>{% endif %}", "k")]
    [InlineData(
        "<a href=\"https://example.com/?a=1&amp;b={{ x }}&colon;{{ x }}\">",
        "<a href=\"https://example.com/?a=1&amp;b=k&colon;k\">"
    )]
    [InlineData("<a href=\"{{ x }}&amp;a=b:c&copy;\">", "<a href=\"k&amp;a=b:c&copy;\">")]
    [InlineData(
        "{% for i in z %}<p title=\"{{ i }}\">{% if i == 1 %}{% continue %}{% endif %}</p>{% endfor %}",
        "<p title=\"1\"><p title=\"2\"></p>"
    )]
    [InlineData("<!--[if mso]>{% if y %}<td>{% endif %}<![endif]-->{{ x }}", "<!--[if mso]><![endif]-->k")]
    [InlineData(
        "{% capture c %}<b class=\"k\">{{ x }}</b>{% endcapture %}{{ c }}<p title='{{ c }}'>",
        "<b class=\"k\">k</b><p title='&lt;b class=&quot;k&quot;&gt;k&lt;/b&gt;'>"
    )]
    [InlineData("<a href=\"{% cycle 'https', 'x' %}/{{ x }}\">", "<a href=\"https/k\">")]
    [InlineData("<svg><animate attributeName='x' to='1'/></svg>{{ x }}", "<svg><animate attributeName='x' to='1'/></svg>k")]
    [InlineData("<title>{{ x }}</title><textarea>{{ x }}</textarea>", "<title>k</title><textarea>k</textarea>")]
    [InlineData("<?xml version=\"1.0\"?><p>5 < 6 {{ x }}</p>", "<?xml version=\"1.0\"?><p>5 < 6 k</p>")]
    [InlineData("<!-- it's > \"that <a title=' --><p title=\"{{ x }}\">", "<!-- it's > \"that <a title=' --><p title=\"k\">")]
    [InlineData("<!--[if !mso]><!--><p>{{ x }}</p><!--<![endif]-->{{ x }}", "<!--[if !mso]><!--><p>k</p><!--<![endif]-->k")]
    [InlineData(
        "<svg><title>{{ x }}</title><style>.a{}</style></svg><i>{{ x }}</i>",
        "<svg><title>k</title><style>.a{}</style></svg><i>k</i>"
    )]
    public void A_value_that_is_text_alone_is_written(string html, string expected) =>
        Assert.Equal(
            expected,
            Liquids.Page(
                html + "{% if y or z or x %}{% endif %}",
                new
                {
                    x = "k",
                    y = false,
                    z = new[] { 1, 2 },
                }
            )
        );

    /// <summary>
    /// WHATWG HTML, 13.2.5: where a tag begins, an end tag that is none, comments and text alone. A browser finds a link in each.
    /// </summary>
    [Theory]
    [InlineData("<<a href=\"{{ x }}\">")]
    [InlineData("5 <<a href='{{ x }}'>")]
    [InlineData("</ <p title=\"><a href='{{ x }}'>")]
    [InlineData("<? <p title=\"><a href='{{ x }}'>")]
    [InlineData("<!--> <a href='{{ x }}'>")]
    [InlineData("<!-- <p title=\" --><a href='{{ x }}'>")]
    [InlineData("<!-- ><p title=\" --!><a href='{{ x }}'>")]
    [InlineData("<title><p title=\"</title><a href='{{ x }}'>")]
    [InlineData("<textarea><p title=\"</textarea><a href='{{ x }}'>")]
    public void A_link_is_judged_where_a_browser_finds_one(string html) =>
        Assert.Contains(
            "leads to neither https",
            Liquids.Try(Liquids.Html(html), Channel.Email, new { x = "javascript:alert(1)" }).Fault!.Message,
            StringComparison.Ordinal
        );

    /// <summary>Captured text is decoded once, checked as a value of the attribute, and encoded there.</summary>
    [Theory]
    [InlineData("javascript&#58;alert(1)", null)]
    [InlineData("java&#115;cript:alert(1)", null)]
    [InlineData("javascript&colon;alert(1)", "javascript&amp;colon;alert(1)")]
    [InlineData("\" onclick=\"alert(1)", "&quot; onclick=&quot;alert(1)")]
    [InlineData("https://example.com/?a=1&amp;b=2", "https://example.com/?a=1&amp;b=2")]
    public void Captured_text_in_an_attribute_is_decoded_and_encoded_once(string captured, string? expected)
    {
        var rendering = Liquids.Try(Liquids.Html($"{{% capture c %}}{captured}{{% endcapture %}}<a href=\"{{{{ c }}}}\">"), Channel.Email);
        Assert.Equal(expected is null ? null : $"<a href=\"{expected}\">", rendering.Content?.Html);
        if (expected is null)
            Assert.Contains("leads to neither https", rendering.Fault!.Message, StringComparison.Ordinal);
    }
}
