namespace Notify.Tests.Spine;

using Notify.Tests.Faults;
using Notify.Tests.Support;

/// <summary>The ways of a delivery that do not depend on the transport: it carries wake-ups only, and no promise rests on it.</summary>
public abstract class SpineDetails(NotifySystem system) : SpineTest(system)
{
    [Fact]
    public async Task A_push_is_tried_again_with_back_off_until_it_is_accepted()
    {
        var person = await Installation.NewPersonAsync(phone: false, token: _ => Person.NewToken("fa11"));
        var id = NewId("again");

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

        var state = await Client.BecomesAsync(id, "dispatched");
        Assert.Equal(3, state.On("push").Attempts);
        var entries = await Sandbox.LedgerAsync(id);
        Assert.Equal(["ServiceUnavailable", "ServiceUnavailable", "accepted"], entries.Select(e => e.Outcome));
        Assert.Single(entries.Select(e => e.Header("apns-collapse-id")).Distinct());
        Assert.Single(entries.Select(e => e.Header("apns-id")).Distinct());
        var events = await Client.EventsAsync(id);
        Assert.Equal(
            ["NotificationRequested", "DeliveriesPlanned", "DeliveryDeferred", "DeliveryDeferred", "NotificationDispatched"],
            events.Select(e => e.Type)
        );
        var deferred = events.Where(e => e.Type == "DeliveryDeferred").ToList();
        Assert.All(deferred, d => Assert.Equal("ServiceUnavailable", d.Data["providerCode"]!.ToString()));
        Assert.All(
            deferred.Zip(entries.Skip(1)),
            p => Assert.True(p.Second.ReceivedAt >= p.First.Data["until"]!.GetValue<DateTimeOffset>(), "tried again before its time")
        );
    }

