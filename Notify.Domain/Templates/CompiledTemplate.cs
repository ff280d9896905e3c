namespace Notify.Domain.Templates;

using System.Text;
using System.Text.Json;
using Fluid.Values;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Templates.Liquid;

/// <summary>The result of rendering a template for one request and one channel.</summary>
/// <param name="Content">The content to send; <c>null</c> when there is a fault.</param>
/// <param name="Locale">The locale that it is written in; <c>null</c>: the default.</param>
/// <param name="Fault">Why there is no content.</param>
public sealed record Rendering(NotificationContent? Content, string? Locale, TemplateFault? Fault);

/// <summary>
/// A version of a template, ready to be rendered by any number of threads. Pure: the same version, layouts, parameters and
/// time give the same result, so that a repeated attempt sends the same text.
/// </summary>
public sealed class CompiledTemplate
{
    /// <summary>The most characters of an email's HTML and of its text.</summary>
    public const int MaxEmail = 512 * 1024;

    /// <summary>The most characters of an SMS.</summary>
    public const int MaxSms = 1600;

    /// <summary>The most bytes of a push: title, text and address together.</summary>
    public const int MaxPush = 4096;

    private const int MaxLine = 1000,
        MaxUrl = 2000,
        MostTried = 4;

    private readonly TemplateDefinition definition;
    private readonly Dictionary<string, LiquidText> texts;

    private CompiledTemplate(TemplateDefinition definition, Dictionary<string, LiquidText> texts) =>
        (this.definition, this.texts) = (definition, texts);

    /// <summary>The definition that was compiled.</summary>
    public TemplateDefinition Definition => definition;

    /// <summary>Compiles a template.</summary>
    /// <param name="infer">Whether the parameters are what the texts use, all required, instead of what the definition says.</param>
    /// <returns>The template, or every fault.</returns>
    public static (CompiledTemplate? Template, IReadOnlyList<TemplateFault> Faults) Compile(
        TemplateDefinition definition,
        bool infer = false
    )
    {
        var faults = new List<TemplateFault>();
        var texts = new Dictionary<string, LiquidText>(StringComparer.Ordinal);
        var names = new SortedSet<string>(StringComparer.Ordinal);
        foreach (var (path, variant) in definition.Variants())
        {
            faults.AddRange(Shape(path, variant));
            if (path != "channels")
                faults.AddRange(
                    variant
                        .Served()
                        .Except(definition.Channels.Served())
                        .Select(c =>
                            Whole($"{path}.{NameOf(c)}", $"the default has none: give channels.{NameOf(c)} too, for whom no locale fits")
                        )
                );
            foreach (var (_, field, source) in variant.Texts())
            {
                if (source is null)
                    continue;
                var (text, fault) = LiquidText.Parse(source, html: field == "email.html");
                if (fault is { } f)
                    faults.Add(At($"{path}.{field}", source, f.Offset, f.Message));
                if (text is null)
                    continue;
                texts[$"{path}.{field}"] = text;
                names.UnionWith(text.Parameters.Select(p => p.Name));
                if (!infer)
                    faults.AddRange(
                        text.Parameters.Where(p => !definition.Params.ContainsKey(p.Name))
                            .Select(p => At($"{path}.{field}", source, p.Offset, Undeclared(p.Name, definition.Params.Keys)))
                    );
            }
        }

        if (definition.Variants().Sum(v => v.Channels.Texts().Sum(t => (long)(t.Text?.Length ?? 0))) > TemplateDefinition.MaxSize)
            faults.Add(Whole("channels", $"all texts together must have at most {TemplateDefinition.MaxSize / 1024} KiB"));
        if (faults.Count > 0)
            return (null, faults);
        var whole = infer
            ? definition with
            {
                Params = names.ToDictionary(n => n, _ => new ParameterRule(true, ParameterType.Any)),
            }
            : definition;
        return (new CompiledTemplate(whole, texts), []);
    }

