namespace Notify.Tests.Templates;

using Notify.Domain.Channels;
using Notify.Domain.Templates;

/// <summary>The template language, and the faults that it reports.</summary>
public sealed class LiquidTests
{
    [Theory]
    [InlineData("Hello {{ name }}!", "Hello 민수!")]
    [InlineData("{{ name | append: '-' | append: name | size }}", "5")]
    [InlineData("{{ nothing }}|{{ order.nothing }}|{{ order.nothing.more }}", "||")]
    [InlineData("{{ order.id }} {{ order['id'] }} {{ items[0].sku }} {{ items.first.sku }} {{ items.size }}", "A-1 A-1 x x 2")]
    [InlineData("{% if count > 1 and name == '민수' %}many{% elsif count == 1 %}one{% else %}none{% endif %}", "many")]
    [InlineData("{% if order.id contains 'A' %}a{% endif %}{% unless count == 3 %}no{% else %}three{% endunless %}", "athree")]
    [InlineData(
        "{% if nothing %}x{% endif %}{% if nothing == blank %}blank{% endif %}{% if items != empty %} some{% endif %}",
        "blank some"
    )]
    [InlineData("{% case count %}{% when 1, 2 %}few{% when 3 or 4 %}more{% else %}many{% endcase %}", "more")]
    [InlineData("{% for i in items %}{{ forloop.index }}:{{ i.sku }}{% unless forloop.last %}, {% endunless %}{% endfor %}", "1:x, 2:y")]
    [InlineData("{% for i in (1..5) reversed limit:2 %}{{ i }}{% else %}none{% endfor %}", "21")]
    [InlineData("{% for i in (1..9) %}{% if i == 3 %}{% continue %}{% elsif i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}", "124")]
    [InlineData("{% for i in nothing %}{{ i }}{% else %}none{% endfor %}", "none")]
    [InlineData("{% assign total = count | times: 2.5 %}{{ total }}{% increment n %}{% increment n %}{% cycle 'a', 'b' %}", "7.501a")]
    [InlineData("{% capture x %}<{{ name }}>{% endcapture %}{{ x }}{{ x }}", "<민수><민수>")]
    [InlineData("a {%- if true -%} b {%- endif -%} c {{- name -}} d", "abc민수d")]
    [InlineData(
        "{% raw %}{{ name }} {% if %}{% endraw %}{% comment %} it's {{ open {% endcomment %}{% # it's a note %}.",
        "{{ name }} {% if %}."
    )]
    [InlineData("{{ when | date: '%Y-%m-%d %H:%M' }} {{ 'now' | date: '%d.%m.' }}", "2026-12-01 09:00 04.05.")]
    [InlineData("{{ '}}' }}{{ \"{%\" }}{{ 'a\"b' }} {{ -3 | abs }} { } {x} %}", "}}{%a\"b 3 { } {x} %}")]
    [InlineData(
        "{{ items | map: 'sku' | join: '+' }} {{ 'b,a' | split: ',' | sort | join: '' }} {{ name | default: 'x' }} {{ nothing "
            + "| default: 'you' }}",
        "x+y ab 민수 you"
    )]
    [InlineData("{% echo name | upcase %}{{ 7 | divided_by: 2 }}{{ 7 | modulo: 4 }}{{ 1.5 | round }}", "민수332")]
    public void It_is_Liquid(string text, string expected)
    {
        var parameters = new
        {
            name = "민수",
            count = 3,
            order = new { id = "A-1" },
            items = new[] { new { sku = "x" }, new { sku = "y" } },
            when = "2026-12-01T09:00:00Z",
        };
        var channels = Liquids.Sms(text);
        var definition = new TemplateDefinition(
            null,
            channels,
            Liquids.NoLocales,
            null,
            new Dictionary<string, ParameterRule>
            {
                ["name"] = new(true, ParameterType.String),
                ["count"] = new(true, ParameterType.Number),
                ["order"] = new(true, ParameterType.Object),
                ["items"] = new(true, ParameterType.Array),
                ["when"] = new(true, ParameterType.Date),
                ["nothing"] = new(false, ParameterType.Any),
            }
        );
        var (template, faults) = CompiledTemplate.Compile(definition);
        Assert.Empty(faults);
        var rendering = template!.Render(Channel.Sms, null, Liquids.Json(parameters), [], Liquids.Noon);
        Assert.Null(rendering.Fault);
        Assert.Equal(expected, rendering.Content!.Body);
    }

