namespace Notify.Tests.EndToEnd;

using Notify.Tests.Support;

/// <summary>Erasing people by user, number or address, over HTTP.</summary>
public sealed class Erasures : SystemTest
{
    [Fact]
    public async Task Scheduled_notification_of_somebody_not_registered_is_not_sent_after_an_erasure_by_either_contact()
    {
        var (id, phone, email) = (NewId("scheduled"), Person.NewPhone(), Person.NewEmail());
        var to = new { phone, email };
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    to,
                    content = new { title = id, body = id },
                    sendAt = TimeProvider.System.GetUtcNow().AddHours(1),
                }
            )
        ).Is(202);

        var counts = (await Client.PostAsync("/v1/erasures", new { email })).Is(200);
        Assert.Equal(("0", "1"), (counts["users"], counts["keys"]));
        counts = (await Client.PostAsync("/v1/erasures", new { phone })).Is(200);
        Assert.Equal(("0", "0"), (counts["users"], counts["keys"]));

        (await Client.PostAsync($"/v1/notifications/{id}/reschedule", new { sendAt = TimeProvider.System.GetUtcNow().AddSeconds(0.2) })).Is(
            200
        );
        Assert.All((await Client.BecomesAsync(id, "suppressed")).Deliveries, d => Assert.Equal("Erased", d.Reason));
    }

    [Fact]
    public async Task Number_of_several_users_is_refused_and_each_is_erased_by_user()
    {
        var phone = Person.NewPhone();
        var one = await Installation.NewPersonAsync(devices: 0, number: phone);
        var two = await Installation.NewPersonAsync(devices: 0, number: phone);

        (await Client.PostAsync("/v1/erasures", new { phone })).IsProblem(409, "several_users");
        Assert.Equal("1", (await Client.PostAsync("/v1/erasures", new { userId = one.Id })).Is(200)["users"]);
        Assert.Equal("1", (await Client.PostAsync("/v1/erasures", new { phone })).Is(200)["users"]);
        (await Client.GetAsync($"/v1/users/{two.Id}")).IsProblem(404, "not_found");
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("""{ "userId": "u-1", "phone": "+821012345678" }""")]
    [InlineData("""{ "phone": "12345" }""")]
    [InlineData("""{ "email": "nobody" }""")]
    public async Task Erasure_that_names_nobody_or_several_is_refused(string body) =>
        (await Client.PostRawAsync("/v1/erasures", body)).IsProblem(400, "invalid_request");

    [Fact]
    public async Task Access_log_forgets_the_user_who_is_erased()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        using var looking = await Installation.NewClientAsync(["recipients"]);
        (await looking.GetAsync($"/v1/users/{person.Id}")).Is(200);
        Assert.Equal(person.Id, await TargetAsync());

        (await Client.DeleteAsync($"/v1/users/{person.Id}")).Is(204);

        Assert.StartsWith("*", await TargetAsync(), StringComparison.Ordinal);

        async Task<string> TargetAsync() =>
            (await Client.GetAsync("/v1/accesses?limit=500")).Is(200).Json["items"]!.AsArray().First(a => $"{a!["by"]}" == looking.AppKey)![
                "target"
            ]!.ToString();
    }
}
