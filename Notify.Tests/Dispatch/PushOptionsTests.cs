namespace Notify.Tests.Dispatch;

using System.Text.Json;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.Apns;
using Notify.Dispatch.Providers.Fcm;
using Notify.Dispatch.Providers.WebPush;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Sandbox.Fcm;
using static Notify.Tests.Dispatch.ScriptedServer;

/// <summary>Appearance, sound and behaviour of a push, in the form of each platform.</summary>
public sealed class PushOptionsTests
{
    private static readonly DateTimeOffset Now = new(2026, 5, 4, 12, 10, 0, TimeSpan.Zero);
    private static readonly Guid Id = Guid.Parse("e82ef91d-0847-8010-a731-d0a6056833f9");

    private static readonly PushOptions All = new()
    {
        Sound = "cheer",
        Badge = 3,
        Image = "https://example.com/3.jpg",
        CollapseKey = "match-3",
        TtlSeconds = 60,
        Android = new AndroidOptions
        {
            ChannelId = "scores",
            Icon = "ball",
            Color = "#1a7f37",
            ClickAction = "OPEN_MATCH",
        },
        Ios = new IosOptions
        {
            Subtitle = "12'",
            ThreadId = "match-3",
            Category = "MATCH",
            InterruptionLevel = InterruptionLevel.TimeSensitive,
        },
        Web = new WebOptions { Icon = "https://example.com/ball.png", RequireInteraction = true },
    };

    [Fact]
    public void An_iPhone_is_told_what_it_knows()
    {
        var payload = Json(ApnsPayload.Write(Message(All)));
        Assert.Equal(
            """{"aps":{"alert":{"title":"t","subtitle":"12'","body":"b"},"sound":"cheer","badge":3,"thread-id":"match-3","category":"MATCH","interruption-level":"time-sensitive","mutable-content":1},"deliveryId":"e82ef91d-0847-8010-a731-d0a6056833f9","image":"https://example.com/3.jpg"}""",
            payload.GetRawText()
        );
    }

    [Fact]
    public void Android_is_told_what_it_knows()
    {
        var message = Json(FcmPayload.Write(Message(All), Now)!.Value.ToArray()).GetProperty("message");
        Assert.Equal("https://example.com/3.jpg", message.GetProperty("notification").GetProperty("image").GetString());
        Assert.Equal(
            """{"priority":"HIGH","ttl":"60s","notification":{"tag":"match-3","sound":"cheer","notification_count":3,"channel_id":"scores","icon":"ball","color":"#1a7f37","click_action":"OPEN_MATCH"}}""",
            message.GetProperty("android").GetRawText()
        );
        using var whole = JsonDocument.Parse(FcmPayload.Write(Message(All), Now)!.Value);
        Assert.Empty(FcmSchema.Faults(whole.RootElement));
    }

    [Fact]
    public void A_service_worker_is_told_what_it_can_show()
    {
        var payload = Json(WebPushProvider.Payload(Message(All)));
        Assert.Equal(
            """{"title":"t","body":"b","image":"https://example.com/3.jpg","icon":"https://example.com/ball.png","badge":3,"requireInteraction":true,"deliveryId":"e82ef91d-0847-8010-a731-d0a6056833f9","tag":"match-3"}""",
            payload.GetRawText()
        );
    }

    [Fact]
    public void Without_sound_there_is_none()
    {
        var silent = Message(new PushOptions { Sound = "none" });
        Assert.False(Json(ApnsPayload.Write(silent)).GetProperty("aps").TryGetProperty("sound", out _));
        Assert.DoesNotContain(
            "sound",
            System.Text.Encoding.UTF8.GetString(FcmPayload.Write(silent, Now)!.Value.Span),
            StringComparison.Ordinal
        );
        Assert.True(Json(WebPushProvider.Payload(silent)).GetProperty("silent").GetBoolean());
        Assert.Equal("default", Json(ApnsPayload.Write(Message(null))).GetProperty("aps").GetProperty("sound").GetString());
    }

    // Apple, Generating a remote notification: «sound: for critical alerts, a dictionary»: critical 1, name, volume 0 to 1.
    [Theory]
    [InlineData(null, """{"critical":1,"name":"default","volume":1}""")]
    [InlineData("cheer", """{"critical":1,"name":"cheer","volume":1}""")]
    [InlineData("none", """{"critical":1,"name":"default","volume":0}""")]
    public void Critical_alert_has_Apples_sound_dictionary(string? sound, string expected)
    {
        var push = new PushOptions
        {
            Sound = sound,
            Ios = new IosOptions { InterruptionLevel = InterruptionLevel.Critical },
        };
        var aps = Json(ApnsPayload.Write(Message(push))).GetProperty("aps");
        Assert.Equal(("critical", expected), (aps.GetProperty("interruption-level").GetString(), aps.GetProperty("sound").GetRawText()));
    }

