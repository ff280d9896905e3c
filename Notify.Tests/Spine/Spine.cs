namespace Notify.Tests.Spine;

using Notify.Tests.Faults;
using Notify.Tests.Support;

/// <summary>
/// Promises that every transport keeps: the same tests run over PostgreSQL and over RabbitMQ, each on a system whose hosts,
/// database or broker may be killed.
/// </summary>
public abstract class Spine(NotifySystem system) : SpineTest(system)
{
    /// <summary>How often the carrier is killed in a test.</summary>
    protected virtual int Rounds => 2;

    /// <summary>Kills what carries the messages as if its machine had failed, and starts it again.</summary>
    protected abstract Task CrashCarrierAsync();

    [Fact]
    public async Task Accepted_notification_is_sent_once_on_every_channel()
    {
        var id = NewId("every");
        var person = await Installation.NewPersonAsync(email: $"{id}@mail.example");
        await Installation.AddDeviceAsync(person, Person.NewAndroidToken(), "android");
        await Installation.AddBrowserAsync(person);
        var request = new
        {
            eventId = id,
            userId = person.Id,
            priority = "critical",
            content = new { title = "Shipped", body = id },
        };

        (await Client.SendAsync(request)).Is(202);
        (await Client.SendAsync(request)).Is(200);

        var state = await Client.BecomesAsync(id, "dispatched");
        await Eventually.Becomes(() => Client.StateAsync(id), s => s.Deliveries.All(d => d.Status == "dispatched"), "every channel has it");
        var entries = await Sandbox.LedgerAsync(id);
        Assert.Equal(state.Deliveries.Count, entries.Count);
        Assert.All(entries, e => Assert.True(e.IsAccepted));
        Assert.Equal(["apns", "fcm", "sendgrid", "twilio", "webpush"], entries.Select(e => e.Provider).Order());
        Assert.Equal(["NotificationRequested", "DeliveriesPlanned"], (await Client.EventTypesAsync(id)).Take(2));
    }

    [Fact]
    public async Task Delivery_due_while_Dispatch_is_down_is_sent_once_after_its_return()
    {
        await Installation.KillDispatchAsync();
        var (mark, sendAt) = (NewId("due"), Clock.GetUtcNow().AddSeconds(1));
        var ids = Enumerable.Range(0, 20).Select(i => $"{mark}-{i}").ToList();
        foreach (var id in ids)
            (
                await Client.SendAsync(
                    new
                    {
                        eventId = id,
                        to = new { phone = Person.NewPhone() },
                        sendAt,
                        content = new { body = id },
                    }
                )
            ).Is(202);
        await Eventually.Becomes(() => Task.FromResult(Clock.GetUtcNow()), now => now > sendAt, "the time has come");
        Assert.Equal((0, 0), await Sandbox.CountAsync(mark));

        await Installation.StartDispatchAsync();

        foreach (var id in ids)
            await Client.BecomesAsync(id, "dispatched");
        Assert.Equal((20, 20), await Sandbox.CountAsync(mark));
        Assert.All(await Sandbox.LedgerAsync(mark), e => Assert.True(e.ReceivedAt >= sendAt));
    }

    [Fact]
    public async Task Dispatch_killed_with_calls_in_flight_loses_nothing_and_sends_no_SMS_twice()
    {
        await SlowAsync();
        var load = await Load.StartAsync(Installation);
        var kills = new List<DateTimeOffset>();
        for (var kill = 0; kill < 3; kill++)
        {
            await load.GoOnAsync(200);
            await load.CallsAreOpenAsync();
            await Installation.KillDispatchAsync();
            kills.Add(Clock.GetUtcNow());
            await Installation.StartDispatchAsync();
        }

        await load.GoOnAsync(200);
        await load.StopAsync();

        var balance = await Balance.OfAsync(Installation, load);
        balance.RepeatsWereInFlightAt(kills);
        Assert.NotEmpty(balance.Repeats); // the kills did hit calls in flight
        Assert.True(await load.UnknownsAsync() > 0, "no SMS was in flight: the kills missed");
        balance.Show(load);
    }

    [Fact]
    public async Task Transport_killed_under_load_loses_nothing_and_repeats_nothing()
    {
        await SlowAsync();
        var load = await Load.StartAsync(Installation);
        for (var crash = 0; crash < Rounds; crash++)
        {
            await load.GoOnAsync(300);
            await load.IsInFlightAsync();
            await CrashCarrierAsync();
        }

        await load.GoOnAsync(300);
        await load.StopAsync();

        var balance = await Balance.OfAsync(Installation, load);
        Assert.Empty(balance.Repeats); // the hosts lived on, and wrote down what they knew
        await CarrierWasMissedAsync(load);
        balance.Show(load);
    }

    /// <summary>Asserts that the crashes hit: somebody noticed that the carrier was away.</summary>
    protected abstract Task CarrierWasMissedAsync(Load load);
}
