namespace Notify.Tests.EndToEnd;

using System.Net.Http.Headers;
using System.Text.RegularExpressions;
using Notify.Tests.Support;

/// <summary>The limits of a client's powers, and the traces that their use leaves.</summary>
public sealed class Powers : SystemTest
{
    [Theory]
    [InlineData(false, "suppressed")]
    [InlineData(true, "dispatched")]
    public async Task Required_category_passes_an_opt_out_only_for_clients_that_are_granted_it(bool required, string status)
    {
        var (person, category, id) = (await Installation.NewPersonAsync(devices: 0), NewKey(), NewId("required"));
        (await Client.PutAsync($"/v1/categories/{category}", new { required = true })).Is(200);
        (await Client.PutAsync($"/v1/users/{person.Id}/preferences", new { channels = new { sms = new { optIn = false } } })).Is(200);
        using var sender = await NewClientAsync(["send", "read"], new { send = new { required } });

        (
            await sender.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    channels = new[] { "sms" },
                    category,
                    content = new { body = id },
                }
            )
        ).Is(202);

        await sender.BecomesAsync(id, status);
        Assert.Equal(required ? (1, 1) : (0, 0), await Sandbox.CountAsync(id));
    }

    [Fact]
    public async Task Client_sends_only_in_the_categories_and_by_the_channels_that_it_is_granted()
    {
        var (mine, id) = (NewKey(), NewId("granted"));
        using var sender = await NewClientAsync(
            ["send", "read"],
            new { send = new { categories = new[] { mine }, channels = new[] { "sms" } } }
        );
        object Request(string eventId, string? category, string[]? channels) =>
            new
            {
                eventId,
                to = new { phone = Person.NewPhone() },
                category,
                channels,
                content = new { body = id },
            };

        (await sender.SendAsync(Request(id, mine, null))).Is(202);
        (await sender.SendAsync(Request(id + "-1", "other", null))).IsProblem(403, "category_not_granted");
        (await sender.SendAsync(Request(id + "-2", null, null))).IsProblem(403, "category_not_granted");
        (await sender.SendAsync(Request(id + "-3", mine, ["sms", "email"]))).IsProblem(403, "channel_not_granted");
        var batch = (
            await sender.PostAsync(
                "/v1/notifications/batch",
                new { notifications = new[] { Request(id + "-4", "other", null), Request(id + "-5", mine, ["sms"]) } }
            )
        )
            .Is(200)
            .Json["results"]!.AsArray();

        Assert.Equal(["rejected", "accepted"], batch.Select(r => $"{r!["status"]}"));
        Assert.Equal("category_not_granted", $"{batch[0]!["error"]!["code"]}");
        (await sender.BecomesAsync(id, "dispatched")).On("sms");
        (await sender.GetAsync($"/v1/notifications/{id}-1")).IsProblem(404, "not_found"); // a refused request uses up no ID
    }

    [Fact]
    public async Task Client_without_the_grant_sends_broadcasts_to_topics_only()
    {
        var topic = NewKey();
        (await Client.PutAsync($"/v1/topics/{topic}", new { name = "a topic" })).Is(200);
        var person = await Installation.NewPersonAsync(devices: 0);
        (await Client.CallAsync(HttpMethod.Put, $"/v1/topics/{topic}/subscribers/{person.Id}")).Is(204);
        using var sender = await NewClientAsync(["send"], new { send = new { categories = new[] { "news" } } });
        object Broadcast(object? filter, bool? all, string? to, string category = "news") =>
            new
            {
                broadcastId = NewId("b"),
                filter,
                all,
                topic = to,
                category,
                content = new { body = "news" },
            };

        (await sender.PostAsync("/v1/broadcasts", Broadcast(null, true, null))).IsProblem(403, "broadcast_not_granted");
        (await sender.PostAsync("/v1/broadcasts", Broadcast(new { topicsAny = new[] { topic } }, null, null))).IsProblem(
            403,
            "broadcast_not_granted"
        );
        (await sender.PostAsync("/v1/broadcasts", Broadcast(null, null, topic, "other"))).IsProblem(403, "category_not_granted");
        (await sender.PostAsync("/v1/broadcasts", Broadcast(null, null, topic))).Is(202);
    }

    [Fact]
    public async Task Client_token_allows_no_more_than_its_client_may_send()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        using var sender = await NewClientAsync(["send", "recipients"], new { send = new { categories = new[] { "otp" } } });
        object Wanted(string category) =>
            new
            {
                userId = person.Id,
                ttlSeconds = 60,
                allow = new[] { $"send:{category}" },
            };

        (await sender.PostAsync("/v1/client-tokens", Wanted("shipping"))).IsProblem(403, "category_not_granted");
        (await sender.PostAsync("/v1/client-tokens", Wanted("otp"))).Is(201);
    }

    [Fact]
    public async Task Client_token_ends_with_its_clients_scopes_and_with_the_secret_that_made_it()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        using var service = await NewClientAsync(["send", "recipients"], null);
        using var app = new NotifyClient(Installation.ApiUrl, null, null);
        var token = (
            await service.PostAsync(
                "/v1/client-tokens",
                new
                {
                    userId = person.Id,
                    ttlSeconds = 600,
                    allow = new[] { "send:otp", "preferences" },
                }
            )
        ).Is(201)["token"]!;

        (await SendAsync()).Is(202);
        await ScopesAsync("recipients");
        (await SendAsync()).IsProblem(403, "token_lacks");
        (await PreferencesAsync()).Is(200);
        await ScopesAsync("send");
        (await SendAsync()).Is(202);
        (await PreferencesAsync()).IsProblem(403, "token_lacks");

        var first = (await Client.GetAsync("/v1/clients")).Is(200).Json["clients"]!
            .AsArray()
            .Single(c => $"{c!["clientId"]}" == service.AppKey)!["secrets"]![0]!["id"]!;
        (await Client.CallAsync(HttpMethod.Post, $"/v1/clients/{service.AppKey}/secrets")).Is(201);
        (await SendAsync()).Is(202);
        (await Client.CallAsync(HttpMethod.Delete, $"/v1/clients/{service.AppKey}/secrets/{first}")).Is(204);
        (await SendAsync()).IsProblem(401, "unauthorized");

        async Task ScopesAsync(string scope) =>
            (await Client.PutAsync($"/v1/clients/{service.AppKey}/scopes", new { scopes = new[] { scope } })).Is(204);

        Task<Reply> PreferencesAsync() => app.CallAsync(HttpMethod.Get, $"/v1/users/{person.Id}/preferences", null, Bearing(token));

        Task<Reply> SendAsync() =>
            app.CallAsync(
                HttpMethod.Post,
                "/v1/notifications",
                new
                {
                    eventId = "app:" + NewId("own"),
                    userId = person.Id,
                    category = "otp",
                    channels = new[] { "sms" },
                    content = new { body = "x" },
                },
                Bearing(token)
            );
    }

    [Fact]
    public async Task Powers_are_changed_for_the_client_s_next_call_and_listed()
    {
        using var sender = await NewClientAsync(["send", "read"], null);
        var path = $"/v1/clients/{sender.AppKey}/scopes";
        object Request() =>
            new
            {
                eventId = NewId("powers"),
                to = new { phone = Person.NewPhone() },
                category = "otp",
                content = new { body = "x" },
            };
        (await sender.SendAsync(Request())).Is(202);

        (
            await Client.PutAsync(
                path,
                new { scopes = new[] { "send" }, grants = new { send = new { categories = new[] { "shipping" } } } }
            )
        ).Is(204);

        (await sender.SendAsync(Request())).IsProblem(403, "category_not_granted");
        (await sender.GetAsync("/v1/notifications")).IsProblem(403, "missing_scope");
        var listed = (await Client.GetAsync("/v1/clients")).Is(200).Json["clients"]!
            .AsArray()
            .Single(c => $"{c!["clientId"]}" == sender.AppKey)!;
        Assert.Equal("shipping", $"{listed["grants"]!["send"]!["categories"]![0]}");
        Assert.NotNull(
            (await Client.PutAsync(path, new { scopes = new[] { "read" }, grants = new { send = new { required = true } } }))
                .IsProblem(400, "invalid_request")
                .Json["errors"]!["grants.send"]
        );
    }

    [Fact]
    public async Task History_of_a_user_shows_a_client_only_what_it_sent_itself_unless_it_audits()
    {
        var (person, theirs, mine) = (await Installation.NewPersonAsync(devices: 0), NewId("theirs"), NewId("mine"));
        using var service = await Installation.NewClientAsync(["send", "recipients"]);
        await SendAsync(Client, theirs);
        await SendAsync(service, mine);
        string[] both = [mine, theirs];
        await Eventually.Becomes(() => HistoryAsync(Client), h => h.Order().SequenceEqual(both.Order()), "the auditing client sees both");

        Assert.Equal([mine], await HistoryAsync(service));
        (await service.GetAsync($"/v1/users/{person.Id}/notifications?client={Client.AppKey}")).IsProblem(403, "missing_scope");
        Assert.Equal([mine], await AppsHistoryAsync(service));
        Assert.Equal(both.Order(), (await AppsHistoryAsync(Client)).Order());

        async Task SendAsync(NotifyClient client, string id) =>
            (
                await client.SendAsync(
                    new
                    {
                        eventId = id,
                        userId = person.Id,
                        channels = new[] { "sms" },
                        content = new { body = id },
                    }
                )
            ).Is(202);

        async Task<string[]> HistoryAsync(NotifyClient client) => EventIds(await client.GetAsync($"/v1/users/{person.Id}/notifications"));

        async Task<string[]> AppsHistoryAsync(NotifyClient client)
        {
            var token = (
                await client.PostAsync(
                    "/v1/client-tokens",
                    new
                    {
                        userId = person.Id,
                        ttlSeconds = 60,
                        allow = new[] { "history" },
                    }
                )
            ).Is(201)["token"]!;
            using var app = new NotifyClient(Installation.ApiUrl, null, null);
            return EventIds(await app.CallAsync(HttpMethod.Get, $"/v1/users/{person.Id}/notifications", null, Bearing(token)));
        }
    }

    [Fact]
    public async Task Look_at_what_is_not_one_s_own_leaves_a_record()
    {
        var (person, id) = (await Installation.NewPersonAsync(devices: 0), NewId("looked-at"));
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    channels = new[] { "sms" },
                    content = new { body = id },
                }
            )
        ).Is(202);
        using var auditor = await Installation.NewClientAsync(["read", "audit", "recipients"]);

        (await auditor.GetAsync($"/v1/notifications/{id}?client={Client.AppKey}")).Is(200);
        (await auditor.GetAsync($"/v1/notifications/{id}/events?client={Client.AppKey}")).Is(200);
        (await auditor.GetAsync($"/v1/notifications/{id}/receipts?client={Client.AppKey}")).Is(200);
        (await auditor.GetAsync($"/v1/notifications/{id}-none/receipts?client={Client.AppKey}")).Is(404);
        (await auditor.GetAsync($"/v1/users/{person.Id}")).Is(200);
        (
            await auditor.PostAsync(
                "/v1/client-tokens",
                new
                {
                    userId = person.Id,
                    ttlSeconds = 60,
                    allow = new[] { "ack" },
                }
            )
        ).Is(201);
        (await auditor.GetAsync("/v1/notifications?limit=1")).Is(200); // its own: no record

        var expected = new[]
        {
            ("GetNotification", id, Client.AppKey, "200"),
            ("GetNotificationEvents", id, Client.AppKey, "200"),
            ("GetNotificationReceipts", id, Client.AppKey, "200"),
            ("GetNotificationReceipts", $"{id}-none", Client.AppKey, "404"),
            ("GetUser", person.Id, null, "200"),
            ("CreateClientToken", person.Id, null, "201"),
        };
        var seen = (await Client.GetAsync("/v1/accesses?limit=500")).Is(200).Json["items"]!
            .AsArray()
            .Where(a => $"{a!["by"]}" == auditor.AppKey)
            .Reverse()
            .Select(a => ($"{a!["operation"]}", $"{a["target"]}", a["client"]?.ToString(), $"{a["status"]}"));
        Assert.Equal(expected, seen);
        Assert.All(
            (await Client.GetAsync("/v1/accesses?limit=500")).Json["items"]!.AsArray(),
            a => Assert.NotEqual("unknown", $"{a!["from"]}")
        );
        (await auditor.GetAsync("/v1/accesses?limit=0")).IsProblem(400, "invalid_request");
        var first = (await Client.GetAsync("/v1/accesses?limit=1")).Is(200);
        Assert.NotEqual(
            first.Json["items"]!.ToJsonString(),
            (await Client.GetAsync($"/v1/accesses?limit=1&after={first["next"]}")).Is(200).Json["items"]!.ToJsonString()
        );
    }

    [Fact]
    public async Task Preferences_others_numbers_and_tries_of_a_replay_leave_records()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        using var looker = await Installation.NewClientAsync(["read", "audit", "recipients", "operate"]);

        (await looker.GetAsync($"/v1/users/{person.Id}/preferences")).Is(200);
        (await looker.GetAsync("/v1/analytics?client=all")).Is(200);
        (await looker.GetAsync("/v1/analytics")).Is(200); // its own: no record
        (
            await looker.PostAsync(
                "/v1/dead-letters/replay",
                new
                {
                    query = new { lane = "sms" },
                    reason = "to look",
                    dryRun = true,
                }
            )
        ).Is(200);

        var seen = (await Client.GetAsync("/v1/accesses?limit=500")).Is(200).Json["items"]!
            .AsArray()
            .Where(a => $"{a!["by"]}" == looker.AppKey)
            .Reverse()
            .Select(a => ($"{a!["operation"]}", a["client"]?.ToString()));
        Assert.Equal([("GetPreferences", null), ("GetAnalytics", "all"), ("ReplayDeadLetters", null)], seen);
    }

    [Fact]
    public async Task Guessing_is_slowed_counted_and_told_once_and_the_right_secret_still_passes()
    {
        using var client = await Installation.NewClientAsync(["read"]);
        using var guesser = new NotifyClient(Installation.ApiUrl, client.AppKey, "wrong");
        var before = await RefusedAsync("login");

        var replies = new List<Reply>();
        for (var i = 0; i < 14; i++)
            replies.Add(await guesser.GetAsync("/v1/notifications"));

        Assert.All(replies.Take(10), r => r.IsProblem(401, "unauthorized"));
        Assert.All(replies.Skip(10), r => r.IsProblem(429, "too_many_attempts"));
        (await client.GetAsync("/v1/notifications")).Is(200);
        await Eventually.Becomes(() => RefusedAsync("login"), n => n >= before + 14, "every guess is counted");
        Assert.Single(Lines(await Installation.LogsAsync(), $"key {client.AppKey}"));
        Assert.DoesNotContain("wrong", string.Join('\n', Lines(await Installation.LogsAsync(), client.AppKey!)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Refused_power_is_counted_and_told_once()
    {
        using var reader = await Installation.NewClientAsync(["read"]);
        var before = await RefusedAsync("missing_scope");

        for (var i = 0; i < 3; i++)
            (await reader.GetAsync("/v1/clients")).IsProblem(403, "missing_scope");

        await Eventually.Becomes(() => RefusedAsync("missing_scope"), n => n >= before + 3, "every refusal is counted");
        Assert.Single(Lines(await Installation.LogsAsync(), $"{reader.AppKey} was refused ListClients"));
    }

    [Fact]
    public async Task App_takes_another_user_s_device_only_with_the_code_that_went_to_it()
    {
        var (victim, taker) = (
            await Installation.NewPersonAsync(devices: 1, phone: false),
            await Installation.NewPersonAsync(devices: 0, phone: false)
        );
        var token = (
            await Client.PostAsync(
                "/v1/client-tokens",
                new
                {
                    userId = taker.Id,
                    ttlSeconds = 600,
                    allow = new[] { "devices" },
                }
            )
        ).Is(201)["token"]!;
        using var app = new NotifyClient(Installation.ApiUrl, null, null);
        var device = victim.Tokens[0];

        var challenged = (await RegisterAsync(device, null)).Is(202);
        (await RegisterAsync(device.ToUpperInvariant(), null)).Is(202); // the same device, however it is spelled
        (await RegisterAsync(device, "guessed")).IsProblem(400, "invalid_request");
        Assert.Equal(1, await DevicesAsync(victim));
        Assert.Equal(("sent", victim.DeviceIds[0]), (challenged["challenge"], challenged["deviceId"]));

        var code = await CodeAsync(device);
        (await RegisterAsync(device, code)).Is(201);
        Assert.Equal((0, 1), (await DevicesAsync(victim), await DevicesAsync(taker)));
        // A service's key needs no code.
        (await Client.PostAsync($"/v1/users/{victim.Id}/devices", new { platform = "ios", token = device })).Is(201);
        Assert.Equal((1, 0), (await DevicesAsync(victim), await DevicesAsync(taker)));

        Task<Reply> RegisterAsync(string deviceToken, string? challenge) =>
            app.CallAsync(
                HttpMethod.Post,
                $"/v1/users/{taker.Id}/devices",
                new
                {
                    platform = "ios",
                    token = deviceToken,
                    challenge,
                },
                Bearing(token)
            );

        async Task<string> CodeAsync(string deviceToken)
        {
            var entries = await Eventually.Becomes(
                async () => (await Sandbox.LedgerAsync("notifyDeviceChallenge")).Where(e => e.To == deviceToken).ToList(),
                e => e.Count > 0,
                "the code is sent"
            );
            return Regex
                .Match(Assert.Single(entries).Json["request"]!["body"]!.ToString(), "\"notifyDeviceChallenge\":\"([^\"]+)\"")
                .Groups[1]
                .Value;
        }

        async Task<int> DevicesAsync(Person person) =>
            (await Client.GetAsync($"/v1/users/{person.Id}")).Is(200).Json["devices"]!.AsArray().Count;
    }

    private async Task<NotifyClient> NewClientAsync(string[] scopes, object? grants)
    {
        var made = (
            await Client.PostAsync(
                "/v1/clients",
                new
                {
                    name = "a test's",
                    scopes,
                    grants,
                }
            )
        ).Is(201);
        return new NotifyClient(Installation.ApiUrl, made["appKey"], made["appSecret"]);
    }

    private async Task<double> RefusedAsync(string reason)
    {
        using var http = new HttpClient();
        var text = await http.GetStringAsync(new Uri(Installation.ApiUrl, "/metrics"), TestContext.Current.CancellationToken);
        return text.Split('\n')
            .Where(l =>
                l.StartsWith("notify_refused", StringComparison.Ordinal) && l.Contains($"reason=\"{reason}\"", StringComparison.Ordinal)
            )
            .Select(l => double.Parse(l.Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture))
            .Sum();
    }

    private static string[] EventIds(Reply reply) => [.. reply.Is(200).Json["items"]!.AsArray().Select(i => $"{i!["eventId"]}")];

    private static string[] Lines(string log, string part) => [.. log.Split('\n').Where(l => l.Contains(part, StringComparison.Ordinal))];

    private static Action<HttpRequestMessage> Bearing(string token) =>
        r => r.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);

    private static string NewKey() => $"k-{Guid.NewGuid():N}"[..20];
}
