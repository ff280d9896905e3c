namespace Notify.Tests.Templates;

using System.Diagnostics;
using System.Net;
using System.Text.Json;
using Notify.Domain.Channels;
using Notify.Domain.Templates;

/// <summary>Parameters and templates that want more than to be a message: none gets it.</summary>
public sealed class HostileCorpus
{
    private static readonly string[] Payloads =
    [
        "<script>alert(1)</script>",
        "<SCRIPT SRC=//x.example/x.js></SCRIPT>",
        "<img src=x onerror=alert(1)>",
        "<svg/onload=alert(1)>",
        "<svg><script>alert(1)</script></svg>",
        "\"><script>alert(1)</script>",
        "'><script>alert(1)</script>",
        "\" onmouseover=\"alert(1)",
        "' onmouseover='alert(1)",
        "`onmouseover=alert(1)",
        "</p><script>alert(1)</script>",
        "</title><script>alert(1)</script>",
        "</style><script>alert(1)</script>",
        "</textarea><script>",
        "--><script>alert(1)</script>",
        "<!--",
        "]]><script>",
        "<![CDATA[<script>",
        "<?php echo 1 ?>",
        "<% 1 %>",
        "<iframe src=\"javascript:alert(1)\">",
        "<object data=x>",
        "<embed src=x>",
        "<form action=//x.example><input type=submit>",
        "<base href=//x.example/>",
        "<link rel=stylesheet href=//x.example>",
        "<meta http-equiv=refresh content=\"0;url=//x.example\">",
        "<math><mi xlink:href=\"javascript:alert(1)\">",
        "<a href=\"jAvAsCrIpT:alert(1)\">x</a>",
        "<style>@import '//x.example';</style>",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "&#60;script&#62;",
        "&#x3c;script&#x3e;",
        "&quot;onclick=alert(1)&quot;",
        "\u003cscript\u003e",
        "＜script＞",
        "<scr\u0000ipt>",
        "<scr\tipt>",
        "<\u200bscript>",
        "%3Cscript%3E",
        "{{ 7 | times: 7 }}",
        "{% for i in (1..9) %}x{% endfor %}",
        "{% raw %}{{ x }}{% endraw %}",
        "{{ x | raw }}",
        "{{{ x }}}",
        "${7*7}",
        "#{7*7}",
        "<%= 7*7 %>",
        "{{constructor}}",
        "{% include '/etc/passwd' %}",
        "{% endraw %}{% endif %}",
        "x\r\nBcc: victim@mail.example",
        "x\nSubject: other",
        "x\r\n\r\n<html>",
        "x%0d%0aBcc: y",
        "x\u2028Bcc: y",
        "x\u0085Bcc: y",
        "x\vBcc: y",
        "\r\n.\r\nMAIL FROM:<x>",
        "\u202Egnp.exe",
        "a\u202Bb\u202Dc",
        "\u2066x\u2069",
        "abc\u202E",
        "\u200F\u200E",
        "\uFEFFx",
        "x\u0007\u001b[31m",
        "\u0001\u0002",
        "\ud83d\ude00😀",
        "e\u0301",
        "ﷺ",
        "İıſK",
        "\U000E0041",
        "A\u0300\u0300\u0300\u0300",
        "'; drop table users; --",
        "' or '1'='1",
        "../../../etc/passwd",
        "..\\..\\x",
        "file:///etc/passwd",
        "$(id)",
        "`id`",
        "| id",
        "; id",
        "%s%n%x",
        "=cmd|' /C calc'!A0",
        "+1",
        "@x",
        "NaN",
        "null",
        "true",
        "[]",
        "{}",
        "\\",
        "\\u003c",
        "\"",
        "'",
        "&",
        "<",
        ">",
        "",
    ];

