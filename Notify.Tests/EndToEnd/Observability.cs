namespace Notify.Tests.EndToEnd;

using Notify.Tests.Support;

/// <summary>Health, metrics and logs for operators, without personal data or secrets.</summary>
public sealed class Observability : SystemTest
{
    [Fact]
    public async Task Every_host_is_live_and_ready_and_publishes_its_metrics()
    {
        var person = await Installation.NewPersonAsync();
        var id = NewId("metrics");
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
        await Client.BecomesAsync(id, "dispatched");

        foreach (
            var (url, metrics) in new (Uri, string[])[]
            {
                (
                    Installation.ApiUrl,
                    ["notify_accepted_total", "notify_commits_total", "notify_envelopes_total", "http_server_request_duration_seconds"]
                ),
                (
                    Installation.DispatchUrl,
                    ["notify_outcomes_total", "notify_provider_call_seconds", "notify_accept_to_provider_seconds", "notify_commits_total"]
                ),
                (Installation.ProjectionsUrl, ["notify_queue_depth", "notify_queue_oldest_age_seconds"]),
            }
        )
        {
            using var host = new NotifyClient(url, null, null);
            (await host.GetAsync("/health/live")).Is(200);
            (await host.GetAsync("/health/ready")).Is(200);
            await Eventually.Passes(async () =>
            {
                var text = (await host.GetAsync("/metrics")).Is(200).Text;
                Assert.All(metrics, m => Assert.Contains($"\n{m}", text, StringComparison.Ordinal));
                Assert.DoesNotContain(person.Phone!, text, StringComparison.Ordinal);
                Assert.DoesNotContain(person.Tokens[0], text, StringComparison.Ordinal);
                Assert.DoesNotContain(person.Id, text, StringComparison.Ordinal);
                Assert.DoesNotContain(id, text, StringComparison.Ordinal);
            });
        }
    }

    [Fact]
    public async Task Queues_and_waiting_times_are_metrics_by_channel_and_priority()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var id = NewId("waiting");
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    priority = "critical",
                    content = new { body = id },
                }
            )
        ).Is(202);
        await Client.BecomesAsync(id, "dispatched");

        await MetricsHaveAsync(
            Installation.DispatchUrl,
            """^notify_accept_to_provider_seconds_bucket\{[^}]*channel="sms"[^}]*lane="sms"[^}]*priority="critical"[^}]*le="0\.005"\} \d""",
            """^notify_accept_to_provider_seconds_bucket\{[^}]*channel="sms"[^}]*le="3600"\} [1-9]""",
            """^notify_accept_to_provider_seconds_count\{[^}]*channel="sms"[^}]*priority="critical"[^}]*\} [1-9]"""
        );
        await MetricsHaveAsync(
            Installation.ProjectionsUrl,
            """^notify_queue_depth\{[^}]*channel="push"[^}]*lane="apns"[^}]*priority="bulk"[^}]*state="ready"\} \d""",
            """^notify_queue_depth\{[^}]*channel="sms"[^}]*state="in_flight"\} \d""",
            """^notify_queue_depth\{[^}]*channel="sms"[^}]*state="retrying"\} \d""",
            """^notify_queue_depth\{[^}]*channel="email"[^}]*state="dead"\} \d""",
            """^notify_queue_oldest_age_seconds\{[^}]*channel="email"[^}]*lane="email"[^}]*priority="normal"\} \d"""
        );
    }

    private static async Task MetricsHaveAsync(Uri url, params string[] lines)
    {
        using var host = new NotifyClient(url, null, null);
        await Eventually.Passes(async () =>
        {
            // The exporter adds labels of its own, such as the meter's name.
            var text = (await host.GetAsync("/metrics")).Is(200).Text.Split('\n');
            Assert.All(lines, l => Assert.Contains(text, t => System.Text.RegularExpressions.Regex.IsMatch(t, l)));
        });
    }

    [Fact]
    public async Task Logs_hold_no_number_no_token_no_text_and_no_secret_whatever_happens()
    {
        var person = await Installation.NewPersonAsync(token: _ => Person.NewToken("eeee"));
        var (id, words, email) = (NewId("log"), $"Xanadu-{Guid.NewGuid():N}", $"kubla.{Guid.NewGuid():N}@khan.example");
        using var client = await Installation.NewClientAsync(["send", "read"]);

        // Successes, failures for now and for good, an unknown outcome, and requests that are refused.
        (await Client.PutAsync($"/v1/users/{person.Id}", new { email, person.Phone })).Is(200);
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    content = new
                    {
                        title = words,
                        body = words,
                        url = $"https://x.example/{words}",
                    },
                }
            )
        ).Is(202);
        (
            await Client.SendAsync(
                new
                {
                    eventId = $"{id}-bad",
                    to = new { phone = "+15005550001" },
                    content = new { body = words },
                }
            )
        ).Is(202);
        (
            await Client.SendAsync(
                new
                {
                    eventId = $"{id}-unknown",
                    to = new { phone = "+15005550099" },
                    content = new { body = words },
                }
            )
        ).Is(202);
        (
            await Client.SendAsync(
                new
                {
                    eventId = $"{id}-email",
                    to = new { email = $"invalid.{email}" },
                    content = new { body = words, html = words },
                }
            )
        ).Is(202);
        (
            await Client.SendAsync(
                new
                {
                    eventId = $"{id}-dead",
                    to = new { device = new { platform = "ios", token = Person.NewToken("dead") } },
                    content = new { body = words },
                }
            )
        ).Is(202);
        (await Client.PostRawAsync("/v1/notifications", $"{{\"eventId\":\"{words}\",\"to\":{{\"phone\":\"{person.Phone}")).Is(400);
        (await Client.PutAsync($"/v1/users/{person.Id}", new { email = words, phone = words })).Is(400);
        (await client.GetAsync($"/v1/users/{person.Id}")).Is(403);
        using (var wrong = new NotifyClient(Installation.ApiUrl, client.AppKey, words))
            (await wrong.GetAsync("/v1/notifications")).Is(401);
        await Eventually.Becomes(
            () => Client.StateAsync(id),
            s => s.On("push").Status == "deadLettered" && s.On("sms").Status == "dispatched",
            "all has happened"
        );
        await Client.BecomesAsync($"{id}-bad", "failed");
        await Client.BecomesAsync($"{id}-email", "failed");
        await Client.BecomesAsync($"{id}-unknown", "dispatched");

        var logs = await Installation.LogsAsync();
        foreach (
            var secret in new[]
            {
                person.Phone!,
                person.Phone![3..],
                "5005550001",
                email,
                words,
                TestRun.Secrets["Notify__Pepper"],
                TestRun.Secrets["Notify__MasterKeys__1"],
            }.Concat(Person.EveryToken)
        )
            Assert.DoesNotContain(secret, logs, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("Application started", logs, StringComparison.Ordinal); // these are the logs
    }
}
