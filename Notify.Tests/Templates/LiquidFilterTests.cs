namespace Notify.Tests.Templates;

using NodaTime;
using Notify.Domain.Channels;
using Notify.Domain.Templates;

/// <summary>
/// Each filter, by the examples of Shopify's Liquid reference (shopify.github.io/liquid/filters) and, where it is silent, by what its
/// own implementation does (lib/liquid/standardfilters.rb).
/// </summary>
public sealed class LiquidFilterTests
{
    [Theory]
    [InlineData("{{ -17 | abs }} {{ 4 | abs }} {{ '-19.86' | abs }} {{ 'x' | abs }}", "17 4 19.86 0")]
    [InlineData(
        "{{ 4 | at_least: 5 }} {{ 4 | at_least: 3 }} {{ 4 | at_most: 5 }} {{ 4 | at_most: 3 }} {{ '4.5' | at_most: 9 }}",
        "5 4 4 3 4.5"
    )]
    [InlineData("{{ 1.2 | ceil }} {{ 2.0 | ceil }} {{ 183.357 | ceil }} {{ '3.4' | ceil }} {{ -1.5 | ceil }}", "2 2 184 4 -1")]
    [InlineData("{{ 1.2 | floor }} {{ 2.0 | floor }} {{ 183.357 | floor }} {{ '3.4' | floor }} {{ -1.5 | floor }}", "1 2 183 3 -2")]
    [InlineData(
        "{{ 16 | divided_by: 4 }} {{ 5 | divided_by: 3 }} {{ 20 | divided_by: 7 }} {{ 20 | divided_by: 7.0 }} {{ -7 | "
            + "divided_by: 2 }} {{ 7 | divided_by: -2 }}",
        "4 1 2 2.857142857142857 -4 -4"
    )]
    [InlineData("{{ 4 | minus: 2 }} {{ 183.357 | minus: 12 }} {{ 5 | minus: 5.0 }} {{ '7 days' | minus: 2 }}", "2 171.357 0.0 5")]
    [InlineData(
        "{{ 3 | modulo: 2 }} {{ 24 | modulo: 7 }} {{ 183.357 | modulo: 12 }} {{ -3 | modulo: 2 }} {{ 3 | modulo: -2 }}"
            + " {{ -7.5 | modulo: 2 }} {{ 4 | modulo: 2.0 }}",
        "1 3 3.357 1 -1 0.5 0.0"
    )]
    [InlineData(
        "{{ 4 | plus: 2 }} {{ 183.357 | plus: 12 }} {{ 0.1 | plus: 0.2 }} {{ '12abc' | plus: 1 }} {{ nothing | plus: 1 }}"
            + " {{ '1e3' | plus: 1 }}",
        "6 195.357 0.3 13 1 2"
    )]
    [InlineData(
        "{{ 1.2 | round }} {{ 2.7 | round }} {{ 183.357 | round: 2 }} {{ 2.5 | round }} {{ 0.5 | round }} {{ -2.5 | round }}"
            + " {{ 1.005 | round: 2 }}",
        "1 3 183.36 3 1 -3 1.01"
    )]
    [InlineData(
        "{{ 15 | round: -1 }} {{ 25 | round: -1 }} {{ 4 | round: 2 }} {{ 4.0 | round: 2 }} {{ 1234.5 | round: -2 }}"
            + " {{ '2.345' | round: 2 }}",
        "20 30 4 4.0 1200.0 2.35"
    )]
    [InlineData(
        "{{ 3 | times: 2 }} {{ 24 | times: 7 }} {{ 183.357 | times: 12 }} {{ 24 | times: 7.0 }} {{ 1.50 | times: 2 }}",
        "6 168 2200.284 168.0 3.0"
    )]
    [InlineData(
        "{{ 1 | divided_by: 3.0 }} {{ -0.5 | divided_by: -3 }} {{ 1.50 }} {{ 0.10 }}",
        "0.3333333333333333 0.16666666666666666 1.5 0.1"
    )]
    [InlineData("{{ 1 | plus: 9007199254740993 }} {{ 1000000000000001 | minus: 1000000000000002 }}", "9007199254740994 -1")]
    [InlineData("{% for i in (1..2.9) %}{{ i }}{% endfor %}", "12")]
    [InlineData("{% increment c %}{% increment c %}{% decrement c %}{{ c }}", "0111")]
    [InlineData("{% assign c = 7 %}{% increment c %}{{ c }}", "07")]
    [InlineData("{% for i in (1..3) %}{% cycle 'g': 'a', 'b' %}{% cycle 'g': 'c', 'd' %}{% endfor %}", "adadad")]
    public void Numbers_are_those_of_Liquid(string text, string expected) => Assert.Equal(expected, Text(text));

