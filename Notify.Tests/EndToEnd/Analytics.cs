namespace Notify.Tests.EndToEnd;

using System.Text.Json.Nodes;
using Notify.Tests.Support;

/// <summary>Analytics over HTTP, and read models that are rebuilt while the system runs.</summary>
public sealed class Analytics : SystemTest
{
    [Fact]
    public async Task A_client_sees_its_own_numbers_grouped_as_it_asks()
    {
        using var client = await Installation.NewClientAsync(["send", "read"]);
        var person = await Installation.NewPersonAsync(devices: 1);
        foreach (var category in new[] { "news", "news", "orders" })
        {
            var id = NewId("counted");
            (
                await client.SendAsync(
                    new
                    {
                        eventId = id,
                        userId = person.Id,
                        category,
                        channels = new[] { "push", "sms", "email" },
                        content = new { body = id },
                    }
                )
            ).Is(202);
            await client.BecomesAsync(id, "dispatched");
        }

        await Eventually.Passes(async () =>
        {
            var sum = Assert.Single(await ItemsAsync(client, ""));
            Assert.Equal(
                (9, 6, 3, 0),
                (Number(sum, "requested"), Number(sum, "dispatched"), Number(sum, "suppressed"), Number(sum, "failed"))
            );
        });

        var rows = await ItemsAsync(client, "?groupBy=channel,category,template,provider,day");
        Assert.Equal(
            [
                "email news  2 0",
                "email orders  1 0",
                "push news apns 2 2",
                "push orders apns 1 1",
                "sms news twilio 2 2",
                "sms orders twilio 1 1",
            ],
            rows.Select(r => $"{r["channel"]} {r["category"]} {r["provider"]} {r["requested"]} {r["dispatched"]}")
        );
        Assert.All(rows, r => Assert.Equal($"{TimeProvider.System.GetUtcNow():yyyy-MM-dd}", $"{r["day"]}"));
        Assert.All(rows, r => Assert.Equal("", $"{r["template"]}"));
        Assert.All(
            rows.Where(r => Number(r, "dispatched") > 0),
            r => Assert.InRange(r["latencyMs"]!["p99"]!.GetValue<double>(), r["latencyMs"]!["p50"]!.GetValue<double>(), 120_000)
        );
        Assert.All(rows.Where(r => Number(r, "dispatched") == 0), r => Assert.Null(r["latencyMs"]));
        Assert.All(
            [
                "delivered",
                "opened",
                "openedTotal",
                "clicked",
                "clickedTotal",
                "unsubscribed",
                "cancelled",
                "expired",
                "unknown",
                "inFlight",
                "deadLettered",
            ],
            n => Assert.Equal(0, Number(rows[0], n))
        );

        Assert.Equal(
            9,
            Number(Assert.Single(await ItemsAsync(client, $"?from={TimeProvider.System.GetUtcNow():yyyy-MM-dd}")), "requested")
        );
        Assert.Equal(0, Number(Assert.Single(await ItemsAsync(client, "?from=2020-01-01&to=2020-02-01")), "requested"));
        Assert.Empty(await ItemsAsync(client, "?from=2020-01-01&to=2020-02-01&groupBy=channel"));

        // Another's numbers are for auditors and operators; the development client is both.
        (await client.GetAsync("/v1/analytics?client=all")).IsProblem(403, "missing_scope");
        (await client.GetAsync($"/v1/analytics?client={Client.AppKey}")).IsProblem(403, "missing_scope");
        Assert.Equal(9, Number(Assert.Single(await ItemsAsync(Client, $"?client={client.AppKey}")), "requested"));
        Assert.Contains(
            await ItemsAsync(Client, "?client=all&groupBy=client"),
            r => $"{r["client"]}" == client.AppKey && Number(r, "requested") == 9
        );
        using var sender = await Installation.NewClientAsync(["send"]);
        (await sender.GetAsync("/v1/analytics")).IsProblem(403, "missing_scope");
    }

