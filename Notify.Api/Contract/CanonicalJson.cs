namespace Notify.Api.Contract;

using System.Buffers;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;

/// <summary>
/// One way to write what means the same: names in order, no white space, numbers by value, strings unescaped. Two requests
/// with the same event ID are the same request when their canonical forms are.
/// </summary>
public static class CanonicalJson
{
    /// <summary>The canonical form, UTF-8.</summary>
    public static ReadOnlyMemory<byte> Of(JsonElement element)
    {
        var buffer = new ArrayBufferWriter<byte>(512);
        using (var writer = new Utf8JsonWriter(buffer, new JsonWriterOptions { SkipValidation = true }))
            Write(writer, element);
        return buffer.WrittenMemory;
    }

    /// <summary>The canonical form, UTF-8, in memory that is given back when it is disposed of.</summary>
    public static RentedBuffer Rent(JsonElement element)
    {
        var buffer = new RentedBuffer(JsonMarshal.GetRawUtf8Value(element).Length);
        using (var writer = new Utf8JsonWriter(buffer, new JsonWriterOptions { SkipValidation = true }))
            Write(writer, element);
        return buffer;
    }

    private static void Write(Utf8JsonWriter writer, JsonElement element)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.Object:
                writer.WriteStartObject();
                foreach (var p in element.EnumerateObject().OrderBy(p => p.Name, StringComparer.Ordinal))
                {
                    writer.WritePropertyName(p.Name);
                    Write(writer, p.Value);
                }

                writer.WriteEndObject();
                break;
            case JsonValueKind.Array:
                writer.WriteStartArray();
                foreach (var e in element.EnumerateArray())
                    Write(writer, e);
                writer.WriteEndArray();
                break;
            case JsonValueKind.Number when element.TryGetDecimal(out var number) && number == decimal.Truncate(number):
                writer.WriteRawValue(decimal.Truncate(number).ToString(CultureInfo.InvariantCulture), skipInputValidation: true);
                break;
            case JsonValueKind.Number when element.TryGetDouble(out var number) && double.IsFinite(number):
                writer.WriteRawValue(number.ToString("R", CultureInfo.InvariantCulture), skipInputValidation: true);
                break;
            default:
                element.WriteTo(writer);
                break;
        }
    }
}
