namespace Notify.Tests.Audit;

using System.Text.Json.Nodes;
using Notify.Tests.Support;

/// <summary>An auditor replays a notification with nothing but the database and the installation's keys.</summary>
public sealed class Replay : SystemTest
{
    [Fact]
    public async Task A_notification_is_told_event_by_event_and_as_it_stood_at_any_time()
    {
        var (person, id) = await SentAsync("told");
        var all = await ReplayAsync(id);

        var types = await Client.EventTypesAsync(id);
        var lines = all.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(
            types,
            lines
                .Where(l => l.Contains("s  ", StringComparison.Ordinal) && l.Contains(": ", StringComparison.Ordinal))
                .Select(l => l.Split("s  ")[^1].Split(':')[0])
        );
        Assert.Contains($"asked for a notification to user {person.Ref}", all, StringComparison.Ordinal);
        Assert.Contains("The SMS was accepted by twilio at attempt 1", all, StringComparison.Ordinal);
        Assert.Contains("State: dispatched", all, StringComparison.Ordinal);

        Assert.Contains("State after event 1", await ReplayAsync(id, "--as-of", "1"), StringComparison.Ordinal);
        Assert.Contains("accepted, not planned", await ReplayAsync(id, "--as-of", "1"), StringComparison.Ordinal);
        var third = (await Client.EventsAsync(id))[2];
        Assert.Contains("State after event", await ReplayAsync(id, "--as-of", third.Timestamp.ToString("O")), StringComparison.Ordinal);
    }

    [Fact]
    public async Task NDJSON_replay_equals_events_of_the_API()
    {
        var (_, id) = await SentAsync("ndjson");
        var lines = (await ReplayAsync(id, "--ndjson")).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        var api = (await Client.GetAsync($"/v1/notifications/{id}/events")).Is(200).Json["events"]!.AsArray();
        Assert.Equal(api.Select(e => e!.ToJsonString()), lines.Select(l => JsonNode.Parse(l)!.ToJsonString()));
        Assert.All(api, e => Assert.EndsWith(".", e!["text"]!.ToString(), StringComparison.Ordinal));
    }

    [Fact]
    public async Task Personal_data_is_shown_only_on_request_and_never_after_erasure()
    {
        var (person, id) = await SentAsync("sealed");
        foreach (var hidden in new[] { await ReplayAsync(id), await ReplayAsync(id, "--ndjson") })
        {
            Assert.DoesNotContain(person.Phone!, hidden, StringComparison.Ordinal);
            Assert.DoesNotContain($"body of {id}", hidden, StringComparison.Ordinal);
        }

        string[] reveal = ["--reveal", "--by", "the auditor", "--reason", "complaint 7"];
        var shown = await ReplayAsync([id, .. reveal]);
        Assert.Contains(person.Phone!, shown, StringComparison.Ordinal);
        Assert.Contains($"body of {id}", shown, StringComparison.Ordinal);
        Assert.Contains($"\"userId\":\"{person.Id}\"", shown, StringComparison.Ordinal);

        (await Client.DeleteAsync($"/v1/users/{person.Id}")).Is(204);
        shown = await ReplayAsync([id, .. reveal]);
        Assert.DoesNotContain(person.Phone!, shown, StringComparison.Ordinal);
        Assert.Contains("the person was erased", shown, StringComparison.Ordinal);
        Assert.Contains("The SMS was accepted by twilio", shown, StringComparison.Ordinal); // the proof stays
        var looks = (await Client.GetAsync("/v1/accesses?limit=500")).Is(200).Json["items"]!
            .AsArray()
            .Where(a => $"{a!["target"]}" == id)
            .ToList();
        Assert.Equal(2, looks.Count);
        Assert.All(
            looks,
            a =>
                Assert.Equal(
                    ("the auditor", "complaint 7", Client.AppKey, "replay --reveal"),
                    ($"{a!["by"]}", $"{a["reason"]}", $"{a["client"]}", $"{a["operation"]}")
                )
        );
    }

    [Fact]
    public async Task Nothing_is_revealed_that_cannot_be_recorded()
    {
        var (person, id) = await SentAsync("unrecorded");

        var (exitCode, output, errors) = await RunAsync(
            [id, "--reveal", "--by", "the auditor", "--reason", "complaint 8"],
            $"{Installation.ConnectionString};Options=-c default_transaction_read_only=on"
        );

        Assert.Equal(1, exitCode);
        Assert.DoesNotContain(person.Phone!, output, StringComparison.Ordinal);
        Assert.Contains("nothing is revealed", Assert.Single(errors), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Missing_notification_is_reported_in_one_helpful_line()
    {
        var id = NewId("helps");
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    to = new { phone = "+12025550123" },
                    content = new { body = id },
                    sendAt = "2126-12-01T09:00:00Z",
                }
            )
        ).Is(202);

        await FailsAsync($"similar ones are {id}", id[..^1]);
        await FailsAsync("GET /v1/notifications lists", "nothing-is-called-like-this");
        await FailsAsync("there is no client c_nobody", id, "--client", "c_nobody");
        await FailsAsync("the stream has 1 events so far", id, "--as-of", "2");
        await FailsAsync("nothing had happened yet", id, "--as-of", "2020-01-01T00:00:00Z");
        await FailsAsync("--as-of is \"yesterday\"", id, "--as-of", "yesterday");
        Assert.Contains("to be sent at 2126-12-01 09:00:00.000Z", await ReplayAsync(id), StringComparison.Ordinal);

        using var other = await Installation.NewClientAsync(["send"]);
        (
            await other.SendAsync(
                new
                {
                    eventId = id,
                    to = new { phone = "+12025550123" },
                    content = new { body = id },
                }
            )
        ).Is(202);
        await FailsAsync("say which with --client", id);
        Assert.Contains($"Client {other.AppKey} asked", await ReplayAsync(id, "--client", other.AppKey), StringComparison.Ordinal);
    }

    private async Task<(Person Person, string Id)> SentAsync(string what)
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var id = NewId(what);
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    channels = new[] { "sms" },
                    content = new { body = $"body of {id}" },
                }
            )
        ).Is(202);
        await Client.BecomesAsync(id, "dispatched");
        return (person, id);
    }

    private async Task<string> ReplayAsync(params string[] words)
    {
        var (exitCode, output, _) = await RunAsync(words);
        Assert.True(exitCode == 0, output);
        return output;
    }

    private async Task FailsAsync(string words, params string[] arguments)
    {
        var (exitCode, output, errors) = await RunAsync(arguments);
        Assert.True(exitCode == 1, output);
        Assert.Contains(words, Assert.Single(errors), StringComparison.Ordinal);
        Assert.Equal(output.Trim(), errors[0]);
    }

    private Task<(int ExitCode, string Output, IReadOnlyList<string> Errors)> RunAsync(string[] words, string? connection = null)
    {
        var environment = new Dictionary<string, string>(TestRun.Secrets)
        {
            ["ConnectionStrings__notify"] = connection ?? Installation.ConnectionString,
        };
        return HostProcess.RunAsync(
            "replay",
            Repository.Program("Notify.Projections"),
            ["replay", .. words],
            environment,
            TestRun.Log($"replay-{Guid.NewGuid():N}")
        );
    }
}
