namespace Notify.Tests.EndToEnd;

using System.Net.Http.Headers;
using System.Text;
using Notify.Tests.Support;

/// <summary>Clients, their scopes and their secrets.</summary>
public sealed class ClientsAndScopes : SystemTest
{
    // Megabytes of other tests, which no client and no secret is part of.
    private const string Payloads = "notify.payloads";

    [Fact]
    public async Task Wrong_credentials_are_refused_whatever_is_wrong_with_them()
    {
        using var client = await Installation.NewClientAsync(["read"]);
        foreach (
            var authorization in new[]
            {
                Basic("nobody", "secret"),
                Basic(client.AppKey, "wrong"),
                Basic(client.AppKey, ""),
                Basic("", "x"),
                "Basic",
                "Basic ====",
                "Basic !!!",
                "Bearer abc",
                "Basic " + new string('A', 5000),
                "Basic " + Convert.ToBase64String("no colon"u8),
                "Basic " + Convert.ToBase64String(Encoding.UTF8.GetBytes("nul\0:x")),
                "Basic " + Convert.ToBase64String([0xFF, 0xFE, 0x3A, 0xC3]),
            }
        )
        {
            using var nobody = new NotifyClient(Installation.ApiUrl, null, null);
            var reply = await nobody.CallAsync(
                HttpMethod.Get,
                "/v1/notifications",
                shape: r => r.Headers.TryAddWithoutValidation("Authorization", authorization)
            );
            reply.IsProblem(401, "unauthorized");
            Assert.StartsWith("Basic ", reply.Headers.WwwAuthenticate.ToString(), StringComparison.Ordinal);
        }

        static string Basic(string key, string secret) => "Basic " + Convert.ToBase64String(Encoding.UTF8.GetBytes($"{key}:{secret}"));
    }

    [Fact]
    public async Task Two_secrets_count_at_a_time_and_a_revoked_one_no_more()
    {
        var made = (await Client.PostAsync("/v1/clients", new { name = "rotating", scopes = new[] { "read" } })).Is(201);
        var key = made["appKey"]!;
        async Task<Reply> Rotate(object? body = null) => await Client.CallAsync(HttpMethod.Post, $"/v1/clients/{key}/secrets", body);
        async Task<int> Try(string secret)
        {
            using var client = new NotifyClient(Installation.ApiUrl, key, secret);
            return (await client.GetAsync("/v1/notifications")).Status;
        }

        var first = made["appSecret"]!;
        var second = (await Rotate()).Is(201);
        Assert.Equal((200, 200), (await Try(first), await Try(second["appSecret"]!)));

        (await Rotate()).IsProblem(409, "secrets_in_use"); // both were used just now
        var third = (await Rotate(new { force = true })).Is(201); // the older of two goes
        await Eventually.Becomes(() => Try(first), s => s == 401, "the first secret counts no more");
        Assert.Equal((200, 200), (await Try(second["appSecret"]!), await Try(third["appSecret"]!)));

        (await Client.DeleteAsync($"/v1/clients/{key}/secrets/{second["secretId"]}")).Is(204);
        await Eventually.Becomes(() => Try(second["appSecret"]!), s => s == 401, "the revoked secret counts no more");
        Assert.Equal(200, await Try(third["appSecret"]!));

        (await Client.DeleteAsync($"/v1/clients/{key}")).Is(204);
        await Eventually.Becomes(() => Try(third["appSecret"]!), s => s == 401, "a disabled client is shut out");
    }

    [Fact]
    public async Task Secret_in_use_survives_two_rotations_after_lost_answers()
    {
        var made = (await Client.PostAsync("/v1/clients", new { name = "rotated twice", scopes = new[] { "read" } })).Is(201);
        using var client = new NotifyClient(Installation.ApiUrl, made["appKey"]!, made["appSecret"]!);
        (await client.GetAsync("/v1/notifications")).Is(200);
        var path = $"/v1/clients/{made["appKey"]}/secrets";
        var lost = (await Client.CallAsync(HttpMethod.Post, path)).Is(201)["secretId"]!;

        var second = (await Client.CallAsync(HttpMethod.Post, path)).Is(201);

        var first = (await IdsAsync())[0];
        string[] left = [first, second["secretId"]!];
        Assert.Equal(left, await IdsAsync());
        (await client.GetAsync("/v1/notifications")).Is(200);
        Assert.DoesNotContain(lost, await IdsAsync());
        (await Client.PostAsync(path, new { revoke = "s_unheardof" })).IsProblem(404, "not_found");
        var third = (await Client.PostAsync(path, new { revoke = second["secretId"] })).Is(201);
        string[] replaced = [first, third["secretId"]!];
        Assert.Equal(replaced, await IdsAsync());
        (await client.GetAsync("/v1/notifications")).Is(200);

        async Task<string[]> IdsAsync() =>
            [
                .. (await Client.GetAsync("/v1/clients")).Is(200).Json["clients"]!
                    .AsArray()
                    .Single(c => c!["clientId"]!.ToString() == made["appKey"])!["secrets"]!
                    .AsArray()
                    .Select(s => s!["id"]!.ToString()),
            ];
    }

