namespace Notify.Dispatch.Providers;

using System.Buffers;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

/// <summary>JSON as providers get it: UTF-8, with escapes only where JSON demands them.</summary>
/// <remarks>
/// RFC 8259, sections 7 and 8.1. The encoders of .NET escape every character beyond the basic multilingual plane, unassigned and
/// private characters, and blanks such as U+3000: an emoji takes 12 bytes instead of 4 of a payload that is limited to 4,096.
/// </remarks>
public static class ProviderJson
{
    /// <summary>The options of every writer whose JSON goes to a provider.</summary>
    public static JsonWriterOptions Writing { get; } = new() { Encoder = new MinimalEncoder() };

    /// <summary>Parses what a provider sent. A byte order mark before it is passed over.</summary>
    /// <remarks>RFC 8259, section 8.1: senders must not write one, and receivers may ignore it.</remarks>
    /// <exception cref="JsonException">It is no JSON.</exception>
    public static JsonDocument Parse(byte[] utf8) => JsonDocument.Parse(utf8.AsSpan().StartsWith("\uFEFF"u8) ? utf8.AsMemory(3) : utf8);

    /// <summary>A value's JSON text, without blanks between its parts.</summary>
    public static string TextOf(JsonElement value)
    {
        var buffer = new ArrayBufferWriter<byte>(256);
        using (var json = new Utf8JsonWriter(buffer, Writing))
            value.WriteTo(json);
        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    // Quotation mark, backslash, control characters, and what no UTF-8 can hold: half a surrogate pair, which becomes U+FFFD.
    private sealed class MinimalEncoder : JavaScriptEncoder
    {
        private static readonly SearchValues<char> Suspect = SearchValues.Create([
            .. Enumerable.Range(0, ' ').Concat(Enumerable.Range(0xD800, 0x800)).Select(c => (char)c),
            '"',
            '\\',
        ]);

        public override int MaxOutputCharactersPerInputCharacter => 6;

        public override bool WillEncode(int unicodeScalar) => unicodeScalar is < ' ' or '"' or '\\';

        public override unsafe int FindFirstCharacterToEncode(char* text, int textLength)
        {
            var span = new ReadOnlySpan<char>(text, textLength);
            var at = 0;
            while (span[at..].IndexOfAny(Suspect) is >= 0 and var next)
            {
                at += next;
                if (at + 1 >= textLength || !char.IsSurrogatePair(span[at], span[at + 1]))
                    return at;
                at += 2;
            }

            return -1;
        }

        public override unsafe bool TryEncodeUnicodeScalar(
            int unicodeScalar,
            char* buffer,
            int bufferLength,
            out int numberOfCharactersWritten
        )
        {
            var escaped = unicodeScalar switch
            {
                '"' => "\\\"",
                '\\' => @"\\",
                '\n' => @"\n",
                '\r' => @"\r",
                '\t' => @"\t",
                < ' ' => $@"\u{unicodeScalar:x4}",
                _ => char.ConvertFromUtf32(unicodeScalar),
            };
            numberOfCharactersWritten = escaped.TryCopyTo(new Span<char>(buffer, bufferLength)) ? escaped.Length : 0;
            return numberOfCharactersWritten > 0;
        }
    }
}
