namespace Notify.Tests.EndToEnd;

using System.Globalization;
using System.Text.Json.Nodes;
using Notify.Tests.Support;

/// <summary>Deliveries in quiet hours: deferred, not dropped.</summary>
public sealed class QuietHours : SystemTest
{
    [Fact]
    public async Task Delivery_in_quiet_hours_is_sent_at_their_end_in_the_time_zone_of_the_person()
    {
        var person = await PersonAsync("Asia/Kolkata", quiet: true);
        var id = NewId("quiet");

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

        var state = await Client.StateAsync(id);
        Assert.Equal("scheduled", state.Status);
        Assert.All(state.Deliveries, d => Assert.Equal(("deferred", "QuietHours", 0), (d.Status, d.Reason, d.Attempts)));
        Assert.Equal(
            ["NotificationRequested", "DeliveriesPlanned", "DeliveryDeferred", "DeliveryDeferred"],
            await Client.EventTypesAsync(id)
        );
        var why = (await Client.EventsAsync(id))[^1].Data;
        Assert.Matches("^quiet hours [0-9:]{5} to [0-9:]{5} in Asia/Kolkata, version [0-9]+$", why["rule"]!.ToString());
        Assert.InRange(
            DateTimeOffset.Parse(why["until"]!.ToString(), CultureInfo.InvariantCulture) - Now,
            TimeSpan.FromMinutes(110),
            TimeSpan.FromMinutes(120)
        );

        // It is processed too early: the last check defers it again.
        await LookNowAsync(id);
        await Eventually.Holds(
            async () => (await Client.EventTypesAsync(id)).Count(t => t == "DeliveryDeferred") == 4,
            "both were put off again"
        );
        Assert.Equal((0, 0), await Sandbox.CountAsync(id));
        await Installation.VerifyAsync();

        // They are over: it goes.
        await PreferAsync(person, new { });
        await LookNowAsync(id);
        await Client.BecomesAsync(id, "dispatched");
        Assert.Equal((2, 2), await Sandbox.CountAsync(id));
    }

    [Fact]
    public async Task Capped_delivery_takes_one_slot_after_quiet_hours_however_often_it_is_deferred()
    {
        var category = $"capped-{Guid.NewGuid():N}";
        (
            await Client.PutAsync(
                $"/v1/categories/{category}",
                new
                {
                    caps = new[]
                    {
                        new
                        {
                            channel = "sms",
                            limit = 1,
                            per = "hour",
                            exceeding = "defer",
                        },
                    },
                }
            )
        ).Is(200);
        var (person, awake) = (await PersonAsync("Asia/Kolkata", quiet: true), await PersonAsync("Asia/Kolkata", quiet: false));
        Task<string?> TakenAsync(Person who) =>
            Installation.ScalarAsync<string?>(
                "select string_agg(taken::text, ' ') from notify.cap_counts where category = $1 and person = $2",
                category,
                who.Key
            );
        async Task<string> SendAsync(Person who)
        {
            var id = NewId("capped");
            (
                await Client.SendAsync(
                    new
                    {
                        eventId = id,
                        userId = who.Id,
                        category,
                        channels = new[] { "sms" },
                        content = new { body = id },
                    }
                )
            ).Is(202);
            return id;
        }

        var (first, second) = (await SendAsync(person), await SendAsync(person));
        Assert.Equal("QuietHours", (await Client.StateAsync(first)).On("sms").Reason);
        Assert.Equal("CapExceeded", (await Client.StateAsync(second)).On("sms").Reason);
        Assert.Matches(
            "^quiet hours .*; cap of category .*1 per hour, 1 taken of the hour",
            (await Client.EventsAsync(second))[^1].Data["rule"]!.ToString()
        );
        var taken = await TakenAsync(person);
        Assert.EndsWith("1,1}", taken, StringComparison.Ordinal);
        await LookNowAsync(first);
        await Eventually.Holds(
            async () => (await Client.EventTypesAsync(first)).Count(t => t == "DeliveryDeferred") == 2,
            "it was put off again"
        );
        Assert.Equal(taken, await TakenAsync(person));

        // Planned for now, and found asleep by the last check: it goes on to where there is room.
        await SendAsync(awake);
        var waiting = await SendAsync(awake);
        Assert.Equal("{1,1}", await TakenAsync(awake));
        await PreferAsync(
            awake,
            new { quietHours = new { from = Clock(Now.AddMinutes(330).AddHours(-2)), to = Clock(Now.AddMinutes(330).AddHours(3)) } }
        );
        await LookNowAsync(waiting);
        await Eventually.Holds(
            async () => (await Client.EventTypesAsync(waiting)).Count(t => t == "DeliveryDeferred") == 2,
            "the last check put it off"
        );
        Assert.Equal("QuietHours", (await Client.StateAsync(waiting)).On("sms").Reason);
        Assert.EndsWith(",1}", await TakenAsync(awake), StringComparison.Ordinal);
        Assert.Equal(3, (await TakenAsync(awake))!.Count(c => c == '1'));
        Assert.Equal((0, 0), await Sandbox.CountAsync(waiting));
    }

