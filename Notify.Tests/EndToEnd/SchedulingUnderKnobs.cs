namespace Notify.Tests.EndToEnd;

using Notify.Tests.Support;

/// <summary>Times that pass while a delivery waits for something else.</summary>
public sealed class SchedulingUnderKnobs(KnobSystem knobs) : KnobTest(knobs)
{
    [Fact]
    public async Task Delivery_that_expires_before_its_next_attempt_expires_on_time_and_is_not_sent()
    {
        await Sandbox.KnobsAsync(
            "twilio",
            new
            {
                errorRate = 1,
                errorStatus = 429,
                retryAfterSeconds = 600,
            }
        );
        var (id, expiresAt) = (NewId("worthless"), TimeProvider.System.GetUtcNow().AddSeconds(6));

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    to = new { phone = Person.NewPhone() },
                    expiresAt,
                    content = new { body = id },
                }
            )
        ).Is(202);
        await Eventually.Becomes(() => Client.StateAsync(id), s => s.On("sms").Status == "deferred", "it waits");
        await Sandbox.BehaveAsync();

        await Client.BecomesAsync(id, "expired"); // ten minutes before the provider's own word
        var events = await Client.EventsAsync(id);
        Assert.Equal(
            ["NotificationRequested", "DeliveriesPlanned", "DispatchAttempted", "DeliveryDeferred", "NotificationExpired"],
            events.Select(e => e.Type)
        );
        Assert.Equal("ProviderAskedToWait", events[3].Data["reason"]!.ToString());
        Assert.True(events[4].Data["at"]!.GetValue<DateTimeOffset>() >= expiresAt);
        Assert.Equal(0, (await Sandbox.CountAsync(id)).Accepted);
    }

    [Fact]
    public async Task A_cancel_that_stopped_a_part_is_answered_alike_when_it_is_said_again()
    {
        await Sandbox.KnobsAsync(
            "twilio",
            new
            {
                errorRate = 1,
                errorStatus = 429,
                retryAfterSeconds = 600,
            }
        );
        var (id, person) = (NewId("partly"), await Installation.NewPersonAsync());
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    content = new { body = id },
                }
            )
        ).Is(202);
        await Eventually.Becomes(
            () => Client.StateAsync(id),
            s => (s.On("push").Status, s.On("sms").Status) == ("dispatched", "deferred"),
            "one is sent, the other waits"
        );

        var (first, again) = ((await Client.CancelAsync(id)).Is(200).Json, (await Client.CancelAsync(id)).Is(200).Json);

        Assert.Equal((1, 0), (first["stopped"]!.AsArray().Count, again["stopped"]!.AsArray().Count));
        Assert.Equal($"{first["status"]}", $"{again["status"]}");
        Assert.Single(await Client.EventTypesAsync(id), "NotificationCancelled");
    }
}
