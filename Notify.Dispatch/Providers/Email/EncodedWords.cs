namespace Notify.Dispatch.Providers.Email;

using System.Text;

/// <summary>Header text as encoded words (RFC 2047).</summary>
public static class EncodedWords
{
    private const string Start = "=?utf-8?B?",
        End = "?=";
    private const int MaxWord = 75,
        MaxLine = 76;

    // A word without a blank in it cannot be folded (RFC 5322, section 2.1.1: a line should have at most 78 characters).
    private const int MaxUnfolded = 60;

    /// <summary>
    /// Whether a text must be encoded: it is not printable ASCII, it has a word that no line holds, or a mail program would read an encoded
    /// word in it that its author wrote as text.
    /// </summary>
    public static bool AreNeeded(string text) =>
        text.Any(c => c is < ' ' or > '~')
        || text.Contains("=?", StringComparison.Ordinal)
        || text.Split(' ').Any(w => w.Length > MaxUnfolded);

    /// <summary>A text as encoded words in one line, for a provider that folds it.</summary>
    public static string InOneLine(string text) => Encode(text, 0).Replace("\r\n ", " ", StringComparison.Ordinal);

    /// <summary>A text as encoded words, folded.</summary>
    /// <remarks>
    /// RFC 2047, section 2: a word has at most 75 characters, a line with one at most 76. Section 5: each word holds whole characters.
    /// </remarks>
    /// <param name="used">How many characters stand before it in the first line.</param>
    public static string Encode(string text, int used)
    {
        var (result, word) = (new StringBuilder(text.Length * 2), new List<byte>(MaxWord));
        var room = Room(Math.Min(MaxWord, MaxLine - used));
        Span<byte> utf8 = stackalloc byte[4];
        foreach (var rune in text.EnumerateRunes())
        {
            var length = rune.EncodeToUtf8(utf8);
            if (word.Count + length > room)
                Finish();
            word.AddRange(utf8[..length]);
        }

        Finish();
        return result.ToString();

        void Finish()
        {
            if (result.Length > 0)
                result.Append("\r\n ");
            result.Append(Start).Append(Convert.ToBase64String([.. word])).Append(End);
            word.Clear();
            room = Room(MaxWord);
        }

        static int Room(int characters) => Math.Max(4, (characters - Start.Length - End.Length) / 4 * 3);
    }
}
