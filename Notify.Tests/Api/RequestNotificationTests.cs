namespace Notify.Tests.Api;

using System.Text.Json;
using Notify.Api.Contract;
using Notify.Api.Notifications;

public class RequestNotificationTests
{
    private const string User = "\"eventId\":\"e\",\"userId\":\"u\"";
    private const string Content = "\"content\":{\"body\":\"b\"}";

    [Theory]
    [InlineData("{" + User + "," + Content + "}")]
    [InlineData(
        "{"
            + User
            + ","
            + Content
            + ",\"channels\":[\"push\",\"sms\",\"email\"],\"category\":\"shipping\",\"priority\":\"bulk\",\"metadata\":{\"a\":1}}"
    )]
    [InlineData(
        "{" + User + "," + Content + ",\"sendAt\":\"2026-12-01T09:00:00Z\",\"expiresAt\":\"2026-12-01T12:00:00+09:00\"}",
        "expiresAt"
    )]
    [InlineData("{" + User + "," + Content + ",\"sendAt\":\"2026-12-01T09:00:00Z\",\"expiresAt\":\"2026-12-01T12:00:00Z\"}")]
    [InlineData("{" + User + ",\"content\":{\"title\":\"t\",\"url\":\"https://x.example/y\",\"data\":{}}}")]
    [InlineData("{\"eventId\":\"e\",\"to\":{\"phone\":\"+82 10-1234-5678\",\"email\":\"kim@example.com\"}," + Content + "}")]
    [InlineData("{}", "eventId", "userId", "content")]
    [InlineData("{\"eventId\":\"a b\",\"userId\":\"u/1\"," + Content + "}", "eventId", "userId")]
    [InlineData("{" + User + "}", "content")]
    [InlineData("{" + User + ",\"to\":{\"phone\":\"+821012345678\"}," + Content + "}", "to")]
    [InlineData("{\"eventId\":\"e\",\"to\":{}," + Content + "}", "to")]
    [InlineData("{\"eventId\":\"e\",\"to\":{\"phone\":\"010\",\"email\":\"kim\"}," + Content + "}", "to.phone", "to.email")]
    [InlineData("{\"eventId\":\"e\",\"to\":{\"device\":{\"platform\":\"ios\",\"token\":\"x\"}}," + Content + "}", "to.device.token")]
    [InlineData("{" + User + "," + Content + ",\"channels\":[]}", "channels")]
    [InlineData("{" + User + "," + Content + ",\"channels\":[\"push\",\"push\"]}", "channels")]
    [InlineData("{" + User + "," + Content + ",\"category\":\"Loud\"}", "category")]
    [InlineData("{" + User + "," + Content + ",\"metadata\":[]}", "metadata")]
    [InlineData("{" + User + ",\"content\":{}}", "content")]
    [InlineData("{" + User + ",\"content\":{\"title\":\"t\",\"url\":\"http://x.example\"}}", "content.url")]
    [InlineData("{" + User + ",\"content\":{\"title\":\"t\",\"url\":\"javascript:x\"}}", "content.url")]
    [InlineData("{" + User + ",\"content\":{\"title\":\"t\",\"data\":[]}}", "content.data")]
    [InlineData("{" + User + ",\"template\":{\"key\":\"k\"}," + Content + "}", "template")]
    [InlineData("{" + User + "," + Content + ",\"Priority\":\"bulk\"}", "Priority")]
    [InlineData("{" + User + ",\"content\":{\"body\":1},\"priority\":\"x\"}", "content.body", "priority")]
    [InlineData("{" + User + ",\"content\":{\"body\":\"b\",\"push\":{}}}")]
    [InlineData(
        "{"
            + User
            + ",\"content\":{\"body\":\"b\",\"push\":{\"sound\":\"none\",\"badge\":0,\"ttlSeconds\":0,\"collapseKey\":\"k\",\"image\":\"https://x.example/y\",\"android\":{\"color\":\"#00ffAA\"},\"ios\":{\"interruptionLevel\":\"timeSensitive\"},\"web\":{\"requireInteraction\":true}}}}"
    )]
    [InlineData(
        "{"
            + User
            + ",\"content\":{\"body\":\"b\",\"push\":{\"sound\":\"\",\"badge\":-1,\"ttlSeconds\":2419201,\"collapseKey\":\"a "
            + "b\",\"image\":\"http://x.example/y\",\"android\":{\"color\":\"red\",\"channelId\":\"\"},\"ios\":{\"threadId\":\"a\\nb\"},\"web\":{\"icon\":\"x\"}}}}",
        "content.push.sound",
        "content.push.badge",
        "content.push.ttlSeconds",
        "content.push.collapseKey",
        "content.push.image",
        "content.push.android.color",
        "content.push.android.channelId",
        "content.push.ios.threadId",
        "content.push.web.icon"
    )]
    [InlineData(
        "{" + User + ",\"content\":{\"body\":\"b\",\"push\":{\"badge\":\"3\",\"volume\":1,\"ios\":{\"interruptionLevel\":\"loud\"}}}}",
        "content.push.badge",
        "content.push.volume",
        "content.push.ios.interruptionLevel"
    )]
    [InlineData(
        "{"
            + User
            + ",\"content\":{\"body\":\"b\",\"attachments\":[{\"filename\":\"a.txt\",\"contentType\":\"text/plain\",\"content\":\"YQ==\",\"contentId\":\"a@x.example\"}]}}"
    )]
    [InlineData(
        "{"
            + User
            + ",\"content\":{\"body\":\"b\",\"attachments\":[{},{\"filename\":\"../\",\"contentType\":\"text/plain; "
            + "charset=x\",\"content\":\"!\",\"contentId\":\"a b\"}]}}",
        "content.attachments[0].filename",
        "content.attachments[0].contentType",
        "content.attachments[0].content",
        "content.attachments[1].filename",
        "content.attachments[1].contentType",
        "content.attachments[1].content",
        "content.attachments[1].contentId"
    )]
    public void Every_fault_is_named_by_its_field(string json, params string[] fields) =>
        Assert.Equal(fields.Order(), Faults(json).Order());

