namespace Notify.Tests.EndToEnd;

using System.Text.Json.Nodes;
using Notify.Tests.Support;

/// <summary>Up to a thousand requests at a time, where one bad item harms no other.</summary>
public sealed class Batches : SystemTest
{
    [Fact]
    public async Task An_item_that_cannot_be_stored_is_told_so_and_all_others_are_durable()
    {
        var mark = NewId("unstorable");
        await Installation.ScalarAsync<object?>(
            $"""
            create function public.refuse() returns trigger language plpgsql as 'begin raise exception using message = ''not this one''; end';
            create trigger refuse before insert on notify.event_ids for each row when (new.key like '%{mark}-bad%') execute function public.refuse()
            """
        );
        try
        {
            var ids = Enumerable.Range(0, 60).Select(i => i % 20 == 10 ? $"{mark}-bad-{i}" : $"{mark}-{i}").ToArray();
            using var neighbour = await Installation.NewClientAsync(["send"]);
            object Request(string eventId) =>
                new
                {
                    eventId,
                    userId = $"nobody-{mark}",
                    content = new { body = mark },
                };

            var (batch, others) = (
                Client.PostAsync("/v1/notifications/batch", new { notifications = ids.Select(Request) }),
                Enumerable.Range(0, 20).Select(i => neighbour.SendAsync(Request($"{mark}-{i}"))).ToList()
            );

            var results = (await batch).Is(200).Json["results"]!.AsArray();
            Assert.Equal(
                ids.Select(i => i.Contains("bad", StringComparison.Ordinal) ? "rejected internal_error" : "accepted "),
                results.Select(r => $"{r!["status"]} {r["error"]?["code"]}")
            );
            foreach (var other in others)
                (await other).Is(202);
            (await Client.SendAsync(Request($"{mark}-bad-alone"))).IsProblem(500, "internal_error");
            Assert.Equal(
                57 + 20,
                await Installation.ScalarAsync<long>("select count(*) from notify.event_ids where key like '%' || $1 || '%'", mark)
            );
        }
        finally
        {
            await Installation.ScalarAsync<object?>("drop trigger refuse on notify.event_ids; drop function public.refuse()");
        }
    }

    [Fact]
    public async Task A_thousand_items_are_answered_in_order_and_bad_ones_harm_none()
    {
        var mark = NewId("batch");
        var people = await Task.WhenAll(Enumerable.Range(0, 10).Select(_ => Installation.NewPersonAsync(devices: 0)));
        JsonObject Good(int i) =>
            new()
            {
                ["eventId"] = $"{mark}-{i}",
                ["userId"] = people[i % people.Length].Id,
                ["content"] = new JsonObject { ["body"] = $"{mark}-{i}" },
            };
        var items = new JsonArray();
        var expected = new List<string>();
        for (var i = 0; i < 1000; i++)
        {
            JsonNode? item = Good(i);
            var status = "rejected";
            switch (i % 20)
            {
                case 3:
                    item.AsObject().Remove("content");
                    break;
                case 5:
                    item["eventId"] = "with blank";
                    break;
                case 7:
                    item["surprise"] = true;
                    break;
                case 9:
                    item = i % 40 == 9 ? null : JsonValue.Create("not an object");
                    break;
                case 11:
                    item["content"]!["body"] = "nul \0 here";
                    break;
                case 13:
                    item["priority"] = "urgent";
                    break;
                case 15:
                    (item, status) = (Good(i - 1), "duplicate");
                    break; // the same as the one before it
                case 17:
                    item["eventId"] = $"{mark}-{i - 1}";
                    break; // another request under an event ID of this batch
                default:
                    status = "accepted";
                    break;
            }

            items.Add(item);
            expected.Add(status);
        }

        var reply = (await Client.PostAsync("/v1/notifications/batch", new JsonObject { ["notifications"] = items })).Is(200);

        var results = reply.Json["results"]!.AsArray();
        Assert.Equal(expected, results.Select(r => r!["status"]!.ToString()));
        for (var i = 0; i < 1000; i++)
        {
            if (i % 20 == 9)
                continue;
            Assert.Equal(items[i]!["eventId"]!.ToString(), results[i]!["eventId"]!.ToString());
        }

        Assert.All(results.Where((_, i) => i % 20 == 17), r => Assert.Equal("event_id_conflict", r!["error"]!["code"]!.ToString()));
        Assert.All(results.Where((_, i) => i % 20 is 3 or 5 or 7 or 11 or 13), r => Assert.NotEmpty(r!["error"]!["errors"]!.AsObject()));
        Assert.NotNull(results[3]!["error"]!["errors"]!["content"]);
        Assert.NotNull(results[5]!["error"]!["errors"]!["eventId"]);
        Assert.NotNull(results[7]!["error"]!["errors"]!["surprise"]);
        Assert.NotNull(results[11]!["error"]!["errors"]!["content.body"]);
        Assert.NotNull(results[13]!["error"]!["errors"]!["priority"]);

        var good = expected.Count(e => e == "accepted");
        Assert.Equal(600, good);
        await Eventually.Becomes(
            () => Sandbox.CountAsync(mark),
            c => c.Accepted >= good,
            "all good items were sent",
            TimeSpan.FromSeconds(40)
        );
        var sent = await Sandbox.LedgerAsync(mark);
        Assert.Equal(good, sent.Count);
        Assert.Equal(good, sent.Select(e => e.Text).Distinct().Count());

        // The whole batch again: everything good is a duplicate, nothing is sent.
        var again = (await Client.PostAsync("/v1/notifications/batch", new JsonObject { ["notifications"] = items.DeepClone() })).Is(200);
        Assert.Equal(
            expected.Select(e => e == "accepted" ? "duplicate" : e),
            again.Json["results"]!.AsArray().Select(r => r!["status"]!.ToString())
        );
        Assert.Equal((good, good), await Sandbox.CountAsync(mark));
    }

    [Theory]
    [InlineData("""{}""", "notifications")]
    [InlineData("""{"notifications":[]}""", "notifications")]
    [InlineData("""{"notifications":{}}""", "notifications")]
    [InlineData("""{"notifications":[{}],"more":1}""", "more")]
    public async Task A_batch_of_another_shape_is_refused_whole(string body, string field) =>
        Assert.NotNull(
            (await Client.PostRawAsync("/v1/notifications/batch", body)).IsProblem(400, "invalid_request").Json["errors"]![field]
        );

    [Fact]
    public async Task More_than_a_thousand_items_are_refused_whole()
    {
        var mark = NewId("many");
        var reply = await Client.PostAsync(
            "/v1/notifications/batch",
            new
            {
                notifications = Enumerable
                    .Range(0, 1001)
                    .Select(i => new
                    {
                        eventId = $"{mark}-{i}",
                        userId = "nobody",
                        content = new { body = "x" },
                    }),
            }
        );

        Assert.NotNull(reply.IsProblem(400, "invalid_request").Json["errors"]!["notifications"]);
        (await Client.GetAsync($"/v1/notifications/{mark}-0")).IsProblem(404, "not_found");
    }
}
