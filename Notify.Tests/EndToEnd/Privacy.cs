namespace Notify.Tests.EndToEnd;

using System.Buffers.Text;
using System.Text;
using System.Text.Json.Nodes;
using Notify.Tests.Support;

/// <summary>Personal data is nowhere in the database in plain text, and nobody can decrypt it after an erasure.</summary>
public sealed class Privacy(KnobSystem knobs) : KnobTest(knobs)
{
    [Fact]
    public async Task Nothing_personal_is_in_any_table_or_queue_and_an_erasure_is_for_good()
    {
        // Given someone with all kinds of contact data, and words that stand nowhere else.
        var mark = Guid.NewGuid().ToString("N");
        var (userId, phone, email, token) = ($"u-{mark}", Person.NewPhone(), $"zephyr.{mark[..8]}@quixotic.example", Person.NewToken());
        var (title, body, key, value, url, memo) = (
            $"Xylophone{mark[..10]}",
            $"민수야 안녕 Zwieback{mark[..11]}",
            $"Kumquat{mark[..9]}",
            $"Marzipan{mark[..12]}",
            $"https://shop.example/Ocelot{mark[..13]}",
            $"Platypus{mark[..14]}"
        );
        var (toPhone, toToken, toEmail, html) = (
            Person.NewPhone(),
            Person.NewToken(),
            $"mistral.{mark[..7]}@quixotic.example",
            $"Gherkin{mark[..15]}"
        );
        string[] secrets =
        [
            phone,
            phone[1..],
            phone[5..],
            email,
            email.Split('@')[0],
            token,
            token[..20],
            title,
            body,
            $"Zwieback{mark[..11]}",
            "민수야 안녕",
            key,
            value,
            url,
            $"Ocelot{mark[..13]}",
            memo,
            toPhone,
            toPhone[5..],
            toToken,
            toEmail,
            toEmail.Split('@')[0],
            html,
        ];
        (
            await Client.PutAsync(
                $"/v1/users/{userId}",
                new
                {
                    email,
                    phone,
                    locale = "ko-KR",
                    timeZone = "Asia/Seoul",
                }
            )
        ).Is(200);
        (await Client.PostAsync($"/v1/users/{userId}/devices", new { platform = "ios", token })).Is(201);
        (
            await Client.PutAsync(
                $"/v1/users/{userId}/preferences",
                new { categories = new { news = new { sms = new { optIn = false } } } }
            )
        ).Is(200);
        JsonObject Request(string id) =>
            new()
            {
                ["eventId"] = $"{mark}-{id}",
                ["content"] = new JsonObject
                {
                    ["title"] = title,
                    ["body"] = body,
                    ["html"] = $"<p>{html}</p>",
                    ["data"] = new JsonObject { [key] = value },
                    ["url"] = url,
                },
                ["metadata"] = new JsonObject { ["memo"] = memo },
            };
        JsonObject With(JsonObject request, string name, JsonNode what)
        {
            request[name] = what;
            return request;
        }

        // When notifications lie in queues (nobody dispatches), wait for their time, are to be retried and have been sent;
        await Installation.StopDispatchAsync();
        (await Client.SendAsync(With(Request("queued"), "userId", userId))).Is(202);
        (
            await Client.SendAsync(
                With(
                    Request("to"),
                    "to",
                    new JsonObject
                    {
                        ["phone"] = toPhone,
                        ["email"] = toEmail,
                        ["device"] = new JsonObject { ["platform"] = "ios", ["token"] = toToken },
                    }
                )
            )
        ).Is(202);
        (await Client.SendAsync(With(With(Request("later"), "userId", userId), "sendAt", TimeProvider.System.GetUtcNow().AddHours(1)))).Is(
            202
        );
        await Eventually.Becomes(() => QueuedAsync(), n => n > 0, "messages lie in a queue");
        await SearchAsync("queued");

        await Sandbox.KnobsAsync(
            "twilio",
            new
            {
                errorRate = 1,
                errorStatus = 503,
                retryAfterSeconds = 2,
            }
        );
        await Sandbox.KnobsAsync(
            "sendgrid",
            new
            {
                errorRate = 1,
                errorStatus = 503,
                retryAfterSeconds = 2,
            }
        );
        await Installation.StartDispatchAsync();
        await Eventually.Becomes(
            () => Client.StateAsync($"{mark}-queued"),
            s => s.On("push").Status == "dispatched" && s.On("sms").Status == "deferred" && s.On("email").Status == "deferred",
            "the push is sent, the others are to be tried again"
        );
        await SearchAsync("deferred");
        await Sandbox.BehaveAsync();
        await Client.BecomesAsync($"{mark}-queued", "dispatched");
        await Client.BecomesAsync($"{mark}-to", "dispatched");
        Assert.Equal(6, (await Sandbox.LedgerAsync(body)).Count(e => e.IsAccepted)); // to the providers it did go out in the open
        await Eventually.Becomes(() => ListedAsync(userId), n => n == 2, "the read model has them");
        await SearchAsync("dispatched");

        // and then the person is erased while one more is to be tried again:
        await Sandbox.KnobsAsync(
            "twilio",
            new
            {
                errorRate = 1,
                errorStatus = 503,
                retryAfterSeconds = 5,
            }
        );
        var unregistered = new JsonObject { ["phone"] = toPhone, ["email"] = toEmail };
        (await Client.SendAsync(With(With(Request("last"), "userId", userId), "channels", new JsonArray("sms")))).Is(202);
        (await Client.SendAsync(With(With(Request("last-to"), "to", unregistered), "channels", new JsonArray("sms")))).Is(202);
        foreach (var id in new[] { $"{mark}-last", $"{mark}-last-to" })
            await Eventually.Becomes(() => Client.StateAsync(id), s => s.On("sms").Status == "deferred", "it waits");
        (await Client.DeleteAsync($"/v1/users/{userId}")).Is(204);
        Assert.Equal("1", (await Client.PostAsync("/v1/erasures", new { email = toEmail })).Is(200)["keys"]);
        await Sandbox.BehaveAsync();

        // Then it is not sent any more, nothing of theirs can be read, and the key to it is gone;
        Assert.Equal("Erased", (await Client.BecomesAsync($"{mark}-last", "suppressed")).On("sms").Reason);
        Assert.Equal("Erased", (await Client.BecomesAsync($"{mark}-last-to", "suppressed")).On("sms").Reason);
        await SearchAsync("erased");
        Assert.Equal(
            0,
            await Installation.ScalarAsync<long>(
                "select count(*) from notify.subject_keys where subject = $1 and wrapped is not null",
                UserRefs.KeyOf(userId)
            )
        );
        Assert.True(
            await Installation.ScalarAsync<long>(
                "select count(*) from notify.subject_keys where subject = $1 and erased_at is not null",
                UserRefs.KeyOf(userId)
            ) > 0
        );
        (await Client.GetAsync($"/v1/users/{userId}")).IsProblem(404, "not_found");
        (await Client.DeleteAsync($"/v1/users/{userId}")).IsProblem(404, "not_found");

        // what was scheduled does not go out when its time comes, nor does anything new;
        (
            await Client.PostAsync(
                $"/v1/notifications/{mark}-later/reschedule",
                new { sendAt = TimeProvider.System.GetUtcNow().AddSeconds(0.3) }
            )
        ).Is(200);
        Assert.All((await Client.BecomesAsync($"{mark}-later", "suppressed")).Deliveries, d => Assert.Equal("Erased", d.Reason));
        (await Client.SendAsync(With(Request("after"), "userId", userId))).Is(202);
        Assert.All((await Client.BecomesAsync($"{mark}-after", "suppressed")).Deliveries, d => Assert.Equal("Erased", d.Reason));

        // the proof remains;
        Assert.Equal("NotificationRequested", (await Client.EventsAsync($"{mark}-queued"))[0].Type);
        Assert.Equal("dispatched", (await Client.StateAsync($"{mark}-queued")).Status);

        // and who comes back under the same ID is someone new.
        var newPhone = Person.NewPhone();
        (await Client.PutAsync($"/v1/users/{userId}", new { phone = newPhone })).Is(200);
        (await Client.SendAsync(With(With(Request("again"), "userId", userId), "channels", new JsonArray("sms")))).Is(202);
        await Client.BecomesAsync($"{mark}-again", "dispatched");
        Assert.Equal(newPhone, (await Sandbox.LedgerAsync(body, "twilio"))[^1].To);

        async Task SearchAsync(string when)
        {
            var hits = await DatabaseDump.SearchAsync(Installation, [.. secrets, $"{mark}-queued", userId]);
            // The search finds what does stand there in the open: so it would have found the rest.
            Assert.Contains(hits, h => h.Word == $"{mark}-queued" && h.Table == "events.mt_events");
            var found = hits.Where(h => h.Word != $"{mark}-queued").ToList();
            Assert.True(found.Count == 0, $"{when}: {string.Join("; ", found)}");
        }
    }

