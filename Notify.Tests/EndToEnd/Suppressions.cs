namespace Notify.Tests.EndToEnd;

using System.Text.Json.Nodes;
using Notify.Tests.Support;

/// <summary>Suppressed addresses, and categories: people that no client reaches.</summary>
public sealed class Suppressions : SystemTest
{
    [Fact]
    public async Task A_suppressed_address_is_not_used_whoever_it_belongs_to()
    {
        var (phone, email) = (Person.NewPhone(), Person.NewEmail());
        var person = await Installation.NewPersonAsync(number: phone, email: email.ToUpperInvariant());
        var made = (
            await Client.PostAsync(
                "/v1/suppressions",
                new
                {
                    channel = "email",
                    address = email,
                    reason = "Complained",
                }
            )
        ).Is(201);
        (
            await Client.PostAsync(
                "/v1/suppressions",
                new
                {
                    channel = "sms",
                    address = $"{phone[..3]} {phone[3..]}",
                    reason = "OptedOutAtProvider",
                }
            )
        ).Is(201);
        Assert.Equal(
            ("Complained", "api", Client.AppKey, $"k•••{email[email.IndexOf('@')..]}"),
            (made["reason"], made["source"], made["by"], made["address"])
        );
        var (user, to) = (NewId("user"), NewId("to"));

        (
            await Client.SendAsync(
                new
                {
                    eventId = user,
                    userId = person.Id,
                    content = new { title = user, body = user },
                }
            )
        ).Is(202);
        (
            await Client.SendAsync(
                new
                {
                    eventId = to,
                    to = new { phone, email },
                    content = new { title = to, body = to },
                }
            )
        ).Is(202);

        var state = await Client.BecomesAsync(user, "dispatched");
        Assert.Equal(
            ("dispatched", "SuppressedAddress", "SuppressedAddress"),
            (state.On("push").Status, state.On("sms").Reason, state.On("email").Reason)
        );
        Assert.All((await Client.BecomesAsync(to, "suppressed")).Deliveries, d => Assert.Equal("SuppressedAddress", d.Reason));
        Assert.Equal((0, 0), await Sandbox.CountAsync(to));
    }

    [Fact]
    public async Task Suppressed_again_it_is_the_same_and_lifted_it_is_used_again()
    {
        var phone = Person.NewPhone();
        object Body(string reason, DateTimeOffset? expiresAt = null) =>
            new
            {
                channel = "sms",
                address = phone,
                reason,
                expiresAt,
            };
        var replies = await Task.WhenAll(
            Enumerable
                .Range(0, 20)
                .Select(_ =>
                    Client.PostAsync("/v1/suppressions", Body("ByRequest", new DateTimeOffset(2126, 1, 1, 0, 0, 0, TimeSpan.Zero)))
                )
        );
        Assert.Equal([200, 201], replies.Select(r => r.Status).Distinct().Order());
        Assert.Single(replies, r => r.Status == 201);
        var id = Assert.Single(replies.Select(r => r["id"]).Distinct())!;
        var stream = $"s/sms:{id["sms_".Length..]}";
        Assert.Equal(1, await Installation.ScalarAsync<long>("select count(*) from events.mt_events where stream_id = $1", stream));

        // For longer, and for a heavier reason, is taken over; the other way round is not.
        Assert.Equal("ByRequest", (await Client.PostAsync("/v1/suppressions", Body("ByRequest"))).Is(200)["reason"]);
        Assert.Equal(
            "HardBounced",
            (await Client.PostAsync("/v1/suppressions", Body("HardBounced", TimeProvider.System.GetUtcNow().AddDays(1)))).Is(200)["reason"]
        );
        var last = (await Client.PostAsync("/v1/suppressions", Body("Blocked"))).Is(200);
        Assert.Equal(("HardBounced", null), (last["reason"], last["expiresAt"]));
        Assert.Equal(3, await Installation.ScalarAsync<long>("select count(*) from events.mt_events where stream_id = $1", stream));

        (await Client.DeleteAsync($"/v1/suppressions/{id}")).Is(204);
        (await Client.DeleteAsync($"/v1/suppressions/{id}")).IsProblem(404, "not_found");
        Assert.Equal(
            Client.AppKey,
            await Installation.ScalarAsync<string>(
                "select data->>'by' from events.mt_events where stream_id = $1 and type = 'SuppressionLifted'",
                stream
            )
        );
        Assert.Equal(
            0,
            await Installation.ScalarAsync<long>(
                "select count(*) from notify.subject_keys where subject = $1 and wrapped is not null",
                stream
            )
        );
        Assert.Empty(
            (await Client.PostAsync("/v1/suppressions/lookup", new { channel = "sms", address = phone })).Is(200).Json["items"]!.AsArray()
        );
        var sent = NewId("lifted");
        (
            await Client.SendAsync(
                new
                {
                    eventId = sent,
                    to = new { phone },
                    content = new { body = sent },
                }
            )
        ).Is(202);
        await Client.BecomesAsync(sent, "dispatched");
        (await Client.PostAsync("/v1/suppressions", Body("Blocked"))).Is(201);
    }

