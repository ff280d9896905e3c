namespace Notify.Tests.EndToEnd;

using System.Text.Json.Nodes;
using Notify.Tests.Support;

/// <summary>Pushes to Android devices while FCM fails.</summary>
public sealed class AndroidPushUnderKnobs(KnobSystem knobs) : KnobTest(knobs)
{
    [Theory]
    [InlineData("""{"refuse":true}""", "ConnectionLost")]
    [InlineData("""{"errorRate":1,"errorStatus":502}""", "Retry")]
    public async Task A_push_whose_answer_never_came_or_made_no_sense_is_repeated_under_the_same_tag(string knobs, string reason)
    {
        var person = await NewPersonAsync();
        var id = NewId("fcm-hang");
        await Sandbox.KnobsAsync("fcm", JsonNode.Parse(knobs)!);
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    content = new { title = id },
                }
            )
        ).Is(202);
        await Eventually.Becomes(() => Client.EventTypesAsync(id), types => types.Contains("DeliveryDeferred"), "it is put off");
        await Sandbox.BehaveAsync();

        await Client.BecomesAsync(id, "dispatched");

        var entries = await Sandbox.LedgerAsync(id);
        Assert.True(entries.Count >= 2);
        Assert.Single(entries, e => e.IsAccepted);
        Assert.Single(
            entries
                .Select(e =>
                    JsonNode.Parse(e.Json["request"]!["body"]!.GetValue<string>())!["message"]!["android"]!["notification"]![
                        "tag"
                    ]!.ToString()
                )
                .Distinct()
        );
        Assert.Equal(reason, (await Client.EventsAsync(id)).First(e => e.Type == "DeliveryDeferred").Data["reason"]!.ToString());
    }

    [Fact]
    public async Task A_token_that_FCM_keeps_refusing_halts_and_loses_nothing()
    {
        var person = await NewPersonAsync();
        var id = NewId("fcm-halted");
        await Sandbox.KnobsAsync("fcm", new { errorRate = 1, errorStatus = 401 });
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    content = new { title = id },
                }
            )
        ).Is(202);

        var state = await Eventually.Becomes(() => Client.StateAsync(id), s => s.On("push").Status == "deferred", "it waits");

        Assert.Equal("ChannelHalted", state.On("push").Reason);
        Assert.Equal((2, 0), await Sandbox.CountAsync(id)); // once, and once more with a new token
        Assert.Single((await Client.GetAsync($"/v1/users/{person.Id}")).Json["devices"]!.AsArray());
        (await Client.CancelAsync(id)).Is(200);
    }

    [Fact]
    public async Task A_token_registered_again_while_FCM_calls_it_dead_is_kept()
    {
        var person = await Installation.NewPersonAsync(devices: 0, phone: false);
        var token = Person.NewAndroidToken("dead");
        await Installation.AddDeviceAsync(person, token, "android");
        var id = NewId("fcm-race");
        await Sandbox.KnobsAsync("fcm", new { latencyMs = 1500 });
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    content = new { title = id },
                }
            )
        ).Is(202);
        await Eventually.Becomes(() => Sandbox.CountAsync(id), c => c.Received == 1, "FCM is being called");

        await Installation.AddDeviceAsync(person, token, "android"); // before the answer, after the call

        Assert.Equal("Unregistered", (await Client.BecomesAsync(id, "failed")).On("push").Reason);
        Assert.Single((await Client.GetAsync($"/v1/users/{person.Id}")).Json["devices"]!.AsArray());
    }

    private async Task<Person> NewPersonAsync()
    {
        var person = await Installation.NewPersonAsync(devices: 0, phone: false);
        await Installation.AddDeviceAsync(person, Person.NewAndroidToken(), "android");
        return person;
    }
}
