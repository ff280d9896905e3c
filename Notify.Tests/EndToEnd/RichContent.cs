namespace Notify.Tests.EndToEnd;

using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Notify.Tests.Support;

/// <summary>Files, push options and long texts, from the request to the provider.</summary>
public sealed class RichContent : SystemTest
{
    [Fact]
    public async Task A_file_larger_than_a_request_may_be_arrives_as_it_was()
    {
        var id = NewId("file");
        var file = RandomNumberGenerator.GetBytes(700_000);
        var request = new
        {
            eventId = id,
            to = new { email = Person.NewEmail() },
            content = new
            {
                title = id,
                body = id,
                attachments = new[]
                {
                    new
                    {
                        filename = "../plan 계획.bin\r\n",
                        contentType = "application/octet-stream",
                        content = Convert.ToBase64String(file),
                    },
                },
            },
        };

        (await Client.SendAsync(request)).Is(202);
        (await Client.SendAsync(request)).Is(200); // the same request is still the same

        await Client.BecomesAsync(id, "dispatched");
        var sent = BodyOf(Assert.Single(await Sandbox.LedgerAsync(id)))["attachments"]!.AsArray().Single()!;
        Assert.Equal(("plan 계획.bin", "attachment"), (sent["filename"]!.ToString(), sent["disposition"]!.ToString()));
        Assert.Equal(file, Convert.FromBase64String(sent["content"]!.ToString()));
    }

    [Fact]
    public async Task Files_too_large_together_are_refused_by_name()
    {
        var half = new
        {
            filename = "f",
            contentType = "text/plain",
            content = Convert.ToBase64String(new byte[2_700_000]),
        };
        var reply = (
            await Client.SendAsync(
                new
                {
                    eventId = NewId("files"),
                    to = new { email = Person.NewEmail() },
                    content = new { body = "x", attachments = new[] { half, half } },
                }
            )
        ).IsProblem(400, "invalid_request");
        Assert.NotNull(reply.Json["errors"]!["content.attachments"]);
    }

    [Fact]
    public async Task An_iPhone_and_an_Android_phone_get_what_was_asked_for()
    {
        var person = await Installation.NewPersonAsync(phone: false);
        await Installation.AddDeviceAsync(person, Person.NewAndroidToken(), "android");
        var id = NewId("look");

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    content = new
                    {
                        title = id,
                        push = new
                        {
                            sound = "cheer",
                            badge = 3,
                            collapseKey = "match-3",
                            ttlSeconds = 60,
                            android = new { channelId = "scores", color = "#1a7f37" },
                            ios = new { threadId = "t", interruptionLevel = "timeSensitive" },
                        },
                    },
                }
            )
        ).Is(202);

        await Client.BecomesAsync(id, "dispatched");
        var entries = (await Sandbox.LedgerAsync(id)).ToDictionary(e => e.Provider);
        Assert.Equal("match-3", entries["apns"].Header("apns-collapse-id"));
        Assert.Equal("time-sensitive", BodyOf(entries["apns"])["aps"]!["interruption-level"]!.ToString());
        var android = BodyOf(entries["fcm"])["message"]!["android"]!;
        Assert.Equal(
            ("60s", "scores", "match-3"),
            (android["ttl"]!.ToString(), android["notification"]!["channel_id"]!.ToString(), android["notification"]!["tag"]!.ToString())
        );
    }

    [Fact]
    public async Task Data_alone_is_taken_by_APNs_as_a_background_push()
    {
        var person = await Installation.NewPersonAsync(phone: false);
        var id = NewId("data");
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    priority = "critical",
                    content = new { data = new { id } },
                }
            )
        ).Is(202);
        await Client.BecomesAsync(id, "dispatched");
        var entry = Assert.Single(await Sandbox.LedgerAsync(id));
        Assert.Equal(("background", "5"), (entry.Header("apns-push-type"), entry.Header("apns-priority")));
    }

    [Fact]
    public async Task The_segments_of_an_SMS_are_in_its_stream_and_too_many_are_refused_where_SMS_is_asked_for()
    {
        var id = NewId("long");
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    to = new { phone = Person.NewPhone() },
                    channels = new[] { "sms" },
                    content = new { body = $"{id} {new string('가', 671)}" },
                }
            )
        ).IsProblem(400, "invalid_request");

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    to = new { phone = Person.NewPhone() },
                    channels = new[] { "sms" },
                    content = new { body = $"{id} {new string('가', 100)}" },
                }
            )
        ).Is(202);

        await Client.BecomesAsync(id, "dispatched");
        Assert.Equal(
            3,
            Assert.Single(await Client.EventsAsync(id), e => e.Type == "NotificationDispatched").Data["segments"]!.GetValue<int>()
        );
    }

    private static JsonObject BodyOf(LedgerEntry entry) => JsonNode.Parse(entry.Json["request"]!["body"]!.GetValue<string>())!.AsObject();
}