    [Fact]
    public async Task User_ID_is_in_no_table_and_no_log_and_an_erasure_destroys_it()
    {
        // Given users whose IDs say who they are, and everything that knows a user.
        var mark = Guid.NewGuid().ToString("N")[..20];
        var (one, two, three) = ($"Oblomov.{mark}", $"Stolz.{mark}", $"Pshenitsyna.{mark}");
        var (topic, category, mailed) = (NewId("readers"), $"collected-{mark}", $"letters-{mark}");
        (await Client.PutAsync($"/v1/categories/{category}", new { digest = new { windowSeconds = 3600 } })).Is(200);
        (await Client.PutAsync($"/v1/users/{one}", new { email = Person.NewEmail(), locale = "ko-KR" })).Is(200);
        (await Client.PostAsync($"/v1/users/{one}/devices", new { platform = "ios", token = Person.NewToken() })).Is(201);
        (await Client.PutAsync($"/v1/users/{two}/preferences", new { channels = new { sms = new { optIn = false } } })).Is(200);
        var line = $$"""{"userId":"{{three}}","devices":[{"platform":"ios","token":"{{Person.NewToken()}}"}]}""";
        var lines = new StringContent(line, System.Text.Encoding.UTF8, "application/x-ndjson");
        Assert.Equal("1", (await Client.CallAsync(HttpMethod.Post, "/v1/users/import", lines)).Is(200)["imported"]);
        (await Client.PutAsync($"/v1/topics/{topic}", new { name = "Readers" })).Is(200);
        var unknown = $"Nobody.{mark}";
        var added = (await Client.PostAsync($"/v1/topics/{topic}/subscribers", new { userIds = new[] { one, two, unknown } })).Is(200);
        Assert.Equal(("2", unknown), (added["joined"], Assert.Single(added.Json["unknown"]!.AsArray())!.ToString()));
        (await Client.PutAsync($"/v1/topics/{topic}/subscribers/{three}", new { })).Is(204);
        var token = (
            await Client.PostAsync(
                "/v1/client-tokens",
                new
                {
                    userId = one,
                    ttlSeconds = 60,
                    allow = new[] { "devices" },
                }
            )
        ).Is(201);
        Assert.DoesNotContain(
            mark,
            Encoding.UTF8.GetString(Base64Url.DecodeFromChars(token["token"]!.Split('.')[1])),
            StringComparison.Ordinal
        );

        // When they are sent to in every way, look it up themselves, and unsubscribe;
        var (letter, collected, broadcast) = (NewId("letter"), NewId("collected"), NewId("broadcast"));
        foreach (var (id, user, kind) in new[] { (letter, one, mailed), (collected, one, category), ($"{collected}-2", unknown, category) })
            (
                await Client.SendAsync(
                    new
                    {
                        eventId = id,
                        userId = user,
                        category = kind,
                        content = new { title = id, body = id },
                    }
                )
            ).Is(202);
        (
            await Client.PostAsync(
                "/v1/broadcasts",
                new
                {
                    broadcastId = broadcast,
                    topic,
                    content = new { title = broadcast },
                }
            )
        ).Is(202);
        foreach (var user in new[] { one, two, three })
            await Eventually.Holds(
                async () => (await Client.GetAsync($"/v1/notifications/{broadcast}@{user}")).Status == 200,
                "it is made"
            );
        await Client.BecomesAsync(letter, "dispatched");
        var mail = (await Sandbox.LedgerAsync(letter)).Single(e => e.Provider == "sendgrid");
        using (var nobody = new NotifyClient(Installation.ApiUrl, null, null))
        {
            var form = new FormUrlEncodedContent([new("List-Unsubscribe", "One-Click")]);
            (await nobody.CallAsync(HttpMethod.Post, $"/u/{Unsubscribing.TokenIn(mail)}", form)).Is(200);
        }

        // then their IDs are in the answers, and nowhere else;
        var listed = await Eventually.Becomes(
            () => ItemsAsync($"/v1/users/{one}/notifications"),
            i => i.Count >= 4,
            "the read model has them"
        );
        Assert.All(listed, n => Assert.Equal(one, n!["userId"]!.ToString()));
        Assert.Equal(listed.Count, (await ItemsAsync($"/v1/notifications?userId={one}")).Count);
        Assert.Equal(one, (await Client.GetAsync($"/v1/users/{one}")).Is(200)["userId"]);
        Assert.Equal(unknown, (await Client.StateAsync($"{collected}-2")).Json["userId"]!.ToString());
        var mine = (await Client.StateAsync($"{broadcast}@{one}")).Json;
        Assert.Equal((one, $"{broadcast}@{UserRefs.Of(one)}"), (mine["userId"]!.ToString(), mine["eventId"]!.ToString()));
        Assert.Equal(mine["eventId"]!.ToString(), (await Client.StateAsync(mine["eventId"]!.ToString())).Json["eventId"]!.ToString());
        Assert.Contains(one, await LookedAtAsync());
        await SearchAsync("sent");

        // and after the erasure in no answer either.
        (await Client.DeleteAsync($"/v1/users/{one}")).Is(204);
        (await Client.DeleteAsync($"/v1/users/{unknown}")).Is(204);
        Assert.Null((await Client.StateAsync(letter)).Json["userId"]);
        Assert.Null((await Client.StateAsync($"{collected}-2")).Json["userId"]);
        Assert.All(await ItemsAsync($"/v1/users/{one}/notifications"), n => Assert.Null(n!["userId"]));
        var looks = await LookedAtAsync();
        Assert.Contains(UserRefs.Of(one), looks);
        Assert.DoesNotContain(one, looks);
        Assert.Equal(
            0,
            await Installation.ScalarAsync<long>(
                "select count(*) from notify.subject_keys where subject = any($1) and (wrapped is not null or sealed_user_id is not null)",
                (object)new[] { UserRefs.KeyOf(one), UserRefs.KeyOf(unknown) }
            )
        );
        await SearchAsync("erased");

        async Task<JsonArray> ItemsAsync(string path) => (await Client.GetAsync(path)).Is(200).Json["items"]!.AsArray();

        async Task<List<string?>> LookedAtAsync() =>
            [.. (await ItemsAsync("/v1/accesses?limit=500")).Select(a => a!["target"]?.ToString())];

        async Task SearchAsync(string when)
        {
            var hits = await DatabaseDump.SearchAsync(Installation, [one, two, three, unknown, letter]);
            Assert.Contains(hits, h => h.Word == letter); // the search finds what does stand there in the open
            Assert.True(hits.All(h => h.Word == letter), $"{when}: {string.Join("; ", hits.Where(h => h.Word != letter))}");
            var logs = await Installation.LogsAsync();
            Assert.All(new[] { one, two, three, unknown }, u => Assert.DoesNotContain(u, logs, StringComparison.OrdinalIgnoreCase));
        }
    }