    [Fact]
    public async Task They_are_listed_masked_and_in_pages_and_end_by_themselves()
    {
        var person = await Installation.NewPersonAsync(devices: 0, email: Person.NewEmail());
        var soon = TimeProvider.System.GetUtcNow().AddSeconds(4).ToOffset(TimeSpan.FromHours(9));
        (
            await Client.PostAsync(
                "/v1/suppressions",
                new
                {
                    channel = "email",
                    address = person.Email,
                    reason = "HardBounced",
                }
            )
        ).Is(201);
        var ends = (
            await Client.PostAsync(
                "/v1/suppressions",
                new
                {
                    channel = "sms",
                    address = person.Phone,
                    reason = "Blocked",
                    expiresAt = soon,
                }
            )
        ).Is(201);
        async Task<JsonNode?> Found(string query) =>
            Assert.Single((await Client.GetAsync($"/v1/suppressions?{query}")).Is(200).Json["items"]!.AsArray());
        Assert.Equal(
            $"+82•••{person.Phone![^4..]}",
            (await Found($"channel=sms&address={Uri.EscapeDataString(person.Phone)}"))!["address"]!.ToString()
        );
        Assert.Equal(ends["id"], (await Found($"channel=sms&address={person.Phone}"))!["id"]!.ToString()); // a plus that was not encoded
        Assert.Equal(
            "email",
            (await Found($"channel=email&address={Uri.EscapeDataString(person.Email!.ToUpperInvariant())}"))!["channel"]!.ToString()
        );

        var (seen, next) = (new List<string>(), "");
        do
        {
            var page = (await Client.GetAsync($"/v1/suppressions?limit=2{(next.Length == 0 ? "" : $"&after={next}")}")).Is(200);
            seen.AddRange(page.Json["items"]!.AsArray().Select(i => i!["id"]!.ToString()));
            next = page["next"] ?? "";
        } while (next.Length > 0);
        Assert.Equal(seen.Distinct(), seen);
        Assert.Contains(ends["id"]!, seen);
        Assert.All(
            (await Client.GetAsync("/v1/suppressions?reason=HardBounced&channel=email&limit=500")).Is(200).Json["items"]!.AsArray(),
            i => Assert.Equal(("HardBounced", "email"), (i!["reason"]!.ToString(), i["channel"]!.ToString()))
        );

        // An address is used again when its suppression expires. After an erasure the suppression remains, without a readable address.
        await Eventually.Becomes(
            async () =>
                (await Client.PostAsync("/v1/suppressions/lookup", new { channel = "sms", address = person.Phone })).Is(200).Json["items"]!
                    .AsArray()
                    .Count,
            n => n == 0,
            "it ends"
        );
        var sent = NewId("ended");
        (
            await Client.SendAsync(
                new
                {
                    eventId = sent,
                    userId = person.Id,
                    channels = new[] { "sms" },
                    content = new { body = sent },
                }
            )
        ).Is(202);
        await Client.BecomesAsync(sent, "dispatched");
        (await Client.DeleteAsync($"/v1/users/{person.Id}")).Is(204);
        Assert.Null((await Found($"channel=email&address={Uri.EscapeDataString(person.Email!)}"))!["address"]);
    }

    [Fact]
    public async Task Erasure_hides_every_former_address_except_those_that_others_use()
    {
        var (former, now, passedOn, shared, first, second) = (
            Person.NewPhone(),
            Person.NewPhone(),
            Person.NewPhone(),
            Person.NewPhone(),
            Person.NewEmail(),
            Person.NewEmail()
        );
        var path = $"/v1/users/{NewId("moved")}";
        foreach (
            var details in new[]
            {
                new { phone = former, email = first },
                new { phone = passedOn, email = first },
                new { phone = shared, email = second },
                new { phone = now, email = second },
            }
        )
            (await Client.PutAsync(path, details)).Is(200);
        await Installation.NewPersonAsync(devices: 0, number: passedOn);
        var family = await Installation.NewPersonAsync(devices: 0, number: shared);
        foreach (var phone in new[] { former, now, passedOn, shared })
            (
                await Client.PostAsync(
                    "/v1/suppressions",
                    new
                    {
                        channel = "sms",
                        address = phone,
                        reason = "ByRequest",
                    }
                )
            ).Is(201);
        foreach (var email in new[] { first, second })
            (
                await Client.PostAsync(
                    "/v1/suppressions",
                    new
                    {
                        channel = "email",
                        address = email,
                        reason = "ByRequest",
                    }
                )
            ).Is(201);

        (await Client.DeleteAsync(path)).Is(204);

        // All stay suppressed; addresses that only this person had cannot be read any more.
        foreach (var phone in new[] { former, now })
            Assert.Null(await ShownAsync("sms", phone));
        foreach (var email in new[] { first, second })
            Assert.Null(await ShownAsync("email", email));
        foreach (var phone in new[] { passedOn, shared })
            Assert.Equal($"+82•••{phone[^4..]}", await ShownAsync("sms", phone));
        (await Client.DeleteAsync($"/v1/users/{family.Id}")).Is(204);
        Assert.Null(await ShownAsync("sms", shared)); // it was the last one's who had it

        async Task<string?> ShownAsync(string channel, string address) =>
            Assert
                .Single((await Client.PostAsync("/v1/suppressions/lookup", new { channel, address })).Is(200).Json["items"]!.AsArray())![
                    "address"
                ]
                ?.ToString();
    }

