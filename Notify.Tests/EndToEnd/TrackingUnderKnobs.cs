namespace Notify.Tests.EndToEnd;

using System.Text.RegularExpressions;
using Notify.Tests.Support;

/// <summary>Tracked links while a provider fails.</summary>
public sealed partial class TrackingUnderKnobs(KnobSystem knobs) : KnobTest(knobs)
{
    [Theory]
    [InlineData("twilio")]
    [InlineData("sendgrid")]
    public async Task A_repeated_attempt_sends_the_same_links(string provider)
    {
        var id = NewId("again");
        await Sandbox.KnobsAsync(provider, new { errorRate = 1, errorStatus = 503 });
        object to = provider == "twilio" ? new { phone = Person.NewPhone() } : new { email = Person.NewEmail() };
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    to,
                    content = new
                    {
                        title = id,
                        body = $"{id} https://shop.example/1 https://shop.example/2",
                        track = new { links = true },
                    },
                }
            )
        ).Is(202);
        await Eventually.Holds(async () => (await Sandbox.LedgerAsync(id)).Count > 0, "the first attempt");
        await Sandbox.BehaveAsync();
        var state = await Client.BecomesAsync(id, "dispatched");

        var entries = await Sandbox.LedgerAsync(id);
        Assert.True(entries.Count > 1 && !entries[0].IsAccepted && entries[^1].IsAccepted, string.Join('\n', entries));
        var tokens = entries.Select(e => string.Join(' ', Link().Matches(e.Text!).Select(m => m.Groups[1].Value))).ToList();
        var kept = await Installation.ScalarAsync<string>(
            "select string_agg(token, ' ' order by number) from notify.links where delivery_id = $1",
            Guid.Parse(Assert.Single(state.Deliveries).Id)
        );
        Assert.Equal(2, kept.Split(' ').Length);
        Assert.All(tokens, t => Assert.Equal(kept, t));
    }

    [GeneratedRegex("/t/([A-Za-z0-9_-]{16})(?![A-Za-z0-9_-])")]
    private static partial Regex Link();
}
