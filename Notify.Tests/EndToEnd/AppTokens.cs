namespace Notify.Tests.EndToEnd;

using System.Net.Http.Headers;
using Notify.Tests.Contract;
using Notify.Tests.Support;

/// <summary>An app acts for one user, by a token that its service made, and does no more than the token allows.</summary>
public sealed class AppTokens : SystemTest
{
    [Fact]
    public async Task An_app_manages_its_own_devices_and_preferences_and_the_history_says_that_it_was_the_person()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var app = await AppAsync(Client, person.Id, "devices", "preferences");

        var deviceId = (
            await app(HttpMethod.Post, $"/v1/users/{person.Id}/devices", new { platform = "ios", token = Person.NewToken() })
        ).Is(201)["deviceId"];
        (await app(HttpMethod.Put, $"/v1/users/{person.Id}/preferences", new { channels = new { sms = new { optIn = false } } })).Is(200);
        Assert.Equal(
            "false",
            (await app(HttpMethod.Get, $"/v1/users/{person.Id}/preferences", null)).Is(200).Json["channels"]!["sms"]!["optIn"]!.ToString()
        );
        var change = (await app(HttpMethod.Get, $"/v1/users/{person.Id}/preferences/history", null)).Is(200).Json["changes"]![0]!["data"]!;
        Assert.Equal(("recipient", $"app:{Client.AppKey}"), (change["by"]!.ToString(), change["through"]!.ToString()));
        (await app(HttpMethod.Delete, $"/v1/users/{person.Id}/devices/{deviceId}", null)).Is(204);
    }

    [Fact]
    public async Task An_app_sends_to_its_own_user_acknowledges_it_and_finds_it_in_the_history()
    {
        var (person, category) = (await Installation.NewPersonAsync(phone: false), $"k-{Guid.NewGuid():N}"[..20]);
        var app = await AppAsync(Client, person.Id, $"send:{category}", "ack", "history");
        var id = "app:" + NewId("own");
        var request = new
        {
            eventId = id,
            userId = person.Id,
            category,
            content = new { body = id },
        };

        (await app(HttpMethod.Post, "/v1/notifications", request)).Is(202);

        var delivery = (await Client.BecomesAsync(id, "dispatched")).On("push").Id;
        Assert.Equal(
            "delivered",
            (await app(HttpMethod.Post, $"/v1/notifications/{id}/ack", new { deliveryId = delivery, @event = "opened" })).Is(200)["status"]
        );
        await Eventually.Holds(
            async () =>
                (await app(HttpMethod.Get, $"/v1/users/{person.Id}/notifications?category={category}", null)).Is(200).Json["items"]!
                    .AsArray()
                    .Count == 1,
            "it is in the history"
        );

        foreach (
            var refused in new object[]
            {
                new
                {
                    eventId = id + "-2",
                    userId = "somebody-else",
                    category,
                    content = new { body = id },
                },
                new
                {
                    eventId = id + "-2",
                    to = new { phone = person.Phone ?? "+12025550123" },
                    category,
                    content = new { body = id },
                },
                new
                {
                    eventId = id + "-2",
                    userId = person.Id,
                    category = "other",
                    content = new { body = id },
                },
                new
                {
                    eventId = NewId("not-an-apps"),
                    userId = person.Id,
                    category,
                    content = new { body = id },
                },
            }
        )
            (await app(HttpMethod.Post, "/v1/notifications", refused)).IsProblem(403, "token_lacks");
        (await Client.GetAsync($"/v1/notifications/{id}-2")).IsProblem(404, "not_found");
    }

    [Fact]
    public async Task A_token_is_for_one_user_alone()
    {
        var (mine, theirs) = (await Installation.NewPersonAsync(), await Installation.NewPersonAsync());
        var app = await AppAsync(Client, mine.Id, "devices", "preferences", "history", "ack", "send:otp");
        var id = NewId("theirs");
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = theirs.Id,
                    channels = new[] { "push" },
                    content = new { body = id },
                }
            )
        ).Is(202);
        var delivery = (await Client.BecomesAsync(id, "dispatched")).On("push").Id;

        (await app(HttpMethod.Get, $"/v1/users/{theirs.Id}/preferences", null)).IsProblem(403, "token_lacks");
        (await app(HttpMethod.Put, $"/v1/users/{theirs.Id}/preferences", new { })).IsProblem(403, "token_lacks");
        (await app(HttpMethod.Get, $"/v1/users/{theirs.Id}/notifications", null)).IsProblem(403, "token_lacks");
        (await app(HttpMethod.Delete, $"/v1/users/{theirs.Id}/devices/{theirs.DeviceIds[0]}", null)).IsProblem(403, "token_lacks");
        (await app(HttpMethod.Delete, $"/v1/users/{mine.Id}/devices/{theirs.DeviceIds[0]}", null)).IsProblem(404, "not_found");
        (await app(HttpMethod.Post, $"/v1/notifications/{id}/ack", new { deliveryId = delivery, @event = "opened" })).IsProblem(
            404,
            "not_found"
        );
        Assert.Equal("dispatched", (await Client.StateAsync(id)).Status);
    }

    [Fact]
    public async Task Operation_outside_the_token_is_forbidden_everywhere()
    {
        var document = (await Client.GetAsync("/openapi/v1.json")).Is(200).Json;
        var person = await Installation.NewPersonAsync(devices: 0);
        var app = await AppAsync(Client, person.Id, "send:never-used");
        var faults = new List<string>();
        foreach (var operation in DescribedOperation.Of(document).Where(o => o.Json["security"] is not null))
        {
            var path = operation.Path.Replace("{userId}", person.Id, StringComparison.Ordinal);
            var reply = await app(new HttpMethod(operation.Method), path.Replace('{', 'x').Replace('}', 'x'), null);
            // A permitted operation is rejected for a fault of the request: here its missing body.
            var isOpen = operation.Id == "RequestNotification";
            if (isOpen ? reply.Status != 415 : reply.Status != 403 || reply["code"] != "token_lacks")
                faults.Add($"{operation}: {reply}");
        }

        Assert.True(faults.Count == 0, string.Join("\n", faults));
    }

    [Fact]
    public async Task A_client_that_is_disabled_takes_its_tokens_with_it_and_nonsense_is_no_token()
    {
        using var client = await Installation.NewClientAsync(["recipients"]);
        var person = await Installation.NewPersonAsync(devices: 0);
        var app = await AppAsync(client, person.Id, "history");
        (await app(HttpMethod.Get, $"/v1/users/{person.Id}/notifications", null)).Is(200);

        (await Client.DeleteAsync($"/v1/clients/{client.AppKey}")).Is(204);

        var refused = (await app(HttpMethod.Get, $"/v1/users/{person.Id}/notifications", null)).IsProblem(401, "unauthorized");
        Assert.Contains("invalid_token", refused.Headers.WwwAuthenticate.ToString(), StringComparison.Ordinal);
        foreach (var nonsense in new[] { "", "x", "a.b.c", new string('a', 9000) })
            (await Caller(nonsense)(HttpMethod.Get, $"/v1/users/{person.Id}/notifications", null)).IsProblem(401, "unauthorized");
    }

    [Fact]
    public async Task A_user_who_is_erased_takes_the_tokens_with_them_so_that_no_app_makes_them_known_again()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var app = await AppAsync(Client, person.Id, "devices", "preferences", "history", "send:otp");
        (await app(HttpMethod.Get, $"/v1/users/{person.Id}/preferences", null)).Is(200);

        (await Client.DeleteAsync($"/v1/users/{person.Id}")).Is(204);

        (await app(HttpMethod.Post, $"/v1/users/{person.Id}/devices", new { platform = "ios", token = Person.NewToken() })).IsProblem(
            401,
            "unauthorized"
        );
        (await app(HttpMethod.Put, $"/v1/users/{person.Id}/preferences", new { channels = new { sms = new { optIn = false } } })).IsProblem(
            401,
            "unauthorized"
        );
        (await app(HttpMethod.Get, $"/v1/users/{person.Id}/notifications", null)).IsProblem(401, "unauthorized");
        (await Client.GetAsync($"/v1/users/{person.Id}")).IsProblem(404, "not_found");

        // Known again, by the service: the old token stays dead, and a new one counts.
        (await Client.PutAsync($"/v1/users/{person.Id}/preferences", new { channels = new { sms = new { optIn = false } } })).Is(200);
        Assert.Equal(
            "false",
            (await Client.GetAsync($"/v1/users/{person.Id}/preferences")).Is(200).Json["channels"]!["sms"]!["optIn"]!.ToString()
        );
        (await app(HttpMethod.Get, $"/v1/users/{person.Id}/preferences", null)).IsProblem(401, "unauthorized");
        await Eventually.Holds(
            async () =>
                (
                    await (await AppAsync(Client, person.Id, "preferences"))(HttpMethod.Get, $"/v1/users/{person.Id}/preferences", null)
                ).Status == 200,
            "a token made after the second of the erasure counts"
        );
    }

    [Fact]
    public async Task An_apps_own_word_that_it_is_critical_lifts_no_cap_and_the_stream_says_that_the_app_asked()
    {
        var (person, category) = (await Installation.NewPersonAsync(devices: 0), $"k-{Guid.NewGuid():N}"[..20]);
        (
            await Client.PutAsync(
                $"/v1/categories/{category}",
                new
                {
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
        var app = await AppAsync(Client, person.Id, $"send:{category}");
        var ids = Enumerable.Range(0, 2).Select(_ => "app:" + NewId("code")).ToArray();
        foreach (var id in ids)
            (
                await app(
                    HttpMethod.Post,
                    "/v1/notifications",
                    new
                    {
                        eventId = id,
                        userId = person.Id,
                        channels = new[] { "sms" },
                        category,
                        priority = "critical",
                        content = new { body = id },
                    }
                )
            ).Is(202);

        await Client.BecomesAsync(ids[0], "dispatched");
        Assert.Equal("CapExceeded", (await Client.BecomesAsync(ids[1], "suppressed")).On("sms").Reason);
        Assert.Equal($"app:{Client.AppKey}", (await Client.EventsAsync(ids[0]))[0].Data["through"]!.ToString());

        var own = NewId("own");
        (
            await Client.SendAsync(
                new
                {
                    eventId = own,
                    userId = person.Id,
                    channels = new[] { "sms" },
                    category,
                    priority = "critical",
                    content = new { body = own },
                }
            )
        ).Is(202);
        await Client.BecomesAsync(own, "dispatched");
        Assert.Null((await Client.EventsAsync(own))[0].Data["through"]);
    }

    [Fact]
    public async Task A_web_apps_page_may_call_with_its_token_if_its_origin_is_configured_and_nothing_else()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var path = $"/v1/users/{person.Id}/preferences";
        using var page = new NotifyClient(Installation.ApiUrl, null, null);
        async Task<string?> AllowedAsync(HttpMethod method, string at, string origin)
        {
            var reply = await page.CallAsync(
                method,
                at,
                null,
                r =>
                {
                    r.Headers.Add("Origin", origin);
                    if (method != HttpMethod.Options)
                        return;
                    r.Headers.Add("Access-Control-Request-Method", "PUT");
                    r.Headers.Add("Access-Control-Request-Headers", "authorization,content-type");
                }
            );
            return reply.Headers.TryGetValues("Access-Control-Allow-Origin", out var allowed) ? allowed.Single() : null;
        }

        foreach (var origin in new[] { "https://app.example.com", "http://localhost:3000" })
        {
            Assert.Equal(origin, await AllowedAsync(HttpMethod.Options, path, origin));
            Assert.Equal(origin, await AllowedAsync(HttpMethod.Get, path, origin)); // 401, which the page can read
        }

        foreach (var origin in new[] { "https://app.example.com.evil.example", "http://app.example.com", "null" })
            Assert.Null(await AllowedAsync(HttpMethod.Options, path, origin));
        foreach (var closed in new[] { $"/v1/users/{person.Id}", "/v1/client-tokens", "/v1/notifications/batch" })
            Assert.Null(await AllowedAsync(HttpMethod.Options, closed, "https://app.example.com"));
        Assert.Null(await AllowedAsync(HttpMethod.Get, $"/v1/users/{person.Id}", "https://app.example.com"));
    }

    [Fact]
    public async Task A_settings_page_that_has_not_seen_an_unsubscription_does_not_undo_it()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var path = $"/v1/users/{person.Id}/preferences";
        var shown = (await Client.GetAsync(path)).Is(200).Headers.ETag!.ToString();
        Task<Reply> SaveAsync(object preferences, string tag) =>
            Client.CallAsync(HttpMethod.Put, path, preferences, r => r.Headers.TryAddWithoutValidation("If-Match", tag));
        var no = new { categories = new { offers = new { email = new { optIn = false } } } };

        var said = (await SaveAsync(no, shown)).Is(200).Headers.ETag!.ToString(); // as the page behind an email's link says it

        (await SaveAsync(new { channels = new { sms = new { optIn = true } } }, shown)).IsProblem(412, "preferences_changed");
        var now = (await Client.GetAsync(path)).Is(200);
        Assert.Equal(("false", said), (now.Json["categories"]!["offers"]!["email"]!["optIn"]!.ToString(), now.Headers.ETag!.ToString()));
        var withQuiet = (await SaveAsync(new { no.categories, quietHours = new { from = "22:00", to = "08:00" } }, $"W/{said}"))
            .Is(200)
            .Headers.ETag!.ToString();
        Assert.NotEqual(said, withQuiet);
        (await SaveAsync(new { }, $"\"other\", {withQuiet}")).Is(200);
        Assert.Equal(shown, (await Client.GetAsync(path)).Is(200).Headers.ETag!.ToString());
        (await Client.PutAsync(path, no)).Is(200); // without an ETag it replaces any version
    }

    [Fact]
    public async Task A_token_is_made_only_for_what_its_client_may_do_and_is_in_no_log()
    {
        using var client = await Installation.NewClientAsync(["recipients"]);
        using var sender = await Installation.NewClientAsync(["send"]);
        (
            await client.PostAsync(
                "/v1/client-tokens",
                new
                {
                    userId = "u-42",
                    ttlSeconds = 60,
                    allow = new[] { "send:otp" },
                }
            )
        ).IsProblem(403, "missing_scope");
        (
            await sender.PostAsync(
                "/v1/client-tokens",
                new
                {
                    userId = "u-42",
                    ttlSeconds = 60,
                    allow = new[] { "devices" },
                }
            )
        ).IsProblem(403, "missing_scope");
        foreach (
            var (body, field) in new (object, string)[]
            {
                (
                    new
                    {
                        userId = "u-42",
                        ttlSeconds = 3601,
                        allow = new[] { "devices" },
                    },
                    "ttlSeconds"
                ),
                (
                    new
                    {
                        userId = "u-42",
                        ttlSeconds = 0,
                        allow = new[] { "devices" },
                    },
                    "ttlSeconds"
                ),
                (
                    new
                    {
                        userId = "u-42",
                        ttlSeconds = 60,
                        allow = Array.Empty<string>(),
                    },
                    "allow"
                ),
                (
                    new
                    {
                        userId = "u-42",
                        ttlSeconds = 60,
                        allow = new[] { "admin" },
                    },
                    "allow[0]"
                ),
                (
                    new
                    {
                        userId = "u 42",
                        ttlSeconds = 60,
                        allow = new[] { "devices" },
                    },
                    "userId"
                ),
                (new { userId = "u-42", allow = new[] { "devices" } }, "ttlSeconds"),
            }
        )
            Assert.NotNull((await client.PostAsync("/v1/client-tokens", body)).IsProblem(400, "invalid_request").Json["errors"]![field]);

        var made = (
            await client.PostAsync(
                "/v1/client-tokens",
                new
                {
                    userId = "u-42",
                    ttlSeconds = 60,
                    allow = new[] { "devices" },
                }
            )
        ).Is(201);
        Assert.Equal("no-store", made.Headers.CacheControl!.ToString());
        Assert.DoesNotContain(made["token"]!.Split('.')[2], await Installation.LogsAsync(), StringComparison.Ordinal);
    }

    private async Task<Func<HttpMethod, string, object?, Task<Reply>>> AppAsync(
        NotifyClient client,
        string userId,
        params string[] allow
    ) =>
        Caller(
            (
                await client.PostAsync(
                    "/v1/client-tokens",
                    new
                    {
                        userId,
                        ttlSeconds = 600,
                        allow,
                    }
                )
            ).Is(201)["token"]!
        );

    private Func<HttpMethod, string, object?, Task<Reply>> Caller(string token) =>
        async (method, path, body) =>
        {
            using var nobody = new NotifyClient(Installation.ApiUrl, null, null);
            return await nobody.CallAsync(
                method,
                path,
                body,
                r =>
                {
                    if (token.Length > 0)
                        r.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
                }
            );
        };
}