    [Theory]
    [InlineData("""{ "channel": "push", "address": "x", "reason": "ByRequest" }""", "channel", "remove the device")]
    [InlineData("""{ "channel": "sms", "address": "12345", "reason": "ByRequest" }""", "address", "country code")]
    [InlineData("""{ "channel": "email", "address": "nobody", "reason": "ByRequest" }""", "address", "email address")]
    [InlineData("""{ "channel": "sms", "address": "+821012345678", "reason": "Whatever" }""", "reason", "OptedOutAtProvider")]
    [InlineData("""{ "channel": "sms", "address": "+821012345678" }""", "reason", "must be one of")]
    [InlineData("""{ "address": "+821012345678", "reason": "ByRequest" }""", "channel", "sms or email")]
    [InlineData("""{ "channel": "sms", "reason": "ByRequest" }""", "address", "phone number")]
    [InlineData(
        """{ "channel": "sms", "address": "+821012345678", "reason": "ByRequest", "expiresAt": "2020-01-01T00:00:00Z" }""",
        "expiresAt",
        "future"
    )]
    public async Task Invalid_suppression_is_reported_by_field(string body, string field, string words) =>
        Assert.Contains(
            words,
            (await Client.PostRawAsync("/v1/suppressions", body)).IsProblem(400, "invalid_request").Json["errors"]![field]!.ToJsonString(),
            StringComparison.Ordinal
        );

    [Theory]
    [InlineData("address=%2B821012345678", "channel")]
    [InlineData("channel=sms&address=x", "address")]
    [InlineData("channel=push", "channel")]
    [InlineData("reason=Whatever", "reason")]
    [InlineData("limit=0", "limit")]
    [InlineData("after=x!", "after")]
    [InlineData("after=NjM4OTk0MjQwMDAwMDAwMDAwIAA", "after")]
    [InlineData("colour=red", "colour")]
    public async Task Invalid_list_query_is_reported_by_field(string query, string field) =>
        Assert.Equal(
            [field],
            (await Client.GetAsync($"/v1/suppressions?{query}")).IsProblem(400, "invalid_request").Json["errors"]!
                .AsObject()
                .Select(e => e.Key)
        );

    [Fact]
    public async Task A_category_s_rules_count_from_the_next_notification_on_and_the_plan_says_which()
    {
        var person = await Installation.NewPersonAsync(email: Person.NewEmail());
        var category = $"news-{Guid.NewGuid():N}";
        var first = (await Client.PutAsync($"/v1/categories/{category}", new { defaults = new { sms = false, email = false } })).Is(200);
        Assert.Equal(("1", "hold", "false"), (first["version"], first["unknownOutcome"], first["required"]));
        Assert.Equal(
            "1",
            (
                await Client.PutAsync($"/v1/categories/{category}", new { required = false, defaults = new { email = false, sms = false } })
            ).Is(200)["version"]
        ); // the same again
        (
            await Client.PutAsync(
                $"/v1/users/{person.Id}/preferences",
                new
                {
                    categories = new Dictionary<string, object>
                    {
                        [category] = new { email = new { optIn = true }, push = new { optIn = false } },
                    },
                }
            )
        ).Is(200);
        async Task<(string[] Reached, JsonNode Plan)> Send()
        {
            var id = NewId("category");
            (
                await Client.SendAsync(
                    new
                    {
                        eventId = id,
                        userId = person.Id,
                        category,
                        content = new { title = id, body = id },
                    }
                )
            ).Is(202);
            await Client.BecomesAsync(id, "dispatched");
            return ([.. (await Sandbox.LedgerAsync(id)).Select(e => e.Provider).Order()], (await Client.EventsAsync(id))[1].Data);
        }

        var (reached, plan) = await Send();
        Assert.Equal(["sendgrid"], reached);
        Assert.Equal(
            (
                "1",
                (await Installation.ScalarAsync<long>("select version from events.mt_streams where id = $1", person.Key)).ToString(
                    System.Globalization.CultureInfo.InvariantCulture
                )
            ),
            (plan["categoryVersion"]!.ToString(), plan["recipientVersion"]!.ToString())
        );
        Assert.Equal(
            [$"category {category} on push", $"default of category {category} on sms, version 1"],
            plan["leftOut"]!.AsArray().Select(l => l!["rule"]!.ToString()).Order()
        );

        (await Client.PutAsync($"/v1/categories/{category}", new { required = true, defaults = new { sms = false } })).Is(200);
        (reached, plan) = await Send();
        Assert.Equal(["apns", "sendgrid", "twilio"], reached);
        Assert.Equal("2", plan["categoryVersion"]!.ToString());
        Assert.Equal(
            2,
            plan["deliveries"]!
                .AsArray()
                .Count(d =>
                    d!["rule"]?.ToString().StartsWith($"category {category} is required, version 2; passes ", StringComparison.Ordinal)
                    == true
                )
        );
        Assert.Equal("2", (await Client.GetAsync($"/v1/categories/{category}")).Is(200)["version"]);
        Assert.Contains(
            (await Client.GetAsync("/v1/categories")).Is(200).Json["items"]!.AsArray(),
            i => i!["category"]!.ToString() == category
        );
        (await Client.GetAsync($"/v1/categories/{category}-undefined")).IsProblem(404, "not_found");
    }

