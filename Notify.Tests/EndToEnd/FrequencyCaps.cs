namespace Notify.Tests.EndToEnd;

using Notify.Tests.Support;

/// <summary>Caps: the number of a category's notifications that reach a person, from all clients and however many come at once.</summary>
public sealed class FrequencyCaps : SystemTest
{
    [Fact]
    public async Task A_thousand_at_once_to_one_user_reach_them_three_times()
    {
        var person = await Installation.NewPersonAsync(devices: 2);
        var (category, mark) = (await CategoryAsync("push", 3, "suppress"), NewId("flood"));
        object Batch(int n) =>
            new
            {
                notifications = Enumerable
                    .Range(n * 100, 100)
                    .Select(i => new
                    {
                        eventId = $"{mark}-{i}",
                        userId = person.Id,
                        category,
                        channels = new[] { "push" },
                        content = new { body = $"{mark}-{i}" },
                    }),
            };

        var replies = await Task.WhenAll(Enumerable.Range(0, 10).Select(n => Client.PostAsync("/v1/notifications/batch", Batch(n))));

        Assert.All(replies, r => r.Is(200));
        await Installation.QuietAsync(mark: mark);
        Assert.Equal(6, (await Sandbox.CountAsync(mark)).Received); // three, to two devices each
        var counts =
            $"select count(*) from events.mt_events where stream_id like 'n/{Client.AppKey}:{mark}-%' and "
            + $"data->'leftOut'->0->>'reason' = 'CapExceeded' and data->'leftOut'->0->>'rule' like 'cap of category {category} on "
            + "push, version 1: 3 per week, 3 taken of the week from %'";
        Assert.Equal(997, await Installation.ScalarAsync<long>(counts));

        // Asked again they are the same ones: nothing is counted twice.
        Assert.All(
            (await Client.PostAsync("/v1/notifications/batch", Batch(0))).Is(200).Json["results"]!.AsArray(),
            r => Assert.Equal("duplicate", r!["status"]!.ToString())
        );
        Assert.Equal(3, await Installation.ScalarAsync<int>("select taken[1] from notify.cap_counts where category = $1", category));
        await Installation.VerifyAsync();
    }

    [Fact]
    public async Task Capped_delivery_is_sent_in_its_window_and_critical_one_is_sent_at_once()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var category = await CategoryAsync("sms", 1, "defer");
        async Task<string> SendAsync(string what, object? more = null)
        {
            var id = NewId(what);
            var body = System
                .Text.Json.JsonSerializer.SerializeToNode(
                    new
                    {
                        eventId = id,
                        userId = person.Id,
                        category,
                        content = new { body = id },
                    },
                    NotifyClient.Json
                )!
                .AsObject();
            foreach (var (name, value) in System.Text.Json.JsonSerializer.SerializeToNode(more ?? new { }, NotifyClient.Json)!.AsObject())
                body[name] = value?.DeepClone();
            (await Client.SendAsync(body)).Is(202);
            return id;
        }

        // Takes its place when it is due.
        var later = await SendAsync("later", new { sendAt = TimeProvider.System.GetUtcNow().AddSeconds(2) });
        var first = await SendAsync("first");
        var second = await SendAsync("second");
        var expiring = await SendAsync("expiring", new { expiresAt = TimeProvider.System.GetUtcNow().AddMinutes(1) });
        var critical = await SendAsync("critical", new { priority = "critical" });

        await Client.BecomesAsync(first, "dispatched");
        await Client.BecomesAsync(critical, "dispatched");
        Assert.Equal("CapExceeded", (await Client.BecomesAsync(expiring, "suppressed")).On("sms").Reason);
        var waiting = (await Client.BecomesAsync(second, "scheduled")).On("sms");
        Assert.Equal(("deferred", "CapExceeded"), (waiting.Status, waiting.Reason));
        await Eventually.Becomes(
            () => Client.EventTypesAsync(later),
            t => t.Contains("DeliveryDeferred"),
            "what is planned when it is due is put off too"
        );
        Assert.Equal(["NotificationRequested", "DeliveriesPlanned", "DeliveryDeferred"], await Client.EventTypesAsync(later));
        var putOff = (await Client.EventsAsync(second))[2].Data;
        Assert.Contains(
            $"cap of category {category} on sms, version 1: 1 per week, 1 taken of the week from ",
            putOff["rule"]!.ToString(),
            StringComparison.Ordinal
        );
        Assert.Equal(
            7,
            (putOff["until"]!.GetValue<DateTimeOffset>() - (await Client.EventsAsync(later))[2].Data["until"]!.GetValue<DateTimeOffset>())
                .Duration()
                .TotalDays
        ); // each a window of its own
        Assert.Equal((0, 0), await Sandbox.CountAsync(second));

