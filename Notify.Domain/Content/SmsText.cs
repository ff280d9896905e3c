namespace Notify.Domain.Content;

using System.Buffers;

/// <summary>How a text travels as SMS.</summary>
/// <remarks>3GPP TS 23.038 and 23.040.</remarks>
public static class SmsText
{
    private static readonly SearchValues<char> Basic = SearchValues.Create(
        "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
    );

    private static readonly SearchValues<char> Extension = SearchValues.Create("\f^{}\\[~]|€");

    /// <summary>Whether every character is in the GSM 7-bit alphabet or its extension; else the whole text travels as UCS-2.</summary>
    public static bool IsGsm7(ReadOnlySpan<char> text) => Septets(text) is not null;

    /// <summary>How many parts a text takes: GSM-7 160, then 153 each (extension characters count two); UCS-2 70, then 67 each. At least
    /// 1.</summary>
    /// <remarks>A character that takes two units is never cut in half, so a part may stay one short.</remarks>
    public static int Segments(ReadOnlySpan<char> text) =>
        Septets(text) is { } septets
            ? septets <= 160
                ? 1
                : Parts(text, 153, static (t, i) => (1, Extension.Contains(t[i]) ? 2 : 1))
            : text.Length <= 70
                ? 1
                : Parts(
                    text,
                    67,
                    static (t, i) => char.IsHighSurrogate(t[i]) && i + 1 < t.Length && char.IsLowSurrogate(t[i + 1]) ? (2, 2) : (1, 1)
                );

    private delegate (int Characters, int Units) Measure(ReadOnlySpan<char> text, int index);

    private static int? Septets(ReadOnlySpan<char> text)
    {
        var septets = 0;
        foreach (var character in text)
        {
            if (Basic.Contains(character))
                septets++;
            else if (Extension.Contains(character))
                septets += 2;
            else
                return null;
        }

        return septets;
    }

    private static int Parts(ReadOnlySpan<char> text, int size, Measure measure)
    {
        var (parts, used) = (1, 0);
        for (var i = 0; i < text.Length; )
        {
            var (characters, units) = measure(text, i);
            if (used + units > size)
                (parts, used) = (parts + 1, 0);
            used += units;
            i += characters;
        }

        return parts;
    }
}
