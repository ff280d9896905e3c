namespace Notify.Infrastructure.Json;

using System.Text.Json;
using System.Text.Json.Serialization;

/// <summary>
/// Reads a time in ISO 8601 with any offset, and returns it in UTC: PostgreSQL's <c>timestamptz</c> accepts no other, and two
/// ways to write the same time are the same. One without an offset is in UTC, in every zone of the machine.
/// </summary>
internal sealed class UtcTimes : JsonConverter<DateTimeOffset>
{
    /// <inheritdoc />
    public override DateTimeOffset Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        var time = reader.GetDateTimeOffset();
        if (time.Offset == TimeSpan.Zero)
            return time;
        // An offset that was not written is the machine's.
        return reader.GetDateTime() is { Kind: DateTimeKind.Unspecified } written
            ? new DateTimeOffset(written, TimeSpan.Zero)
            : time.ToUniversalTime();
    }

    /// <inheritdoc />
    public override void Write(Utf8JsonWriter writer, DateTimeOffset value, JsonSerializerOptions options) =>
        writer.WriteStringValue(value.ToUniversalTime());
}