    [Fact]
    public async Task A_required_category_passes_quiet_hours_and_who_has_none_now_is_reached()
    {
        var (security, other) = ($"security-{Guid.NewGuid():N}"[..30], await PersonAsync("Asia/Kolkata", quiet: false));
        (await Client.PutAsync($"/v1/categories/{security}", new { required = true })).Is(200);
        var (person, passes, awake) = (await PersonAsync("Asia/Kolkata", quiet: true), NewId("passes"), NewId("awake"));

        (
            await Client.SendAsync(
                new
                {
                    eventId = passes,
                    userId = person.Id,
                    category = security,
                    content = new { body = passes },
                }
            )
        ).Is(202);
        (
            await Client.SendAsync(
                new
                {
                    eventId = awake,
                    userId = other.Id,
                    content = new { body = awake },
                }
            )
        ).Is(202);

        await Client.BecomesAsync(passes, "dispatched");
        await Client.BecomesAsync(awake, "dispatched");
    }

    [Fact]
    public async Task Delivery_that_expires_in_quiet_hours_is_expired()
    {
        var person = await PersonAsync(null, quiet: true);
        var id = NewId("expires");

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    expiresAt = Now.AddSeconds(1.5),
                    content = new { body = id },
                }
            )
        ).Is(202);

        Assert.Equal("scheduled", (await Client.StateAsync(id)).Status);
        await Client.BecomesAsync(id, "expired");
        Assert.Equal((0, 0), await Sandbox.CountAsync(id));
    }

    [Fact]
    public async Task Scheduled_notification_due_in_quiet_hours_is_deferred_and_can_be_cancelled()
    {
        var person = await PersonAsync("Asia/Kolkata", quiet: true);
        var id = NewId("due");

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    sendAt = Now.AddSeconds(1),
                    content = new { body = id },
                }
            )
        ).Is(202);
        await Eventually.Becomes(
            () => Client.StateAsync(id),
            s => s.Deliveries.Count == 2 && s.Deliveries.All(d => d.Reason == "QuietHours"),
            "it is planned and put off"
        );

        Assert.Equal("cancelled", (await Client.CancelAsync(id)).Is(200)["status"]);
        Assert.Equal(
            0,
            await Installation.ScalarAsync<long>("select count(*) from notify.open_deliveries where notification like '%' || $1", id)
        );
    }

    [Fact]
    public async Task Preferences_are_kept_with_time_author_and_source_and_readable_in_SQL()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        await PreferAsync(
            person,
            new { channels = new { sms = new { optIn = false } }, quietHours = new { from = "22:00", to = "08:00" } }
        );
        await PreferAsync(
            person,
            new { channels = new { sms = new { optIn = false } }, categories = new { offers = new { email = new { optIn = true } } } }
        );

        var changes = (await Client.GetAsync($"/v1/users/{person.Id}/preferences/history")).Is(200).Json["changes"]!.AsArray();
        Assert.Equal(["OptedOut", "QuietHoursSet", "OptedIn", "QuietHoursWithdrawn"], changes.Select(c => c!["type"]!.ToString()));
        Assert.All(changes, c => Assert.Equal((Client.AppKey, "api"), (c!["data"]!["by"]!.ToString(), c["data"]!["through"]!.ToString())));
        Assert.Equal("22:00:00", changes[1]!["data"]!["from"]!.ToString());

        const string Rows =
            "select coalesce(string_agg(channel || ' ' || coalesce(category, '-') || ' ' || opt_in || ' ' || (since > now() - "
            + "interval '1 minute'), ', ' order by channel), '') from notify.preferences where user_id = $1";
        Assert.Equal("email offers true true, sms - false true", await Installation.ScalarAsync<string>(Rows, person.Ref));
        (await Client.DeleteAsync($"/v1/users/{person.Id}")).Is(204);
        Assert.Equal("", await Installation.ScalarAsync<string>(Rows, person.Ref));
    }

    [Theory]
    [InlineData("""{ "quietHours": { "from": "22:00", "to": "22:00" } }""", "quietHours.to")]
    [InlineData("""{ "quietHours": { "from": "25:00", "to": "08:00" } }""", "quietHours.from")]
    [InlineData("""{ "quietHours": { "from": "22:00" } }""", "quietHours.to")]
    [InlineData("""{ "quietHours": { "from": "22:00", "to": "8" } }""", "quietHours.to")]
    [InlineData("""{ "quietHours": { "from": "22:00", "to": "08:00", "zone": "UTC" } }""", "quietHours.zone")]
    public async Task Quiet_hours_that_are_none_are_refused(string body, string field)
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var reply = (await Client.PutAsync($"/v1/users/{person.Id}/preferences", JsonNode.Parse(body)!)).IsProblem(400, "invalid_request");
        Assert.NotNull(reply.Json["errors"]![field]);
    }

    private static DateTimeOffset Now => TimeProvider.System.GetUtcNow();

    // Someone with a device and a number, whose quiet hours began two hours ago and last for two more, or begin in two.
    private async Task<Person> PersonAsync(string? zone, bool quiet)
    {
        var person = await Installation.NewPersonAsync();
        (await Client.PutAsync($"/v1/users/{person.Id}", new { person.Phone, timeZone = zone })).Is(200);
        var there = Now.AddMinutes(zone is null ? 0 : 330);
        await PreferAsync(
            person,
            new { quietHours = new { from = Clock(there.AddHours(quiet ? -2 : 2)), to = Clock(there.AddHours(quiet ? 2 : 4)) } }
        );
        return person;
    }

    private static string Clock(DateTimeOffset time) => time.ToString("HH:mm", CultureInfo.InvariantCulture);

    private async Task PreferAsync(Person person, object preferences) =>
        (await Client.PutAsync($"/v1/users/{person.Id}/preferences", preferences)).Is(200);

    private Task LookNowAsync(string id) =>
        Installation.ScalarAsync<long>(
            "with now as (update notify.open_deliveries set due_at = now() where notification like '%' || $1 and state = 2 "
                + "returning 1) select count(*) from now",
            id
        );
}