    /// <summary>Renders every text once with sample parameters, and reports budgets that are used up.</summary>
    /// <remarks>It stops when all together have cost as much as a few messages; the first request that needs them tries the rest.</remarks>
    public IReadOnlyList<TemplateFault> Try(IReadOnlyList<CompiledLayout> layouts)
    {
        var sample = TemplateParams.Sample(definition.Params);
        var texts = definition
            .Locales.Keys.Prepend("")
            .SelectMany(locale => definition.Channels.Served().Select(c => (Channel: c, Chosen: TemplateLocale.For(definition, c, locale))))
            .Distinct();
        var faults = new List<TemplateFault>();
        var used = 0.0;
        foreach (var (channel, chosen) in texts.TakeWhile(_ => used < MostTried))
        {
            var message = MessageOf(chosen, sample, DateTimeOffset.UnixEpoch);
            Compose(message, channel, layouts, chosen);
            used += message.Used;
            if (message.Fault is { IsBudget: true } fault)
                faults.Add(fault);
        }

        return faults;
    }

    /// <summary>Renders the content of one channel.</summary>
    /// <param name="locale">The requested locale; <c>null</c>: the default.</param>
    /// <param name="parameters">The request's, checked by <see cref="TemplateParams"/>.</param>
    /// <param name="layouts">Those that emails are set into, from the inside out.</param>
    /// <param name="now">The current time for the template; the same at every attempt.</param>
    /// <param name="clock">The clock of the time limit; the machine's, unless given.</param>
    public Rendering Render(
        Channel channel,
        string? locale,
        JsonElement? parameters,
        IReadOnlyList<CompiledLayout> layouts,
        DateTimeOffset now,
        TimeProvider? clock = null
    )
    {
        var chosen = TemplateLocale.For(definition, channel, locale);
        var message = MessageOf(chosen, parameters, now, clock);
        var content = Compose(message, channel, layouts, chosen);
        return new Rendering(message.Fault is null ? content with { Track = definition.Track } : null, chosen, message.Fault);
    }

    private Message MessageOf(string? chosen, JsonElement? parameters, DateTimeOffset now, TimeProvider? clock = null) =>
        new(
            texts,
            chosen is null ? "channels" : $"locales.{chosen}",
            [.. TemplateParams.Values(definition.Params, parameters)],
            now,
            clock
        );

    private static NotificationContent Compose(Message message, Channel channel, IReadOnlyList<CompiledLayout> layouts, string? chosen) =>
        channel switch
        {
            Channel.Sms => message.Sms(),
            Channel.Push => message.Push(),
            _ => message.Email(layouts, chosen),
        };

    /// <summary>A channel's name in fields.</summary>
    public static string NameOf(Channel channel) =>
        channel switch
        {
            Channel.Push => "push",
            Channel.Sms => "sms",
            _ => "email",
        };

    private static IEnumerable<TemplateFault> Shape(string path, ChannelTemplates variant)
    {
        if (variant.Served().Count == 0)
            yield return Whole(path, "needs an email, an sms or a push");
        if (variant.Email is { } email && string.IsNullOrWhiteSpace(email.Subject))
            yield return Whole($"{path}.email.subject", "is missing");
        if (variant.Email is { Html: null, Text: null })
            yield return Whole($"{path}.email", "needs html or text");
        if (variant.Sms is { } sms && string.IsNullOrWhiteSpace(sms.Text))
            yield return Whole($"{path}.sms.text", "is missing");
        if (variant.Push is { } push && string.IsNullOrWhiteSpace(push.Title) && string.IsNullOrWhiteSpace(push.Body))
            yield return Whole($"{path}.push", "needs a title or a body");
    }

    private static string Undeclared(string name, IEnumerable<string> known) =>
        $"the parameter {name} is not among params{(ExpressionReader.Nearest(name, known) is { } near ? $"; did you mean {near}?" : "; declare it there")}";

    private static TemplateFault Whole(string field, string message) => new(field, 0, 0, message);

    private static TemplateFault At(string field, string source, int offset, string message)
    {
        var (line, column) = LiquidText.Place(source, offset);
        return new TemplateFault(field, line, column, message);
    }

