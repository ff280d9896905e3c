namespace Notify.Tests.EndToEnd;

using Notify.Tests.Support;

/// <summary>Asking twice never sends twice; what «the same request» means.</summary>
public sealed class Idempotency : SystemTest
{
    [Fact]
    public async Task Order_white_space_number_form_and_escapes_make_no_other_request()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var id = NewId("canonical");
        string Written(string json) =>
            json.Replace("EVENT", id, StringComparison.Ordinal).Replace("USER", person.Id, StringComparison.Ordinal);
        (
            await Client.PostRawAsync(
                "/v1/notifications",
                Written("""{"eventId":"EVENT","userId":"USER","content":{"body":"b EVENT","data":{"n":1.0,"m":{"a":1,"b":[1,2]}}}}""")
            )
        ).Is(202);

        foreach (
            var same in new[]
            {
                Written("""{"eventId":"EVENT","userId":"USER","content":{"body":"b EVENT","data":{"n":1,"m":{"a":1,"b":[1,2]}}}}"""),
                Written("""{"content":{"data":{"m":{"b":[1,2],"a":1},"n":1.0},"body":"b EVENT"},"userId":"USER","eventId":"EVENT"}"""),
                Written(
                    """   { "eventId" : "EVENT" , "userId":"USER", "content":{ "body":"b EVENT","data":{"n":1e0,"m":{"a":1.00,"b":[1 ,2]}}} }  """
                ),
                Written(
                    """{"eventId":"EVENT","userId":"USER","content":{"body":"\u0062 EVENT","data":{"n":10E-1,"m":{"a":1,"b":[1,2]}}}}"""
                ),
            }
        )
        {
            var reply = (await Client.PostRawAsync("/v1/notifications", same)).Is(200);
            Assert.Equal("true", reply["duplicate"]);
        }

        foreach (
            var other in new[]
            {
                Written("""{"eventId":"EVENT","userId":"USER","content":{"body":"b EVENT","data":{"n":1.5,"m":{"a":1,"b":[1,2]}}}}"""),
                Written("""{"eventId":"EVENT","userId":"USER","content":{"body":"b EVENT","data":{"n":"1","m":{"a":1,"b":[1,2]}}}}"""),
                Written("""{"eventId":"EVENT","userId":"USER","content":{"body":"b EVENT","data":{"n":1,"m":{"a":1,"b":[2,1]}}}}"""),
                Written("""{"eventId":"EVENT","userId":"USER","content":{"body":"B EVENT","data":{"n":1,"m":{"a":1,"b":[1,2]}}}}"""),
            }
        )
            (await Client.PostRawAsync("/v1/notifications", other)).IsProblem(409, "event_id_conflict");

        await Client.BecomesAsync(id, "dispatched");
        Assert.Equal((1, 1), await Sandbox.CountAsync(id));
    }

    [Theory]
    [InlineData("priority", "normal")]
    [InlineData("category", "default")]
    public async Task Defaults_spelled_out_are_another_request(string field, string value)
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var id = NewId("defaults");
        (
            await Client.PostRawAsync(
                "/v1/notifications",
                $$$"""{"eventId":"{{{id}}}","userId":"{{{person.Id}}}","content":{"body":"x"}}"""
            )
        ).Is(202);

        (
            await Client.PostRawAsync(
                "/v1/notifications",
                $$$"""{"eventId":"{{{id}}}","userId":"{{{person.Id}}}","{{{field}}}":"{{{value}}}","content":{"body":"x"}}"""
            )
        ).IsProblem(409, "event_id_conflict");
    }

    [Fact]
    public async Task A_thousand_callers_with_one_event_ID_make_one_stream_and_one_SMS()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var id = NewId("race");
        var request = new
        {
            eventId = id,
            userId = person.Id,
            content = new { body = $"race {id}" },
        };

        var replies = await Task.WhenAll(Enumerable.Range(0, 1000).Select(_ => Client.SendAsync(request)));

        Assert.Equal([(200, 999), (202, 1)], replies.GroupBy(r => r.Status).Select(g => (g.Key, g.Count())).Order());
        Assert.All(replies, r => Assert.Equal(r.Status == 200 ? "true" : "false", r["duplicate"]));
        await Client.BecomesAsync(id, "dispatched");
        Assert.Equal(
            ["NotificationRequested", "DeliveriesPlanned", "DispatchAttempted", "NotificationDispatched"],
            await Client.EventTypesAsync(id)
        );
        Assert.Equal((1, 1), await Sandbox.CountAsync(id));
        Assert.Equal(1, await Installation.ScalarAsync<long>("select count(*) from events.mt_streams where id like '%' || $1", id));
    }

    [Fact]
    public async Task Callers_racing_with_two_payloads_have_one_winner_and_the_others_conflict()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var id = NewId("rivals");
        object Request(int i) =>
            new
            {
                eventId = id,
                userId = person.Id,
                content = new { body = $"{(i % 2 == 0 ? "red" : "blue")} {id}" },
            };

        var replies = await Task.WhenAll(
            Enumerable.Range(0, 400).Select(async i => (Colour: i % 2 == 0 ? "red" : "blue", Reply: await Client.SendAsync(Request(i))))
        );

        var winner = Assert.Single(replies, r => r.Reply.Status == 202).Colour;
        Assert.Equal(199, replies.Count(r => r.Colour == winner && r.Reply.Status == 200));
        Assert.All(replies.Where(r => r.Colour != winner), r => r.Reply.IsProblem(409, "event_id_conflict"));
        await Client.BecomesAsync(id, "dispatched");
        Assert.Equal($"{winner} {id}", Assert.Single(await Sandbox.LedgerAsync(id)).Text);
    }

    [Fact]
    public async Task Single_and_batch_requests_race_for_an_event_ID_alike()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var ids = Enumerable.Range(0, 40).Select(_ => NewId("mixed")).ToList();
        object Request(string id) =>
            new
            {
                eventId = id,
                userId = person.Id,
                content = new { body = id },
            };

        var batches = Enumerable
            .Range(0, 4)
            .Select(async _ =>
                (
                    await Client.PostAsync(
                        "/v1/notifications/batch",
                        new { notifications = ids.OrderBy(_ => Random.Shared.Next()).Select(Request) }
                    )
                )
                    .Is(200)
                    .Json["results"]!
                    .AsArray()
                    .Select(r => (Id: r!["eventId"]!.ToString(), IsFirst: r["status"]!.ToString() == "accepted"))
            );
        var singles = ids.Select(async id =>
            await Client.SendAsync(Request(id)) is var reply && reply.Status is 200 or 202
                ? new[] { (Id: id, IsFirst: reply.Status == 202) }.AsEnumerable()
                : throw new InvalidOperationException(reply.ToString())
        );
        var answers = (await Task.WhenAll(batches.Concat(singles))).SelectMany(a => a).ToList();

        Assert.Equal(5 * ids.Count, answers.Count);
        Assert.All(answers.GroupBy(a => a.Id), g => Assert.Single(g, a => a.IsFirst));
        await Eventually.Becomes(
            async () => (await Sandbox.LedgerAsync("mixed-", "twilio")).Count(e => e.To == person.Phone),
            n => n >= ids.Count,
            "all were sent"
        );
        Assert.All(ids, id => Assert.Single(answers, a => a.Id == id && a.IsFirst));
    }
}