    [Fact]
    public async Task Every_fault_of_the_question_is_named_at_once()
    {
        var reply = (
            await Client.GetAsync("/v1/analytics?from=yesterday&to=0001-01-01T00:00:00Z&groupBy=channel,colour&limit=3")
        ).IsProblem(400, "invalid_request");
        Assert.Equal(["from", "groupBy", "limit", "to"], reply.Json["errors"]!.AsObject().Select(e => e.Key).Order(StringComparer.Ordinal));
        foreach (
            var query in new[] { "?from=2026-02-01&to=2026-01-01", "?from=2026-01-01&to=2026-01-01", "?from=2020-01-01&to=2026-01-01" }
        )
            Assert.Equal(
                ["from"],
                (await Client.GetAsync("/v1/analytics" + query)).IsProblem(400, "invalid_request").Json["errors"]!
                    .AsObject()
                    .Select(e => e.Key)
            );
        Assert.Equal(
            ("2026-01-01T00:00:00+00:00", "2026-01-04T00:00:00+00:00"),
            await Client.GetAsync("/v1/analytics?from=2026-01-01T10:00:00Z&to=2026-01-03T00:00:01Z") is var r
                ? (r.Is(200)["from"], r["to"])
                : default
        );
    }

    [Theory]
    [InlineData("analytics", "analytics.deliveries: ")]
    [InlineData("notification-views", "events.mt_doc_notificationview: ")]
    public async Task A_read_model_is_rebuilt_by_command_while_everything_goes_on(string name, string first)
    {
        var id = NewId("rebuilt");
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    to = new { phone = Person.NewPhone() },
                    content = new { body = id },
                }
            )
        ).Is(202);
        await Eventually.Holds(
            async () => await Installation.ScalarAsync<long>("select count(*) from analytics.deliveries where event_id = $1", id) == 1,
            "it is projected"
        );

        var (exitCode, output, errors) = await Installation.RunProjectionsAsync("rebuild", name);

        Assert.True(exitCode == 0, output + string.Join('\n', errors));
        Assert.Contains(first, output, StringComparison.Ordinal);
        Assert.Matches($@"(?m)^{name}: [\d,]+ rows, 0 differ; swapped", output);

        // The daemon goes on in the new tables.
        var next = NewId("after");
        (
            await Client.SendAsync(
                new
                {
                    eventId = next,
                    to = new { phone = Person.NewPhone() },
                    content = new { body = next },
                }
            )
        ).Is(202);
        await Eventually.Holds(
            async () =>
                await Installation.ScalarAsync<long>(
                    "select count(*) from analytics.deliveries where event_id = $1 and status = 'dispatched'",
                    next
                ) == 1,
            "it is projected"
        );
        await Eventually.Holds(
            async () =>
                (await Client.GetAsync("/v1/notifications?limit=500")).Is(200).Json["items"]!
                    .AsArray()
                    .Any(i => $"{i!["eventId"]}" == next),
            "it is listed"
        );
    }

    [Fact]
    public async Task Unknown_projection_is_answered_with_the_known_ones()
    {
        var (exitCode, _, errors) = await Installation.RunProjectionsAsync("rebuild", "everything");
        Assert.Equal(2, exitCode);
        Assert.Equal(
            "notify: there is no projection \"everything\"; there are analytics and notification-views, "
                + "and snapshots KEY..., for documents that verify found to differ from their streams",
            Assert.Single(errors)
        );
    }

    [Fact]
    public async Task How_far_the_read_models_are_behind_is_a_metric()
    {
        using var host = new NotifyClient(Installation.ProjectionsUrl, null, null);
        await Eventually.Passes(async () =>
        {
            var text = (await host.GetAsync("/metrics")).Is(200).Text;
            foreach (var projection in new[] { "analytics", "notifications" })
                Assert.Matches($@"(?m)^notify_projection_lag_events\{{[^}}]*projection=""{projection}""[^}}]*\}} \d+", text);
        });
    }

    private static async Task<List<JsonNode>> ItemsAsync(NotifyClient client, string query) =>
        [.. (await client.GetAsync($"/v1/analytics{query}")).Is(200).Json["items"]!.AsArray().Select(i => i!)];

    private static long Number(JsonNode row, string name) => row[name]!.GetValue<long>();
}