    private static readonly string[] FilterCalls =
    [
        "append: x",
        "prepend: x",
        "capitalize",
        "compact",
        "concat: list",
        "date: x",
        "default: x",
        "downcase",
        "escape",
        "escape_once",
        "first",
        "join: x",
        "last",
        "lstrip",
        "map: x",
        "newline_to_br",
        "remove: 'b'",
        "replace: 'a', x",
        "replace_first: 'a', x",
        "replace_last: 'a', x",
        "reverse",
        "rstrip",
        "size",
        "slice: 0, 9",
        "sort",
        "sort_natural",
        "split: 'a'",
        "strip",
        "strip_html",
        "strip_newlines",
        "truncate: 9, x",
        "truncatewords: 2, x",
        "uniq",
        "upcase",
        "url_decode",
        "url_encode",
        "where: x",
        "find: x",
        "reject: x",
        "sum",
        "abs",
        "plus: x",
        "times: x",
        "round",
        "ceil",
        "floor",
        "at_least: 1",
        "escape | url_decode",
        "escape | replace: '&lt;', '<'",
        "url_encode | url_decode",
        "newline_to_br | replace: 'lt;', '<'",
        "escape | append: x",
        "split: '' | join: ''",
        "strip_html | append: x",
        "escape_once | escape_once | downcase",
        "newline_to_br | newline_to_br",
        "time_zone: x",
    ];

    public static TheoryData<string> Values => [.. Payloads];

    [Theory]
    [MemberData(nameof(Values), DisableDiscoveryEnumeration = true)]
    public void A_value_is_text_and_nothing_else(string value)
    {
        var clean = TemplateParams.Clean(value);
        Assert.All(
            clean,
            c =>
                Assert.False(
                    (char.IsControl(c) && c is not ('\r' or '\n' or '\t'))
                        || c is (>= '\u202A' and <= '\u202E') or (>= '\u2066' and <= '\u2069')
                )
        );

        // In HTML: between tags, in attributes, in loops, captured, through a layout.
        foreach (
            var (before, write, after) in new[]
            {
                ("<p>", "{{ x }}", "</p>"),
                ("<p title=\"", "{{ x }}", "\">"),
                ("<p title='", "{{ x }}", "'>"),
                ("<a href=\"https://example.com/?q=", "{{ x }}", "\">"),
                ("<textarea>", "{{ x }}", "</textarea>"),
                ("<!-- ", "{{ x }}", " -->"),
                ("<p>", "{% capture c %}{{ x }}{% endcapture %}{{ c }}", "</p>"),
                ("<p>", "{% assign c = x %}{{ c }}", "</p>"),
                ("<p>", "{% for i in list %}{{ i }}{% endfor %}", "</p>"),
                ("<p>", "{{ o.k }}", "</p>"),
                ("<p>", "{{ x | append: '' }}", "</p>"),
                ("<p>", "{% cycle x, 'even' %}", "</p>"),
            }
        )
        {
            var page = Liquids.Page(
                $"{{% if x or list or o %}}.{{% endif %}}{before}{write}{after}",
                new
                {
                    x = value,
                    list = new[] { value },
                    o = new { k = value },
                }
            );
            Assert.StartsWith($".{before}", page, StringComparison.Ordinal);
            Assert.EndsWith(after, page, StringComparison.Ordinal);
            var inside = page[(before.Length + 1)..^after.Length];
            Assert.DoesNotContain(inside, c => c is '<' or '>' or '"' or '\'');
            Assert.Equal(clean, WebUtility.HtmlDecode(inside));
        }

        // As text it stays as it is; a subject is one line.
        Assert.Equal($"[{clean}]", Liquids.Text("[{{ x }}]", new { x = value }));
        var subject = Liquids.Rendered(Liquids.Html("<p>", "s {{ x }}"), Channel.Email, new { x = value }).Title!;
        Assert.DoesNotContain(subject, c => char.IsControl(c) || c is '\u2028' or '\u2029');
    }

