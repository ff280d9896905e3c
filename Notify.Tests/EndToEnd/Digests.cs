namespace Notify.Tests.EndToEnd;

using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Notify.Tests.Support;

/// <summary>Notifications that are collected for a person and sent as one digest.</summary>
public sealed class Digests : SystemTest
{
    private const int Long = 3600;

    [Fact]
    public async Task Three_are_told_by_one_push_one_SMS_and_one_email_and_each_names_the_digest()
    {
        var (person, category) = (await Installation.NewPersonAsync(email: Person.NewEmail()), await CategoryAsync(Long));
        var ids = await SendAsync(person, category, 3);
        var digest = await DigestOfAsync(ids[0]);

        Assert.All(
            await StatesAsync(ids),
            s => Assert.Equal(("scheduled", digest, 0), (s.Status, s.Json["digest"]!.ToString(), s.Deliveries.Count))
        );
        var waiting = await Client.StateAsync(digest);
        Assert.Equal(
            ("scheduled", category, person.Id),
            (waiting.Status, waiting.Json["category"]!.ToString(), waiting.Json["userId"]!.ToString())
        );
        Assert.Equal(["NotificationRequested", "NotificationCollected"], await Client.EventTypesAsync(ids[1]));
        Assert.Equal(
            $"digest of category {category}, version 1: 3600 s from its first notification on",
            (await Client.EventsAsync(ids[1]))[1].Data["rule"]!.ToString()
        );
        foreach (var id in ids)
            Assert.Equal((0, 0), await Sandbox.CountAsync(id));
        (await Client.PostAsync($"/v1/notifications/{ids[0]}/reschedule", new { sendAt = Now })).IsProblem(409, "already_due");
        await Installation.VerifyAsync();

        await CloseAsync(digest);
        var sent = await Client.BecomesAsync(digest, "dispatched");
        Assert.Equal(["push", "sms", "email"], sent.Deliveries.Select(d => d.Channel));
        Assert.Equal(ids, sent.Json["members"]!.AsArray().Select(m => m!.ToString()));
        Assert.All(await StatesAsync(ids), s => Assert.Equal(("digested", digest), (s.Status, s.Json["digest"]!.ToString())));
        var entries = await Sandbox.LedgerAsync(ids[0]);
        Assert.Equal(["apns", "sendgrid", "twilio"], entries.Where(e => e.IsAccepted).Select(e => e.Provider).Order());
        Assert.All(entries, e => Assert.All(ids, id => Assert.Contains(id, e.Json.ToJsonString(), StringComparison.Ordinal)));
        Assert.Equal(
            ["NotificationRequested", "DigestOpened", "NotificationRescheduled", "DigestClosed", "DeliveriesPlanned"],
            (await Client.EventTypesAsync(digest))[..5]
        );
        (await Client.CancelAsync(ids[0])).IsProblem(409, "already_dispatched");
        Assert.Equal(0, await Installation.ScalarAsync<long>("select count(*) from notify.digests where category = $1", category));

        // Sent again it is the same; and what comes now begins the next one.
        Assert.Equal("true", (await Client.SendAsync(Request(person, category, ids[0]))).Is(200)["duplicate"]);
        Assert.NotEqual(digest, await DigestOfAsync((await SendAsync(person, category, 1))[0]));
        await Eventually.Becomes(
            () => Client.GetAsync($"/v1/notifications?status=digested&category={category}"),
            r => r.Is(200).Json["items"]!.AsArray().Count == 3,
            "the list knows them"
        );
        await Installation.VerifyAsync();
    }

    [Fact]
    public async Task Its_window_ends_by_itself_and_a_single_one_says_what_it_says()
    {
        var (person, category, id) = (await Installation.NewPersonAsync(devices: 0), await CategoryAsync(1), NewId("single"));
        (await Client.SendAsync(Request(person, category, id))).Is(202);
        await Client.BecomesAsync(await DigestOfAsync(id), "dispatched");
        Assert.Equal(id, Assert.Single(await Sandbox.LedgerAsync(id)).Text);
        await Client.BecomesAsync(id, "digested");
    }

