namespace Notify.Domain.Templates;

using Notify.Domain.Channels;
using Notify.Domain.Content;

/// <summary>The type of a parameter.</summary>
public enum ParameterType
{
    String,
    Number,
    Boolean,
    Date,
    Array,
    Object,
    Url,
    Any,
}

/// <summary>A parameter of a template.</summary>
/// <param name="Required">Whether a request without it is refused.</param>
/// <param name="Type">A <c>date</c> is ISO 8601; a <c>url</c> is absolute: https, http, mailto or tel.</param>
public sealed record ParameterRule(bool Required, ParameterType Type);

/// <summary>An email, in Liquid.</summary>
/// <param name="Subject">Its subject; line breaks become blanks.</param>
/// <param name="Html">Its HTML; parameters are encoded.</param>
/// <param name="Text">Its plain text.</param>
public sealed record EmailTemplate(string? Subject = null, string? Html = null, string? Text = null);

/// <summary>An SMS, in Liquid.</summary>
/// <param name="Text">Its text.</param>
public sealed record SmsTemplate(string? Text = null);

/// <summary>A push, in Liquid.</summary>
/// <param name="Title">Its heading.</param>
/// <param name="Body">Its text.</param>
/// <param name="Url">Where a tap leads: must become an absolute https address.</param>
public sealed record PushTemplate(string? Title = null, string? Body = null, string? Url = null);

/// <summary>A template's texts for each channel that it serves.</summary>
/// <param name="Email">By email.</param>
/// <param name="Sms">By SMS.</param>
/// <param name="Push">By push, on every platform.</param>
public sealed record ChannelTemplates(EmailTemplate? Email = null, SmsTemplate? Sms = null, PushTemplate? Push = null)
{
    /// <summary>Returns the channels that it has texts for, in the order push, SMS, email.</summary>
    public IReadOnlyList<Channel> Served() => [.. Enum.GetValues<Channel>().Where(Has)];

    /// <summary>Whether it has texts for a channel.</summary>
    public bool Has(Channel channel) =>
        channel switch
        {
            Channel.Push => Push is not null,
            Channel.Sms => Sms is not null,
            _ => Email is not null,
        };

    /// <summary>Returns each text, with its field.</summary>
    public IEnumerable<(Channel Channel, string Field, string? Text)> Texts() =>
        [
            (Channel.Email, "email.subject", Email?.Subject),
            (Channel.Email, "email.html", Email?.Html),
            (Channel.Email, "email.text", Email?.Text),
            (Channel.Sms, "sms.text", Sms?.Text),
            (Channel.Push, "push.title", Push?.Title),
            (Channel.Push, "push.body", Push?.Body),
            (Channel.Push, "push.url", Push?.Url),
        ];
}

/// <summary>A version of a template, whole.</summary>
/// <param name="Category">The category of notifications that name none.</param>
/// <param name="Channels">Its texts where no locale matches; they decide which channels it serves.</param>
/// <param name="Locales">Its texts for locales, by BCP 47 tag.</param>
/// <param name="Layout">The layout that emails are set into.</param>
/// <param name="Params">Every parameter that it uses.</param>
/// <param name="Track">The tracking of its emails and SMS.</param>
public sealed record TemplateDefinition(
    string? Category,
    ChannelTemplates Channels,
    IReadOnlyDictionary<string, ChannelTemplates> Locales,
    string? Layout,
    IReadOnlyDictionary<string, ParameterRule> Params,
    TrackOptions? Track = null
)
{
    /// <summary>The most that all its texts may have together, in characters.</summary>
    public const int MaxSize = 256 * 1024;

    /// <summary>Its texts: the default's under the path <c>channels</c>, a locale's under <c>locales.{tag}</c>.</summary>
    public IEnumerable<(string Path, ChannelTemplates Channels)> Variants() =>
        Locales.Select(l => ($"locales.{l.Key}", l.Value)).Prepend(("channels", Channels));
}

/// <summary>A version of a layout, the frame of emails.</summary>
/// <param name="Html">HTML with <c>{{ content }}</c> in it.</param>
/// <param name="Text">The same for plain text; absent: plain text has no frame.</param>
/// <param name="Styles">CSS for the head of the email.</param>
/// <param name="Layout">The layout that this one is set into.</param>
public sealed record LayoutDefinition(string Html, string? Text = null, string? Styles = null, string? Layout = null);
