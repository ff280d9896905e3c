using System.Text.Json;
using Notify.Api.Contract;
using Notify.Api.Notifications;

namespace Notify.Tests.Api;

public class RequestNotificationTests
{
    private const string User = "\"eventId\":\"e\",\"userId\":\"u\"";
    private const string Content = "\"content\":{\"body\":\"b\"}";

    [Theory]
    [InlineData("{" + User + "," + Content + "}")]
    [InlineData("{" + User + "," + Content + ",\"channels\":[\"push\",\"sms\",\"email\"],\"category\":\"shipping\",\"priority\":\"bulk\",\"metadata\":{\"a\":1}}")]
    [InlineData("{" + User + "," + Content + ",\"sendAt\":\"2026-12-01T09:00:00Z\",\"expiresAt\":\"2026-12-01T12:00:00+09:00\"}", "expiresAt")]
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

    private static IEnumerable<string> Faults(string json)
    {
        using var document = JsonDocument.Parse(json);
        return RequestBody.Bind(document.RootElement, new RequestNotificationValidator(), out _)?.Keys ?? [];
    }
}