    [Fact]
    public async Task A_template_says_it_with_the_version_that_it_has_when_the_digest_closes()
    {
        var (person, key) = (await Installation.NewPersonAsync(devices: 0, email: Person.NewEmail()), NewId("digest-template"));
        async Task TextAsync(string text) =>
            (
                await Client.PutAsync(
                    $"/v1/templates/{key}",
                    new
                    {
                        channels = new { sms = new { text } },
                        @params = new { count = new { type = "number" }, items = new { type = "array" } },
                    }
                )
            ).Is(201);
        await TextAsync("first");
        var category = await CategoryAsync(Long, template: key);
        var member = NewId("member-template");
        (
            await Client.PutAsync(
                $"/v1/templates/{member}",
                new
                {
                    channels = new { push = new { title = "{{ who }}", body = "wrote" } },
                    @params = new { who = new { required = true, type = "string" } },
                }
            )
        ).Is(201);
        await TextAsync("{{ count }}:{% for i in items %} [{{ i.title }}|{{ i.body }}|{{ i.params.who }}]{% endfor %}");

        var ids = await SendAsync(person, category, 1);
        var templated = NewId("templated");
        (
            await Client.SendAsync(
                new
                {
                    eventId = templated,
                    userId = person.Id,
                    category,
                    template = new { key = member, @params = new { who = templated } },
                }
            )
        ).Is(202);
        var digest = await DigestOfAsync(ids[0]);
        Assert.Equal(digest, await DigestOfAsync(templated));
        await CloseAsync(digest);

        var sent = await Client.BecomesAsync(digest, "dispatched");
        Assert.Equal(("sms", "2"), (Assert.Single(sent.Deliveries).Channel, sent.Json["template"]!["version"]!.ToString()));
        Assert.Equal($"2: [{ids[0]}|{ids[0]}|] [{templated}|wrote|{templated}]", Assert.Single(await Sandbox.LedgerAsync(templated)).Text);

        // A template that is gone when it is needed loses nothing: plain words do.
        ids = await SendAsync(person, category, 2);
        (await Client.DeleteAsync($"/v1/templates/{key}")).Is(204);
        await CloseAsync(digest = await DigestOfAsync(ids[0]));
        await Client.BecomesAsync(digest, "dispatched");
        Assert.Equal(key, (await Client.EventsAsync(digest)).Single(e => e.Type == "DigestClosed").Data["fault"]!.ToString());
        Assert.Equal((2, 2), await Sandbox.CountAsync(ids[1]));
    }

    [Fact]
    public async Task Cancelled_or_expired_member_is_not_in_the_digest()
    {
        var (person, category) = (await Installation.NewPersonAsync(devices: 0), await CategoryAsync(Long));
        var ids = await SendAsync(person, category, 3);
        var expiring = NewId("expiring");
        var expiresAt = Now.AddSeconds(1.5);
        (await Client.SendAsync(Request(person, category, expiring, new { expiresAt }))).Is(202);
        var digest = await DigestOfAsync(expiring);

        Assert.Equal("cancelled", (await Client.CancelAsync(ids[1])).Is(200)["status"]);
        Assert.Equal("cancelled", (await Client.CancelAsync(ids[1])).Is(200)["status"]);
        await Eventually.Holds(() => Task.FromResult(Now > expiresAt), "its time has passed");
        await CloseAsync(digest);

        var sent = await Client.BecomesAsync(digest, "dispatched");
        Assert.Equal([ids[0], ids[2]], sent.Json["members"]!.AsArray().Select(m => m!.ToString()));
        Assert.Equal(["digested", "cancelled", "digested", "expired"], (await StatesAsync([.. ids, expiring])).Select(s => s.Status));
        Assert.Equal((0, 0), await Sandbox.CountAsync(ids[1]));
        Assert.Equal((0, 0), await Sandbox.CountAsync(expiring));
        Assert.Equal((1, 1), await Sandbox.CountAsync(ids[2]));
        await Installation.VerifyAsync();
    }

