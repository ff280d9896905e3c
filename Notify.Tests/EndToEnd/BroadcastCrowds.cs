namespace Notify.Tests.EndToEnd;

using System.Globalization;
using Notify.Tests.Support;

/// <summary>Broadcasts to many, which take long enough for something to happen meanwhile.</summary>
public sealed class BroadcastCrowds(BroadcastSystem broadcasts) : CrowdTest(broadcasts)
{
    [Fact]
    public async Task To_all_is_to_every_registered_user_and_to_nobody_who_was_erased()
    {
        var (one, erased) = (await Installation.NewPersonAsync(phone: false), await Installation.NewPersonAsync(phone: false));
        (await Client.DeleteAsync($"/v1/users/{erased.Id}")).Is(204);
        var users = await Installation.ScalarAsync<long>(
            "select count(*) from events.mt_doc_recipient where not coalesce((data ->> 'isErased')::boolean, false)"
        );

        var id = NewId("all");
        (
            await Client.PostAsync(
                "/v1/broadcasts",
                new
                {
                    broadcastId = id,
                    all = true,
                    channels = new[] { "push" },
                    content = new { title = id, body = "x" },
                }
            )
        ).Is(202);
        var done = await EndsAsync(id);
        Assert.Equal(($"{users}", $"{users}", "true"), (done["total"], done["expanded"], done["all"]));
        await Client.BecomesAsync($"{id}@{one.Id}", "dispatched");
        (await Client.GetAsync($"/v1/notifications/{id}@{erased.Id}")).IsProblem(404, "not_found");
        Assert.Equal(users, await StreamsAsync(id));
    }

    [Fact]
    public async Task Held_in_the_middle_it_stands_still_and_goes_on_with_those_who_follow_then()
    {
        const int Followers = 5_000;
        var topic = await CrowdAsync(Followers, muted: true);
        var id = await BroadcastAsync(topic, "held");
        await ReachesAsync(id, 1);
        var held = (await Client.PostAsync($"/v1/broadcasts/{id}/pause", new { })).Is(200);
        var made = long.Parse(held["expanded"]!, CultureInfo.InvariantCulture);
        Assert.Equal(("paused", $"{Followers}"), (held["state"], held["total"]));
        Assert.InRange(made, 1, Followers - 1);

        // References have their order: one comes before the place where it stands, one after everybody who follows.
        var reached = await Installation.ScalarAsync<string>("select after_user from notify.broadcasts where key like '%:' || $1", id);
        var last = FollowersOf(topic, Followers)[^1];
        var passed = UserRefs.IdWhere($"a-{topic}", r => string.CompareOrdinal(r, reached) < 0);
        var ahead = UserRefs.IdWhere($"x-{topic}", r => string.CompareOrdinal(r, last) > 0);
        foreach (var user in new[] { passed, ahead })
        {
            (await Client.PutAsync($"/v1/users/{user}", new { locale = "ko" })).Is(200);
            (await Client.PutAsync($"/v1/topics/{topic}/subscribers/{user}", new { })).Is(204);
        }

        Assert.Equal(
            1,
            await Installation.ScalarAsync<long>(
                "with left_it as (delete from notify.topic_subscribers where topic = $1 and user_id = $2 returning 1) select "
                    + "count(*) from left_it",
                topic,
                last
            )
        );
        await Eventually.Stays(() => ExpandedAsync(id), made, TimeSpan.FromSeconds(1));

        (await Client.PostAsync($"/v1/broadcasts/{id}/resume", new { })).Is(200);
        var done = await EndsAsync(id);
        Assert.Equal(("completed", $"{Followers}", $"{Followers}"), (done["state"], done["total"], done["expanded"]));
        Assert.Equal(Followers, await StreamsAsync(id));
        await Client.BecomesAsync($"{id}@{ahead}", "suppressed");
        foreach (var nobody in new[] { passed, last })
            (await Client.GetAsync($"/v1/notifications/{id}@{nobody}")).IsProblem(404, "not_found");
        await Eventually.Becomes(
            async () => (await Client.GetAsync($"/v1/broadcasts/{id}")).Is(200).Json["deliveries"],
            d =>
                ($"{Followers}", $"{Followers}", "0")
                == (d?["planned"]!.ToString(), d?["suppressed"]!.ToString(), d?["inFlight"]!.ToString()),
            "all are counted"
        );
    }

