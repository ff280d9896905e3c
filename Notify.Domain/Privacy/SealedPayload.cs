namespace Notify.Domain.Privacy;

using System.Text.Json;
using System.Text.Json.Serialization;

/// <summary>
/// The payload of a notification or broadcast in its stream: a reference to the encrypted row that contains it. Streams
/// stay small, however large a payload is, and retention can drop the row while the event stays.
/// </summary>
/// <param name="KeyId">The ID of the subject's key that decrypts it.</param>
/// <param name="StoredAt">When it was stored; with the stream key it names the row.</param>
/// <param name="Size">Bytes of the ciphertext.</param>
/// <param name="Hash">SHA-256 of the ciphertext, its first 16 bytes as base64url: proves that the row is the one that was accepted.</param>
/// <param name="Inline">The encrypted text itself, in events of earlier versions; else <c>null</c>.</param>
/// <param name="Version">One of <see cref="SealedVersions"/>: the form of the row's ciphertext.</param>
[JsonConverter(typeof(SealedPayloadJsonConverter))]
public readonly record struct SealedPayload(
    long KeyId,
    DateTimeOffset StoredAt,
    int Size,
    string? Hash,
    string? Inline = null,
    int Version = SealedVersions.Subject
)
{
    /// <summary>No payload; read models contain it in place of personal data.</summary>
    public static readonly SealedPayload None;

    /// <summary>Whether there is no payload.</summary>
    public bool IsNone => Hash is null && Inline is null;

    /// <summary>This payload without the text that an event of an earlier version holds; the key is still known.</summary>
    public SealedPayload WithoutText => Inline is null ? this : this with { Inline = null, Hash = "" };

    /// <summary>An empty encrypted text under the same key, for questions about the key alone.</summary>
    public Sealed Key => new(string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{KeyId}."));

    /// <summary>Makes a reference from a payload within an event.</summary>
    public static SealedPayload FromSealed(Sealed text) =>
        text.Text is { Length: > 0 } inline ? new(text.KeyId, default, inline.Length, null, inline, text.Version) : None;

    /// <summary>Makes a reference from a payload within an event.</summary>
    public static implicit operator SealedPayload(Sealed text) => FromSealed(text);

    /// <inheritdoc />
    public override string ToString() => "(sealed)";
}

/// <summary>Writes a reference as an object, a payload within the event as a string, and none as an empty string.</summary>
public sealed class SealedPayloadJsonConverter : JsonConverter<SealedPayload>
{
    /// <inheritdoc />
    public override SealedPayload Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        if (reader.TokenType == JsonTokenType.String)
            return new Sealed(reader.GetString()!);
        var reference =
            JsonSerializer.Deserialize<Reference>(ref reader, options)
            ?? throw new JsonException("A payload is a reference or an encrypted text.");
        return new SealedPayload(
            reference.KeyId,
            reference.StoredAt,
            reference.Size,
            reference.Hash,
            Version: reference.Version ?? SealedVersions.Subject
        );
    }

    /// <inheritdoc />
    public override void Write(Utf8JsonWriter writer, SealedPayload value, JsonSerializerOptions options)
    {
        int? version = value.Version == SealedVersions.Subject ? null : value.Version;
        if (value.Hash is { } hash)
            JsonSerializer.Serialize(writer, new Reference(value.KeyId, value.StoredAt, value.Size, hash, version), options);
        else
            writer.WriteStringValue(value.Inline ?? "");
    }

    // References of earlier versions have no version.
    private sealed record Reference(long KeyId, DateTimeOffset StoredAt, int Size, string Hash, int? Version = null);
}