    [Fact]
    public async Task Without_anything_left_it_ends_unsent_and_withdrawn_itself_it_takes_all_along()
    {
        var (person, category) = (await Installation.NewPersonAsync(devices: 0), await CategoryAsync(Long));
        var gone = await SendAsync(person, category, 2);
        var empty = await DigestOfAsync(gone[0]);
        foreach (var id in gone)
            (await Client.CancelAsync(id)).Is(200);
        await CloseAsync(empty);
        await Client.BecomesAsync(empty, "cancelled");
        Assert.Equal(
            "The digest closed with nothing in it: everything was withdrawn. Nothing is sent.",
            (await Client.EventsAsync(empty))[^1].Json["text"]!.ToString()
        );

        var ids = await SendAsync(person, category, 2);
        var digest = await DigestOfAsync(ids[0]);
        Assert.NotEqual(empty, digest);
        Assert.Equal("cancelled", (await Client.CancelAsync(digest)).Is(200)["status"]);
        Assert.All(await StatesAsync(ids), s => Assert.Equal("cancelled", s.Status));
        Assert.NotEqual(digest, await DigestOfAsync((await SendAsync(person, category, 1))[0]));
        await Installation.VerifyAsync();
    }

    [Fact]
    public async Task When_it_closes_the_persons_word_their_quiet_hours_and_caps_count_for_it_as_a_whole()
    {
        var category = await CategoryAsync(
            Long,
            caps:
            [
                new
                {
                    channel = "sms",
                    limit = 1,
                    per = "week",
                    exceeding = "suppress",
                },
            ]
        );
        var (opted, erased, quiet, capped) = (
            await Installation.NewPersonAsync(devices: 0),
            await Installation.NewPersonAsync(devices: 0),
            await Installation.NewPersonAsync(devices: 0),
            await Installation.NewPersonAsync(devices: 0)
        );
        async Task<string> CollectAsync(Person person) => await DigestOfAsync((await SendAsync(person, category, 3))[0]);
        var digests = new[]
        {
            await CollectAsync(opted),
            await CollectAsync(erased),
            await CollectAsync(quiet),
            await CollectAsync(capped),
        };
        (
            await Client.PutAsync(
                $"/v1/users/{opted.Id}/preferences",
                new { categories = new Dictionary<string, object> { [category] = new { sms = new { optIn = false } } } }
            )
        ).Is(200);
        (await Client.DeleteAsync($"/v1/users/{erased.Id}")).Is(204);
        (
            await Client.PutAsync(
                $"/v1/users/{quiet.Id}/preferences",
                new
                {
                    quietHours = new
                    {
                        from = Now.AddHours(-2).ToString("HH:mm", CultureInfo.InvariantCulture),
                        to = Now.AddHours(2).ToString("HH:mm", CultureInfo.InvariantCulture),
                    },
                }
            )
        ).Is(200);
        foreach (var digest in digests)
            await CloseAsync(digest);

        Assert.Equal("OptedOut", (await Client.BecomesAsync(digests[0], "suppressed")).On("sms").Reason);
        await Client.BecomesAsync(digests[1], "suppressed");
        Assert.All(
            (await Client.EventsAsync(digests[1])).Single(e => e.Type == "DigestClosed").Data["leftOut"]!.AsArray(),
            l => Assert.Equal("Erased", l!["reason"]!.ToString())
        );
        var deferred = await Eventually.Becomes(() => Client.StateAsync(digests[2]), s => s.Deliveries.Count == 1, "it is planned");
        Assert.Equal(("scheduled", "QuietHours"), (deferred.Status, deferred.On("sms").Reason));
        await Client.BecomesAsync(digests[3], "dispatched");

        // Three were one; the next one is over the cap.
        var next = await CollectAsync(capped);
        await CloseAsync(next);
        Assert.Equal("CapExceeded", (await Client.BecomesAsync(next, "suppressed")).On("sms").Reason);
        await Installation.VerifyAsync();
    }

