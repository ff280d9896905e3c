namespace Notify.Sandbox.Providers;

using System.Text.Json;

/// <summary>Takes secrets out of bodies that are to be kept.</summary>
public static class Secrets
{
    /// <summary>A JSON object without the value of one of its own properties; null where it has no such text, or is no JSON up to
    /// there.</summary>
    public static byte[]? InJson(ReadOnlySpan<byte> body, string property)
    {
        var reader = new Utf8JsonReader(body);
        try
        {
            while (reader.Read())
            {
                if (reader.TokenType != JsonTokenType.PropertyName || reader.CurrentDepth != 1 || !reader.ValueTextEquals(property))
                    continue;
                if (reader.Read() && reader.TokenType == JsonTokenType.String)
                    return [.. body[..(int)reader.TokenStartIndex], .. "\"[redacted]\""u8, .. body[(int)reader.BytesConsumed..]];
            }
        }
        catch (JsonException)
        {
            // It will be refused as no JSON.
        }

        return null;
    }
}
