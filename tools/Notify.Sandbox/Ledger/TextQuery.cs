namespace Notify.Sandbox.Ledger;

using System.Buffers;
using System.Net;
using System.Text;
using System.Text.Json;

/// <summary>A substring to be found in raw bodies, however they escape it.</summary>
public sealed class TextQuery(string text)
{
    private static readonly SearchValues<byte> FormEscapes = SearchValues.Create("%+"u8);

    private readonly byte[] _utf8 = Encoding.UTF8.GetBytes(text);

    /// <summary>Whether the text occurs in a JSON body as it stands or within any name or string of it.</summary>
    public bool IsInJson(ReadOnlySpan<byte> body) => IsIn(body) || (body.Contains((byte)'\\') && IsInStrings(body));

    /// <summary>Whether the text occurs in a form body as it stands or decoded.</summary>
    public bool IsInForm(ReadOnlySpan<byte> body) =>
        IsIn(body) || (body.ContainsAny(FormEscapes) && IsIn(WebUtility.UrlDecodeToBytes(body.ToArray(), 0, body.Length)));

    /// <summary>Whether the text occurs in bytes as they stand.</summary>
    public bool IsIn(ReadOnlySpan<byte> bytes) => bytes.IndexOf(_utf8) >= 0;

    /// <summary>Whether the text occurs in another.</summary>
    public bool IsIn(string? other) => other?.Contains(text, StringComparison.Ordinal) == true;

    private bool IsInStrings(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json);
        try
        {
            while (reader.Read())
            {
                if (
                    reader is { TokenType: JsonTokenType.String or JsonTokenType.PropertyName, ValueIsEscaped: true }
                    && reader.GetString()!.Contains(text, StringComparison.Ordinal)
                )
                    return true;
            }
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            // A body that is no JSON (or no Unicode) was refused as such; it has no strings to search.
        }

        return false;
    }
}