    [Fact]
    public async Task Scheduled_and_broadcast_notifications_are_collected_and_critical_ones_are_sent()
    {
        var (category, topic, other) = (await CategoryAsync(Long), NewId("topic"), await Installation.NewPersonAsync(devices: 0));
        var person = await Installation.NewPersonAsync(devices: 0);
        var (later, critical, broadcast, unregistered) = (NewId("later"), NewId("critical"), NewId("broadcast"), NewId("unregistered"));
        (await Client.PutAsync($"/v1/topics/{topic}", new { name = "x" })).Is(200);
        (await Client.PutAsync($"/v1/topics/{topic}/subscribers/{person.Id}", new { })).Is(204);

        (await Client.SendAsync(Request(person, category, later, new { sendAt = Now.AddSeconds(1) }))).Is(202);
        (await Client.SendAsync(Request(person, category, critical, new { priority = "critical" }))).Is(202);
        (
            await Client.PostAsync(
                "/v1/broadcasts",
                new
                {
                    broadcastId = broadcast,
                    topic,
                    category,
                    content = new { body = broadcast },
                }
            )
        ).Is(202);
        (
            await Client.SendAsync(
                new
                {
                    eventId = unregistered,
                    to = new { phone = other.Phone },
                    category,
                    content = new { body = unregistered },
                }
            )
        ).Is(202);
        await Client.BecomesAsync(critical, "dispatched");
        var digest = (
            await Eventually.Becomes(() => Client.StateAsync(later), s => s.Json["digest"] is not null, "it is collected when it is due")
        ).Json["digest"]!.ToString();
        await Eventually.Holds(
            async () => (await Client.GetAsync($"/v1/notifications/{broadcast}@{person.Id}")).Status == 200,
            "the broadcast was made"
        );
        Assert.Equal(digest, await DigestOfAsync($"{broadcast}@{person.Id}"));
        Assert.NotEqual(digest, await DigestOfAsync(unregistered));

        await CloseAsync(digest);
        await CloseAsync(await DigestOfAsync(unregistered));
        await Client.BecomesAsync(digest, "dispatched");
        await Client.BecomesAsync(await DigestOfAsync(unregistered), "dispatched");
        var sms = Assert.Single(await Sandbox.LedgerAsync(later));
        Assert.Contains(broadcast, sms.Text, StringComparison.Ordinal);
        Assert.DoesNotContain(critical, sms.Text, StringComparison.Ordinal);
        Assert.Equal(other.Phone, Assert.Single(await Sandbox.LedgerAsync(unregistered)).To);
    }

    [Fact]
    public async Task Hundreds_that_race_with_the_closing_of_their_digests_are_each_told_once()
    {
        const int Digests = 60,
            Most = 4000;
        var category = await CategoryAsync(1, maxItems: 200);
        // So many that no digest has more than it names, however fast the machine is.
        var people = await Task.WhenAll(
            Enumerable.Range(0, 20).Select(_ => Installation.NewPersonAsync(devices: 0, phone: false, email: Person.NewEmail()))
        );
        var mark = NewId("race");
        var sent = 0;
        while (await ClosedAsync(Installation, category) < Digests && sent < Most)
        {
            await Parallel.ForEachAsync(
                Enumerable.Range(sent, 40),
                new ParallelOptions { MaxDegreeOfParallelism = 40 },
                async (i, _) =>
                {
                    (await Client.SendAsync(Request(people[i % people.Length], category, $"{mark}-{i:0000}"))).Is(202);
                    if (i % 10 == 7)
                        await CloseOneAsync(category); // in the middle of the others, sooner than its window ends
                }
            );
            sent += 40;
        }

        await Eventually.Becomes(
            () => Installation.ScalarAsync<long>("select count(*) from notify.digest_items where category = $1", category),
            n => n == 0,
            "all digests have closed"
        );
        Assert.InRange(await ExactlyOnceAsync(Installation, category, mark, sent), Digests, sent);
        await Installation.VerifyAsync();
    }

