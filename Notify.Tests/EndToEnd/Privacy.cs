using System.Text.Json.Nodes;
using Notify.Tests.Support;

namespace Notify.Tests.EndToEnd;

/// <summary>Personal data is nowhere in the database in plain text, and nobody can decrypt it after an erasure.</summary>
public sealed class Privacy(KnobSystem knobs) : KnobTest(knobs)
{
    [Fact]
    public async Task Nothing_personal_is_in_any_table_or_queue_and_an_erasure_is_for_good()
    {
        // Given someone with all kinds of contact data, and words that stand nowhere else.
        var mark = Guid.NewGuid().ToString("N");
        var (userId, phone, email, token) = ($"u-{mark}", Person.NewPhone(), $"zephyr.{mark[..8]}@quixotic.example", Person.NewToken());
        var (title, body, key, value, url, memo) = ($"Xylophone{mark[..10]}", $"민수야 안녕 Zwieback{mark[..11]}", $"Kumquat{mark[..9]}", $"Marzipan{mark[..12]}", $"https://shop.example/Ocelot{mark[..13]}", $"Platypus{mark[..14]}");
        var (toPhone, toToken, toEmail, html) = (Person.NewPhone(), Person.NewToken(), $"mistral.{mark[..7]}@quixotic.example", $"Gherkin{mark[..15]}");
        string[] secrets =
        [
            phone, phone[1..], phone[5..], email, email.Split('@')[0], token, token[..20], title, body, $"Zwieback{mark[..11]}", "민수야 안녕", key, value, url, $"Ocelot{mark[..13]}", memo, toPhone, toPhone[5..], toToken, toEmail, toEmail.Split('@')[0], html,
        ];
        (await Client.PutAsync($"/v1/users/{userId}", new { email, phone, locale = "ko-KR", timeZone = "Asia/Seoul" })).Is(200);
        (await Client.PostAsync($"/v1/users/{userId}/devices", new { platform = "ios", token })).Is(201);
        (await Client.PutAsync($"/v1/users/{userId}/preferences", new { categories = new { news = new { sms = new { optIn = false } } } })).Is(200);
        JsonObject Request(string id) => new()
        {
            ["eventId"] = $"{mark}-{id}", ["content"] = new JsonObject { ["title"] = title, ["body"] = body, ["html"] = $"<p>{html}</p>", ["data"] = new JsonObject { [key] = value }, ["url"] = url }, ["metadata"] = new JsonObject { ["memo"] = memo },
        };
        JsonObject With(JsonObject request, string name, JsonNode what)
        {
            request[name] = what;
            return request;
        }

        // When notifications lie in queues (nobody dispatches), wait for their time, are to be retried and have been sent;
        await Installation.StopDispatchAsync();
        (await Client.SendAsync(With(Request("queued"), "userId", userId))).Is(202);
        (await Client.SendAsync(With(Request("to"), "to", new JsonObject { ["phone"] = toPhone, ["email"] = toEmail, ["device"] = new JsonObject { ["platform"] = "ios", ["token"] = toToken } }))).Is(202);
        (await Client.SendAsync(With(With(Request("later"), "userId", userId), "sendAt", TimeProvider.System.GetUtcNow().AddHours(1)))).Is(202);
        await Eventually.Becomes(() => QueuedAsync(), n => n > 0, "messages lie in a queue");
        await SearchAsync("queued");

        await Sandbox.KnobsAsync("twilio", new { errorRate = 1, errorStatus = 503, retryAfterSeconds = 2 });
        await Sandbox.KnobsAsync("sendgrid", new { errorRate = 1, errorStatus = 503, retryAfterSeconds = 2 });
        await Installation.StartDispatchAsync();
        await Eventually.Becomes(() => Client.StateAsync($"{mark}-queued"), s => s.On("push").Status == "dispatched" && s.On("sms").Status == "deferred" && s.On("email").Status == "deferred", "the push is sent, the others are to be tried again");
        await SearchAsync("deferred");
        await Sandbox.BehaveAsync();
        await Client.BecomesAsync($"{mark}-queued", "dispatched");
        await Client.BecomesAsync($"{mark}-to", "dispatched");
        Assert.Equal(6, (await Sandbox.LedgerAsync(body)).Count(e => e.IsAccepted)); // to the providers it did go out in the open
        await Eventually.Becomes(() => ListedAsync(userId), n => n == 2, "the read model has them");
        await SearchAsync("dispatched");

        // and then the person is erased while one more is to be tried again:
        await Sandbox.KnobsAsync("twilio", new { errorRate = 1, errorStatus = 503, retryAfterSeconds = 1 });
        (await Client.SendAsync(With(With(Request("last"), "userId", userId), "channels", new JsonArray("sms")))).Is(202);
        await Eventually.Becomes(() => Client.StateAsync($"{mark}-last"), s => s.On("sms").Status == "deferred", "it waits");
        (await Client.DeleteAsync($"/v1/users/{userId}")).Is(204);
        await Sandbox.BehaveAsync();

        // Then it is not sent any more, nothing of theirs can be read, and the key to it is gone;
        Assert.Equal("Erased", (await Client.BecomesAsync($"{mark}-last", "suppressed")).On("sms").Reason);
        await SearchAsync("erased");
        Assert.Equal(0, await Installation.ScalarAsync<long>("select count(*) from notify.subject_keys where subject = $1 and wrapped is not null", $"u/{userId}"));
        Assert.True(await Installation.ScalarAsync<long>("select count(*) from notify.subject_keys where subject = $1 and erased_at is not null", $"u/{userId}") > 0);
        (await Client.GetAsync($"/v1/users/{userId}")).IsProblem(404, "not_found");
        (await Client.DeleteAsync($"/v1/users/{userId}")).IsProblem(404, "not_found");

        // what was scheduled does not go out when its time comes, nor does anything new;
        (await Client.PostAsync($"/v1/notifications/{mark}-later/reschedule", new { sendAt = TimeProvider.System.GetUtcNow().AddSeconds(0.3) })).Is(200);
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
            Assert.Contains(hits, h => h.Word == userId);
            Assert.True(hits.All(h => h.Word == $"{mark}-queued" || h.Word == userId), $"{when}: {string.Join("; ", hits.Where(h => h.Word != $"{mark}-queued" && h.Word != userId))}");
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
            await DoAsync("insert into public.control (base64) values ($1)", Convert.ToBase64String(System.Text.Encoding.UTF8.GetBytes($"ab{word}c")));
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
            foreach (var p in parameters) command.Parameters.Add(new Npgsql.NpgsqlParameter { Value = p });
            await command.ExecuteNonQueryAsync(TestContext.Current.CancellationToken);
        }
    }

    // Messages that lie where nobody takes them: the queues' tables and Wolverine's own.
    private async Task<long> QueuedAsync() => (await DatabaseDump.ReadAsync(Installation))
        .Where(t => t.Key.StartsWith("queues.", StringComparison.Ordinal) || t.Key.Contains("envelope", StringComparison.Ordinal)).Sum(t => (long)t.Value.Count(c => c == '\n'));

    private async Task<long> ListedAsync(string userId) =>
        await Installation.ScalarAsync<long>("select count(*) from events.mt_doc_notificationview where user_id = $1", userId);
}