    [Fact]
    public async Task Where_the_provider_does_not_keep_up_it_waits_for_its_queue()
    {
        const int Followers = 6_000;
        await Sandbox.KnobsAsync("apns", new { latencyMs = 5000 });
        var id = await BroadcastAsync(await CrowdAsync(Followers), "paced");

        // It is polled again and again, and makes none.
        var looks = new Dictionary<long, HashSet<string>>();
        await Eventually.Becomes(
            async () =>
                (
                    Made: await ExpandedAsync(id),
                    Due: await Installation.ScalarAsync<string>(
                        "select due_at::text from notify.broadcasts where key = $1",
                        $"b/{Client.AppKey}:{id}"
                    )
                ),
            look =>
                (looks.TryGetValue(look.Made, out var dues) ? dues : looks[look.Made] = []).Add(look.Due)
                && look.Made > 0
                && looks[look.Made].Count == 4,
            "it waits",
            TimeSpan.FromMinutes(1)
        );
        Assert.InRange(await ExpandedAsync(id), BroadcastSystem.MostWaiting, Followers - 1);
        Assert.InRange(
            await Installation.ScalarAsync<long>(
                "select count(*) from notify.open_deliveries where notification like '%:' || $1 || '@%'",
                id
            ),
            1,
            BroadcastSystem.MostWaiting + 1_000
        ); // and one chunk at most

        await Sandbox.BehaveAsync();
        Assert.Equal($"{Followers}", (await EndsAsync(id))["expanded"]);
        await Installation.QuietAsync(TimeSpan.FromMinutes(1), id);
        await ReachedOnceAsync(id, Followers);
    }

    [Fact]
    public async Task Withdrawn_in_the_middle_what_waits_is_withdrawn_with_it()
    {
        const int Followers = 4_000;
        // So slow that not all can be sent before the withdrawal.
        await Sandbox.KnobsAsync("apns", new { latencyMs = 500 });
        var id = await BroadcastAsync(await CrowdAsync(Followers), "withdrawn");
        await ReachesAsync(id, 1_500);
        var made = long.Parse(
            (await Client.PostAsync($"/v1/broadcasts/{id}/cancel", new { })).Is(200)["expanded"]!,
            CultureInfo.InvariantCulture
        );
        Assert.InRange(made, 1_500, Followers);
        await Sandbox.BehaveAsync();
        await Installation.QuietAsync(TimeSpan.FromMinutes(1), id);

        var (withdrawn, sent) = (await EventsAsync("NotificationCancelled"), await EventsAsync("NotificationDispatched"));
        Assert.Equal(made, await StreamsAsync(id));
        Assert.InRange(withdrawn, 1, made - 1);
        Assert.Equal(made, withdrawn + sent);
        Assert.Equal(sent, (await Sandbox.CountAsync(id)).Accepted);
        await Eventually.Becomes(
            async () => (await Client.GetAsync($"/v1/broadcasts/{id}")).Is(200).Json["deliveries"],
            d =>
                ($"{made}", $"{withdrawn}", $"{sent}")
                == (d?["planned"]!.ToString(), d?["cancelled"]!.ToString(), d?["dispatched"]!.ToString()),
            "all are counted"
        );
        await Eventually.Holds(
            () => Installation.ScalarAsync<bool>("select due_at is null from notify.broadcasts where key = $1", $"b/{Client.AppKey}:{id}"),
            "nobody looks for more"
        );

        Task<long> EventsAsync(string type) =>
            Installation.ScalarAsync<long>(
                "select count(*) from events.mt_events where type = $2 and stream_id like 'n/%:' || $1 || '@%'",
                id,
                type
            );
    }
}
