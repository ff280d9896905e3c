namespace Notify.Domain.Privacy;

using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;

/// <summary>The versions of encrypted values, by the data that the encryption authenticates beside them.</summary>
public static class SealedVersions
{
    /// <summary>The subject alone: such a value opens at any place of its subject. Written by earlier versions.</summary>
    public const int Subject = 1;

    /// <summary>The subject, the stream and the field (<see cref="SealedPlace"/>): such a value opens at its own place alone.</summary>
    public const int Place = 2;
}

/// <summary>
/// Personal data as it may be stored: AES-256-GCM ciphertext under its subject's key. Without that key it is noise,
/// so erasing the key erases the person and leaves the event.
/// </summary>
/// <param name="Text">
/// <c>{key ID}.2.{base64url of nonce, ciphertext, tag}</c>; of <see cref="SealedVersions.Subject"/> without <c>2.</c>.
/// </param>
[JsonConverter(typeof(SealedJsonConverter))]
public readonly record struct Sealed(string Text)
{
    /// <summary>Marks <see cref="SealedVersions.Place"/>; base64url has no full stop.</summary>
    private const string Mark = "2.";

    /// <summary>No encrypted value; read models contain it in place of personal data.</summary>
    public static readonly Sealed None = new("");

    /// <summary>The ID of the key that opens this.</summary>
    public long KeyId => long.Parse(Text.AsSpan(0, Text.IndexOf('.', StringComparison.Ordinal)), CultureInfo.InvariantCulture);

    /// <summary>One of <see cref="SealedVersions"/>.</summary>
    public int Version => Rest.StartsWith(Mark, StringComparison.Ordinal) ? SealedVersions.Place : SealedVersions.Subject;

    /// <summary>Returns nonce, ciphertext and tag in base64url.</summary>
    public ReadOnlySpan<char> GetCipher() => Version == SealedVersions.Place ? Rest[Mark.Length..] : Rest;

    private ReadOnlySpan<char> Rest => Text.AsSpan(Text.IndexOf('.', StringComparison.Ordinal) + 1);

    /// <summary>The beginning of a text, before its ciphertext.</summary>
    /// <param name="version">One of <see cref="SealedVersions"/>.</param>
    public static string PrefixOf(long keyId, int version) =>
        string.Create(CultureInfo.InvariantCulture, $"{keyId}.{(version == SealedVersions.Place ? Mark : "")}");

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
