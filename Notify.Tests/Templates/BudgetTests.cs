namespace Notify.Tests.Templates;

using Notify.Domain.Channels;

/// <summary>The budget of rendering, for parameters of every shape.</summary>
public sealed class BudgetTests
{
    private static readonly Dictionary<string, object> Large = Enumerable
        .Range(0, 3000)
        .ToDictionary(i => $"key{i}", object (i) => "value");
    private static readonly object[] Objects =
    [
        .. Enumerable.Range(0, 40).Select(i => Enumerable.Range(0, 80).ToDictionary(k => $"k{k}", k => i)),
    ];

    [Theory]
    [InlineData("{% for i in (1..9999) %}{% if o == p %}{% endif %}{% endfor %}")]
    [InlineData("{% for i in (1..9999) %}{% if l == m %}{% endif %}{% endfor %}")]
    [InlineData("{% for i in (1..9999) %}{% if l contains o %}{% endif %}{% endfor %}")]
    [InlineData("{% for i in (1..9999) %}{% for k in o %}{% break %}{% endfor %}{% endfor %}")]
    [InlineData("{% for i in (1..9999) %}{% for k in o limit: 0 %}{% endfor %}{% endfor %}")]
    [InlineData("{% for i in (1..9999) %}{% case o %}{% when p %}{% endcase %}{% endfor %}")]
    [InlineData("{% for i in (1..9999) %}{{ l | uniq | size }}{% endfor %}")]
    [InlineData("{% for i in (1..9999) %}{{ l | where: 'k1', o | size }}{% endfor %}")]
    [InlineData("{% for i in (1..9999) %}{{ o | size }}{% endfor %}")]
    [InlineData("{% for i in (1..9999) %}{{ o | default: p }}{% endfor %}")]
    [InlineData("{% for i in (1..9999) %}{{ l | sort: 'k1' | size }}{% endfor %}")]
    [InlineData("{% assign r = s | split: '' %}{% for i in (1..20) %}{% assign q = r | sort %}{% endfor %}")]
    [InlineData("{% assign r = s | split: '' %}{% for i in (1..20) %}{% assign q = r | sort_natural %}{% endfor %}")]
    [InlineData(
        "{% assign a = s %}{% for i in (1..20) %}{% assign a = a | append: s %}{% endfor %}{% for i in (1..200) %}"
            + "{% if a contains t %}{% endif %}{% endfor %}"
    )]
    [InlineData(
        "{% assign a = s %}{% for i in (1..20) %}{% assign a = a | append: s %}{% endfor %}{% for i in (1..200) %}{{ a | "
            + "split: t | size }}{% endfor %}"
    )]
    public void Objects_lists_and_searches_are_counted(string text)
    {
        var s = new string('a', 6000);
        var fault = Liquids
            .Try(
                Liquids.Sms(text + "{% if n or o or p or l or m or s or t %}{% endif %}"),
                Channel.Sms,
                new
                {
                    n = 1,
                    o = Large,
                    p = Large,
                    l = Objects,
                    m = Objects,
                    s,
                    t = s[..3000] + "b" + s[..2999],
                }
            )
            .Fault;
        Assert.True(fault is { IsBudget: true }, fault?.Detail ?? "no fault");
    }

    [Fact]
    public void A_message_of_usual_size_uses_little_of_its_budget()
    {
        var items = Enumerable
            .Range(0, 200)
            .Select(i => new
            {
                sku = $"A-{i}",
                name = $"Item {i}",
                price = 9.95,
                attributes = new { colour = "red", size = "M" },
            });
        const string Text =
            "{% for i in order.items %}{% if i.attributes.colour == 'red' and i.attributes != blank %}"
            + "{{ i.name | truncate: 20 }} "
            + "{{ i.price | times: 2 | round: 2 }} {{ i.attributes | size }}{% endif %}{% endfor %}";
        Assert.Null(Liquids.Try(Liquids.Html($"<p>{Text}{Text}{Text}{Text}</p>"), Channel.Email, new { order = new { items } }).Fault);
    }

    /// <summary>The last limit: costs that are not counted end by the clock.</summary>
    [Theory]
    [InlineData(100, true)]
    [InlineData(10_000, true)]
    [InlineData(1, false)]
    public void A_rendering_ends_after_a_time(int millisecondsAStep, bool ends)
    {
        var template = Liquids.Compile(Liquids.Sms("{% for i in (1..60) %}{% endfor %}x")).Template!;
        var fault = template.Render(Channel.Sms, null, null, [], Liquids.Noon, new SlowClock(millisecondsAStep)).Fault;
        Assert.Equal(ends, fault is { IsBudget: true });
        if (ends)
            Assert.Contains("longer than 5 s", fault!.Message, StringComparison.Ordinal);
    }

    /// <summary>A process that was stopped for hours, as a machine that slept, is no slow rendering.</summary>
    [Fact]
    public void A_pause_counts_little()
    {
        var template = Liquids.Compile(Liquids.Sms("{% for i in (1..9) %}{% endfor %}x")).Template!;
        Assert.Null(template.Render(Channel.Sms, null, null, [], Liquids.Noon, new SlowClock(3_600_000, pauses: 5)).Fault);
    }

    private sealed class SlowClock(int milliseconds, int pauses = int.MaxValue) : TimeProvider
    {
        private long now;
        private int times;

        public override long TimestampFrequency => 1000;

        public override long GetTimestamp() => now += times++ < pauses ? milliseconds : 0;
    }
}
