namespace Notify.Sandbox.Twilio;

using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;

/// <summary>How Twilio writes JSON: snake case, null where there is nothing, times as in RFC 2822.</summary>
internal static class TwilioJson
{
    private static readonly JsonSerializerOptions Options = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    public static byte[] Write<T>(T value) => JsonSerializer.SerializeToUtf8Bytes(value, Options);

    public static string Time(DateTimeOffset time) =>
        time.UtcDateTime.ToString("ddd, dd MMM yyyy HH:mm:ss '+0000'", CultureInfo.InvariantCulture);
}