        // Its window comes; and of two that wait, the one that is withdrawn never leaves.
        await Installation.ScalarAsync<string>(
            "update notify.open_deliveries set due_at = now() where notification = $1 returning notification",
            $"n/{Client.AppKey}:{second}"
        );
        await Client.BecomesAsync(second, "dispatched");
        (await Client.CancelAsync(later)).Is(200);
        await Client.BecomesAsync(later, "cancelled");
        Assert.Equal((1, 1), await Sandbox.CountAsync(second));
        Assert.Equal((0, 0), await Sandbox.CountAsync(later));
    }

    [Fact]
    public async Task Late_delivery_takes_a_slot_in_its_actual_window_or_is_deferred_again()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var category = await CategoryAsync("sms", 1, "defer");
        var ids = new[] { NewId("first"), NewId("late") };
        foreach (var id in ids)
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
        await Client.BecomesAsync(ids[0], "dispatched");
        await Client.BecomesAsync(ids[1], "scheduled");

        // It was to leave last week, and could not; this week's place is taken by the first.
        await LateAsync(ids[1]);
        await Eventually.Becomes(() => Client.EventTypesAsync(ids[1]), t => t.Count(e => e == "DeliveryDeferred") == 2, "it waits again");
        Assert.Contains(
            "1 taken of the week from ",
            (await Client.EventsAsync(ids[1]))[3].Data["rule"]!.ToString(),
            StringComparison.Ordinal
        );
        Assert.Equal((0, 0), await Sandbox.CountAsync(ids[1]));

        await Installation.ScalarAsync<string>("delete from notify.cap_counts where category = $1 returning category", category);
        await LateAsync(ids[1]);
        await Client.BecomesAsync(ids[1], "dispatched");
        Assert.Equal(["CapPlaceMoved", "DispatchAttempted", "NotificationDispatched"], (await Client.EventTypesAsync(ids[1])).TakeLast(3));
        Assert.Equal(1, await Installation.ScalarAsync<int>("select taken[1] from notify.cap_counts where category = $1", category));
        await Installation.VerifyAsync();
    }

    private async Task LateAsync(string id)
    {
        var key = $"n/{Client.AppKey}:{id}";
        await Installation.ScalarAsync<string>(
            "update events.mt_events set data = jsonb_set(data, '{until}', to_jsonb(now() - interval '8 days')) where "
                + "stream_id = $1 and type = 'DeliveryDeferred' returning stream_id",
            key
        );
        await Installation.ScalarAsync<string>(
            "update notify.open_deliveries set due_at = now() where notification = $1 returning notification",
            key
        );
    }

    [Fact]
    public async Task A_required_category_is_never_stopped_and_a_template_s_category_counts()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var category = await CategoryAsync("sms", 1, "suppress");
        var template = $"capped-{Guid.NewGuid():N}";
        (
            await Client.PutAsync(
                $"/v1/templates/{template}",
                new
                {
                    category,
                    channels = new { sms = new { text = "{{ what }}" } },
                    @params = new { what = new { required = true, type = "string" } },
                }
            )
        ).Is(201);
        async Task<NotificationState> SendAsync(string status)
        {
            var id = NewId("templated");
            (
                await Client.SendAsync(
                    new
                    {
                        eventId = id,
                        userId = person.Id,
                        template = new { key = template, @params = new { what = id } },
                    }
                )
            ).Is(202);
            return await Client.BecomesAsync(id, status);
        }

        await SendAsync("dispatched");
        Assert.Equal("CapExceeded", (await SendAsync("suppressed")).On("sms").Reason);
        (
            await Client.PutAsync(
                $"/v1/categories/{category}",
                new
                {
                    required = true,
                    caps = new[]
                    {
                        new
                        {
                            channel = "sms",
                            limit = 1,
                            per = "week",
                            exceeding = "suppress",
                        },
                    },
                }
            )
        ).Is(200);
        await SendAsync("dispatched");
    }

    private async Task<string> CategoryAsync(string channel, int limit, string exceeding)
    {
        var category = $"capped-{Guid.NewGuid():N}";
        var reply = (
            await Client.PutAsync(
                $"/v1/categories/{category}",
                new
                {
                    caps = new[]
                    {
                        new
                        {
                            channel,
                            limit,
                            per = "week",
                            exceeding,
                        },
                    },
                }
            )
        ).Is(200);
        Assert.Equal(
            $$"""[{"channel":"{{channel}}","limit":{{limit}},"per":"week","exceeding":"{{exceeding}}"}]""",
            reply.Json["caps"]!.ToJsonString()
        );
        return category;
    }
}
