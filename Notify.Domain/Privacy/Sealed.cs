using System.Text.Json;
using System.Text.Json.Serialization;

namespace Notify.Domain.Privacy;

/// <summary>
/// Personal data as it may be stored: AES-256-GCM ciphertext under its subject's key. Without that key it is noise,
/// so erasing the key erases the person and leaves the event.
/// </summary>
/// <param name="Text"><c>{key ID}.{base64url of nonce, ciphertext, tag}</c>.</param>
[JsonConverter(typeof(SealedJsonConverter))]
public readonly record struct Sealed(string Text)
{
    /// <summary>Nothing sealed; stands where a read model leaves personal data out.</summary>
    public static readonly Sealed None = new("");

    /// <summary>The ID of the key that opens this.</summary>
    public long KeyId => long.Parse(Text.AsSpan(0, Text.IndexOf('.', StringComparison.Ordinal)), System.Globalization.CultureInfo.InvariantCulture);

    /// <inheritdoc />
    public override string ToString() => "(sealed)";
}

/// <summary>Writes <see cref="Sealed"/> as a plain JSON string.</summary>
public sealed class SealedJsonConverter : JsonConverter<Sealed>
{
    /// <inheritdoc />
    public override Sealed Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => new(reader.GetString()!);

    /// <inheritdoc />
    public override void Write(Utf8JsonWriter writer, Sealed value, JsonSerializerOptions options) => writer.WriteStringValue(value.Text);
}