    // Apple, Pushing background updates to your app: «don't include any of the alert, badge or sound keys».
    [Fact]
    public void Background_push_has_no_badge()
    {
        var silent = new NotificationContent(Data: Json("{}"u8.ToArray()), Push: new PushOptions { Badge = 3, Sound = "cheer" });
        var aps = Json(ApnsPayload.Write(Message(null) with { Content = silent })).GetProperty("aps");
        Assert.Equal("""{"content-available":1}""", aps.GetRawText());
    }

    [Fact]
    public void An_empty_badge_is_taken_away_and_an_extension_may_be_asked_for()
    {
        var aps = Json(
                ApnsPayload.Write(
                    Message(
                        new PushOptions
                        {
                            Badge = 0,
                            Ios = new IosOptions { MutableContent = true },
                        }
                    )
                )
            )
            .GetProperty("aps");
        Assert.Equal((0, 1), (aps.GetProperty("badge").GetInt32(), aps.GetProperty("mutable-content").GetInt32()));
        Assert.False(Json(ApnsPayload.Write(Message(null))).GetProperty("aps").TryGetProperty("mutable-content", out _));
    }

    [Theory]
    [InlineData(null, null, null)]
    [InlineData(600, null, 600)]
    [InlineData(null, 60, 60)]
    [InlineData(600, 60, 60)]
    [InlineData(30, 60, 30)]
    [InlineData(600, 0, 0)]
    public void The_sooner_of_expiry_and_time_to_live_counts(int? expires, int? ttl, int? end) =>
        Assert.Equal(
            end is { } e ? Now.AddSeconds(e) : null,
            PushLifetime.End(expires is { } x ? Now.AddSeconds(x) : null, ttl is null ? null : new PushOptions { TtlSeconds = ttl }, Now)
        );

    [Theory]
    [InlineData(null, "A silent one", "alert", "10")]
    [InlineData("""{"order":7}""", null, "background", "5")]
    public async Task Data_alone_goes_in_the_background(string? data, string? title, string type, string priority)
    {
        await using var server = await Http2Async(Answer(200));
        using var key = System.Security.Cryptography.ECDsa.Create(System.Security.Cryptography.ECCurve.NamedCurves.nistP256);
        using var provider = new ApnsProvider(
            new ApnsOptions
            {
                TeamId = "T",
                KeyId = "K",
                Topic = "com.example.app",
                BaseUrl = server.Url,
                TrustedCaPath = Certificate.CaPath,
            },
            key,
            TimeProvider.System
        );
        var content = new NotificationContent(
            title,
            Data: data is null ? null : Json(System.Text.Encoding.UTF8.GetBytes(data)),
            Push: new PushOptions { TtlSeconds = 0, CollapseKey = "k" }
        );
        await provider.SendAsync(
            new OutboundMessage(Id, "5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f", content, Priority.Critical, null),
            TestContext.Current.CancellationToken
        );

        var headers = server.Received[0].Headers;
        Assert.Equal(
            (type, priority, "0", "k"),
            (headers["apns-push-type"], headers["apns-priority"], headers["apns-expiration"], headers["apns-collapse-id"])
        );
        var aps = JsonDocument.Parse(server.Received[0].Body).RootElement.GetProperty("aps");
        Assert.Equal(type == "background", aps.TryGetProperty("content-available", out _));
        Assert.Equal(type == "alert", aps.TryGetProperty("alert", out _) && aps.TryGetProperty("sound", out _));
    }

    [Fact]
    public void A_collapse_key_fits_where_push_services_want_it()
    {
        var topic = WebPushProvider.Topic(new string('~', 64));
        Assert.Matches("^[A-Za-z0-9_-]{1,32}$", topic);
        Assert.Equal(topic, WebPushProvider.Topic(new string('~', 64)));
        Assert.NotEqual(topic, WebPushProvider.Topic(new string('~', 63)));
    }

    private static OutboundMessage Message(PushOptions? push) =>
        new(Id, "device-token", new NotificationContent("t", "b", Push: push), Priority.Normal, Now.AddHours(1));

    private static JsonElement Json(byte[] utf8) => JsonDocument.Parse(utf8).RootElement;
}
