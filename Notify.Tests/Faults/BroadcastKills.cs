using System.Diagnostics;
using System.Globalization;
using Notify.Tests.Support;

namespace Notify.Tests.Faults;

/// <summary>The host that makes a broadcast's notifications dies, twice: nobody is left out, and nobody gets it twice.</summary>
[Trait("Category", "Faults")]
[Collection(BroadcastCollection.Name)]
public sealed class BroadcastKills(BroadcastSystem broadcasts) : SystemTest
{
    private const int Followers = 20_000;

    /// <inheritdoc />
    public override ValueTask InitializeAsync()
    {
        Installation = broadcasts.System;
        return ValueTask.CompletedTask;
    }

    [Fact]
    public async Task Killed_twice_every_follower_gets_it_exactly_once()
    {
        var (topic, id) = (await CrowdAsync(Followers), NewId("killed"));
        (await Client.PostAsync("/v1/broadcasts", new { broadcastId = id, topic, channels = new[] { "push" }, content = new { title = id, body = "x" } })).Is(202);
        var watch = Stopwatch.StartNew();
        foreach (var reached in new[] { 2_000, 9_000 })
        {
            await ReachesAsync(id, reached);
            await Installation.KillDispatchAsync();
            Assert.InRange(await ExpandedAsync(id), reached, Followers - 1);
            await Installation.StartDispatchAsync();
        }

        await ReachesAsync(id, Followers);
        TestContext.Current.TestOutputHelper?.WriteLine($"Expanded in {watch.Elapsed}, with two kills.");
        await Installation.QuietAsync(TimeSpan.FromMinutes(3), id);

        Assert.Equal(Followers, await Installation.ScalarAsync<long>("select count(*) from events.mt_streams where id like 'n/%:' || $1 || '@%'", id));
        // A push that was in flight at a kill is repeated, under the collapse ID by which it replaces itself.
        var sent = (await Sandbox.LedgerAsync(id)).Where(e => e.IsAccepted).ToList();
        Assert.Equal(Followers, sent.Select(e => e.Header("apns-collapse-id")).Distinct().Count());
        Assert.InRange(sent.Count - Followers, 0, 1_000);
        Assert.Equal("BroadcastRequested BroadcastStarted BroadcastCompleted", await Installation.ScalarAsync<string>(
            "select string_agg(type, ' ' order by version) from events.mt_events where stream_id = $1", $"b/{Client.AppKey}:{id}"));
    }

    [Fact]
    public async Task Held_in_the_middle_it_stands_still_and_withdrawn_it_makes_no_more()
    {
        var (topic, id) = (await CrowdAsync(6_000), NewId("withdrawn"));
        (await Client.PostAsync("/v1/broadcasts", new { broadcastId = id, topic, channels = new[] { "push" }, content = new { title = id, body = "x" } })).Is(202);
        await ReachesAsync(id, 500);
        var held = (await Client.PostAsync($"/v1/broadcasts/{id}/pause", new { })).Is(200);
        var made = long.Parse(held["expanded"]!, CultureInfo.InvariantCulture);
        Assert.InRange(made, 500, 5_999);
        await Eventually.Stays(() => ExpandedAsync(id), made, TimeSpan.FromSeconds(2));

        (await Client.PostAsync($"/v1/broadcasts/{id}/resume", new { })).Is(200);
        await ReachesAsync(id, made + 500);
        made = long.Parse((await Client.PostAsync($"/v1/broadcasts/{id}/cancel", new { })).Is(200)["expanded"]!, CultureInfo.InvariantCulture);
        Assert.InRange(made, 1_000, 5_999);
        await Installation.QuietAsync(TimeSpan.FromMinutes(1), id);
        Assert.Equal(made, await Installation.ScalarAsync<long>("select count(*) from events.mt_streams where id like 'n/%:' || $1 || '@%'", id));
        Assert.Equal(made, (await Sandbox.CountAsync(id)).Accepted);
    }

    // One real person, and as many more as are wanted that are like them: registering each would take longer than the test.
    private async Task<string> CrowdAsync(int count)
    {
        var (topic, person) = (NewId("crowd"), await Installation.NewPersonAsync(phone: false));
        (await Client.PutAsync($"/v1/topics/{topic}", new { name = "A crowd" })).Is(200);
        Assert.Equal(count, await Installation.ScalarAsync<long>(
            """
            with people as (
                insert into events.mt_doc_recipient
                select (jsonb_populate_record(r, jsonb_build_object('id', n.id, 'data', jsonb_set(r.data, '{id}', to_jsonb(n.id))))).*
                from events.mt_doc_recipient r, (select 'u/' || $2 || '-' || g as id from generate_series(1, $3) g) n where r.id = 'u/' || $1
                returning id),
            joined as (insert into notify.topic_subscribers select $2, substr(id, 3), now() from people returning 1)
            select count(*) from joined
            """, person.Id, topic, count));
        return topic;
    }

    private Task ReachesAsync(string id, long count) => Eventually.Becomes(() => ExpandedAsync(id), e => e >= count, $"{count} are made", TimeSpan.FromMinutes(3));

    private Task<long> ExpandedAsync(string id) => Installation.ScalarAsync<long>("select expanded from notify.broadcasts where key = $1", $"b/{Client.AppKey}:{id}");
}