    [Theory]
    [MemberData(nameof(Values), DisableDiscoveryEnumeration = true)]
    public void No_filter_lets_a_value_out(string value)
    {
        foreach (var filter in FilterCalls)
        {
            var rendering = Liquids.Try(
                Liquids.Html($"<p>{{{{ x | {filter} }}}}</p>{{{{ list | {filter} }}}}<i>{{{{ list }}}}</i>"),
                Channel.Email,
                new { x = value, list = new[] { value, value } }
            );
            if (rendering.Fault is not null)
                continue; // refused: nothing came out
            var page = rendering.Content!.Html!.Replace("<br />", "", StringComparison.Ordinal);
            Assert.True(
                page.Count(c => c == '<') == 4
                    && page.Count(c => c == '>') == 4
                    && !page.Contains('"', StringComparison.Ordinal)
                    && !page.Contains('\'', StringComparison.Ordinal),
                $"{filter}: {page}"
            );
        }
    }

    [Theory]
    [InlineData("{{ x | map: 'sku' }}", "[1, 2]")]
    [InlineData("{{ x['id'] }}", "5")]
    [InlineData("{{ x | modulo }}", "5")]
    public void Unsuitable_value_is_a_fault_and_no_exception(string text, string value)
    {
        var fault = Liquids.Try(Liquids.Sms(text), Channel.Sms, new { x = JsonDocument.Parse(value).RootElement }).Fault;
        Assert.True(fault is { Field: "channels.sms.text", IsBudget: false }, fault?.Detail);
    }

    [Fact]
    public void Filter_with_any_arguments_yields_a_message_or_a_fault()
    {
        var names = FilterCalls
            .Select(f => f.Split(':', ' ')[0])
            .Concat(["at_most", "divided_by", "has", "minus", "modulo", "remove_first", "remove_last"])
            .Distinct()
            .ToList();
        var values = JsonDocument
            .Parse("""[1, -0.5, "x", "", true, null, [], [1, "a", null], [[1], { "a": 1 }], { "a": [1] }, 79228162514264337593543950335]""")
            .RootElement;
        var texts = names
            .SelectMany(f => new[] { $"{{{{ x | {f} }}}}", $"{{{{ x | {f}: y }}}}", $"{{{{ x | {f}: y, y, y }}}}" })
            .Concat([
                "{% if x > y %}1{% endif %}",
                "{% if x contains y %}1{% endif %}",
                "{% for i in x limit: y offset: y %}1{% endfor %}",
                "{% for i in (x..y) %}1{% endfor %}",
                "{{ x[y] }}",
                "{{ x.a.first.size }}",
                "{% case x %}{% when y %}1{% endcase %}",
            ])
            .Select(t => Liquids.Compile(Liquids.Sms(t + "{% if x or y %}{% endif %}")).Template!);
        foreach (var template in texts)
        foreach (var x in values.EnumerateArray())
        foreach (var y in values.EnumerateArray())
        {
            var rendering = template.Render(Channel.Sms, null, Liquids.Json(new { x, y }), [], Liquids.Noon);
            Assert.True(rendering.Content is null != rendering.Fault is null);
        }
    }

    [Fact]
    public void The_filters_that_are_tried_do_render()
    {
        var failed = FilterCalls.Where(f =>
            Liquids
                .Try(Liquids.Html($"<p>{{{{ x | {f} }}}}{{{{ list | {f} }}}}"), Channel.Email, new { x = "2", list = new[] { "2" } })
                .Fault
                is not null
        );
        Assert.Empty(failed);
    }