    [Fact]
    public async Task A_flood_fills_a_digest_and_goes_on_in_the_next_and_an_SMS_counts_what_it_cannot_name()
    {
        var (person, category, mark) = (await Installation.NewPersonAsync(devices: 0), await CategoryAsync(Long), NewId("flood"));
        foreach (var (from, count) in new[] { (0, 1000), (1000, 5) })
            (
                await Client.PostAsync(
                    "/v1/notifications/batch",
                    new { notifications = Enumerable.Range(from, count).Select(i => Request(person, category, $"{mark}-{i:0000}")) }
                )
            ).Is(200);
        Assert.Equal(
            "1000 5",
            await Installation.ScalarAsync<string>(
                "select string_agg(n::text, ' ' order by n desc) from (select count(*) n from notify.digest_items where "
                    + "category = $1 group by digest) t",
                category
            )
        );
        var digests = (
            await Installation.ScalarAsync<string>(
                "select string_agg(d, ' ') from (select distinct split_part(digest, ':', 2) d from notify.digest_items where "
                    + "category = $1) t",
                category
            )
        ).Split(' ');

        var watch = System.Diagnostics.Stopwatch.StartNew();
        foreach (var digest in digests)
            await CloseAsync(digest);
        var sent = await Task.WhenAll(digests.Select(d => Client.BecomesAsync(d, "dispatched")));
        TestContext.Current.TestOutputHelper?.WriteLine($"1,005 were told by two digests after {watch.ElapsedMilliseconds} ms.");
        Assert.Equal(1005, sent.SelectMany(s => s.Json["members"]!.AsArray().Select(m => m!.ToString())).Distinct().Count());
        var entries = await Sandbox.LedgerAsync(mark);
        Assert.Equal(2, entries.Count);
        var large = entries.Single(e => e.Text!.StartsWith("1000 x ", StringComparison.Ordinal)).Text!;
        Assert.EndsWith(
            $"\n+ {1000 - large.Split('\n').Count(l => l.StartsWith("- ", StringComparison.Ordinal))} more",
            large,
            StringComparison.Ordinal
        );
        Assert.InRange(Notify.Domain.Content.SmsText.Segments(large), 2, 10);
        await Installation.VerifyAsync();
    }

    [Fact]
    public async Task A_broadcast_that_is_withdrawn_takes_back_what_waits_in_digests()
    {
        var (category, topic, broadcast) = (await CategoryAsync(Long), NewId("topic"), NewId("broadcast"));
        var people = await Task.WhenAll(Enumerable.Range(0, 3).Select(_ => Installation.NewPersonAsync(devices: 0)));
        (await Client.PutAsync($"/v1/topics/{topic}", new { name = "x" })).Is(200);
        (await Client.PostAsync($"/v1/topics/{topic}/subscribers", new { userIds = people.Select(p => p.Id) })).Is(200);
        var kept = (await SendAsync(people[0], category, 1))[0];
        (
            await Client.PostAsync(
                "/v1/broadcasts",
                new
                {
                    broadcastId = broadcast,
                    topic,
                    category,
                    content = new { body = broadcast },
                }
            )
        ).Is(202);
        await Eventually.Becomes(() => Client.GetAsync($"/v1/broadcasts/{broadcast}"), b => b["state"] == "completed", "all are made");

        (await Client.PostAsync($"/v1/broadcasts/{broadcast}/cancel", new { })).Is(200);
        foreach (var person in people)
            await Client.BecomesAsync($"{broadcast}@{person.Id}", "cancelled");
        var digest = await DigestOfAsync(kept);
        await CloseAsync(digest);
        await Client.BecomesAsync(digest, "dispatched");
        Assert.Equal((0, 0), await Sandbox.CountAsync(broadcast));
        Assert.Equal((1, 1), await Sandbox.CountAsync(kept));
        await Installation.VerifyAsync();
    }