    [Theory]
    [InlineData("{{ '/my/fancy/url' | append: '.html' }} {{ 'apples' | prepend: 'Some ' }}", "/my/fancy/url.html Some apples")]
    [InlineData("{{ 'title' | capitalize }} {{ 'my GREAT title' | capitalize }} {{ 'éCOLE' | capitalize }}", "Title My great title École")]
    [InlineData("{{ 'Parker Moore' | upcase }} {{ 'Parker Moore' | downcase }}", "PARKER MOORE parker moore")]
    [InlineData("[{{ '  So much \n' | strip }}] [{{ '  So' | lstrip }}] [{{ 'So  ' | rstrip }}]", "[So much] [So] [So]")]
    [InlineData("[{{ ' \u00A0x\u3000 ' | strip }}]", "[\u00A0x\u3000]")]
    [InlineData("{{ 'a\r\nb\nc' | strip_newlines }}", "abc")]
    [InlineData("{{ 'Have <em>you</em> read <strong>Ulysses</strong>?' | strip_html }}", "Have you read Ulysses?")]
    [InlineData("{{ '<script>x</script>a<!-- b > c -->d<style>e</style> 5 < 6' | strip_html }}", "ad 5 < 6")]
    [InlineData("{{ 'I strained to see the train through the rain' | remove: 'rain' }}", "I sted to see the t through the ")]
    [InlineData(
        "{{ 'the rain, the train' | remove_first: 'rain' }}|{{ 'the rain, the train' | remove_last: 'rain' }}",
        "the , the train|the rain, the t"
    )]
    [InlineData(
        "{{ 'my my my' | replace: 'my', 'your' }}|{{ 'my my' | replace_first: 'my', 'your' }}|{{ 'my my' | "
            + "replace_last: 'my', 'your' }}",
        "your your your|your my|my your"
    )]
    [InlineData(
        "{{ 'Liquid' | slice: 0 }} {{ 'Liquid' | slice: 2 }} {{ 'Liquid' | slice: 2, 5 }} {{ 'Liquid' | "
            + "slice: -3, 2 }}[{{ 'Liquid' | slice: 9 }}]",
        "L q quid ui[]"
    )]
    [InlineData(
        "{{ 'John, Paul, George, Ringo' | split: ', ' | slice: 1, 2 | join }} {{ 'a b c d e' | split: ' ' | slice: 2, 4 | join }}",
        "Paul George c d e"
    )]
    [InlineData(
        "{{ 'a,b,,c,,' | split: ',' | join: '|' }} {{ '  a  b ' | split: ' ' | join: '|' }} {{ ',,' | split: ',' | size }}",
        "a|b||c a|b 0"
    )]
    [InlineData(
        "{{ 'Ground control to Major Tom.' | truncate: 20 }}|{{ 'Ground control to Major Tom.' | "
            + "truncate: 25, ', and so on' }}|{{ 'Ground control to Major Tom.' | truncate: 20, '' }}",
        "Ground control to...|Ground control, and so on|Ground control to Ma"
    )]
    [InlineData(
        "{{ 'Ground control to Major Tom.' | truncatewords: 3 }}|{{ 'a b c' | truncatewords: 3 }}|{{ ' a  b c' | "
            + "truncatewords: 2, '--' }}|{{ 'a  b' | truncatewords: 2 }}",
        "Ground control to...|a b c|a b--|a  b"
    )]
    [InlineData(
        "{{ 'john@liquid.com' | url_encode }} {{ 'Tetsuro Takara' | url_encode }} {{ \"a(b)*!'~-_.é\" | url_encode }}",
        "john%40liquid.com Tetsuro+Takara a%28b%29%2A%21%27~-_.%C3%A9"
    )]
    [InlineData("{{ '%27Stop%21%27+said+Fred' | url_decode }} {{ '%C3%A9' | url_decode }}", "'Stop!' said Fred é")]
    [InlineData("{{ 'Ground control to Major Tom.' | size }} {{ 'a b' | split: ' ' | size }} {{ nothing | size }}", "28 2 0")]
    [InlineData("{{ 'abc' | first }}{{ 'abc' | last }}[{{ '' | first }}]", "ac[]")]
    [InlineData(
        "{{ 'straße ﬁ ŉ \u0390' | upcase }} {{ '\u0130I' | downcase }} {{ 'ΟΔΟΣ' | downcase }}",
        "STRASSE FI ʼN \u0399\u0308\u0301 i\u0307i οδοσ"
    )]
    [InlineData("{{ 'ßA' | capitalize }} {{ 'ﬁX' | capitalize }} {{ 'ǆX' | capitalize }}", "Ssa Fix ǅx")]
    [InlineData(
        "{% assign a = 123 | truncate: 9 %}{% assign b = 123 | truncatewords %}{% assign c = 123 | remove_first: 'x' %}{% assign d = 123 | "
            + "replace_last: 'x', 'y' %}{{ a.size }}{{ b.size }}{{ c.size }}{{ d.size }}[{{ nothing | truncate: 0 }}]",
        "3333[]"
    )]
    [InlineData("{{ '+1 \"a\" <b> & 😀' | escape }} {{ \"'\" | escape }}", "+1 &quot;a&quot; &lt;b&gt; &amp; 😀 &#39;")]
    [InlineData("{{ '&lt; &copy; &#39; & <' | escape_once }}", "&lt; &copy; &#39; &amp; &lt;")]
    public void Texts_are_those_of_Liquid(string text, string expected) => Assert.Equal(expected, Text(text));

