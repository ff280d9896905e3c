using Notify.Tests.Support;

namespace Notify.Tests.EndToEnd;

/// <summary>Later, moved, withdrawn, or too late.</summary>
public sealed class Scheduling : SystemTest
{
    private static DateTimeOffset In(double seconds) => TimeProvider.System.GetUtcNow().AddSeconds(seconds);

    [Fact]
    public async Task A_cancelled_notification_is_not_sent_when_its_time_comes()
    {
        var person = await Installation.NewPersonAsync();
        var (id, control, sendAt) = (NewId("cancelled"), NewId("control"), In(1.5));
        (await Client.SendAsync(new { eventId = id, userId = person.Id, sendAt, content = new { body = id } })).Is(202);
        (await Client.SendAsync(new { eventId = control, userId = person.Id, sendAt, content = new { body = control } })).Is(202);

        Assert.Equal("cancelled", (await Client.CancelAsync(id)).Is(200)["status"]);

        Assert.Equal("cancelled", (await Client.StateAsync(id)).Status);
        await Client.BecomesAsync(control, "dispatched"); // the time has come
        await Eventually.Stays(() => Sandbox.CountAsync(id), (0, 0), TimeSpan.FromSeconds(0.7));
        Assert.Equal(["NotificationRequested", "NotificationCancelled"], await Client.EventTypesAsync(id));
        (await Client.CancelAsync(id)).Is(200); // said again, it is still so
        Assert.Equal(2, (await Client.EventsAsync(id)).Count);
    }

    [Fact]
    public async Task What_was_dispatched_cannot_be_cancelled()
    {
        var person = await Installation.NewPersonAsync();
        var id = NewId("too-late");
        (await Client.SendAsync(new { eventId = id, userId = person.Id, content = new { body = id } })).Is(202);
        await Client.BecomesAsync(id, "dispatched");

        (await Client.CancelAsync(id)).IsProblem(409, "already_dispatched");

        Assert.Equal("dispatched", (await Client.StateAsync(id)).Status);
        Assert.DoesNotContain("NotificationCancelled", await Client.EventTypesAsync(id));
    }

    [Fact]
    public async Task What_does_not_exist_cannot_be_cancelled() => (await Client.CancelAsync(NewId("never"))).IsProblem(404, "not_found");

    [Fact]
    public async Task Another_client_cannot_cancel_it()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var id = NewId("mine");
        using var other = await Installation.NewClientAsync(["send", "read"]);
        (await Client.SendAsync(new { eventId = id, userId = person.Id, sendAt = In(60), content = new { body = id } })).Is(202);

        (await other.CancelAsync(id)).IsProblem(404, "not_found");

        Assert.Equal("scheduled", (await Client.StateAsync(id)).Status);
        (await Client.CancelAsync(id)).Is(200);
    }

    [Fact]
    public async Task A_rescheduled_notification_comes_at_its_new_time()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var (sooner, later) = (NewId("sooner"), NewId("later"));
        (await Client.SendAsync(new { eventId = sooner, userId = person.Id, sendAt = In(3600), content = new { body = sooner } })).Is(202);
        (await Client.SendAsync(new { eventId = later, userId = person.Id, sendAt = In(1.5), content = new { body = later } })).Is(202);

        var soon = In(1);
        (await Client.PostAsync($"/v1/notifications/{sooner}/reschedule", new { sendAt = soon })).Is(200);
        (await Client.PostAsync($"/v1/notifications/{later}/reschedule", new { sendAt = In(3600) })).Is(200);

        await Client.BecomesAsync(sooner, "dispatched");
        Assert.True(Assert.Single(await Sandbox.LedgerAsync(sooner)).ReceivedAt >= soon);
        await Eventually.Stays(() => Sandbox.CountAsync(later), (0, 0), TimeSpan.FromSeconds(1.5));
        Assert.Equal("scheduled", (await Client.StateAsync(later)).Status);
        Assert.Equal(["NotificationRequested", "NotificationRescheduled"], await Client.EventTypesAsync(later));
        (await Client.PostAsync($"/v1/notifications/{sooner}/reschedule", new { sendAt = In(5) })).IsProblem(409, "already_due");
        (await Client.CancelAsync(later)).Is(200);
        (await Client.PostAsync($"/v1/notifications/{later}/reschedule", new { sendAt = In(5) })).IsProblem(409, "already_due");
    }

    [Fact]
    public async Task What_has_expired_before_it_was_asked_for_is_not_sent()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var id = NewId("expired");

        (await Client.SendAsync(new { eventId = id, userId = person.Id, expiresAt = In(-1), content = new { body = id } })).Is(202);

        Assert.Equal("expired", (await Client.StateAsync(id)).Status);
        await Eventually.Stays(() => Sandbox.CountAsync(id), (0, 0), TimeSpan.FromSeconds(0.5));
        Assert.Equal(["NotificationRequested", "NotificationExpired"], await Client.EventTypesAsync(id));
    }

    [Fact]
    public async Task An_expiry_goes_along_to_APNs()
    {
        var person = await Installation.NewPersonAsync(phone: false);
        var (id, expiresAt) = (NewId("expiry"), In(600));

        (await Client.SendAsync(new { eventId = id, userId = person.Id, expiresAt, content = new { title = id } })).Is(202);

        await Client.BecomesAsync(id, "dispatched");
        Assert.Equal($"{expiresAt.ToUnixTimeSeconds()}", Assert.Single(await Sandbox.LedgerAsync(id)).Header("apns-expiration"));
    }

    [Fact]
    public async Task A_sendAt_after_expiresAt_is_a_fault()
    {
        var reply = await Client.SendAsync(new { eventId = NewId("x"), userId = "u", sendAt = In(60), expiresAt = In(30), content = new { body = "x" } });

        Assert.NotNull(reply.IsProblem(400, "invalid_request").Json["errors"]!["expiresAt"]);
    }

    [Fact]
    public async Task An_opt_out_between_the_request_and_its_time_is_respected()
    {
        var person = await Installation.NewPersonAsync();
        var id = NewId("changed-mind");
        (await Client.SendAsync(new { eventId = id, userId = person.Id, sendAt = In(1), content = new { body = id } })).Is(202);

        (await Client.PutAsync($"/v1/users/{person.Id}/preferences", new { channels = new { sms = new { optIn = false } } })).Is(200);

        var state = await Client.BecomesAsync(id, "dispatched");
        Assert.Equal("OptedOut", state.On("sms").Reason);
        Assert.Equal("apns", Assert.Single(await Sandbox.LedgerAsync(id)).Provider);
    }
}
