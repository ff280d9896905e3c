namespace Notify.Tests.EndToEnd;

using System.Text.Json.Nodes;
using Notify.Tests.Support;

/// <summary>Queries: current and past states, events, lists, histories.</summary>
public sealed class Asking : SystemTest
{
    [Fact]
    public async Task The_state_can_be_rebuilt_as_it_was_at_any_version_and_time()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var id = NewId("then");
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
        var now = await Client.BecomesAsync(id, "dispatched");
        var events = await Client.EventsAsync(id);
        var last = events[^1];

        Assert.Equal("accepted", (await Client.StateAsync(id, "?asOfVersion=1")).Status);
        Assert.Empty((await Client.StateAsync(id, "?asOfVersion=1")).Deliveries);
        Assert.Equal("queued", (await Client.StateAsync(id, "?asOfVersion=2")).On("sms").Status);
        Assert.Equal("attempting", (await Client.StateAsync(id, "?asOfVersion=3")).On("sms").Status);
        Assert.Equal(now.ToString(), (await Client.StateAsync(id, "?asOfVersion=4")).ToString());
        Assert.Equal(now.ToString(), (await Client.StateAsync(id, "?asOfVersion=99")).ToString());

        string At(DateTimeOffset time) => $"?asOf={Uri.EscapeDataString(time.ToString("O"))}";
        Assert.Equal("dispatched", (await Client.StateAsync(id, At(last.Timestamp))).Status);
        Assert.Equal("attempting", (await Client.StateAsync(id, At(last.Timestamp.AddTicks(-10)))).On("sms").Status);
        (await Client.GetAsync($"/v1/notifications/{id}{At(events[0].Timestamp.AddSeconds(-1))}")).IsProblem(404, "not_found");
    }

    [Theory]
    [InlineData("asOfVersion", "0")]
    [InlineData("asOfVersion", "-1")]
    [InlineData("asOfVersion", "x")]
    [InlineData("asOfVersion", "99999999999999999999")]
    [InlineData("asOf", "yesterday")]
    public async Task A_version_or_time_that_is_none_is_a_fault(string name, string value)
    {
        var id = NewId("bad");
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = "nobody",
                    content = new { body = id },
                }
            )
        ).Is(202);

        Assert.NotNull(
            (await Client.GetAsync($"/v1/notifications/{id}?{name}={value}")).IsProblem(400, "invalid_request").Json["errors"]![name]
        );
    }

    [Fact]
    public async Task Events_come_as_JSON_and_as_lines()
    {
        var person = await Installation.NewPersonAsync();
        var id = NewId("lines");
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
        await Client.BecomesAsync(id, "dispatched");

        var json = (await Client.GetAsync($"/v1/notifications/{id}/events")).Is(200);
        var lines = (
            await Client.CallAsync(
                HttpMethod.Get,
                $"/v1/notifications/{id}/events",
                shape: r => r.Headers.Add("Accept", "application/x-ndjson")
            )
        ).Is(200);

        Assert.Equal("application/json", json.ContentType);
        Assert.Equal("application/x-ndjson", lines.ContentType);
        Assert.EndsWith("\n", lines.Text, StringComparison.Ordinal);
        Assert.Equal(
            json.Json["events"]!.AsArray().Select(e => e!.ToJsonString()),
            lines.Text.TrimEnd('\n').Split('\n').Select(l => JsonNode.Parse(l)!.ToJsonString())
        );
        Assert.DoesNotContain(person.Phone!, json.Text, StringComparison.Ordinal);
        Assert.DoesNotContain(person.Tokens[0], json.Text, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task Pages_of_a_list_lose_and_repeat_nothing_even_while_more_arrives()
    {
        using var client = await Installation.NewClientAsync(["send", "read"]);
        var mark = NewId("page");
        async Task<string[]> SendBatch(string part)
        {
            var ids = Enumerable.Range(0, 25).Select(i => $"{mark}-{part}-{i}").ToArray();
            (
                await client.PostAsync(
                    "/v1/notifications/batch",
                    new
                    {
                        notifications = ids.Select(id => new
                        {
                            eventId = id,
                            userId = "nobody",
                            content = new { body = "x" },
                        }),
                    }
                )
            ).Is(200);
            return ids;
        }

        var wanted = await SendBatch("old"); // most of them in one commit, and so at the same time
        await Eventually.Becomes(() => Items(client, "?limit=500"), i => i.Count == 25, "the list has them all");

        var seen = new List<JsonNode>();
        string? after = null;
        var pages = 0;
        do
        {
            var page = (await client.GetAsync($"/v1/notifications?limit=4{(after is null ? "" : $"&after={after}")}")).Is(200);
            seen.AddRange(page.Json["items"]!.AsArray().Select(i => i!));
            after = page["next"];
            if (++pages == 2)
            {
                await SendBatch("new");
                await Eventually.Becomes(() => Items(client, "?limit=500"), i => i.Count == 50, "the list has the new ones too");
            }
        } while (after is not null);

        Assert.Equal(7, pages);
        Assert.Equal(wanted.Order(), seen.Select(i => i["eventId"]!.ToString()).Order());
        var times = seen.Select(i => i["requestedAt"]!.GetValue<DateTimeOffset>()).ToList();
        Assert.Equal(times.OrderDescending(), times);
    }

    [Fact]
    public async Task Lists_are_filtered_by_user_status_channel_category_and_time()
    {
        using var client = await Installation.NewClientAsync(["send", "read"]);
        var person = await Installation.NewPersonAsync();
        var (push, sms, none) = (NewId("push"), NewId("sms"), NewId("none"));
        (
            await client.SendAsync(
                new
                {
                    eventId = push,
                    userId = person.Id,
                    category = "orders",
                    channels = new[] { "push" },
                    content = new { title = push },
                }
            )
        ).Is(202);
        (
            await client.SendAsync(
                new
                {
                    eventId = sms,
                    userId = person.Id,
                    category = "alerts",
                    channels = new[] { "sms" },
                    content = new { body = sms },
                }
            )
        ).Is(202);
        (
            await client.SendAsync(
                new
                {
                    eventId = none,
                    userId = "nobody",
                    channels = new[] { "sms" },
                    content = new { body = none },
                }
            )
        ).Is(202);
        await Eventually.Becomes(
            async () => (await Items(client)).Select(i => i["status"]!.ToString()).Order().ToArray(),
            s => s is ["dispatched", "dispatched", "suppressed"],
            "the list knows how all ended"
        );
        var start = (await client.StateAsync(push)).Json["requestedAt"]!.GetValue<DateTimeOffset>();

        async Task Finds(string query, params string[] expected) =>
            Assert.Equal(expected.Order(), (await Items(client, query)).Select(i => i["eventId"]!.ToString()).Order());
        await Finds("", push, sms, none);
        await Finds($"?userId={person.Id}", push, sms);
        await Finds("?status=suppressed", none);
        await Finds("?status=dispatched", push, sms);
        await Finds("?channel=push", push);
        await Finds("?channel=sms", sms, none);
        await Finds("?category=alerts", sms);
        await Finds($"?category=alerts&userId={person.Id}&status=dispatched&channel=sms", sms);
        await Finds($"?from={Uri.EscapeDataString(start.ToString("O"))}", push, sms, none);
        await Finds($"?to={Uri.EscapeDataString(start.ToString("O"))}");
        await Finds($"?from={Uri.EscapeDataString(start.AddTicks(10).ToString("O"))}", sms, none);
    }

    [Theory]
    [InlineData("limit=0", "limit")]
    [InlineData("limit=501", "limit")]
    [InlineData("status=lost", "status")]
    [InlineData("status=1", "status")]
    [InlineData("channel=pigeon", "channel")]
    [InlineData("from=soon", "from")]
    [InlineData("after=%21", "after")]
    [InlineData("colour=red", "colour")]
    public async Task A_filter_that_is_none_is_a_fault(string query, string field) =>
        Assert.NotNull((await Client.GetAsync($"/v1/notifications?{query}")).IsProblem(400, "invalid_request").Json["errors"]![field]);

    [Fact]
    public async Task A_user_s_history_has_the_notifications_of_every_client()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        using var other = await Installation.NewClientAsync(["send", "read"]);
        var (mine, theirs) = (NewId("mine"), NewId("theirs"));
        (
            await Client.SendAsync(
                new
                {
                    eventId = mine,
                    userId = person.Id,
                    content = new { body = mine },
                }
            )
        ).Is(202);
        (
            await other.SendAsync(
                new
                {
                    eventId = theirs,
                    userId = person.Id,
                    content = new { body = theirs },
                }
            )
        ).Is(202);

        await Eventually.Passes(async () =>
        {
            var items = (await Client.GetAsync($"/v1/users/{person.Id}/notifications")).Is(200).Json["items"]!.AsArray();
            Assert.Equal([theirs, mine], items.Select(i => i!["eventId"]!.ToString()));
            Assert.All(items, i => Assert.Equal("dispatched", i!["status"]!.ToString()));
        });
        (await other.GetAsync($"/v1/users/{person.Id}/notifications")).IsProblem(403, "missing_scope");
    }

    [Fact]
    public async Task The_state_is_right_at_once_after_the_202()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        for (var i = 0; i < 20; i++)
        {
            var id = NewId("at-once");
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
            Assert.Equal(person.Id, (await Client.StateAsync(id)).Json["userId"]!.ToString());
        }
    }

    private static async Task<List<JsonNode>> Items(NotifyClient client, string query = "") =>
        [.. (await client.GetAsync($"/v1/notifications{query}")).Is(200).Json["items"]!.AsArray().Select(i => i!)];
}
