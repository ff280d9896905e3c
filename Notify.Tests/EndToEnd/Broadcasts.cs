namespace Notify.Tests.EndToEnd;

using Notify.Tests.Support;

/// <summary>Topics, and one notification to each of those who follow them.</summary>
public sealed class Broadcasts : SystemTest
{
    private static readonly DateTimeOffset FarAway = new(2126, 12, 1, 9, 0, 0, TimeSpan.Zero);

    [Fact]
    public async Task Users_follow_topics_and_leave_them_and_each_is_an_event_of_theirs()
    {
        var topic = NewTopic();
        var (one, two) = (await Installation.NewPersonAsync(), await Installation.NewPersonAsync());
        (await Client.PutAsync($"/v1/topics/{topic}/subscribers/{one.Id}", new { })).IsProblem(404, "not_found");
        (await Client.PostAsync($"/v1/topics/{topic}/subscribers", new { userIds = new[] { one.Id } })).IsProblem(404, "not_found");
        (await Client.PutAsync($"/v1/topics/{topic}", new { name = " " })).IsProblem(400, "invalid_request");
        (await Client.PutAsync($"/v1/topics/{topic}", new { name = "News" })).Is(200);

        (await Client.PutAsync($"/v1/topics/{topic}/subscribers/{one.Id}", new { })).Is(204);
        (await Client.PutAsync($"/v1/topics/{topic}/subscribers/{one.Id}", new { })).Is(204);
        (await Client.PutAsync($"/v1/topics/{topic}/subscribers/nobody-{topic}", new { })).IsProblem(404, "not_found");
        var added = (
            await Client.PostAsync($"/v1/topics/{topic}/subscribers", new { userIds = new[] { one.Id, two.Id, two.Id, $"nobody-{topic}" } })
        ).Is(200);
        Assert.Equal(
            ("1", "1", $"nobody-{topic}"),
            (added["joined"], added["already"], Assert.Single(added.Json["unknown"]!.AsArray())!.ToString())
        );
        Assert.Equal("2", (await Client.GetAsync($"/v1/topics/{topic}")).Is(200)["subscribers"]);
        Assert.Contains(
            "UserIds[0]",
            (await Client.PostAsync($"/v1/topics/{topic}/subscribers", new { userIds = new[] { "a b" } }))
                .IsProblem(400, "invalid_request")
                .Text,
            StringComparison.OrdinalIgnoreCase
        );

        (await Client.DeleteAsync($"/v1/topics/{topic}/subscribers/{one.Id}")).Is(204);
        (await Client.DeleteAsync($"/v1/topics/{topic}/subscribers/{one.Id}")).IsProblem(404, "not_found");
        (await Client.DeleteAsync($"/v1/users/{two.Id}")).Is(204);
        Assert.Equal("0", (await Client.PutAsync($"/v1/topics/{topic}", new { name = "News" })).Is(200)["subscribers"]);
        Assert.Equal(
            "TopicJoined TopicLeft",
            await Installation.ScalarAsync<string>(
                "select string_agg(type, ' ' order by version) from events.mt_events where stream_id = $1 "
                    + "and type like 'Topic%' and data ->> 'topic' = $2 and data ->> 'by' = $3",
                one.Key,
                topic,
                Client.AppKey
            )
        );

        // Planning still finds the user's data unchanged.
        var id = NewId("follower");
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = one.Id,
                    content = new { title = id, body = id },
                }
            )
        ).Is(202);
        Assert.Equal(2, (await Client.BecomesAsync(id, "dispatched")).Deliveries.Count);
    }

    [Fact]
    public async Task Each_follower_gets_one_notification_and_others_get_none()
    {
        var (topic, other) = (NewTopic(), NewTopic());
        var people = await FollowersAsync(topic, 3);
        await FollowersAsync(other, 0, people[1]);
        (
            await Client.PutAsync(
                $"/v1/users/{people[2].Id}/preferences",
                new { categories = new Dictionary<string, object> { ["news"] = new { push = new { optIn = false } } } }
            )
        ).Is(200);
        var (id, filtered) = (NewId("news"), NewId("filtered"));
        object Body(string title) =>
            new
            {
                broadcastId = id,
                topic,
                category = "news",
                channels = new[] { "push" },
                content = new { title, body = "x" },
            };

        var reply = (await Client.PostAsync("/v1/broadcasts", Body(id))).Is(202);
        Assert.Equal($"/v1/broadcasts/{id}", reply.Headers.Location!.ToString());
        var done = await EndsAsync(id);
        Assert.Equal(
            ("completed", "3", "3", topic, "bulk"),
            (done["state"], done["total"], done["expanded"], done["topic"], done["priority"])
        );
        await Eventually.Becomes(() => Sandbox.CountAsync(id), c => c.Accepted == 2, "two of them are reached");
        Assert.Equal("OptedOut", (await Client.StateAsync($"{id}@{people[2].Id}")).On("push").Reason);
        await Eventually.Becomes(
            async () => (await Client.GetAsync($"/v1/broadcasts/{id}")).Is(200).Json["deliveries"],
            d =>
                ("3", "1", "2", "0")
                == (d?["planned"]!.ToString(), d?["suppressed"]!.ToString(), d?["dispatched"]!.ToString(), d?["inFlight"]!.ToString()),
            "what became of them is counted"
        );

        // Again it is the same, and another is a conflict.
        Assert.Equal("true", (await Client.PostAsync("/v1/broadcasts", Body(id))).Is(200)["duplicate"]);
        (await Client.PostAsync("/v1/broadcasts", Body("another"))).IsProblem(409, "broadcast_id_conflict");
        (await Client.PostAsync($"/v1/broadcasts/{id}/cancel", new { })).IsProblem(409, "broadcast_ended");

        (
            await Client.PostAsync(
                "/v1/broadcasts",
                new
                {
                    broadcastId = filtered,
                    filter = new { topicsAny = new[] { topic, other }, topicsNone = new[] { other } },
                    content = new { title = filtered, body = "x" },
                    channels = new[] { "push" },
                }
            )
        ).Is(202);
        Assert.Equal(("2", "2"), ((await EndsAsync(filtered))["total"], (await EndsAsync(filtered))["expanded"]));
        (await Client.GetAsync($"/v1/notifications/{filtered}@{people[1].Id}")).IsProblem(404, "not_found");
        Assert.Contains(
            filtered,
            (await Client.GetAsync("/v1/broadcasts?limit=500")).Is(200).Json["items"]!.AsArray().Select(b => b!["broadcastId"]!.ToString())
        );
        Assert.Equal("BroadcastRequested BroadcastStarted BroadcastCompleted", await EventsOfAsync(id));
        Assert.Equal((2, 2), await Sandbox.CountAsync(id));
        using var stranger = await Installation.NewClientAsync(["read", "send"]);
        (await stranger.GetAsync($"/v1/broadcasts/{id}")).IsProblem(404, "not_found");
        foreach (var verb in new[] { "pause", "resume", "cancel" })
            (await stranger.PostAsync($"/v1/broadcasts/{id}/{verb}", new { })).IsProblem(404, "not_found");
        using var reader = await Installation.NewClientAsync(["read"]);
        (await reader.PostAsync("/v1/broadcasts", Body(id))).IsProblem(403, "missing_scope");
        (await reader.PostAsync($"/v1/broadcasts/{id}/cancel", new { })).IsProblem(403, "missing_scope");
    }

    [Fact]
    public async Task Filters_name_topics_of_which_people_follow_some_all_or_none()
    {
        var (a, b, c) = (NewTopic(), NewTopic(), NewTopic());
        var both = Assert.Single(await FollowersAsync(a, 1));
        await FollowersAsync(b, 0, both);
        var (onlyA, onlyB, all) = (
            Assert.Single(await FollowersAsync(a, 1)),
            Assert.Single(await FollowersAsync(b, 1)),
            Assert.Single(await FollowersAsync(c, 1))
        );
        foreach (var topic in new[] { a, b })
            await FollowersAsync(topic, 0, all);
        foreach (
            var (filter, reached) in new (object, Person[])[]
            {
                (new { topicsAny = new[] { a, b } }, [both, onlyA, onlyB, all]),
                (new { topicsAll = new[] { a, b } }, [both, all]),
                (new { topicsAll = new[] { b, b }, topicsNone = new[] { c } }, [both, onlyB]),
                (
                    new
                    {
                        topicsAny = new[] { a, b },
                        topicsAll = new[] { a },
                        topicsNone = new[] { b },
                    },
                    [onlyA]
                ),
            }
        )
        {
            var id = NewId("filter");
            (
                await Client.PostAsync(
                    "/v1/broadcasts",
                    new
                    {
                        broadcastId = id,
                        filter,
                        channels = new[] { "push" },
                        content = new { title = id, body = "x" },
                    }
                )
            ).Is(202);
            Assert.Equal(($"{reached.Length}", $"{reached.Length}"), ((await EndsAsync(id))["total"], (await EndsAsync(id))["expanded"]));
            foreach (var person in reached)
                await Client.BecomesAsync($"{id}@{person.Id}", "dispatched");
        }
    }

    [Fact]
    public async Task Filters_find_people_by_what_is_sealed_about_them()
    {
        var topic = NewTopic();
        var people = await FollowersAsync(topic, 4);
        foreach (
            var (person, locale, timeZone) in people.Zip(
                new[] { "ko-KR", "ko", "en", null },
                new[] { "Asia/Seoul", "Europe/Berlin", "Asia/Seoul", "Asia/Seoul" }
            )
        )
            (await Client.PutAsync($"/v1/users/{person.Id}", new { locale, timeZone })).Is(200);
        foreach (
            var (filter, reached) in new (object, int[])[]
            {
                (new { topicsAny = new[] { topic }, locales = new[] { "KO" } }, [0, 1]),
                (
                    new
                    {
                        topicsAny = new[] { topic },
                        locales = new[] { "en", "ko-KR" },
                        timeZones = new[] { "Asia/Seoul" },
                    },
                    [0, 2]
                ),
                (new { topicsAll = new[] { topic }, timeZones = new[] { "Asia/Seoul" } }, [0, 2, 3]),
            }
        )
        {
            var id = NewId("sealed");
            (
                await Client.PostAsync(
                    "/v1/broadcasts",
                    new
                    {
                        broadcastId = id,
                        filter,
                        channels = new[] { "push" },
                        content = new { title = id, body = "x" },
                    }
                )
            ).Is(202);
            var done = await EndsAsync(id);
            Assert.Equal(($"{reached.Length}", "4"), (done["expanded"], done["total"]));
            foreach (var i in reached)
                await Client.BecomesAsync($"{id}@{people[i].Id}", "dispatched");
        }

        var nobody = (
            await Client.PostAsync(
                "/v1/broadcasts",
                new
                {
                    broadcastId = "b",
                    filter = new { topicsAny = new[] { topic }, locales = new[] { "fr" } },
                    content = new { title = "x" },
                }
            )
        ).IsProblem(400, "invalid_request");
        Assert.True(nobody.Json["errors"]!.AsObject().ContainsKey("filter"), nobody.Text);
    }

    [Fact]
    public async Task Complete_it_can_be_withdrawn_while_somebody_s_quiet_hours_last()
    {
        var (topic, id) = (NewTopic(), NewId("quiet"));
        var people = await FollowersAsync(topic, 2);
        var now = TimeProvider.System.GetUtcNow();
        string At(int hours) => now.AddHours(hours).ToString("HH:mm", System.Globalization.CultureInfo.InvariantCulture);
        (await Client.PutAsync($"/v1/users/{people[0].Id}/preferences", new { quietHours = new { from = At(-2), to = At(2) } })).Is(200);
        (
            await Client.PostAsync(
                "/v1/broadcasts",
                new
                {
                    broadcastId = id,
                    topic,
                    channels = new[] { "push" },
                    content = new { title = id, body = "x" },
                }
            )
        ).Is(202);
        Assert.Equal("completed", (await EndsAsync(id))["state"]);
        await Client.BecomesAsync($"{id}@{people[1].Id}", "dispatched");

        Assert.Equal("cancelled", (await Client.PostAsync($"/v1/broadcasts/{id}/cancel", new { })).Is(200)["state"]);
        await Client.BecomesAsync($"{id}@{people[0].Id}", "cancelled");
        Assert.Equal("dispatched", (await Client.StateAsync($"{id}@{people[1].Id}")).Status);
        Assert.Equal("cancelled", (await Client.PostAsync($"/v1/broadcasts/{id}/cancel", new { })).Is(200)["state"]);
        Assert.Equal("BroadcastRequested BroadcastStarted BroadcastCompleted BroadcastCancelled", await EventsOfAsync(id));
        await Eventually.Becomes(
            async () => (await Client.GetAsync($"/v1/broadcasts/{id}")).Is(200).Json["deliveries"],
            d => ("1", "1") == (d?["cancelled"]!.ToString(), d?["dispatched"]!.ToString()),
            "what became of them is counted"
        );
    }

    [Fact]
    public async Task One_that_is_for_later_can_be_held_and_resumed_and_withdrawn_and_expires()
    {
        var topic = NewTopic();
        var person = Assert.Single(await FollowersAsync(topic, 1));
        var (held, withdrawn, late) = (NewId("held"), NewId("withdrawn"), NewId("late"));
        Task<Reply> Send(string id, DateTimeOffset sendAt, DateTimeOffset? expiresAt = null) =>
            Client.PostAsync(
                "/v1/broadcasts",
                new
                {
                    broadcastId = id,
                    topic,
                    sendAt,
                    expiresAt,
                    content = new { title = id, body = "x" },
                    channels = new[] { "push" },
                }
            );
        var soon = TimeProvider.System.GetUtcNow().AddSeconds(2);
        (await Send(held, soon)).Is(202);
        (await Send(late, soon, soon.AddSeconds(1))).Is(202);
        (await Send(withdrawn, FarAway)).Is(202);

        foreach (var id in new[] { held, held, late })
            Assert.Equal("paused", (await Client.PostAsync($"/v1/broadcasts/{id}/pause", new { })).Is(200)["state"]);
        Assert.Equal("scheduled", (await Client.GetAsync($"/v1/broadcasts/{withdrawn}")).Is(200)["state"]);
        foreach (var _ in new int[2])
            Assert.Equal("cancelled", (await Client.PostAsync($"/v1/broadcasts/{withdrawn}/cancel", new { })).Is(200)["state"]);
        (await Client.PostAsync($"/v1/broadcasts/{withdrawn}/resume", new { })).IsProblem(409, "broadcast_ended");
        (await Client.PostAsync("/v1/broadcasts/never-asked-for/pause", new { })).IsProblem(404, "not_found");

        await Eventually.Holds(() => Task.FromResult(TimeProvider.System.GetUtcNow() > soon.AddSeconds(1.5)), "both times have passed");
        Assert.Equal((0, 0), await Sandbox.CountAsync(held));
        foreach (var id in new[] { held, late })
            (await Client.PostAsync($"/v1/broadcasts/{id}/resume", new { })).Is(200);
        Assert.Equal("completed", (await EndsAsync(held))["state"]);
        Assert.Equal(("expired", "0"), ((await EndsAsync(late))["state"], (await EndsAsync(late))["expanded"]));
        await Client.BecomesAsync($"{held}@{person.Id}", "dispatched");
        Assert.Equal("BroadcastRequested BroadcastPaused BroadcastResumed BroadcastStarted BroadcastCompleted", await EventsOfAsync(held));
        Assert.Equal("BroadcastRequested BroadcastCancelled", await EventsOfAsync(withdrawn));
        Assert.Equal("BroadcastRequested BroadcastPaused BroadcastResumed BroadcastExpired", await EventsOfAsync(late));
    }

    [Fact]
    public async Task Invalid_broadcast_is_reported_by_field()
    {
        var empty = NewTopic();
        (await Client.PutAsync($"/v1/topics/{empty}", new { name = "Nobody's" })).Is(200);
        var content = new { title = "x", body = "x" };
        foreach (
            var (body, field) in new (object, string)[]
            {
                (
                    new
                    {
                        broadcastId = "a b",
                        topic = empty,
                        content,
                    },
                    "broadcastId"
                ),
                (new { broadcastId = "b", content }, "topic"),
                (
                    new
                    {
                        broadcastId = "b",
                        topic = empty,
                        all = true,
                        content,
                    },
                    "topic"
                ),
                (
                    new
                    {
                        broadcastId = "b",
                        all = false,
                        content,
                    },
                    "all"
                ),
                (
                    new
                    {
                        broadcastId = "b",
                        filter = new { },
                        content,
                    },
                    "filter"
                ),
                (
                    new
                    {
                        broadcastId = "b",
                        filter = new { topicsAny = new[] { "a b" } },
                        content,
                    },
                    "filter.topicsAny"
                ),
                (
                    new
                    {
                        broadcastId = "b",
                        filter = new { locales = new[] { "Korean" } },
                        content,
                    },
                    "filter.locales"
                ),
                (
                    new
                    {
                        broadcastId = "b",
                        filter = new { timeZones = new[] { "Asia/Nowhere" } },
                        content,
                    },
                    "filter.timeZones"
                ),
                (
                    new
                    {
                        broadcastId = "b",
                        filter = new { topicsAny = new[] { empty }, locales = new[] { "ko" } },
                        content,
                    },
                    "filter"
                ),
                (
                    new
                    {
                        broadcastId = "b",
                        filter = new { shoeSize = 43 },
                        content,
                    },
                    "filter.shoeSize"
                ),
                (
                    new
                    {
                        broadcastId = "b",
                        everybody = true,
                        content,
                    },
                    "everybody"
                ),
                (
                    new
                    {
                        broadcastId = "b",
                        filter = new { topicsNone = new[] { "not-there" } },
                        content,
                    },
                    "filter.topicsNone"
                ),
                (
                    new
                    {
                        broadcastId = "b",
                        topic = "not-there",
                        content,
                    },
                    "topic"
                ),
                (
                    new
                    {
                        broadcastId = "b",
                        topic = empty,
                        content,
                    },
                    "topic"
                ),
                (
                    new
                    {
                        broadcastId = "b",
                        filter = new { topicsAll = new[] { empty } },
                        content,
                    },
                    "filter"
                ),
                (
                    new
                    {
                        broadcastId = "b",
                        topic = empty,
                        sendAt = FarAway,
                    },
                    "content"
                ),
                (
                    new
                    {
                        broadcastId = "b",
                        topic = empty,
                        sendAt = FarAway,
                        template = new { key = "not-there" },
                    },
                    "template.key"
                ),
                (
                    new
                    {
                        broadcastId = "b",
                        topic = empty,
                        sendAt = FarAway,
                        expiresAt = FarAway,
                        content,
                    },
                    "expiresAt"
                ),
                (
                    new
                    {
                        broadcastId = "b",
                        topic = empty,
                        sendAt = FarAway,
                        content = new
                        {
                            title = "x",
                            attachments = new[]
                            {
                                new
                                {
                                    filename = "a.txt",
                                    contentType = "text/plain",
                                    content = "YQ==",
                                },
                            },
                        },
                    },
                    "content.attachments"
                ),
            }
        )
        {
            var errors = (await Client.PostAsync("/v1/broadcasts", body)).IsProblem(400, "invalid_request").Json["errors"]!.AsObject();
            Assert.True(errors.ContainsKey(field), $"{field} is not among {errors.ToJsonString()}");
        }

        (await Client.GetAsync("/v1/broadcasts/b")).IsProblem(404, "not_found");
        foreach (var query in new[] { "limit=0", "after=x", "colour=red" })
            (await Client.GetAsync($"/v1/broadcasts?{query}")).IsProblem(400, "invalid_request");
    }

    [Fact]
    public async Task A_template_speaks_to_each_in_their_own_language()
    {
        var (topic, key, id) = (NewTopic(), NewId("hello"), NewId("hello-all"));
        (
            await Client.PutAsync(
                $"/v1/templates/{key}",
                new
                {
                    channels = new { push = new { title = "Hello {{ mark }}", body = "x" } },
                    locales = new { ko = new { push = new { title = "안녕 {{ mark }}", body = "x" } } },
                    @params = new { mark = new { required = true, type = "string" }, date = new { required = true, type = "string" } },
                }
            )
        ).Is(201);
        var people = await FollowersAsync(topic, 2);
        (await Client.PutAsync($"/v1/users/{people[1].Id}", new { locale = "ko-KR" })).Is(200);

        var errors = (
            await Client.PostAsync(
                "/v1/broadcasts",
                new
                {
                    broadcastId = id,
                    topic,
                    template = new { key },
                }
            )
        ).IsProblem(400, "invalid_request").Json["errors"]!.AsObject();
        Assert.Equal(["template.params.date", "template.params.mark"], errors.Select(e => e.Key).Order(StringComparer.Ordinal));
        (
            await Client.PostAsync(
                "/v1/broadcasts",
                new
                {
                    broadcastId = id,
                    topic,
                    template = new { key, @params = new { mark = id, date = "x" } },
                }
            )
        ).Is(202);

        var sent = await Eventually.Becomes(() => Sandbox.LedgerAsync(id), l => l.Count == 2, "both are reached");
        Assert.Single(sent, e => e.Json.ToJsonString().Contains("Hello", StringComparison.Ordinal));
        Assert.Equal("1", (await EndsAsync(id)).Json["template"]!["version"]!.ToString());
    }

    private static string NewTopic() => NewId("topic");

    private async Task<List<Person>> FollowersAsync(string topic, int count, params Person[] others)
    {
        (await Client.PutAsync($"/v1/topics/{topic}", new { name = "A test's" })).Is(200);
        var people =
            count == 0
                ? [.. others]
                : (await Task.WhenAll(Enumerable.Range(0, count).Select(_ => Installation.NewPersonAsync(phone: false)))).ToList();
        (await Client.PostAsync($"/v1/topics/{topic}/subscribers", new { userIds = people.Select(p => p.Id).ToArray() })).Is(200);
        return people;
    }

    private Task<Reply> EndsAsync(string id) =>
        Eventually.Becomes(
            async () => (await Client.GetAsync($"/v1/broadcasts/{id}")).Is(200),
            r => r["endedAt"] is not null,
            $"{id} ends"
        );

    private Task<string> EventsOfAsync(string id) =>
        Installation.ScalarAsync<string>(
            "select string_agg(type, ' ' order by version) from events.mt_events where stream_id = $1",
            $"b/{Client.AppKey}:{id}"
        );
}
