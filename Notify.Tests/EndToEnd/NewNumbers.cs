namespace Notify.Tests.EndToEnd;

using Notify.Tests.Support;

/// <summary>A waiting delivery is sent to the person's new number or address, and never to the old one.</summary>
public sealed class NewNumbers : SystemTest
{
    [Theory]
    [InlineData("sms")]
    [InlineData("email")]
    public async Task Waiting_delivery_is_sent_to_the_current_number_or_address(string channel)
    {
        var (person, old, next) = (
            await Installation.NewPersonAsync(devices: 0, email: Person.NewEmail()),
            Person.NewPhone(),
            Person.NewPhone()
        );
        var (email, nextEmail) = (Person.NewEmail(), Person.NewEmail());
        (await Client.PutAsync($"/v1/users/{person.Id}", new { phone = old, email })).Is(200);
        var id = await WaitingAsync(person, channel);

        (await Client.PutAsync($"/v1/users/{person.Id}", new { phone = next, email = nextEmail })).Is(200);
        await DueAsync(id);

        await Client.BecomesAsync(id, "dispatched");
        Assert.Equal(channel == "sms" ? next : nextEmail, Assert.Single(await Sandbox.LedgerAsync(id)).To);
        var events = await Client.EventsAsync(id);
        Assert.Equal(
            [
                "NotificationRequested",
                "DeliveriesPlanned",
                "DeliveryDeferred",
                "DeliveryReaddressed",
                "DispatchAttempted",
                "NotificationDispatched",
            ],
            events.Select(e => e.Type)
        );
        Assert.DoesNotContain(channel == "sms" ? next : nextEmail, events[3].Data.ToJsonString(), StringComparison.Ordinal);
        await Installation.VerifyAsync();
    }

    [Fact]
    public async Task Delivery_to_a_removed_number_is_suppressed_and_an_unchanged_address_adds_no_event()
    {
        var person = await Installation.NewPersonAsync(devices: 0, email: Person.NewEmail());
        var (sms, email) = (await WaitingAsync(person, "sms"), await WaitingAsync(person, "email"));

        (await Client.PutAsync($"/v1/users/{person.Id}", new { email = person.Email, locale = "ko" })).Is(200);
        await DueAsync(sms);
        await DueAsync(email);

        var left = (await Client.BecomesAsync(sms, "suppressed")).On("sms");
        Assert.Equal("NoContact", left.Reason);
        Assert.Equal((0, 0), await Sandbox.CountAsync(sms));
        await Client.BecomesAsync(email, "dispatched");
        Assert.DoesNotContain("DeliveryReaddressed", await Client.EventTypesAsync(email));
    }

    // The cap of its category has put it off into next week.
    private async Task<string> WaitingAsync(Person person, string channel)
    {
        var category = $"waits-{Guid.NewGuid():N}";
        (
            await Client.PutAsync(
                $"/v1/categories/{category}",
                new
                {
                    caps = new[]
                    {
                        new
                        {
                            channel,
                            limit = 1,
                            per = "week",
                            exceeding = "defer",
                        },
                    },
                }
            )
        ).Is(200);
        var ids = new[] { NewId("first"), NewId("waits") };
        foreach (var id in ids)
            (
                await Client.SendAsync(
                    new
                    {
                        eventId = id,
                        userId = person.Id,
                        category,
                        channels = new[] { channel },
                        content = new { title = "x", body = id },
                    }
                )
            ).Is(202);
        await Client.BecomesAsync(ids[0], "dispatched");
        await Client.BecomesAsync(ids[1], "scheduled");
        return ids[1];
    }

    private Task DueAsync(string id) =>
        Installation.ScalarAsync<string>(
            "update notify.open_deliveries set due_at = now() where notification = $1 returning notification",
            $"n/{Client.AppKey}:{id}"
        );
}