    [Theory]
    [InlineData("""{ "digest": { } }""", "digest.windowSeconds")]
    [InlineData("""{ "digest": { "windowSeconds": 0 } }""", "digest.windowSeconds")]
    [InlineData("""{ "digest": { "windowSeconds": 604801 } }""", "digest.windowSeconds")]
    [InlineData("""{ "digest": { "windowSeconds": 60, "channels": ["fax"] } }""", "digest.channels")]
    [InlineData("""{ "digest": { "windowSeconds": 60, "channels": [] } }""", "digest.channels")]
    [InlineData("""{ "digest": { "windowSeconds": 60, "maxItems": 0 } }""", "digest.maxItems")]
    [InlineData("""{ "digest": { "windowSeconds": 60, "template": "there-is-none" } }""", "digest.template")]
    [InlineData("""{ "digest": { "windowSeconds": 60, "template": "A b" } }""", "digest.template")]
    [InlineData("""{ "digest": { "windowSeconds": 60, "every": "hour" } }""", "digest.every")]
    [InlineData("""{ "required": true, "digest": { "windowSeconds": 60 } }""", "digest")]
    public async Task A_digest_that_is_none_is_refused(string body, string field)
    {
        var reply = (await Client.PutAsync($"/v1/categories/refused-{Guid.NewGuid():N}", JsonNode.Parse(body)!)).IsProblem(
            400,
            "invalid_request"
        );
        Assert.NotNull(reply.Json["errors"]![field]);
    }

    [Fact]
    public async Task A_template_that_does_not_fit_is_refused_and_a_category_shows_its_digest()
    {
        var (category, key) = ($"shown-{Guid.NewGuid():N}", NewId("strange"));
        (await Client.PutAsync($"/v1/templates/{key}", new { category = "another", channels = new { sms = new { text = "x" } } })).Is(201);
        async Task RefusedAsync(object digest, string field, string why) =>
            Assert.Contains(
                why,
                (await Client.PutAsync($"/v1/categories/{category}", new { digest })).IsProblem(400, "invalid_request").Json["errors"]![
                    field
                ]!.ToJsonString(),
                StringComparison.Ordinal
            );
        await RefusedAsync(new { windowSeconds = 60, template = key }, "digest.template", "is of the category another");
        (
            await Client.PutAsync(
                $"/v1/templates/{key}",
                new
                {
                    channels = new { sms = new { text = "{{ name }}" } },
                    @params = new { name = new { required = true, type = "string" } },
                }
            )
        ).Is(201);
        await RefusedAsync(new { windowSeconds = 60, template = key }, "digest.template", "requires name");
        (
            await Client.PutAsync(
                $"/v1/templates/{key}",
                new { channels = new { sms = new { text = "{{ count }}" } }, @params = new { count = new { type = "string" } } }
            )
        ).Is(201);
        await RefusedAsync(new { windowSeconds = 60, template = key }, "digest.template", "count as something else");
        (
            await Client.PutAsync(
                $"/v1/templates/{key}",
                new
                {
                    channels = new { sms = new { text = "{{ count }}" } },
                    @params = new { count = new { required = true, type = "number" } },
                }
            )
        ).Is(201);
        await RefusedAsync(
            new
            {
                windowSeconds = 60,
                template = key,
                channels = new[] { "email" },
            },
            "digest.channels",
            "has no words for email"
        );

        (
            await Client.PutAsync(
                $"/v1/categories/{category}",
                new
                {
                    digest = new
                    {
                        windowSeconds = 60,
                        template = key,
                        channels = new[] { "sms" },
                    },
                }
            )
        ).Is(200);
        var shown = (await Client.GetAsync($"/v1/categories/{category}")).Is(200);
        Assert.Equal(
            $$"""{"windowSeconds":60,"template":"{{key}}","channels":["sms"],"maxItems":50}""",
            shown.Json["digest"]!.ToJsonString()
        );
        Assert.Equal(
            "1",
            (
                await Client.PutAsync(
                    $"/v1/categories/{category}",
                    new
                    {
                        digest = new
                        {
                            windowSeconds = 60,
                            template = key,
                            channels = new[] { "sms" },
                            maxItems = 50,
                        },
                    }
                )
            ).Is(200)["version"]
        );
        Assert.Null((await Client.PutAsync($"/v1/categories/{category}", new { })).Is(200).Json["digest"]);
    }

    /// <summary>How many of a category's digests have closed.</summary>
    internal static Task<long> ClosedAsync(NotifySystem system, string category) =>
        system.ScalarAsync<long>(
            "select count(*) from events.mt_events c join events.mt_events r on r.stream_id = c.stream_id and r.version = 1 "
                + "where c.type = 'DigestClosed' and r.data ->> 'category' = $1",
            category
        );