    // One message in the making: its texts share a budget, and the first fault ends it.
    private sealed class Message(
        Dictionary<string, LiquidText> texts,
        string path,
        IReadOnlyList<(string Name, FluidValue Value)> values,
        DateTimeOffset now,
        TimeProvider? clock
    )
    {
        private RenderContext? last;

        public TemplateFault? Fault { get; private set; }

        /// <summary>The used part of the budget.</summary>
        public double Used => last?.Used ?? 0;

        public NotificationContent Sms() => new(Body: Needed("sms.text", MaxSms));

        public NotificationContent Push()
        {
            var content = new NotificationContent(
                OneLine(Part("push.title", MaxLine)),
                Part("push.body", MaxPush),
                Url: Part("push.url", MaxUrl)?.Trim() is { Length: > 0 } url ? url : null
            );
            if (Fault is null && string.IsNullOrWhiteSpace(content.Title) && string.IsNullOrWhiteSpace(content.Body))
                Fail("push", "becomes empty with these parameters");
            if (content.Url is { } link && !(Uri.TryCreate(link, UriKind.Absolute, out var uri) && uri.Scheme == Uri.UriSchemeHttps))
                Fail("push.url", "must become an absolute https address");
            if (new[] { content.Title, content.Body, content.Url }.Sum(t => t is null ? 0 : Encoding.UTF8.GetByteCount(t)) > MaxPush)
                Fail("push", $"becomes larger than {MaxPush:N0} bytes");
            return content;
        }

        public NotificationContent Email(IReadOnlyList<CompiledLayout> layouts, string? locale)
        {
            var subject = OneLine(Needed("email.subject", MaxLine));
            var (html, text) = (Part("email.html", MaxEmail), Part("email.text", MaxEmail));
            foreach (var layout in layouts)
            {
                html = Around("layout.html", layout.Html, html, subject, locale);
                if (layout.Text is { } around)
                    text = Around("layout.text", around, text, subject, locale);
            }

            if (Fault is null && string.IsNullOrWhiteSpace(html) && string.IsNullOrWhiteSpace(text))
                Fail("email", "becomes empty with these parameters");
            return new NotificationContent(subject, text, html is null ? null : Styled(html, layouts));
        }

        private string? Around(string field, LiquidText layout, string? content, string? subject, string? locale)
        {
            if (content is null)
                return null;
            var email = new StringValue(content, encode: false);
            return Run(
                field,
                layout,
                MaxEmail,
                [(CompiledLayout.Content, email), ("subject", new StringValue(subject ?? "")), ("locale", new StringValue(locale ?? ""))],
                email
            );
        }

        private string? Needed(string field, int limit)
        {
            var text = Part(field, limit);
            if (Fault is null && string.IsNullOrWhiteSpace(text))
                Fail(field, "becomes empty with these parameters");
            return text;
        }

        private string? Part(string field, int limit) =>
            texts.TryGetValue($"{path}.{field}", out var text) ? Run($"{path}.{field}", text, limit, values) : null;

        private string? Run(
            string field,
            LiquidText text,
            int limit,
            IReadOnlyList<(string Name, FluidValue Value)> model,
            FluidValue? content = null
        )
        {
            if (Fault is not null)
                return null;
            var context = new RenderContext(Filters.Options, text.Html, clock) { Now = () => now, Content = content }.After(last);
            last = context;
            foreach (var (name, value) in model)
                context.SetValue(name, value);
            var (result, fault) = text.Render(context, limit);
            if (fault is not { } f)
                return result;
            var (line, column) = text.Place(f.Offset);
            Fault = new TemplateFault(field, line, column, f.Message) { IsBudget = f.IsBudget };
            return null;
        }

        private void Fail(string field, string message) => Fault ??= new TemplateFault($"{path}.{field}", 0, 0, message);

        private static string Styled(string html, IReadOnlyList<CompiledLayout> layouts)
        {
            var styles = string.Join('\n', layouts.Reverse().Select(l => l.Styles).Where(s => !string.IsNullOrWhiteSpace(s)));
            if (styles.Length == 0)
                return html;
            var head = html.IndexOf("</head>", StringComparison.OrdinalIgnoreCase);
            return html.Insert(Math.Max(0, head), $"<style>\n{styles}\n</style>\n");
        }

        private static string? OneLine(string? text) =>
            text is null
                ? null
                : string.Join(
                    ' ',
                    text.Split([' ', '\t', '\r', '\n', '\v', '\f', '\u0085', '\u2028', '\u2029'], StringSplitOptions.RemoveEmptyEntries)
                );
    }
}
