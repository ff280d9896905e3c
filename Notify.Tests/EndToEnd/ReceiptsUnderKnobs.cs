namespace Notify.Tests.EndToEnd;

using System.Net;
using Notify.Domain.Notifications;
using Notify.Tests.Support;

/// <summary>Receipts of a provider that is slow, forgetful or mixes them up.</summary>
public sealed class ReceiptsUnderKnobs(KnobSystem knobs) : KnobTest(knobs)
{
    [Fact]
    public async Task However_the_sandbox_s_receipts_come_they_end_in_the_right_state()
    {
        var sent = new List<(string Knob, string Id)>();
        foreach (var knob in new[] { "late", "delivered", "failed", "shuffled", "repeated", "none" })
        {
            await Sandbox.KnobsAsync("twilio", new { receipts = knob });
            for (var i = 0; i < 5; i++)
            {
                var id = NewId(knob);
                (
                    await Client.SendAsync(
                        new
                        {
                            eventId = id,
                            to = new { phone = Person.NewPhone() },
                            content = new { body = id },
                        }
                    )
                ).Is(202);
                sent.Add((knob, id));
            }

            await Eventually.Becomes(() => Sandbox.CountAsync($"{knob}-"), c => c.Accepted >= 5, "all were taken");
        }

        foreach (var (knob, id) in sent.OrderBy(s => s.Knob == "late"))
        {
            await Client.BecomesAsync(
                id,
                knob switch
                {
                    "none" => "dispatched",
                    "failed" => "failed",
                    _ => "delivered",
                }
            );
            var types = (await Client.EventsAsync(id)).Select(e => e.Type).ToList();
            Assert.Equal(types.Count, types.Distinct().Count());
        }

        await Installation.VerifyAsync();
    }

    [Fact]
    public async Task An_answer_that_was_lost_is_made_good_by_a_receipt_and_nothing_is_sent_twice()
    {
        await Sandbox.KnobsAsync("sendgrid", new { blackhole = true });
        var (during, after) = (NewId("during"), NewId("after"));
        foreach (var id in new[] { during, after })
            (
                await Client.SendAsync(
                    new
                    {
                        eventId = id,
                        to = new { email = Person.NewEmail() },
                        content = new { title = id, body = id },
                    }
                )
            ).Is(202);
        await Eventually.Becomes(() => Sandbox.CountAsync(during), c => c.Received == 1, "it is being called");

        await Post(during, "delivered"); // while the call is under way
        Assert.Equal("delivered", (await Client.GetAsync($"/v1/notifications/{during}")).Is(200)["status"]);
        await Client.BecomesAsync(after, "unknown");
        await Post(after, "processed");
        Assert.Equal("dispatched", (await Client.GetAsync($"/v1/notifications/{after}")).Is(200)["status"]);

        await Installation.QuietAsync(mark: during);
        await Installation.QuietAsync(mark: after);
        await Client.BecomesAsync(during, "delivered");
        Assert.Equal((1, 1), ((await Sandbox.CountAsync(during)).Received, (await Sandbox.CountAsync(after)).Received));
        await Installation.VerifyAsync();

        Task<string> Post(string id, string name) =>
            SignedReceipts
                .SendGridAsync(
                    Installation.DispatchUrl,
                    $$"""[{"event":"{{name}}","sg_event_id":"{{id}}","sg_message_id":"{{id}}.1","notify_delivery":"{{DeterministicId.OfDelivery(NotificationKey.Of(Client.AppKey, id), "email")}}"}]"""
                )
                .Is(HttpStatusCode.NoContent);
    }
}
