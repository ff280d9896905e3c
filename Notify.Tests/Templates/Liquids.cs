namespace Notify.Tests.Templates;

using System.Text.Json;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Templates;

/// <summary>Small templates, for tests that are about one text.</summary>
internal static class Liquids
{
    public static readonly DateTimeOffset Noon = new(2026, 5, 4, 12, 0, 0, TimeSpan.Zero);

    public static readonly IReadOnlyDictionary<string, ChannelTemplates> NoLocales = new Dictionary<string, ChannelTemplates>();

    /// <summary>A template of these channels, whose parameters are what its texts use.</summary>
    public static (CompiledTemplate? Template, IReadOnlyList<TemplateFault> Faults) Compile(
        ChannelTemplates channels,
        IReadOnlyDictionary<string, ChannelTemplates>? locales = null
    ) =>
        CompiledTemplate.Compile(
            new TemplateDefinition(null, channels, locales ?? NoLocales, null, new Dictionary<string, ParameterRule>()),
            infer: true
        );

    public static ChannelTemplates Sms(string text) => new(Sms: new SmsTemplate(text));

    public static ChannelTemplates Html(string html, string subject = "s") => new(Email: new EmailTemplate(subject, html));

    /// <summary>Renders a text as SMS.</summary>
    public static string Text(string text, object? parameters = null) => Rendered(Sms(text), Channel.Sms, parameters).Body!;

    /// <summary>Renders a text as an email's HTML.</summary>
    public static string Page(string html, object? parameters = null) => Rendered(Html(html), Channel.Email, parameters).Html!;

    public static NotificationContent Rendered(ChannelTemplates channels, Channel channel, object? parameters = null)
    {
        var rendering = Try(channels, channel, parameters);
        Assert.True(rendering.Fault is null, $"{rendering.Fault?.Field}: {rendering.Fault?.Detail}");
        return rendering.Content!;
    }

    public static Rendering Try(ChannelTemplates channels, Channel channel, object? parameters = null)
    {
        var (template, faults) = Compile(channels);
        Assert.True(template is not null, string.Join("; ", faults.Select(f => $"{f.Field}: {f.Detail}")));
        return template.Render(channel, null, Json(parameters ?? new { }), [], Noon);
    }

    /// <summary>Why a text cannot be compiled.</summary>
    public static TemplateFault Fault(ChannelTemplates channels) => Assert.Single(Compile(channels).Faults);

    public static JsonElement Json(object value) => JsonSerializer.SerializeToElement(value);
}