    [Theory]
    [InlineData("Hello {{ name", 1, 7, "never closed")]
    [InlineData("a\nb {% if x %}c", 2, 5, "never closed with {% endif %}")]
    [InlineData("{% if x %}{% for i in x %}{% endif %}", 1, 29, "waits for else or endfor")]
    [InlineData("{% endif %}", 1, 3, "closes nothing")]
    [InlineData("one\ntwo {% foo %}", 2, 7, "foo is not known")]
    [InlineData("{% esle %}", 1, 3, "not known")]
    [InlineData("{% iff x %}{% endif %}", 1, 3, "did you mean if?")]
    [InlineData("{% include 'secrets' %}", 1, 3, "reaches no other files")]
    [InlineData("{% render 'x' %}", 1, 3, "reaches no other files")]
    [InlineData("{{ name | upcse }}", 1, 11, "did you mean upcase?")]
    [InlineData("{{ name | raw }}", 1, 11, "always encoded")]
    [InlineData("{{ name | json }}", 1, 11, "not known")]
    [InlineData("{{ }}", 1, 4, "a value is missing")]
    [InlineData("{{ name | }}", 1, 11, "a filter's name is missing")]
    [InlineData("{{ name upcase }}", 1, 9, "\"upcase\" is not expected")]
    [InlineData("{{ name. }}", 1, 10, "member's name")]
    [InlineData("{{ a['b' }}", 1, 10, "closed with ]")]
    [InlineData("{{ 'open }}", 1, 4, "never closed with '")]
    [InlineData("{{ 1..2 }}", 1, 5, "not expected")]
    [InlineData("{{ (1..2 }}", 1, 10, "closed with )")]
    [InlineData("{% assign x 1 %}", 1, 13, "the = is missing")]
    [InlineData("{% for x of y %}{% endfor %}", 1, 10, "the in is missing")]
    [InlineData("{% for x in y limit 3 %}{% endfor %}", 1, 21, "not expected")]
    [InlineData("{% if a = b %}{% endif %}", 1, 9, "not expected")]
    [InlineData("{% if (a or b) and c %}{% endif %}", 1, 10, "two dots")]
    [InlineData("{% raw %}x", 1, 1, "never closed with {% endraw %}")]
    [InlineData("{% comment %}x", 1, 1, "never closed with {% endcomment %}")]
    [InlineData("{% %}", 1, 3, "name is missing")]
    [InlineData("{% case x %}{% else %}{% when 1 %}{% endcase %}", 1, 25, "does not fit here")]
    [InlineData("{{ 99999999999999999999999999999999 }}", 1, 4, "no number")]
    [InlineData("안녕\n\n  {{ 이름 }}", 3, 6, "no value")]
    public void Compile_fault_is_reported_with_line_and_column(string text, int line, int column, string why)
    {
        var fault = Liquids.Fault(Liquids.Sms(text));

        Assert.Equal(("channels.sms.text", line, column), (fault.Field, fault.Line, fault.Column));
        Assert.Contains(why, fault.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("<script>var x = '{{ x }}';</script>", "inside <script>")]
    [InlineData("<SCRIPT type=\"a\">{{ x }}</SCRIPT>", "inside <script>")]
    [InlineData("<style>p { color: {{ x }} }</style>", "inside <style>")]
    [InlineData("<a href={{ x }}>", "without quotes")]
    [InlineData("<a href=https://x/{{ x }}>", "without quotes")]
    [InlineData("<a {{ x }}>", "inside a tag")]
    [InlineData("<{{ x }}>", "inside a tag")]
    [InlineData("<p class=\"a\"{{ x }}>", "inside a tag")]
    [InlineData("<p onclick=\"go('{{ x }}')\">", "which is code")]
    [InlineData("<p ONCLICK='{{ x }}'>", "which is code")]
    [InlineData("<iframe srcdoc=\"{{ x }}\"></iframe>", "which is code")]
    [InlineData("<a href=\"javascript:go('{{ x }}')\">", "which is code")]
    [InlineData("<a href=\" java\nscript:{{ x }}\">", "which is code")]
    [InlineData("<img src='data:{{ x }}'>", "which is code")]
    [InlineData("<script>if (1 < 2) {}</script x>{% if x %}<script>{{ x }}</script>{% endif %}", "inside <script>")]
    public void A_value_where_encoding_does_not_protect_is_refused(string html, string why) =>
        Assert.Contains(why, Liquids.Fault(Liquids.Html(html)).Message, StringComparison.Ordinal);

    [Fact]
    public void After_what_is_code_values_are_allowed_again() =>
        Assert.Equal(
            "<style>p > a { }</style><script>1 < 2; '</b>'</script><!--[if mso]><td class=\"k\"><![endif]--><p class=\"k\" title='k'>k</p>",
            Liquids.Page(
                "<style>p > a { }</style><script>1 < 2; '</b>'</script><!--[if mso]><td class=\"{{ x }}\"><![endif]--><p "
                    + "class=\"{{ x }}\" title='{{ x }}'>{{ x }}</p>",
                new { x = "k" }
            )
        );

    [Fact]
    public void Every_fault_of_a_template_is_told_at_once()
    {
        var (_, faults) = CompiledTemplate.Compile(
            new TemplateDefinition(
                null,
                new ChannelTemplates(
                    new EmailTemplate("{{ nmae }}", "{{ name | raw }}"),
                    new SmsTemplate("{% if %}"),
                    new PushTemplate(Url: "x")
                ),
                new Dictionary<string, ChannelTemplates> { ["ko"] = new(Sms: new SmsTemplate("{{ other }}")), ["fr"] = new() },
                null,
                new Dictionary<string, ParameterRule> { ["name"] = new(true, ParameterType.String) }
            )
        );

        Assert.Equal(
            ["channels.email.html", "channels.email.subject", "channels.push", "channels.sms.text", "locales.fr", "locales.ko.sms.text"],
            faults.Select(f => f.Field).Order(StringComparer.Ordinal)
        );
        Assert.Contains(faults, f => f.Message.Contains("did you mean name?", StringComparison.Ordinal));
    }

    [Fact]
    public void A_locale_says_nothing_that_the_default_lacks() =>
        Assert.Equal(
            "locales.ko.push",
            Assert
                .Single(
                    Liquids
                        .Compile(Liquids.Sms("x"), new Dictionary<string, ChannelTemplates> { ["ko"] = new(Push: new PushTemplate("t")) })
                        .Faults
                )
                .Field
        );
}