    [Theory]
    [InlineData("javascript:alert(1)")]
    [InlineData(" JavaScript:alert(1)")]
    [InlineData("java\nscript:alert(1)")]
    [InlineData("java\tscript:alert(1)")]
    [InlineData("\u0001javascript:alert(1)")]
    [InlineData("data:text/html,<script>alert(1)</script>")]
    [InlineData("vbscript:x")]
    [InlineData("file:///etc/passwd")]
    [InlineData("x:y")]
    public void A_link_leads_to_no_code(string link)
    {
        foreach (
            var html in new[]
            {
                "<a href=\"{{ x }}\">",
                "<a HREF = '{{ x }}'>",
                "<img src=\"{{ x }}\">",
                "<a href=\"{% if x %}{{ x }}{% endif %}\">",
                "<a href=\"{% if y %}https://a/{% endif %}{{ x }}\">",
                "{% capture c %}{{ x }}{% endcapture %}<a href=\"{{ c }}\">",
                "<a href=\"{{ x | escape }}\">",
                "<a href=\"{% for i in list %}{{ i }}{% endfor %}\">",
            }
        )
        {
            var fault = Liquids
                .Try(
                    Liquids.Html($"{html}{{% if y or list %}}{{% endif %}}"),
                    Channel.Email,
                    new
                    {
                        x = link,
                        y = false,
                        list = new[] { link },
                    }
                )
                .Fault;
            Assert.Contains("leads to neither https", fault?.Message ?? "no fault", StringComparison.Ordinal);
        }

        Assert.NotNull(
            Liquids.Try(Liquids.Html("<a href=\"{{ x }}{{ y }}\">"), Channel.Email, new { x = "javascript", y = ":alert(1)" }).Fault
        );
        Assert.Null(
            Liquids.Try(Liquids.Html("<a href=\"{{ x }}\">{{ x }}</a>"), Channel.Email, new { x = "https://example.com/?a=1&b=\"" }).Fault
        );
    }