    /// <summary>Ruby counts a text by the characters of Unicode; an emoji takes two of UTF-16.</summary>
    [Theory]
    [InlineData("{{ '😀😀😀' | truncate: 2, '' }}|{{ '😀😀😀' | truncate: 3 }}|{{ '😀😀😀😀😀' | truncate: 4 }}", "😀😀|😀😀😀|😀...")]
    [InlineData("{{ '😀b😁' | slice: 1 }} {{ '😀b😁' | slice: -1 }} {{ '😀b😁' | slice: 0, 2 }}", "b 😁 😀b")]
    [InlineData("{{ 'a😀b' | split: '' | join: '-' }} {{ '😀😁' | split: '' | size }}", "a-😀-b 2")]
    [InlineData("{{ 'a😀' | size }} {% assign x = '😀😁' %}{{ x.size }} {{ x.first }} {{ x | first }} {{ x | last }}", "2 2 😀 😀 😁")]
    [InlineData("{% assign x = '😀,\uFFE5' | split: ',' | sort %}{{ x[0] }}", "\uFFE5")]
    [InlineData("{{ '𐐨x' | capitalize }}", "𐐀x")]
    public void A_character_is_never_cut(string text, string expected) => Assert.Equal(expected, Text(text));

    [Theory]
    [InlineData("{{ a | compact | join }} {{ pages | compact: 'category' | map: 'category' | join }}", "1 2 b a")]
    [InlineData("{{ 'a b' | split: ' ' | concat: more | join }}", "a b c d")]
    [InlineData(
        "{{ '' | default: 1 }} {{ false | default: 2 }} {{ nothing | default: 3 }} {{ false | default: 4, allow_false: true }}"
            + " {{ empties | default: 5 }} {{ 0 | default: 6 }}",
        "1 2 3 false 5 0"
    )]
    [InlineData(
        "{% assign p = pages | find: 'category', 'a' %}{{ p.n }} {% assign q = pages | find: 'category' %}{{ q.n }} {{ pages | "
            + "has: 'category', 'z' }} {{ pages | has: 'category' }}",
        "3 1 false true"
    )]
    [InlineData(
        "{{ more | first }} {{ more | last }} {{ more.first }} {{ more | join }} {{ more | join: ', ' }} {{ nested | join: '-' }}",
        "c d c c d c, d 1-2-3"
    )]
    [InlineData("{{ pages | map: 'category' | join: '-' }} {{ more | reverse | join }} {{ 'abc' | reverse }}", "b--a d c abc")]
    [InlineData(
        "{{ pages | where: 'category' | map: 'n' | join }} {{ pages | where: 'n', 2 | map: 'n' | join }} {{ pages | "
            + "reject: 'category' | map: 'n' | join }} {{ pages | reject: 'n', 2 | map: 'n' | join }}",
        "1 3 2 2 1 3"
    )]
    [InlineData("{{ 'zebra, octopus, giraffe, Sally Snake' | split: ', ' | sort | join }}", "Sally Snake giraffe octopus zebra")]
    [InlineData("{{ 'zebra, octopus, giraffe, Sally Snake' | split: ', ' | sort_natural | join }}", "giraffe octopus Sally Snake zebra")]
    [InlineData(
        "{{ numbers | sort | join }} {{ prices | sort: 'price' | map: 'price' | join }} {{ pages | sort: 'category' | "
            + "map: 'n' | join }}",
        "1 9 10 9 10 100 3 1 2"
    )]
    [InlineData("{{ numbers | sum }} {{ nested | sum }} {{ prices | sum: 'price' }} {{ 'x' | sum }}", "20 6 119 0")]
    [InlineData(
        "{{ 'ants, bugs, bees, bugs, ants' | split: ', ' | uniq | join }} {{ same | uniq: 'k' | map: 'n' | join }}",
        "ants bugs bees 1 3"
    )]
    [InlineData("{{ more[-1] }} {{ more[-2] }} {{ more[-3] }} {{ same[0] | first | join: '=' }}", "d c  n=1")]
    public void Lists_are_those_of_Liquid(string text, string expected) =>
        Assert.Equal(
            expected,
            Liquids.Text(
                text,
                new
                {
                    a = new object?[] { 1, null, 2 },
                    more = new[] { "c", "d" },
                    empties = Array.Empty<int>(),
                    nested = new object[] { 1, new object[] { 2, new[] { 3 } } },
                    numbers = new[] { 10, 9, 1 },
                    prices = new[] { new { price = 100 }, new { price = 9 }, new { price = 10 } },
                    pages = new object[] { new { n = 1, category = "b" }, new { n = 2 }, new { n = 3, category = "a" } },
                    same = new[] { new { n = 1, k = "x" }, new { n = 2, k = "x" }, new { n = 3, k = "y" } },
                }
            )
        );

