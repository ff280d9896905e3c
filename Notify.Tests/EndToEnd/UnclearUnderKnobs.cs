namespace Notify.Tests.EndToEnd;

using Notify.Tests.Support;

/// <summary>Messages without a provider's answer, and messages that must not be sent any more.</summary>
public sealed class UnclearUnderKnobs(KnobSystem knobs) : KnobTest(knobs)
{
    [Fact]
    public async Task An_SMS_whose_connection_broke_before_Twilio_took_it_is_sent_exactly_once()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var id = NewId("broke");
        await Sandbox.KnobsAsync("twilio", new { refuse = true });
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
        await Client.BecomesAsync(id, "unknown");
        await Sandbox.BehaveAsync();

        await Client.BecomesAsync(id, "dispatched");

        Assert.Equal((2, 1), await Sandbox.CountAsync(id));
        await Eventually.Stays(() => Sandbox.CountAsync(id), (2, 1), TimeSpan.FromSeconds(1.5));
    }

    [Fact]
    public async Task An_SMS_that_nobody_can_tell_of_is_sent_again_only_if_its_category_says_so()
    {
        (await Client.PutAsync("/v1/categories/otp-test", new { unknownOutcome = "resend" })).Is(200);
        var (held, again) = (NewId("held"), NewId("again"));
        await Sandbox.KnobsAsync("twilio", new { refuse = true }); // nor does it answer when it is asked
        (
            await Client.SendAsync(
                new
                {
                    eventId = held,
                    to = new { phone = Person.NewPhone() },
                    content = new { body = held },
                }
            )
        ).Is(202);
        (
            await Client.SendAsync(
                new
                {
                    eventId = again,
                    to = new { phone = Person.NewPhone() },
                    category = "otp-test",
                    content = new { body = again },
                }
            )
        ).Is(202);

        Assert.Equal("OutcomeNeverKnown", (await Client.BecomesAsync(held, "failed")).On("sms").Reason);
        await Eventually.Becomes(
            () => Client.EventTypesAsync(again),
            e => e.Count(t => t == "DispatchOutcomeUnknown") == 2,
            "it was sent again"
        );
        await Sandbox.BehaveAsync(); // now it can tell, and had none of them: sending the third is no repeat

        await Client.BecomesAsync(again, "dispatched");
        Assert.Equal(1, (await Sandbox.CountAsync(again)).Accepted);
        Assert.Equal(
            ["ResentByPolicy", "NotAtProvider"],
            (await Client.EventsAsync(again)).Where(e => e.Type == "DeliveryDeferred").Select(e => e.Data["reason"]!.ToString())
        );
        Assert.Equal("failed", (await Client.StateAsync(held)).Status);
    }

    [Fact]
    public async Task An_address_suppressed_after_planning_gets_nothing_and_once_it_is_lifted_it_does()
    {
        var (phone, id, next) = (Person.NewPhone(), NewId("suppressed-since"), NewId("lifted-since"));
        await Sandbox.KnobsAsync(
            "twilio",
            new
            {
                errorRate = 1,
                errorStatus = 503,
                retryAfterSeconds = 1,
            }
        );
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    to = new { phone },
                    content = new { body = id },
                }
            )
        ).Is(202);
        await Eventually.Becomes(() => Client.StateAsync(id), s => s.On("sms").Status == "deferred", "it waits");

        var suppressed = (
            await Client.PostAsync(
                "/v1/suppressions",
                new
                {
                    channel = "sms",
                    address = phone,
                    reason = "ByRequest",
                }
            )
        ).Is(201);

        await Sandbox.BehaveAsync();
        Assert.Equal("SuppressedAddress", (await Client.BecomesAsync(id, "suppressed")).On("sms").Reason);
        Assert.Equal("DeliverySuppressed", (await Client.EventTypesAsync(id))[^1]);
        Assert.Equal((1, 0), await Sandbox.CountAsync(id));
        (await Client.DeleteAsync($"/v1/suppressions/{suppressed["id"]}")).Is(204);
        (
            await Client.SendAsync(
                new
                {
                    eventId = next,
                    to = new { phone },
                    content = new { body = next },
                }
            )
        ).Is(202);
        await Client.BecomesAsync(next, "dispatched");
    }

    [Fact]
    public async Task An_SMS_that_was_never_taken_is_not_mistaken_for_one_with_the_same_words()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var (taken, lost, words) = (NewId("taken"), NewId("lost"), NewId("Your code is 1234"));
        (
            await Client.SendAsync(
                new
                {
                    eventId = taken,
                    userId = person.Id,
                    content = new { body = words },
                }
            )
        ).Is(202);
        await Client.BecomesAsync(taken, "dispatched");
        await Sandbox.KnobsAsync("twilio", new { refuse = true });
        (
            await Client.SendAsync(
                new
                {
                    eventId = lost,
                    userId = person.Id,
                    content = new { body = words },
                }
            )
        ).Is(202);
        await Client.BecomesAsync(lost, "unknown");
        await Sandbox.BehaveAsync();

        await Client.BecomesAsync(lost, "dispatched");

        var accepted = (await Sandbox.LedgerAsync(words)).Where(e => e.IsAccepted).ToList();
        Assert.Equal(2, accepted.Count);
        var named = new[]
        {
            (await Client.StateAsync(taken)).On("sms").ProviderMessageId,
            (await Client.StateAsync(lost)).On("sms").ProviderMessageId,
        };
        Assert.Equal(accepted.Select(e => e.MessageId).Order(), named.Order());
    }

    [Fact]
    public async Task Many_lost_answers_of_one_number_are_all_found_and_none_is_sent_again()
    {
        const int Count = 260; // more than a page of Twilio's list
        var mark = NewId("lost-answers");
        (
            await Client.PostAsync(
                "/v1/notifications/batch",
                new
                {
                    notifications = Enumerable
                        .Range(0, Count)
                        .Select(i => new
                        {
                            eventId = $"{mark}-{i}",
                            to = new { phone = "+15005550099" },
                            content = new { body = $"{mark}-{i}" },
                        }),
                }
            )
        ).Is(200);

        await Eventually.Becomes(() => Sandbox.CountAsync(mark), c => c.Accepted >= Count, "all were taken");
        await Installation.QuietAsync(TimeSpan.FromSeconds(40), mark);

        Assert.Equal((Count, Count), await Sandbox.CountAsync(mark));
        for (var i = 0; i < Count; i += 37)
            Assert.Equal("dispatched", (await Client.StateAsync($"{mark}-{i}")).Status);
    }

    [Fact]
    public async Task A_push_whose_answer_never_came_is_repeated_under_the_same_collapse_ID()
    {
        var person = await Installation.NewPersonAsync(phone: false);
        var id = NewId("hang");
        await Sandbox.KnobsAsync("apns", new { refuse = true });
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
        await Eventually.Becomes(() => Sandbox.CountAsync(id), c => c.Received >= 1, "it was refused");
        await Sandbox.BehaveAsync();

        await Client.BecomesAsync(id, "dispatched");

        var entries = await Sandbox.LedgerAsync(id);
        Assert.True(entries.Count >= 2);
        Assert.Single(entries, e => e.IsAccepted);
        Assert.Single(entries.Select(e => e.Header("apns-collapse-id")).Distinct());
    }
}
