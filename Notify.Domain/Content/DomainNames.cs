namespace Notify.Domain.Content;

using ICU4N.Impl;
using ICU4N.Text;

/// <summary>Domain names in their one ASCII form, for sending, suppression and comparison alike.</summary>
/// <remarks>
/// Unicode Technical Standard 46, nontransitional, with the rules for right-to-left labels (RFC 5893) and joiners (RFC 5892). .NET's
/// IdnMapping needs the machine's ICU for it: without that it maps nothing, so that capitals, decomposed and full-width letters make
/// other names, and it applies the older rules that refuse digits at the end of a right-to-left label.
/// </remarks>
public static class DomainNames
{
    private const int MaxName = 253,
        MaxWritten = 1000;

    private static readonly IDNA Names = IDNA.GetUTS46Instance(
        UTS46Options.UseSTD3Rules
            | UTS46Options.CheckBiDi
            | UTS46Options.CheckContextJ
            | UTS46Options.NontransitionalToASCII
            | UTS46Options.NontransitionalToUnicode
    );

    /// <summary>A name in ASCII and small letters; <c>null</c> for what is no domain name.</summary>
    public static string? ToAscii(ReadOnlySpan<char> name)
    {
        if (name.IsEmpty || name.Length > MaxWritten)
            return null;
        Span<char> ascii = stackalloc char[MaxName + 1];
        // So since Unicode 15.1; the library's table is older (ICU4N 60.1).
        var text = name.Contains('\u1E9E') ? name.ToString().Replace('\u1E9E', 'ß') : name;
        return Names.TryNameToASCII(text, ascii, out var length, out var info) && !info.HasErrors ? ascii[..length].ToString() : null;
    }

    /// <summary>A text in Unicode's normalization form C: a letter and its mark are one character where there is one.</summary>
    /// <remarks>Unicode Standard Annex 15. .NET's own leaves texts as they are where the machine has no ICU.</remarks>
    public static string Composed(string text) => System.Text.Ascii.IsValid(text) ? text : Normalizer2.NFCInstance.Normalize(text);
}
