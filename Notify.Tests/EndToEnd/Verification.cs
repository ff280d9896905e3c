namespace Notify.Tests.EndToEnd;

using Notify.Tests.Support;

/// <summary>Runs after the tests that share a system: the sums of all that they did must agree.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class AfterwardsCollection
{
    public const string Name = "Afterwards";
}

[Collection(AfterwardsCollection.Name)]
public sealed class Verification : SystemTest
{
    [Fact]
    public async Task Every_accepted_notification_is_terminal_in_flight_or_unknown()
    {
        var person = await Installation.NewPersonAsync();
        var id = NewId("verified");
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

        var told = await Installation.VerifyAsync();

        Assert.Contains(
            $"{await Installation.ScalarAsync<long>("select count(*) from notify.event_ids"):N0}",
            told.Split('\n').Single(l => l.StartsWith("notifications accepted", StringComparison.Ordinal)),
            StringComparison.Ordinal
        );
        var run = (await Client.GetAsync("/v1/verifications?limit=1")).Is(200).Json["items"]![0]!;
        Assert.Equal(("verified", false), (run["state"]!.GetValue<string>(), run["automatic"]!.GetValue<bool>()));
        Assert.True(run["position"]!.GetValue<long>() > 0 && run["counts"]!["notifications"]!.GetValue<long>() > 0);
        // An envelope there means a bug.
        Assert.Equal(0, await Installation.ScalarAsync<long>("select count(*) from dispatch_messages.wolverine_dead_letters"));
    }

    [Fact]
    public async Task Verify_finds_what_does_not_add_up()
    {
        var person = await Installation.NewPersonAsync();
        var id = NewId("tampered");
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    sendAt = TimeProvider.System.GetUtcNow().AddHours(1),
                    content = new { body = id },
                }
            )
        ).Is(202);
        await Installation.ScalarAsync<long>(
            "with gone as (delete from notify.open_deliveries where notification like '%' || $1 returning 1) select count(*) from gone",
            id
        );
        try
        {
            var failure = await Assert.ThrowsAsync<Xunit.Sdk.TrueException>(() => Installation.VerifyAsync());
            Assert.Contains($"{id}: not planned, and nothing will plan it", failure.Message, StringComparison.Ordinal);
        }
        finally
        {
            (await Client.CancelAsync(id)).Is(200); // as its line advises
        }
    }

    [Fact]
    public async Task Verify_finds_what_was_collected_and_is_in_no_digest()
    {
        var (person, category, id) = (await Installation.NewPersonAsync(), $"collected-{Guid.NewGuid():N}", NewId("collected"));
        (await Client.PutAsync($"/v1/categories/{category}", new { digest = new { windowSeconds = 3600 } })).Is(200);
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    category,
                    content = new { body = id },
                }
            )
        ).Is(202);
        Task TamperAsync(string digest) =>
            Installation.ScalarAsync<long>(
                $"with other as (update notify.digest_items set digest = {digest} where category = $1 returning 1) select "
                    + "count(*) from other",
                category
            );
        await Installation.VerifyAsync();
        await TamperAsync("digest || 'x'");
        try
        {
            var failure = await Assert.ThrowsAsync<Xunit.Sdk.TrueException>(() => Installation.VerifyAsync());
            Assert.Matches($"{id}: waits in digest=[A-Za-z0-9_-]+, which does not have it", failure.Message);
        }
        finally
        {
            await TamperAsync("left(digest, -1)");
        }
    }
}