    [Fact]
    public async Task Definitions_that_race_become_versions_one_after_the_other()
    {
        for (var round = 0; round < 12; round++) // the first definition of each is where they could pass one another
        {
            var path = $"/v1/categories/race-{Guid.NewGuid():N}";

            var replies = await Task.WhenAll(Enumerable.Range(0, 8).Select(i => Client.PutAsync(path, new { required = i % 2 == 0 })));

            Assert.All(replies, r => r.Is(200));
            // A version says one thing.
            Assert.All(replies.GroupBy(r => r["version"]), version => Assert.Single(version.Select(r => r["required"]).Distinct()));
            var last = (await Client.GetAsync(path)).Is(200);
            Assert.Equal(last["version"], $"{replies.Max(r => int.Parse(r["version"]!))}");
            Assert.Equal(last["required"], replies.First(r => r["version"] == last["version"])["required"]);
        }
    }

    [Theory]
    [InlineData("""{ "caps": [ { "channel": "fax", "limit": 3, "per": "day", "exceeding": "defer" } ] }""", "caps[0].channel")]
    [InlineData("""{ "caps": [ { "channel": "sms", "limit": 0, "per": "day", "exceeding": "defer" } ] }""", "caps[0].limit")]
    [InlineData("""{ "caps": [ { "channel": "sms", "limit": 3, "exceeding": "defer" } ] }""", "caps[0].per")]
    [InlineData("""{ "caps": [ { "channel": "sms", "limit": 3, "per": "month", "exceeding": "defer" } ] }""", "caps[0].per")]
    [InlineData("""{ "caps": [ { "channel": "sms", "limit": 3, "per": "day" } ] }""", "caps[0].exceeding")]
    [InlineData(
        """{ "caps": [ { "channel": "sms", "limit": 3, "per": "day", "exceeding": "defer" }, { "channel": "sms", "limit": 9, "per": "day", "exceeding": "suppress" } ] }""",
        "caps[1]"
    )]
    [InlineData("""{ "caps": [ null ] }""", "caps[0]")]
    [InlineData("""{ "digest": { "window": "01:00:00" } }""", "digest.window")]
    [InlineData("""{ "defaults": { "fax": true } }""", "defaults.fax")]
    [InlineData("""{ "defaults": { "sms": "yes" } }""", "defaults.sms")]
    [InlineData("""{ "defaults": { "sms": null } }""", "defaults.sms")]
    [InlineData("""{ "unknownOutcome": "perhaps" }""", "unknownOutcome")]
    [InlineData("""{ "colour": "red" }""", "colour")]
    public async Task Invalid_category_is_reported_by_field(string body, string field)
    {
        var reply = await Client.CallAsync(
            HttpMethod.Put,
            "/v1/categories/wrong",
            new StringContent(body, System.Text.Encoding.UTF8, "application/json")
        );
        Assert.Equal([field], reply.IsProblem(400, "invalid_request").Json["errors"]!.AsObject().Select(e => e.Key));
        (await Client.GetAsync("/v1/categories/wrong")).IsProblem(404, "not_found");
        Assert.Contains(
            "category",
            (await Client.PutAsync("/v1/categories/Wrong%20key", new { })).IsProblem(400, "invalid_request").Json["errors"]!
                .AsObject()
                .Select(e => e.Key)
        );
    }
}
