namespace Notify.Tests.Dispatch;

using System.Text;
using System.Text.Json;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.Fcm;
using Notify.Domain.Channels;
using Notify.Domain.Content;

public sealed class FcmPayloadTests
{
    private static readonly DateTimeOffset Now = new(2026, 5, 4, 12, 10, 0, TimeSpan.Zero);
    private static readonly Guid Id = Guid.Parse("e82ef91d-0847-8010-a731-d0a6056833f9");

    [Fact]
    public void The_message_has_what_there_is_and_nothing_else()
    {
        var full = Write(
            Message(new NotificationContent("t", "“b” 👋", "<p>", Json("""{"order":"7"}"""), "https://x.example/y"), Now.AddHours(1))
        );
        Assert.Equal(["android", "data", "notification", "token"], Names(full));
        Assert.Equal("device-token", full.GetProperty("token").GetString());
        Assert.Equal(
            ("t", "“b” 👋"),
            (
                full.GetProperty("notification").GetProperty("title").GetString(),
                full.GetProperty("notification").GetProperty("body").GetString()
            )
        );
        Assert.Equal(
            new()
            {
                ["deliveryId"] = Id.ToString(),
                ["url"] = "https://x.example/y",
                ["order"] = "7",
            },
            Data(full)
        );
        Assert.Equal(["notification", "priority", "ttl"], Names(full.GetProperty("android")));
        Assert.Equal("3600s", full.GetProperty("android").GetProperty("ttl").GetString());

        var bare = Write(Message(new NotificationContent(Body: "b")));
        Assert.Equal(["body"], Names(bare.GetProperty("notification")));
        Assert.Equal(["deliveryId"], Data(bare).Keys);
        Assert.Equal(["notification", "priority"], Names(bare.GetProperty("android")));
    }

    [Fact]
    public void A_repeat_carries_the_same_tag_and_no_collapse_key()
    {
        string Tag(Guid id) =>
            Write(Message() with { DeliveryId = id }).GetProperty("android").GetProperty("notification").GetProperty("tag").GetString()!;
        Assert.Equal(Tag(Id), Tag(Id));
        Assert.NotEqual(Tag(Id), Tag(Guid.NewGuid()));
        Assert.DoesNotContain("ollapse", Write(Message()).GetRawText(), StringComparison.Ordinal);
    }

    [Fact]
    public void Data_alone_is_no_notification()
    {
        var message = Write(Message(new NotificationContent(Data: Json("""{"sync":"now"}"""))));
        Assert.Equal(["android", "data", "token"], Names(message));
        Assert.Equal(["priority"], Names(message.GetProperty("android")));
    }

    [Theory]
    [InlineData(Priority.Critical, "HIGH")]
    [InlineData(Priority.Normal, "HIGH")]
    [InlineData(Priority.Bulk, "NORMAL")]
    public void Bulk_may_wait_for_the_device_s_convenience(Priority priority, string expected) =>
        Assert.Equal(expected, Write(Message() with { Priority = priority }).GetProperty("android").GetProperty("priority").GetString());

    [Theory]
    [InlineData(90.9, "90s")]
    [InlineData(0, "0s")]
    [InlineData(-5, "0s")]
    [InlineData(28 * 24 * 3600, "2419200s")]
    [InlineData(400 * 24 * 3600, "2419200s")]
    public void The_time_to_live_is_within_what_FCM_allows(double seconds, string ttl) =>
        Assert.Equal(ttl, Write(Message(expiresAt: Now.AddSeconds(seconds))).GetProperty("android").GetProperty("ttl").GetString());

    [Fact]
    public void Data_value_that_is_no_string_becomes_its_JSON_text()
    {
        var data = Data(
            Write(
                Message(
                    new NotificationContent(
                        "t",
                        Data: Json("""{"n":7.50,"yes":true,"none":null,"list":[1,"a"],"deep":{"a":{"b":"c"}},"text":"x","empty":""}""")
                    )
                )
            )
        );
        Assert.Equal(
            ("7.50", "true", "null", """[1,"a"]""", """{"a":{"b":"c"}}"""),
            (data["n"], data["yes"], data["none"], data["list"], data["deep"])
        );
        Assert.Equal(("x", ""), (data["text"], data["empty"]));
    }

    [Theory]
    [InlineData("from")]
    [InlineData("FROM")]
    [InlineData("message_type")]
    [InlineData("google")]
    [InlineData("googleMaps")]
    [InlineData("google.c.a")]
    [InlineData("gcm.notification.title")]
    [InlineData("deliveryId")]
    [InlineData("url")]
    public void A_name_that_is_taken_gets_a_prefix_and_the_send_goes_on(string name)
    {
        var data = Data(
            Write(
                Message(
                    new NotificationContent("t", Data: Json($$"""{"{{name}}":"mine","data.{{name}}":"other"}"""), Url: "https://x.example")
                )
            )
        );
        Assert.Equal(("mine", "other"), (data[$"data.data.{name}"], data[$"data.{name}"]));
        Assert.Equal((Id.ToString(), "https://x.example", 4), (data["deliveryId"], data["url"], data.Count));
    }

    [Theory]
    [InlineData("fromage")]
    [InlineData("message_types")]
    [InlineData("goog")]
    [InlineData("my.google")]
    public void Any_other_name_stays(string name) =>
        Assert.Equal("mine", Data(Write(Message(new NotificationContent("t", Data: Json($$"""{"{{name}}":"mine"}""")))))[name]);

    [Fact]
    public void Oversized_message_is_found_before_the_call_and_its_token_does_not_count()
    {
        var length = Enumerable.Range(3500, 600).Last(n => FcmPayload.Write(Sized(n), Now) is not null);
        Assert.InRange(length, 3800, 4000);
        Assert.Null(FcmPayload.Write(Sized(length + 1), Now));
        Assert.NotNull(FcmPayload.Write(Sized(length) with { Address = new string('t', 4096) }, Now));
        Assert.Null(FcmPayload.Write(Message(new NotificationContent("t", new string('한', 1400))), Now)); // bytes, not characters

        static OutboundMessage Sized(int n) => Message(new NotificationContent("t", new string('x', n)));
    }

    private static OutboundMessage Message(NotificationContent? content = null, DateTimeOffset? expiresAt = null) =>
        new(Id, "device-token", content ?? new NotificationContent("Shipped", "tomorrow"), Priority.Normal, expiresAt);

    private static JsonElement Write(OutboundMessage message)
    {
        var request = JsonDocument.Parse(Encoding.UTF8.GetString(FcmPayload.Write(message, Now)!.Value.Span)).RootElement;
        Assert.Equal(["message"], Names(request));
        return request.GetProperty("message");
    }

    private static IEnumerable<string> Names(JsonElement element) => element.EnumerateObject().Select(p => p.Name).Order();

    private static Dictionary<string, string> Data(JsonElement message) =>
        message.GetProperty("data").EnumerateObject().ToDictionary(p => p.Name, p => p.Value.GetString()!);

    private static JsonElement Json(string json) => JsonDocument.Parse(json).RootElement;
}