    [Fact]
    public async Task An_SMS_whose_answer_was_lost_is_found_at_Twilio_and_not_sent_again()
    {
        var id = NewId("unanswered");

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    to = new { phone = "+15005550099" },
                    content = new { body = id },
                }
            )
        ).Is(202);

        await Client.BecomesAsync(id, "unknown");
        var state = await Client.BecomesAsync(id, "dispatched");
        var entry = Assert.Single(await Sandbox.LedgerAsync(id));
        Assert.True(entry.IsAccepted);
        Assert.Equal(entry.MessageId, state.On("sms").ProviderMessageId);
        Assert.Equal(
            ["NotificationRequested", "DeliveriesPlanned", "DispatchAttempted", "DispatchOutcomeUnknown", "NotificationDispatched"],
            await Client.EventTypesAsync(id)
        );
        await Eventually.Stays(() => Sandbox.CountAsync(id), (1, 1), TimeSpan.FromSeconds(1));
    }

    [Fact]
    public async Task Scheduled_SMS_waits_and_cancelled_one_is_not_sent()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var (later, cancelled, sendAt) = (NewId("later"), NewId("cancelled"), Clock.GetUtcNow().AddSeconds(2));
        (
            await Client.SendAsync(
                new
                {
                    eventId = later,
                    userId = person.Id,
                    sendAt,
                    content = new { body = later },
                }
            )
        ).Is(202);
        (
            await Client.SendAsync(
                new
                {
                    eventId = cancelled,
                    userId = person.Id,
                    sendAt,
                    content = new { body = cancelled },
                }
            )
        ).Is(202);
        Assert.Equal("scheduled", (await Client.StateAsync(later)).Status);
        Assert.Equal(["NotificationRequested"], await Client.EventTypesAsync(later));

        Assert.Equal("cancelled", (await Client.CancelAsync(cancelled)).Is(200)["status"]);

        await Client.BecomesAsync(later, "dispatched");
        var sent = Assert.Single(await Sandbox.LedgerAsync(later));
        Assert.True(sent.ReceivedAt >= sendAt, $"sent {sendAt - sent.ReceivedAt} early");
        Assert.Equal(
            ["NotificationRequested", "DeliveriesPlanned", "DispatchAttempted", "NotificationDispatched"],
            await Client.EventTypesAsync(later)
        );
        await Eventually.Stays(() => Sandbox.CountAsync(cancelled), (0, 0), TimeSpan.FromSeconds(0.7));
        Assert.Equal(["NotificationRequested", "NotificationCancelled"], await Client.EventTypesAsync(cancelled));
    }

    [Fact]
    public async Task A_dead_letter_is_sent_when_it_is_replayed()
    {
        var person = await Installation.NewPersonAsync(phone: false);
        var id = NewId("dead");
        await Sandbox.KnobsAsync("apns", new { errorRate = 1, errorStatus = 503 });
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
        var dead = await Eventually.Becomes(() => Client.StateAsync(id), s => s.On("push").Status == "deadLettered", "it dies");
        await Sandbox.BehaveAsync();

        var reply = (
            await Client.PostAsync(
                "/v1/dead-letters/replay",
                new { ids = new[] { dead.On("push").Id }, reason = "the provider is well again" }
            )
        ).Is(200);

        Assert.Equal("1", reply["replayed"]);
        await Client.BecomesAsync(id, "dispatched");
        Assert.Equal((5, 1), await Sandbox.CountAsync(id));
        Assert.Single((await Sandbox.LedgerAsync(id)).Select(e => e.Header("apns-collapse-id")).Distinct());
    }

    [Fact]
    public async Task One_of_two_Apis_and_one_of_two_Dispatch_hosts_killed_are_taken_over_within_seconds()
    {
        var (otherApi, url) = await Installation.StartAnotherApiAsync();
        using var other = Client.At(url);
        var survivor = await Installation.StartDispatchAsync();
        await SlowAsync();
        var load = await Load.StartAsync(Installation, clients: [Client, other]);
        await load.GoOnAsync(400);
        await load.IsInFlightAsync();

        await Task.WhenAll(Installation.KillDispatchAsync(), Installation.Api.KillAsync());
        var kill = Clock.GetUtcNow();
        await load.GoOnAsync(200); // the other Api goes on
        await load.StopAsync();

        try
        {
            var balance = await Balance.OfAsync(Installation, load);
            balance.RepeatsWereInFlightAt([kill]);
            Assert.False(survivor.HasEnded);
            // Pushes of the failed host are sent again after its recovery; those in its queues, after a sweep.
            var last = balance.Repeats.Select(r => r[^1].ReceivedAt).Append(kill).Max();
            Assert.True(
                last - kill < NotifySystem.Takeover + TimeSpan.FromSeconds(30),
                $"the last repeat went out {last - kill} after the kill"
            );
            balance.Show(load);
        }
        finally
        {
            await Installation.StartApiAsync();
            await otherApi.KillAsync();
        }
    }

    [Fact]
    public async Task The_queues_are_counted_right_under_load_and_at_rest()
    {
        await Installation.QuietAsync();
        var deadBefore = await QueuesAsync();
        await Sandbox.KnobsAsync("twilio", new { latencyMs = 300, jitter = 0.5 });
        await Sandbox.KnobsAsync("apns", new { errorRate = 0.3, errorStatus = 503 });
        var load = await Load.StartAsync(Installation);
        await load.GoOnAsync(100);

        // Under load: the counts of the queues are between those of the event store before and after.
        var seen = 0L;
        for (var look = 0; look < 15; look++)
        {
            var before = await EventCounts.OfAsync(Installation, load.Mark);
            var open = (await QueuesAsync()).Values.Sum(q => q.Open);
            var after = await EventCounts.OfAsync(Installation, load.Mark);
            Assert.InRange(open, before.Planned - after.Ended, after.Planned - before.Ended);
            seen = Math.Max(seen, open);
        }

        Assert.True(seen > 10, $"at most {seen} were open: there was no load");

        // At rest: nobody dispatches any more, callers have their answers, and every queue is exactly what the events say.
        await load.GoOnAsync(300);
        await Installation.StopDispatchAsync();
        await load.GoOnAsync(200);
        await load.StopAsync();
        foreach (var (queue, lane) in new[] { ("sms_normal", "sms"), ("apns_normal", "apns") })
        {
            var events = await EventCounts.OfAsync(Installation, load.Mark, lane);
            var shown = (await QueuesAsync())[queue];
            Assert.Equal((events.Planned - events.Ended, 0), (shown.Open, shown.InFlight));
            Assert.Equal(events.Dead, shown.Dead - deadBefore[queue].Dead);
            Assert.True(shown.Ready >= 50, $"{shown.Ready} wait in {queue}: there was no backlog");
        }

        await Sandbox.BehaveAsync();
        await Installation.StartDispatchAsync();
        await Installation.QuietAsync(TimeSpan.FromSeconds(40), load.Mark);
        Assert.All((await QueuesAsync()).Values, q => Assert.Equal(0, q.Open));
    }

    private async Task<Dictionary<string, (long Ready, long InFlight, long Open, long Dead)>> QueuesAsync() =>
        (await Client.GetAsync("/v1/queues")).Is(200).Json["queues"]!
            .AsArray()
            .ToDictionary(
                q => q!["queue"]!.ToString(),
                q =>
                {
                    long Of(string what) => q![what]!.GetValue<long>();
                    return (Of("ready"), Of("inFlight"), Of("ready") + Of("inFlight") + Of("retrying"), Of("dead"));
                }
            );
}

/// <summary>With messages in PostgreSQL.</summary>
[Collection(SpineCollection.Name)]
[Trait("Category", "Faults")]
public sealed class SpineDetailsOnPostgres(FaultSystem faults) : SpineDetails(faults.System);

/// <summary>With messages in RabbitMQ.</summary>
[Collection(BrokerCollection.Name)]
[Trait("Category", "Long")]
public sealed class SpineDetailsOnRabbitMq(BrokerSystem broker) : SpineDetails(broker.System);

/// <summary>Counts of a load's events; each of its notifications has one delivery.</summary>
/// <param name="Ended">Dispatched, failed or dead.</param>
internal sealed record EventCounts(long Planned, long Ended, long Dead)
{
    /// <summary>Folds the events in one snapshot.</summary>
    public static async Task<EventCounts> OfAsync(NotifySystem system, string mark, string lane = "%")
    {
        var counts = (
            await system.ScalarAsync<string>(
                """
                select concat_ws(' ', count(*) filter (where type = 'DeliveriesPlanned'),
                    count(distinct stream_id) filter (where type in ('NotificationDispatched', 'NotificationFailed', 'DeliveryDeadLettered')),
                    count(distinct stream_id) filter (where type = 'DeliveryDeadLettered'))
                from events.mt_events where stream_id like '%:' || $1 || '%' and stream_id in (
                    select stream_id from events.mt_events where type = 'DeliveriesPlanned' and data -> 'deliveries' -> 0 ->> 'lane' ilike $2)
                """,
                mark,
                lane
            )
        ).Split(' ').Select(long.Parse).ToArray();
        return new EventCounts(counts[0], counts[1], counts[2]);
    }
}
