namespace Notify.Domain.Templates;

using System.Text.RegularExpressions;
using Notify.Domain.Channels;

/// <summary>Selects the language for a person: <c>ko-KR</c>, else <c>ko</c>, else the default; each channel for itself.</summary>
public static partial class TemplateLocale
{
    public const string Rule = "must be a BCP 47 language tag, such as ko or ko-KR";

    /// <summary>Whether a text is a language tag of at most 35 characters.</summary>
    public static bool IsTag(string text) => text.Length <= 35 && Tag().IsMatch(text);

    /// <summary>A tag and what it falls back to, the nearest first.</summary>
    public static IEnumerable<string> Chain(string? locale)
    {
        for (var tag = locale; !string.IsNullOrEmpty(tag); tag = tag.LastIndexOf('-') is > 0 and var cut ? tag[..cut] : null)
            yield return tag;
    }

    /// <summary>The locale of a definition that a channel is written in; <c>null</c>: the default.</summary>
    public static string? For(TemplateDefinition definition, Channel channel, string? locale) =>
        Chain(locale)
            .Select(tag =>
                definition.Locales.FirstOrDefault(l => l.Value.Has(channel) && l.Key.Equals(tag, StringComparison.OrdinalIgnoreCase)).Key
            )
            .FirstOrDefault(key => key is not null);

    [GeneratedRegex(@"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*\z")]
    private static partial Regex Tag();
}