    /// <summary>Ruby, Formats for Dates and Times: what <c>date</c> takes.</summary>
    [Theory]
    [InlineData(
        "{{ d | date: '%a, %b %d, %y' }} {{ d | date: '%Y' }} {{ 'March 14, 2016' | date: '%b %d, %y' }}",
        "Sun, Jan 03, 27 2027 Mar 14, 16"
    )]
    [InlineData("{{ d | date: '%A %B %e %-d %_m %j %C' }}", "Sunday January  3 3  1 003 20")]
    [InlineData("{{ d | date: '%H %k %I %l %-I %p %P %M %S %L %N %3N %6N' }}", "09  9 09  9 9 AM am 05 07 123 123456700 123 123456")]
    [InlineData("{{ d | date: '%G-W%V-%u %g %w %U %W' }}", "2026-W53-7 26 0 01 00")]
    [InlineData("{{ d | date: '%s %z %:z %Z %%%n%t|' }}", "1798967107 +0000 +00:00 UTC %\n\t|")]
    [InlineData(
        "{{ d | date: '%c|%D|%F|%T|%R|%r|%x|%X|%v' }}",
        "Sun Jan  3 09:05:07 2027|01/03/27|2027-01-03|09:05:07|09:05|09:05:07 AM|01/03/27|09:05:07| 3-JAN-2027"
    )]
    [InlineData(
        "{{ d | date: '%010Y %3% %8z %_8z %8:z %#Z %#c' }}",
        "0000002027   % +0000000     +000 +0000:00 utc Sun Jan  3 09:05:07 2027"
    )]
    [InlineData(
        "{{ -86400 | date: '%8s' }} {{ '04/05/2026' | date: '%F' }} {{ '13.05.2026' | date: '%F' }}",
        "-0086400 2026-05-04 2026-05-13"
    )]
    [InlineData("{{ d | date: '%^a %^B %#p %10Y %05d %_5d %Q' }}", "SUN JANUARY am 0000002027 00003     3 %Q")]
    [InlineData(
        "{{ 1152098955 | date: '%m/%d/%Y' }} {{ '1152098955' | date: '%m/%d/%Y' }} {{ d | date: '' | date: '%F' }}"
            + " {{ 'no date' | date: '%F' }} {{ 'NOW' | date: '%F' }}",
        "07/05/2006 07/05/2006 2027-01-03 no date 2026-05-04"
    )]
    public void Dates_are_those_of_Liquid(string text, string expected)
    {
        var definition = new TemplateDefinition(
            null,
            Liquids.Sms(text),
            Liquids.NoLocales,
            null,
            new Dictionary<string, ParameterRule> { ["d"] = new(false, ParameterType.Date) }
        );
        var rendering = CompiledTemplate
            .Compile(definition)
            .Template!.Render(Channel.Sms, null, Liquids.Json(new { d = "2027-01-03T09:05:07.1234567Z" }), [], Liquids.Noon);
        Assert.Equal((expected, null), (rendering.Content?.Body, rendering.Fault?.Message));
    }