    [Fact]
    public async Task The_search_finds_words_in_binary_columns_in_base64_and_escaped()
    {
        var word = $"Bandersnatch-{Guid.NewGuid():N}";
        await DoAsync("create table public.control (plain text, binary_ bytea, base64 text, escaped text)");
        try
        {
            await DoAsync("insert into public.control (plain) values ($1)", $"x{word}y".ToUpperInvariant());
            await DoAsync("insert into public.control (binary_) values ($1)", System.Text.Encoding.UTF8.GetBytes($"{{\"a\":\"{word}\"}}"));
            await DoAsync(
                "insert into public.control (base64) values ($1)",
                Convert.ToBase64String(System.Text.Encoding.UTF8.GetBytes($"ab{word}c"))
            );
            await DoAsync("insert into public.control (escaped) values ($1)", "\\ubbfc\\uc218 안녕");

            var hits = await DatabaseDump.SearchAsync(Installation, [word, "민수"]);

            Assert.Equal(["base64", "plain", "plain, in binary"], hits.Where(h => h.Word == word).Select(h => h.Guise).Distinct().Order());
            Assert.Equal("escaped", Assert.Single(hits, h => h.Word == "민수").Guise);
            Assert.All(hits, h => Assert.Equal("public.control", h.Table));
        }
        finally
        {
            await DoAsync("drop table public.control");
        }

        async Task DoAsync(string sql, params object[] parameters)
        {
            await using var command = Installation.Database.CreateCommand(sql);
            foreach (var p in parameters)
                command.Parameters.Add(new Npgsql.NpgsqlParameter { Value = p });
            await command.ExecuteNonQueryAsync(TestContext.Current.CancellationToken);
        }
    }

    // Messages that lie where nobody takes them: the queues' tables and Wolverine's own.
    private async Task<long> QueuedAsync() =>
        (await DatabaseDump.ReadAsync(Installation))
            .Where(t => t.Key.StartsWith("queues.", StringComparison.Ordinal) || t.Key.Contains("envelope", StringComparison.Ordinal))
            .Sum(t => (long)t.Value.Count(c => c == '\n'));

    private async Task<long> ListedAsync(string userId) =>
        await Installation.ScalarAsync<long>("select count(*) from events.mt_doc_notificationview where user_id = $1", UserRefs.Of(userId));
}
