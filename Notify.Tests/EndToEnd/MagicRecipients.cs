namespace Notify.Tests.EndToEnd;

using Notify.Tests.Support;

/// <summary>The recipients that force an outcome, alike on every channel; see docs/test-mode.md.</summary>
public sealed class MagicRecipients : SystemTest
{
    [Theory]
    [InlineData("sms", "+15005552", "failed", "Rejected")]
    [InlineData("email", "failed", "failed", "BadAddress")]
    [InlineData("android", "failed", "failed", "BadAddress")]
    [InlineData("android", "bounced", "failed", "Unregistered")]
    [InlineData("web", "failed", "failed", "Rejected")]
    [InlineData("web", "bounced", "failed", "Unregistered")]
    [InlineData("sms", "+15005551", "dispatched", null)]
    [InlineData("sms", "+15005555", "dispatched", null)] // its answer is lost, and the provider is asked
    [InlineData("email", "delivered", "dispatched", null)]
    [InlineData("ios", "de11", "dispatched", null)]
    [InlineData("ios", "510e", "dispatched", null)]
    [InlineData("android", "delivered", "dispatched", null)]
    [InlineData("web", "delivered", "dispatched", null)]
    public async Task Force_what_becomes_of_a_notification(string channel, string who, string status, string? reason)
    {
        var id = NewId("magic");
        var content = new { title = id, body = id };
        if (channel == "sms")
            (
                await Client.SendAsync(
                    new
                    {
                        eventId = id,
                        to = new { phone = $"{who}{Random.Shared.Next(1000):000}" },
                        content,
                    }
                )
            ).Is(202);
        else if (channel == "email")
            (
                await Client.SendAsync(
                    new
                    {
                        eventId = id,
                        to = new { email = $"{who}+{id}@mail.example" },
                        content,
                    }
                )
            ).Is(202);
        else
        {
            var person = await Installation.NewPersonAsync(devices: 0, phone: false);
            if (channel == "web")
                await Installation.AddBrowserAsync(person, who);
            else
                await Installation.AddDeviceAsync(person, Person.NewToken(who), channel);
            (
                await Client.SendAsync(
                    new
                    {
                        eventId = id,
                        userId = person.Id,
                        content,
                    }
                )
            ).Is(202);
        }

        // A receipt may already have followed.
        var state = await Eventually.Becomes(
            () => Client.StateAsync(id),
            s => s.Status == status || (s.Status, status) == ("delivered", "dispatched"),
            $"{id} becomes {status}"
        );
        var delivery = Assert.Single(state.Deliveries);
        if (reason is not null)
            Assert.Equal(reason, delivery.Reason);
    }
}
