namespace Notify.Tests.Templates;

using Notify.Domain.Channels;
using Notify.Domain.Templates;

/// <summary>Locales, layouts, channels.</summary>
public sealed class RenderingTests
{
    private static readonly Dictionary<string, ChannelTemplates> Korean = new()
    {
        ["ko"] = new(Sms: new SmsTemplate("안녕 {{ n }}"), Push: new PushTemplate("안녕")),
        ["ko-KR"] = new(Sms: new SmsTemplate("안녕하세요 {{ n }}")),
    };

    [Theory]
    [InlineData(null, "hello k", "Hello")]
    [InlineData("en", "hello k", "Hello")]
    [InlineData("ko", "안녕 k", "안녕")]
    [InlineData("ko-KR", "안녕하세요 k", "안녕")]
    [InlineData("KO-kr", "안녕하세요 k", "안녕")]
    [InlineData("ko-Hang-KR", "안녕 k", "안녕")]
    [InlineData("kok", "hello k", "Hello")]
    public void Each_channel_falls_back_for_itself(string? locale, string sms, string push)
    {
        var template = Liquids
            .Compile(new ChannelTemplates(Sms: new SmsTemplate("hello {{ n }}"), Push: new PushTemplate("Hello")), Korean)
            .Template!;
        var parameters = Liquids.Json(new { n = "k" });

        Assert.Equal(sms, template.Render(Channel.Sms, locale, parameters, [], Liquids.Noon).Content!.Body);
        Assert.Equal(push, template.Render(Channel.Push, locale, parameters, [], Liquids.Noon).Content!.Title);
    }

    [Fact]
    public void An_email_is_set_into_its_layouts()
    {
        var inner = Layout(new LayoutDefinition("<main>{{ content }}</main>", "[{{ content }}]", ".a {}"));
        var outer = Layout(
            new LayoutDefinition(
                "<html><head><title>{{ subject }}</title></head><body>{{ content }}{% if locale == 'ko' %}끝{% endif %}</body></html>",
                null,
                ".b {}"
            )
        );
        var template = Liquids
            .Compile(
                new ChannelTemplates(new EmailTemplate("Hi {{ n }}", "<p>{{ n }}</p>", "t {{ n }}")),
                new Dictionary<string, ChannelTemplates> { ["ko"] = new(new EmailTemplate("안녕", "<p>ko</p>")) }
            )
            .Template!;

        var email = template.Render(Channel.Email, null, Liquids.Json(new { n = "<b>" }), [inner, outer], Liquids.Noon).Content!;

        Assert.Equal(
            "<html><head><title>Hi &lt;b&gt;</title><style>\n.b {}\n.a "
                + "{}\n</style>\n</head><body><main><p>&lt;b&gt;</p></main></body></html>",
            email.Html
        );
        Assert.Equal(("Hi <b>", "[t <b>]"), (email.Title, email.Body));
        Assert.EndsWith(
            "끝</body></html>",
            template.Render(Channel.Email, "ko", Liquids.Json(new { n = "" }), [inner, outer], Liquids.Noon).Content!.Html,
            StringComparison.Ordinal
        );
    }