    [Theory]
    [InlineData("secrets")]
    [InlineData("clients")]
    public async Task Same_idempotency_key_answers_with_what_was_made(string what)
    {
        var made = (await Client.PostAsync("/v1/clients", new { name = "retried", scopes = new[] { "read" } })).Is(201);
        var (path, key) = (what == "clients" ? "/v1/clients" : $"/v1/clients/{made["appKey"]}/secrets", NewId("key"));
        object body = what == "clients" ? new { name = key, scopes = new[] { "read" } } : new { force = true };
        Task<Reply> Send(string k, object b) =>
            Client.CallAsync(HttpMethod.Post, path, b, r => r.Headers.TryAddWithoutValidation("Idempotency-Key", k));

        var replies = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Send(key, body)));

        Assert.Single(replies.Select(r => r.Is(201).Text).Distinct());
        Assert.Single(replies.Select(r => r.Headers.Location).Distinct());
        using (var client = new NotifyClient(Installation.ApiUrl, replies[0]["appKey"]!, replies[0]["appSecret"]!))
            Assert.Equal(200, (await client.GetAsync("/v1/notifications")).Status);
        (await Send(key, what == "clients" ? new { name = "another", scopes = new[] { "read" } } : new { force = false })).IsProblem(
            409,
            "idempotency_key_conflict"
        );
        Assert.NotEqual(replies[0].Text, (await Send(NewId("key"), body)).Is(201).Text);
        (await Send("", body)).IsProblem(400, "invalid_request");
        Assert.DoesNotContain(
            await DatabaseDump.SearchAsync(Installation, [replies[0]["appSecret"]!], except: Payloads),
            f => f.Word == replies[0]["appSecret"]
        );

        await Installation.ScalarAsync<long>(
            "with old as (update notify.idempotency_keys set taken_at = taken_at - interval '25 hours' returning 1) "
                + "select count(*) from old"
        );
        (await Send(key, body)).IsProblem(409, "idempotency_key_spent");
        await Eventually.Becomes(
            () =>
                Installation.ScalarAsync<long>(
                    "select count(*) from notify.idempotency_keys where answer is not null and taken_at < now() - interval '1 day'"
                ),
            n => n == 0,
            "the answer is dropped"
        );
    }

    [Fact]
    public async Task Secrets_are_long_and_random_and_kept_only_as_hashes()
    {
        var made = (await Client.PostAsync("/v1/clients", new { name = "secretive", scopes = new[] { "read" } })).Is(201);
        var secret = made["appSecret"]!;

        Assert.True(System.Buffers.Text.Base64Url.DecodeFromChars(secret).Length >= 16);
        var found = await DatabaseDump.SearchAsync(Installation, [secret, made["appKey"]!], except: Payloads);
        Assert.DoesNotContain(found, f => f.Word == secret);
        Assert.Contains(found, f => f.Word == made["appKey"]); // the search does find what is there
        Assert.DoesNotContain(secret, (await Client.GetAsync("/v1/clients")).Is(200).Text, StringComparison.Ordinal);
        Assert.DoesNotContain("hash", (await Client.GetAsync("/v1/clients")).Text, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task Only_the_scope_audit_reads_another_client_s()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var id = NewId("audited");
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
        using var reader = await Installation.NewClientAsync(["read"]);
        using var auditor = await Installation.NewClientAsync(["read", "audit"]);
        var paths = new[]
        {
            $"/v1/notifications/{id}?client={Client.AppKey}",
            $"/v1/notifications/{id}/events?client={Client.AppKey}",
            $"/v1/notifications?client={Client.AppKey}&limit=1",
        };

        foreach (var path in paths)
        {
            (await reader.GetAsync(path)).IsProblem(403, "missing_scope");
            (await auditor.GetAsync(path)).Is(200);
        }

        (await auditor.GetAsync($"/v1/notifications/{id}")).IsProblem(404, "not_found"); // event IDs are each client's own
        Assert.Equal(id, (await auditor.GetAsync(paths[0])).Json["eventId"]!.ToString());
    }

    [Fact]
    public async Task Notification_of_a_test_client_reaches_only_the_test_sandbox()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        using var tester = await Installation.NewClientAsync(["send", "read"], mode: "test");
        var (test, live) = (NewId("test"), NewId("live"));

        (
            await tester.SendAsync(
                new
                {
                    eventId = test,
                    userId = person.Id,
                    content = new { body = test },
                }
            )
        ).Is(202);
        (
            await Client.SendAsync(
                new
                {
                    eventId = live,
                    userId = person.Id,
                    content = new { body = live },
                }
            )
        ).Is(202);

        await tester.BecomesAsync(test, "dispatched");
        await Client.BecomesAsync(live, "dispatched");
        Assert.Equal(((1, 1), (0, 0)), (await Installation.TestSandbox.CountAsync(test), await Sandbox.CountAsync(test)));
        Assert.Equal(((0, 0), (1, 1)), (await Installation.TestSandbox.CountAsync(live), await Sandbox.CountAsync(live)));
    }

    [Theory]
    [InlineData("""{"name":"x","scopes":["everything"]}""", "scopes")]
    [InlineData("""{"name":"x","scopes":[]}""", "scopes")]
    [InlineData("""{"scopes":["read"]}""", "name")]
    [InlineData("""{"name":"x","scopes":["read"],"mode":"demo"}""", "mode")]
    public async Task A_client_of_another_shape_is_refused(string body, string field) =>
        Assert.NotNull((await Client.PostRawAsync("/v1/clients", body)).IsProblem(400, "invalid_request").Json["errors"]![field]);
}
