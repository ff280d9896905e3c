namespace Notify.Domain.Broadcasts;

using Notify.Domain.Recipients;
using Notify.Domain.Templates;

/// <summary>
/// Whom a broadcast is for: users who belong to at least one of the topics of <paramref name="Any"/> (where it names some),
/// to each of <paramref name="All"/>, and to none of <paramref name="None"/>. Without any topic: every registered user.
/// </summary>
/// <param name="Locales">Of these, those who speak one of these languages; <c>null</c>: all.</param>
/// <param name="TimeZones">Of these, those who live in one of these zones; <c>null</c>: all.</param>
public sealed record Audience(
    IReadOnlyList<string> Any,
    IReadOnlyList<string> All,
    IReadOnlyList<string> None,
    IReadOnlyList<string>? Locales = null,
    IReadOnlyList<string>? TimeZones = null
)
{
    /// <summary>Every registered user.</summary>
    public static readonly Audience Everybody = new([], [], []);

    /// <summary>The subscribers of a topic.</summary>
    public static Audience Of(string topic) => new([topic], [], []);

    /// <summary>Whether people's details decide, too. They are encrypted, so each person's are decrypted when it is their turn.</summary>
    public bool AsksForDetails => Locales is { Count: > 0 } || TimeZones is { Count: > 0 };

    /// <summary>Whether a person's details match. <c>ko</c> matches <c>ko-KR</c> too; without a language none matches.</summary>
    public bool Has(ContactDetails? details) =>
        (
            Locales is not { Count: > 0 }
            || TemplateLocale.Chain(details?.Locale).Any(tag => Locales.Contains(tag, StringComparer.OrdinalIgnoreCase))
        ) && (TimeZones is not { Count: > 0 } || TimeZones.Contains(details?.TimeZone ?? "", StringComparer.OrdinalIgnoreCase));
}