    [Theory]
    [InlineData("<p></p>", null, null, "html", "must have {{ content }}")]
    [InlineData("{{ content }}{{ name }}", null, null, "html", "name is not known to a layout")]
    [InlineData("{{ content }}", "x", null, "text", "must have {{ content }}")]
    [InlineData("{{ content }}", null, "</style><script>", "styles", "CSS alone")]
    [InlineData("<script>{{ content }}</script>", null, null, "html", "inside <script>")]
    public void A_layout_has_its_rules(string html, string? text, string? styles, string field, string why)
    {
        var fault = Assert.Single(CompiledLayout.Compile(new LayoutDefinition(html, text, styles)).Faults);
        Assert.Equal(field, fault.Field);
        Assert.Contains(why, fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_large_email_is_set_into_its_layouts_too()
    {
        var layout = Layout(
            new LayoutDefinition("{% if content != blank and locale != content %}<main>{{ content }}</main>{% endif %}", "[{{ content }}]")
        );
        var template = Liquids
            .Compile(
                new ChannelTemplates(
                    new EmailTemplate("s", "{% for i in (1..8) %}{{ x }}{% endfor %}", "{% for i in (1..8) %}{{ x }}{% endfor %}")
                )
            )
            .Template!;
        var parameters = Liquids.Json(new { x = new string('x', 64_000) });

        var rendering = template.Render(Channel.Email, null, parameters, [layout, layout, layout, layout, layout], Liquids.Noon);

        Assert.True(rendering.Fault is null, rendering.Fault?.Detail);
        Assert.Equal((512_065, 512_010), (rendering.Content!.Html!.Length, rendering.Content.Body!.Length));
        var twice = template
            .Render(Channel.Email, null, parameters, [Layout(new LayoutDefinition("{{ content }}{{ content }}"))], Liquids.Noon)
            .Fault!;
        Assert.Equal(("layout.html", "becomes longer than 524,288 characters"), (twice.Field, twice.Message));
        Assert.True(
            template
                .Render(
                    Channel.Email,
                    null,
                    parameters,
                    [
                        Layout(
                            new LayoutDefinition("{% for i in (1..99) %}{% if content contains 'y' %}{% endif %}{% endfor %}{{ content }}")
                        ),
                    ],
                    Liquids.Noon
                )
                .Fault!.IsBudget
        );
    }

    [Fact]
    public void Cycles_go_on_where_they_stood() =>
        Assert.Equal(
            "abak1aba",
            Liquids.Text(
                "{% for i in (1..3) %}{% cycle 'a', 'b' %}{% endfor %}{% cycle k, 'x' %}{% cycle 1, 2 %}{% for i in (1..3) "
                    + "%}{% cycle 'a','b' %}{% endfor %}",
                new { k = "k" }
            )
        );

    [Fact]
    public void A_template_is_tried_within_bounds_however_many_languages_it_has()
    {
        var dear = new ChannelTemplates(Sms: new SmsTemplate("{% for i in (1..9999) %}{% for j in (1..9) %}{% endfor %}{% endfor %}x"));
        var all = Enumerable.Range(0, 100).ToDictionary(i => $"x{(char)('a' + (i / 26))}{(char)('a' + (i % 26))}", _ => dear);
        Assert.InRange(Liquids.Compile(dear, all).Template!.Try([]).Count, 1, 5);
        Assert.Equal(
            "channels.sms.text",
            Assert
                .Single(Liquids.Compile(dear, new Dictionary<string, ChannelTemplates> { ["ko"] = Liquids.Sms("x") }).Template!.Try([]))
                .Field
        );
        Assert.Empty(
            Liquids
                .Compile(
                    Liquids.Sms("x {{ n }}"),
                    Enumerable
                        .Range(0, 26)
                        .ToDictionary(i => $"x{(char)('a' + i)}", i => Liquids.Sms("{% for i in (1..4000) %}{% endfor %}x"))
                )
                .Template!.Try([])
        );
    }

    [Fact]
    public void A_circle_of_layouts_is_named()
    {
        var outer = new Dictionary<string, string?>
        {
            ["a"] = "b",
            ["b"] = "c",
            ["c"] = "a",
            ["d"] = null,
            ["e"] = "d",
        };
        Assert.Equal("goes in a circle: a → b → c → a", Notify.Domain.Templates.Layout.Chain("a", k => outer[k]).Fault);
        Assert.Equal(["e", "d"], Notify.Domain.Templates.Layout.Chain("e", k => outer[k]).Keys);
        Assert.Contains(
            "more than 5",
            Notify.Domain.Templates.Layout.Chain("1", k => $"{int.Parse(k, System.Globalization.CultureInfo.InvariantCulture) + 1}").Fault,
            StringComparison.Ordinal
        );
    }

    [Theory]
    [InlineData("https://example.com/{{ x }}", "orders/1", "https://example.com/orders/1", null)]
    [InlineData("{{ x }}", "https://example.com/", "https://example.com/", null)]
    [InlineData("{{ x }}", "javascript:alert(1)", null, "push.url")]
    [InlineData("{{ x }}", "http://example.com/", null, "push.url")]
    [InlineData("{{ x }}", "/orders", null, "push.url")]
    public void A_push_leads_to_https_only(string url, string x, string? expected, string? field)
    {
        var rendering = Liquids.Try(new ChannelTemplates(Push: new PushTemplate("t", null, url)), Channel.Push, new { x });
        Assert.Equal((expected, field is null ? null : $"channels.{field}"), (rendering.Content?.Url, rendering.Fault?.Field));
    }

    [Fact]
    public void Value_is_encoded_once() =>
        Assert.Equal(
            "<p>&lt;b&gt;<i>&lt;b&gt;</i> &lt;b&gt; &lt;b&gt;<br />\nx <i>&lt;b&gt;</i></p>",
            Liquids.Page(
                "<p>{{ x }}{% capture c %}<i>{{ x }}</i>{% endcapture %}{{ c }} {{ x | escape }} {{ y | newline_to_br }} {{ c "
                    + "| default: 'no' | strip }}</p>",
                new { x = "<b>", y = "<b>\nx" }
            )
        );

    [Fact]
    public void The_same_is_rendered_at_every_attempt()
    {
        var template = Liquids.Compile(Liquids.Sms("{{ 'now' | date: '%s %N' }} {{ 'today' | date: '%F' }} {{ x }}")).Template!;
        var parameters = Liquids.Json(new { x = 1 });
        var first = template.Render(Channel.Sms, null, parameters, [], Liquids.Noon).Content;
        Parallel.For(0, 200, _ => Assert.Equal(first, template.Render(Channel.Sms, null, parameters, [], Liquids.Noon).Content));
    }

    [Fact]
    public void Empty_result_is_a_fault_and_no_empty_message()
    {
        Assert.Equal(
            "becomes empty with these parameters",
            Liquids.Try(Liquids.Sms("{% if x %}y{% endif %} "), Channel.Sms, new { x = false }).Fault!.Message
        );
        Assert.Equal("channels.email.subject", Liquids.Try(Liquids.Html("<p>", "{{ x }}"), Channel.Email, new { x = "\r\n" }).Fault!.Field);
        Assert.Equal(
            "channels.push",
            Liquids.Try(new ChannelTemplates(Push: new PushTemplate("{{ x }}")), Channel.Push, new { x = "" }).Fault!.Field
        );
    }

    private static CompiledLayout Layout(LayoutDefinition definition) => CompiledLayout.Compile(definition).Layout!;
}

/// <summary>A request's parameters against a template's rules.</summary>
public sealed class TemplateParamsTests
{
    private static readonly Dictionary<string, ParameterRule> Rules = new()
    {
        ["name"] = new(true, ParameterType.String),
        ["link"] = new(true, ParameterType.Url),
        ["note"] = new(false, ParameterType.String),
        ["n"] = new(false, ParameterType.Number),
        ["day"] = new(false, ParameterType.Date),
        ["yes"] = new(false, ParameterType.Boolean),
        ["list"] = new(false, ParameterType.Array),
        ["o"] = new(false, ParameterType.Object),
        ["any"] = new(false, ParameterType.Any),
    };

    [Theory]
    [InlineData("""{ "name": "x", "link": "https://x.example" }""")]
    [InlineData(
        """{ "name": "", "link": "mailto:a@b.example", "note": null, "n": -1.5, "day": "2026-12-01", "yes": false, "list": [], "o": {}, "any": [1, "x"] }"""
    )]
    [InlineData("null", "link", "name")]
    [InlineData("{}", "link", "name")]
    [InlineData("""{ "name": null, "link": "https://x.example" }""", "name")]
    [InlineData("""{ "nmae": "x", "link": "https://x.example", "extra": 1 }""", "extra", "name", "nmae")]
    [InlineData("""{ "name": 7, "link": "javascript:alert(1)" }""", "link", "name")]
    [InlineData("""{ "name": "x", "link": "data:text/html,x" }""", "link")]
    [InlineData("""{ "name": "x", "link": "//x.example" }""", "link")]
    [InlineData(
        """{ "name": ["x"], "link": "https://x.example", "n": "1", "day": "tomorrow", "yes": 1, "list": {}, "o": [] }""",
        "day",
        "list",
        "n",
        "name",
        "o",
        "yes"
    )]
    [InlineData("""{ "name": "x", "link": "https://x.example", "n": 1e300, "day": "2026-13-01" }""", "day", "n")]
    [InlineData("""{ "name": "x", "link": "https://x.example", "Name": "y" }""", "Name")]
    public void Every_fault_is_named(string given, params string[] names) =>
        Assert.Equal(
            names,
            TemplateParams
                .Check(Rules, System.Text.Json.JsonDocument.Parse(given).RootElement)
                .Select(f => f.Name)
                .Order(StringComparer.Ordinal)
        );

    [Fact]
    public void They_have_a_size() =>
        Assert.Equal(
            ("", "must have at most 64 KiB together"),
            Assert.Single(TemplateParams.Check(Rules, Liquids.Json(new { name = new string('x', 65_536) })))
        );
}