    [Theory]
    [InlineData("<a href=\"{{ x }}://{{ y }}/\">", 17)]
    [InlineData("<a href=\"{{ x }}:{{ y }}\">", 17)]
    [InlineData("<a href='{{ x }}  :{{ y }}'>", 19)]
    [InlineData("<a href=\"{{ x }}&#58;{{ y }}\">", 18)]
    [InlineData("<a href=\"java{{ x }}:{{ y }}\">", 21)]
    [InlineData("<a href=\"{{ x -}}   :{{ y }}\">", 21)]
    [InlineData("<a href=\"{% if y %}{{ x }}{% endif %}:y\">", 38)]
    [InlineData("<a href=\"{% if y %}https{% else %}{{ x }}{% endif %}://{{ y }}\">", 53)]
    [InlineData("<a href=\"{{ x }}{% if y %}/{% endif %}:y\">", 39)]
    [InlineData("<a href=\"{% for i in y %}{% if forloop.last %}:{% endif %}{{ x }}{% endfor %}\">", 47)]
    [InlineData("<a href=\"{% cycle x, y %}:y\">", 26)]
    [InlineData("<a href=\"{% case y %}{% when 1 %}https{% when 2 %}{{ x }}{% endcase %}:y\">", 71)]
    public void A_value_is_no_scheme(string html, int column)
    {
        var fault = Liquids.Fault(Liquids.Html(html));
        Assert.Equal(("channels.email.html", 1, column), (fault.Field, fault.Line, fault.Column));
        Assert.Contains("makes a scheme of it", fault.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("<a href=\"https://{{ x }}:{{ y }}/\">")]
    [InlineData("<a href=\"{{ x }}?at=1:2\">")]
    [InlineData("<a href=\"{{ x }}&amp;a=b#c:d\">")]
    [InlineData("<a href=\"{{ x }}{% if y %}?at=1:2{% endif %}\">")]
    [InlineData("<a href=\"{% if x %}{{ x }}{% else %}https://example.com{% endif %}\">")]
    [InlineData("<a href=\"{% unless x %}{{ x }}{% else %}mailto:{{ y }}{% endunless %}\">")]
    [InlineData("<a href=\"{% case x %}{% when 1 %}{{ x }}{% else %}https://example.com:80/{% endcase %}\">")]
    [InlineData("<a href=\"{% if x %}https://{% else %}http://{% endif %}{{ y }}:80/\">")]
    [InlineData("{% for i in y %}<a href=\"https://example.com/{{ x }}\">{% endfor %}")]
    [InlineData("<p title=\"{{ x }}: {{ y }}\">{{ x }}: {{ y }}</p>")]
    public void A_colon_that_makes_no_scheme_of_a_value_is_a_colon(string html) => Assert.Empty(Liquids.Compile(Liquids.Html(html)).Faults);

    [Theory]
    [InlineData("red", true)]
    [InlineData("#ff0000", true)]
    [InlineData("red; background: url(//x.example)", false)]
    [InlineData("expression(alert(1))", false)]
    public void A_style_takes_plain_words(string value, bool isTaken) =>
        Assert.Equal(isTaken, Liquids.Try(Liquids.Html("<p style=\"color: {{ x }}\">"), Channel.Email, new { x = value }).Fault is null);

    [Theory]
    [InlineData("{% for i in (1..1000000000) %}x{% endfor %}")]
    [InlineData("{% for i in (1..n) %}x{% endfor %}")]
    [InlineData("{% for i in (1..9999) %}{% for j in (1..9999) %}{% endfor %}{% endfor %}")]
    [InlineData("{% for i in (1..999) %}{% for j in (1..999) %}{% for k in (1..999) %}{{ k }}{% endfor %}{% endfor %}{% endfor %}")]
    [InlineData("{% assign s = 'aaaaaaaaaa' %}{% for i in (1..60) %}{% assign s = s | append: s %}{% endfor %}{{ s | size }}")]
    [InlineData("{% assign s = 'a' %}{% for i in (1..60) %}{% assign s = s | replace: 'a', 'aaaaaaaaaa' %}{% endfor %}")]
    [InlineData("{% capture s %}aaaaaaaaaa{% endcapture %}{% for i in (1..60) %}{% capture s %}{{ s }}{{ s }}{% endcapture %}{% endfor %}")]
    [InlineData(
        "{% assign s = 'aaaaaaaaaa' %}{% for i in (1..60) %}{% assign s = s | prepend: s | upcase | replace: 'A', 'bb' %}{% endfor %}"
    )]
    [InlineData("{% assign l = 'a,b' | split: ',' %}{% for i in (1..60) %}{% assign l = l | concat: l %}{% endfor %}{{ l | size }}")]
    [InlineData(
        "{% assign l = 'a,b' | split: ',' %}{% for i in (1..12) %}{% assign l = l | concat: l %}{% endfor %}{% for i in "
            + "(1..999) %}{{ l | join: 'aaaaaaaaaaaaaaaaaaaaaaaaa' | size }}{% endfor %}"
    )]
    [InlineData(
        "{% for i in (1..9999) %}{{ 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' | append: "
            + "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' }}{% endfor %}"
    )]
    [InlineData(
        "{% for i in (1..9999) %}{% assign l = '' | split: '' %}{% if s contains 'aab' %}{% endif %}{% assign s = s | append: "
            + "'aaaaaaaaaaaaaaaaaaa' %}{% endfor %}"
    )]
    [InlineData("{{ (1..10000000) | join: ',' }}")]
    [InlineData("{{ (0..99999999999999999999) | size }}")]
    [InlineData("{{ 'now' | date: '%99999999d' }}")]
    [InlineData("{{ 10 | times: 99999999999999999999 | times: 99999999999999999999 }}")]
    [InlineData("{{ 1 | divided_by: 0 }}")]
    [InlineData("{{ 1.5 | round: 99999999999 }}")]
    [InlineData("{{ 'a' | slice: 'x', 'y' }}")]
    [InlineData("{{ 'x' | replace: '', 'y' }}")]
    [InlineData("{{ 'x' | time_zone: '../../etc/passwd' | date: '%Y' }}")]
    public void Template_without_bound_ends_with_a_clear_fault(string text)
    {
        var began = Stopwatch.GetTimestamp();
        var template = Liquids.Compile(Liquids.Sms(text + "{% if n or s %}{% endif %}")).Template!;
        var rendering = template.Render(Channel.Sms, null, Liquids.Json(new { n = 2_000_000_000, s = "x" }), [], Liquids.Noon);

        Assert.True(rendering.Fault is not null, $"it became {rendering.Content?.Body?.Length} characters: {rendering.Content?.Body}");
        Assert.Equal("channels.sms.text", rendering.Fault.Field);
        TestContext.Current.TestOutputHelper?.WriteLine(rendering.Fault.Detail);
        Assert.True(
            rendering.Fault.Line == 1 || rendering.Fault.Message.Contains("empty", StringComparison.Ordinal),
            rendering.Fault.Detail
        );
        Assert.True(Stopwatch.GetElapsedTime(began) < TimeSpan.FromSeconds(30), $"took {Stopwatch.GetElapsedTime(began)}");
    }

    [Theory]
    [InlineData("{% case s %}{% when ", "n,", 20_000, "n %}{% endcase %}")]
    [InlineData("{% if z %}", "{% elsif z %}", 9_000, "{% endif %}")]
    [InlineData("{{ s | default: ", "'',", 20_000, "'' }}")]
    [InlineData("{% if ", "(", 19, "1..1)..1)..1)..1)..1)..1)..1)..1)..1)..1)..1)..1)..1)..1)..1)..1)..1)..1)..1) %}{% endif %}")]
    public void Repeated_work_of_one_tag_is_counted_each_time(string begin, string part, int times, string end)
    {
        var began = Stopwatch.GetTimestamp();
        var text = $"{{% for i in (1..9999) %}}{begin}{string.Concat(Enumerable.Repeat(part, times))}{end}{{% endfor %}}";
        var fault = Liquids
            .Try(
                Liquids.Sms(text),
                Channel.Sms,
                new
                {
                    n = "y",
                    s = "x",
                    z = false,
                }
            )
            .Fault;

        Assert.True(
            fault is { IsBudget: true, Line: 1 } || (part == "(" && fault?.Message == "becomes empty with these parameters"),
            fault?.Detail
        );
        Assert.True(Stopwatch.GetElapsedTime(began) < TimeSpan.FromSeconds(30), $"took {Stopwatch.GetElapsedTime(began)}");
    }

    [Theory]
    [InlineData("{% if true %}", 20_000)]
    [InlineData("{% for i in x %}", 20_000)]
    [InlineData("{% capture a %}", 20_000)]
    [InlineData("{{ a[", 20_000)]
    [InlineData("{{ (", 20_000)]
    [InlineData("{{ a | append: a", 10_000)]
    [InlineData("{% if a", 10_000)]
    [InlineData("<", 200_000)]
    [InlineData("{", 200_000)]
    [InlineData("{%", 100_000)]
    [InlineData("{% raw %}", 20_000)]
    [InlineData("{% comment %}", 18_000)]
    public void Deeply_nested_template_is_rejected_or_parsed_quickly(string text, int times)
    {
        var began = Stopwatch.GetTimestamp();
        var source = text switch
        {
            "{{ a[" => "{{ a" + string.Concat(Enumerable.Repeat("[a", times)) + " }}",
            "{{ (" => "{{ " + new string('(', times) + " }}",
            "{{ a | append: a" => "{{ a" + string.Concat(Enumerable.Repeat(" | append: a", times)) + " }}",
            "{% if a" => "{% if a" + string.Concat(Enumerable.Repeat(" or a", times)) + " %}{% endif %}",
            _ => string.Concat(Enumerable.Repeat(text, times)),
        };
        var (template, faults) = Liquids.Compile(Liquids.Html(source));

        Assert.True(template is not null || faults.Count > 0);
        Assert.True(Stopwatch.GetElapsedTime(began) < TimeSpan.FromSeconds(30), $"took {Stopwatch.GetElapsedTime(began)}");
    }

    [Theory]
    [InlineData(1601, "sms")]
    [InlineData(4097, "push")]
    public void A_message_has_a_size(int length, string channel)
    {
        var x = new string('x', length);
        var fault = (
            channel == "sms"
                ? Liquids.Try(Liquids.Sms("{{ x }}"), Channel.Sms, new { x })
                : Liquids.Try(new ChannelTemplates(Push: new PushTemplate(Body: "{{ x }}")), Channel.Push, new { x })
        ).Fault;
        Assert.Contains("becomes longer than", fault!.Message, StringComparison.Ordinal);
    }
}