    [Theory]
    [InlineData("{{ 'x' | slice: 'a' }}")]
    [InlineData("{{ 'x' | truncate: 1.5 }}")]
    [InlineData("{{ more | sort }}")]
    [InlineData("{{ more | concat: 'x' }}")]
    [InlineData("{{ more | map: 'x' }}")]
    [InlineData("{{ '%FF' | url_decode }}")]
    [InlineData("{{ 1 | divided_by: 0 }}")]
    [InlineData("{{ 1 | modulo: 0 }}")]
    public void Where_Liquid_has_an_error_there_is_a_fault(string text) =>
        Assert.NotNull(Liquids.Try(Liquids.Sms(text), Channel.Sms, new { more = new object[] { 1, "a" } }).Fault);

    /// <summary>Missing parts of a date are those of the template's own now, not of the machine's clock.</summary>
    [Theory]
    [InlineData("09:00", "2026-05-04 09:00")]
    [InlineData("5pm", "2026-05-04 17:00")]
    [InlineData("T10:30", "2026-05-04 10:30")]
    [InlineData("4 May", "2026-05-04 00:00")]
    [InlineData("June 7", "2026-06-07 00:00")]
    [InlineData("29 February", "29 February")]
    [InlineData("04/05/26", "04/05/26")]
    public void A_date_without_year_is_of_the_time_of_the_template(string date, string expected) =>
        Assert.Equal(expected, Liquids.Text("{{ d | date: '%F %R' }}", new { d = date }));

    /// <summary>RFC 8259, section 6: a number has no form of its own; Shopify shows the shortest.</summary>
    [Theory]
    [InlineData("9.90", "9.9")]
    [InlineData("1.00", "1.0")]
    [InlineData("1e2", "100")]
    [InlineData("9007199254740993", "9007199254740993")]
    public void A_number_is_shown_as_Liquid_shows_it(string json, string expected) =>
        Assert.Equal(
            expected,
            Liquids
                .Compile(Liquids.Sms("{{ x }}"))
                .Template!.Render(Channel.Sms, null, System.Text.Json.JsonElement.Parse($$"""{"x":{{json}}}"""), [], Liquids.Noon)
                .Content!.Body
        );