    [Theory]
    [InlineData("title", 1000)]
    [InlineData("body", 10_000)]
    [InlineData("html", 200_000)]
    public void Content_is_not_endless(string field, int limit)
    {
        Assert.Empty(Faults($"{{{User},\"content\":{{\"{field}\":\"{new string('x', limit)}\"}}}}"));
        Assert.Equal([$"content.{field}"], Faults($"{{{User},\"content\":{{\"{field}\":\"{new string('x', limit + 1)}\"}}}}"));
    }

    [Theory]
    [InlineData("\"sms\"", 1530, "a", false)]
    [InlineData("\"sms\"", 1531, "a", true)]
    [InlineData("\"push\",\"sms\"", 671, "가", true)]
    [InlineData("\"push\",\"email\"", 1531, "a", false)] // no SMS is meant
    [InlineData(null, 1531, "a", false)] // it is left out, and others are not
    public void A_text_for_SMS_has_no_more_segments_than_are_allowed(string? channels, int length, string character, bool refused)
    {
        var text = string.Concat(Enumerable.Repeat(character, length));
        Assert.Equal(
            refused ? ["content.body"] : [],
            Faults($"{{{User},\"content\":{{\"body\":\"{text}\"}}{(channels is null ? "" : $",\"channels\":[{channels}]")}}}")
        );
    }

    [Fact]
    public void Files_are_few_and_small_and_each_picture_has_its_name()
    {
        Assert.Empty(Faults(Files(10, 1000)));
        Assert.Equal(["content.attachments"], Faults(Files(11, 10)));
        Assert.Empty(Faults(Files(1, 5 * 1024 * 1024)));
        Assert.Equal(["content.attachments"], Faults(Files(2, 5 * 1024 * 512 + 1)));
        Assert.Equal(["content.attachments"], Faults(Files(2, 10, ",\"contentId\":\"same\"")));

        static string Files(int count, int bytes, string more = "") =>
            $"{{{User},\"content\":{{\"body\":\"b\",\"attachments\":[{string.Join(',', Enumerable.Repeat($"{{\"filename\":\"f\",\"contentType\":\"text/plain\",\"content\":\"{Convert.ToBase64String(new byte[bytes])}\"{more}}}", count))}]}}}}";
    }

    private static IEnumerable<string> Faults(string json)
    {
        using var document = JsonDocument.Parse(json);
        return RequestBody.Bind(document.RootElement, new RequestNotificationValidator(), out _)?.Keys ?? [];
    }
}