    /// <summary>Checks that each of a number of notifications is in one digest, and that each digest was sent once.</summary>
    /// <returns>How many digests there were.</returns>
    internal static async Task<int> ExactlyOnceAsync(NotifySystem system, string category, string mark, int count)
    {
        const string Told = """
            select count(*) || ' ' || count(distinct m.id) || ' ' || count(distinct e.stream_id) from events.mt_events e cross join lateral jsonb_array_elements_text(e.data -> 'members') m (id)
            where e.type = 'DigestClosed' and m.id like $1 || '-%'
            """;
        const string Digested =
            "select count(*) || ' ' || count(distinct stream_id) from events.mt_events where type = 'NotificationDigested' and "
            + "stream_id like '%:' || $1 || '-%'";
        var told = (await system.ScalarAsync<string>(Told, mark)).Split(' ');
        Assert.Equal(($"{count}", $"{count}"), (told[0], told[1]));
        Assert.Equal($"{count} {count}", await system.ScalarAsync<string>(Digested, mark));
        var digests = int.Parse(told[2], CultureInfo.InvariantCulture);
        TestContext.Current.TestOutputHelper?.WriteLine($"{count} of {category} were told by {digests} digests.");

        var sent = await Eventually.Becomes(
            async () => (await system.Sandbox.LedgerAsync(mark)).Where(e => e.IsAccepted).ToList(),
            s => s.Count >= digests,
            "all digests were sent",
            TimeSpan.FromSeconds(60)
        );
        Assert.Equal(digests, sent.Count);
        var named = sent.SelectMany(s => Regex.Matches(s.Json.ToJsonString(), $"{mark}-[0-9]+").Select(m => m.Value).Distinct()).ToList();
        Assert.Equal(Enumerable.Range(0, count).Select(i => $"{mark}-{i:0000}"), named.Order(StringComparer.Ordinal));
        return digests;
    }

    // Some digest that is open just now; one that has closed meanwhile answers 409.
    private async Task CloseOneAsync(string category)
    {
        if (
            await Installation.ScalarAsync<string>("select coalesce(max(digest), '') from notify.digests where category = $1", category) is
            { Length: > 0 } key
        )
            await Client.PostAsync(
                $"/v1/notifications/{key[(key.IndexOf(':', StringComparison.Ordinal) + 1)..]}/reschedule",
                new { sendAt = Now }
            );
    }

    private static DateTimeOffset Now => TimeProvider.System.GetUtcNow();

    private static JsonObject Request(Person person, string category, string id, object? more = null)
    {
        var body = JsonSerializer
            .SerializeToNode(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    category,
                    content = new { title = id, body = id },
                },
                NotifyClient.Json
            )!
            .AsObject();
        foreach (var (name, value) in JsonSerializer.SerializeToNode(more ?? new { }, NotifyClient.Json)!.AsObject())
            body[name] = value?.DeepClone();
        return body;
    }

    private async Task<string[]> SendAsync(Person person, string category, int count)
    {
        var ids = Enumerable.Range(0, count).Select(i => NewId($"told{i}")).ToArray();
        foreach (var id in ids)
            (await Client.SendAsync(Request(person, category, id))).Is(202);
        return ids;
    }

    private async Task<NotificationState[]> StatesAsync(params string[] ids) => await Task.WhenAll(ids.Select(id => Client.StateAsync(id)));

    private async Task<string> DigestOfAsync(string id) => (await Client.StateAsync(id)).Json["digest"]!.ToString();

    private async Task CloseAsync(string digest) =>
        (await Client.PostAsync($"/v1/notifications/{digest}/reschedule", new { sendAt = Now })).Is(200);

    private async Task<string> CategoryAsync(int windowSeconds, string? template = null, object[]? caps = null, int? maxItems = null)
    {
        var category = $"collected-{Guid.NewGuid():N}";
        (
            await Client.PutAsync(
                $"/v1/categories/{category}",
                new
                {
                    digest = new
                    {
                        windowSeconds,
                        template,
                        maxItems,
                    },
                    caps,
                }
            )
        ).Is(200);
        return category;
    }
}