    [Theory]
    [InlineData("1e30")]
    [InlineData("[{\"a\":1e400}]")]
    public void A_number_that_cannot_be_counted_is_refused(string json) =>
        Assert.Contains(
            "28 digits",
            Assert
                .Single(
                    TemplateParams.Check(
                        new Dictionary<string, ParameterRule> { ["x"] = new(true, ParameterType.Any) },
                        System.Text.Json.JsonElement.Parse($$"""{"x":{{json}}}""")
                    )
                )
                .Fault,
            StringComparison.Ordinal
        );

    /// <summary>Quiet hours and templates read one database of time zones, independent of the machine's.</summary>
    [Fact]
    public void Every_time_zone_is_that_of_quiet_hours()
    {
        var template = Liquids.Compile(Liquids.Sms("{{ d | time_zone: zone | date: '%F %R %z' }}")).Template!;
        var wrong = new List<string>();
        foreach (var id in DateTimeZoneProviders.Tzdb.Ids)
        {
            for (var month = 1; month <= 24; month++)
            {
                var time = Instant.FromUtc(2026, 1, 15, 12, 0).InUtc().LocalDateTime.PlusMonths(month).InUtc().ToInstant();
                var text = template
                    .Render(Channel.Sms, null, Liquids.Json(new { d = time.ToUnixTimeSeconds(), zone = id }), [], Liquids.Noon)
                    .Content?.Body;
                var expected = time.InZone(DateTimeZoneProviders.Tzdb[id])
                    .ToDateTimeOffset()
                    .ToString("yyyy-MM-dd HH:mm zzz", System.Globalization.CultureInfo.InvariantCulture);
                if (text?.Replace(":", "", StringComparison.Ordinal) != expected.Replace(":", "", StringComparison.Ordinal))
                    wrong.Add($"{id} {month}: {text} is not {expected}");
            }
        }

        Assert.True(wrong.Count == 0, $"{wrong.Count}: {string.Join("; ", wrong.Take(5))}");
    }

    [Fact]
    public void A_time_zone_that_is_none_is_a_fault()
    {
        Assert.Contains(
            "not one of IANA's",
            Liquids.Try(Liquids.Sms("{{ 'now' | time_zone: 'Europe/Berlon' | date: '%R' }}"), Channel.Sms).Fault!.Message,
            StringComparison.Ordinal
        );
        Assert.Contains(
            "not one of IANA's",
            Liquids.Try(Liquids.Sms("{{ 'now' | time_zone: z | date: '%R' }}"), Channel.Sms, new { z = "local" }).Fault!.Message,
            StringComparison.Ordinal
        );
        Assert.Contains(
            "not one of IANA's",
            Liquids.Try(Liquids.Sms("{{ 'now' | time_zone: z | date: '%R' }}"), Channel.Sms, new { z = "UTC+09:00" }).Fault!.Message,
            StringComparison.Ordinal
        );
    }

    /// <summary>Shopify: for, <c>offset</c> and <c>limit</c>: the loop is about what they leave.</summary>
    [Theory]
    [InlineData(
        "{% for i in (1..6) limit: 2 offset: 3 %}{{ forloop.index }}/{{ forloop.length }}:{{ i }}{% if forloop.first %}"
            + "f{% endif %}{% if forloop.last %}l{% endif %} {% endfor %}",
        "1/2:4f 2/2:5l "
    )]
    [InlineData(
        "{% for i in (1..6) reversed limit: 2 %}{{ i }}{% endfor %}{% for i in (1..3) offset: 9 %}{{ i }}{% else %}none{% endfor %}",
        "21none"
    )]
    [InlineData(
        "{% for i in 'text' %}{{ i }}{% endfor %}{% for p in o %}{{ p[0] }}={{ p[1] }};{% endfor %}{% for i in 5 %}x{% else %}"
            + "none{% endfor %}",
        "texta=1;b=2;none"
    )]
    public void A_loop_goes_through_what_offset_and_limit_leave(string text, string expected) =>
        Assert.Equal(expected, Liquids.Text(text, new { o = new { a = 1, b = 2 } }));

    private static string Text(string text) => Liquids.Text(text, new { nothing = (string?)null });
}
