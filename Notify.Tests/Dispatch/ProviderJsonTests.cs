namespace Notify.Tests.Dispatch;

using System.Buffers;
using System.Text;
using System.Text.Json;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.Apns;
using Notify.Dispatch.Providers.Fcm;
using Notify.Dispatch.Providers.WebPush;
using Notify.Domain.Channels;
using Notify.Domain.Content;

/// <summary>
/// RFC 8259: section 8.1, JSON is UTF-8; section 7, a string must escape the quotation mark, the backslash and U+0000 to U+001F.
/// </summary>
public sealed class ProviderJsonTests
{
    private static readonly DateTimeOffset Now = new(2026, 5, 4, 12, 10, 0, TimeSpan.Zero);

    /// <summary>
    /// Apple, Generating a remote notification, and Firebase, About FCM messages: 4,096 bytes; RFC 8030, section 7.2: 4,096 bytes of body.
    /// 900 emoji take 3,600 bytes of UTF-8.
    /// </summary>
    [Fact]
    public void Emoji_take_their_bytes_in_utf8_and_no_more_in_each_push()
    {
        var message = Message(new NotificationContent("t", string.Concat(Enumerable.Repeat("\U0001F600", 900))));
        Assert.InRange(ApnsPayload.Write(message).Length, 3600, ApnsPayload.MaxBytes);
        Assert.NotNull(FcmPayload.Write(message, Now));
        Assert.InRange(WebPushProvider.Payload(message).Length, 3600, PushEncryption.MaxText);
    }

    [Theory]
    [InlineData("\U0001F469\u200D\U0001F4BB")]
    [InlineData("가\u3000나\u00A0다")]
    [InlineData("\uE000\uF8FF\U000F0000")]
    [InlineData("\u2028\u2029\uFEFF\u007F")]
    [InlineData("\U0002000B\U0001F1E9\U0001F1EA")]
    public void A_character_that_JSON_allows_is_written_as_it_is(string text)
    {
        var data = JsonSerializer.SerializeToElement(new Dictionary<string, object> { [text] = text, ["deep"] = new { inside = text } });
        var message = Message(new NotificationContent(text, text, Data: data));
        foreach (
            var payload in new[]
            {
                ApnsPayload.Write(message),
                FcmPayload.Write(message, Now)!.Value.ToArray(),
                WebPushProvider.Payload(message),
            }
        )
        {
            var written = Encoding.UTF8.GetString(payload);
            Assert.DoesNotContain(@"\u", written, StringComparison.Ordinal);
            Assert.Equal(5, written.Split(text).Length - 1);
        }
    }

    [Fact]
    public void Every_character_reads_as_it_was_written()
    {
        for (var from = 0; from <= 0x10FFFF; from += 0x1000)
        {
            var text = string.Concat(Enumerable.Range(from, 0x1000).Where(Rune.IsValid).Select(c => new Rune(c).ToString()));
            Assert.Equal(text, JsonDocument.Parse(Written(text)).RootElement.GetString());
        }
    }

    // Half a surrogate pair cannot stand in an attribute, so this is no InlineData.
    public static readonly TheoryData<string, string> Escapes = new()
    {
        { "a\"b\\c", @"""a\""b\\c""" },
        { "\r\n\t\0\u001f", @"""\r\n\t\u0000\u001f""" },
        { "😀\ud83dx\ude00😀", "\"😀\ufffdx\ufffd😀\"" },
        { "</script>&'+`", "\"</script>&'+`\"" },
    };

    [Theory, MemberData(nameof(Escapes))]
    public void Only_what_JSON_demands_is_escaped(string text, string expected) =>
        Assert.Equal(expected, Encoding.UTF8.GetString(Written(text)));

    [Fact]
    public void Nested_JSON_in_data_of_FCM_is_written_as_it_is()
    {
        var stored = JsonDocument.Parse("""{ "deep": { "a": "\ud83d\ude00", "n": 7.50 } }""").RootElement;
        var message = JsonDocument
            .Parse(FcmPayload.Write(Message(new NotificationContent("t", Data: stored)), Now)!.Value)
            .RootElement.GetProperty("message");
        Assert.Equal("""{"a":"😀","n":7.50}""", message.GetProperty("data").GetProperty("deep").GetString());
    }

    private static byte[] Written(string text)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, ProviderJson.Writing))
            json.WriteStringValue(text);
        return buffer.WrittenSpan.ToArray();
    }

    private static OutboundMessage Message(NotificationContent content) => new(Guid.Empty, "token", content, Priority.Normal, null);
}
