namespace Notify.Tests.Contract;

using System.Text.Json;
using Notify.Tests.Support;

/// <summary>Logs for machines: every line that a host writes is one JSON object, from start-up faults to the end.</summary>
public sealed class JsonLogs : SystemTest
{
    [Theory]
    [InlineData("Api")]
    [InlineData("Dispatch")]
    [InlineData("Projections")]
    public async Task Every_fault_at_start_up_is_a_line_of_JSON(string host)
    {
        var (exitCode, output, _) = await HostProcess.RunAsync(
            host,
            Repository.Program($"Notify.{host}"),
            [],
            new Dictionary<string, string> { ["Notify__JsonLogs"] = "true", ["Notify__Takeover"] = "soon" },
            TestRun.Log($"json-{Guid.NewGuid():N}")
        );
        Assert.True(exitCode == 78, output);
        var lines = Parse(output);
        Assert.True(lines.Count >= 4, output);
        Assert.All(lines, l => Assert.StartsWith("configuration: ", l.GetProperty("message").GetString(), StringComparison.Ordinal));
        Assert.All(lines, l => Assert.Equal($"notify-{host.ToLowerInvariant()}", l.GetProperty("host").GetString()));
    }

    [Fact]
    public async Task Every_line_of_a_host_that_works_is_JSON_and_names_the_trace_of_the_request_it_is_about()
    {
        var url = new Uri($"http://127.0.0.1:{HostProcess.FreePort()}");
        var environment = new Dictionary<string, string>(TestRun.Secrets)
        {
            ["ConnectionStrings__notify"] = $"{Installation.ConnectionString};Maximum Pool Size=5",
            ["ASPNETCORE_URLS"] = url.ToString(),
            ["Notify__JsonLogs"] = "true",
            ["Logging__LogLevel__Notify.Requests"] = "Debug",
        };
        var log = TestRun.Log($"json-api-{Guid.NewGuid():N}");
        const string Trace = "0af7651916cd43dd8448eb211c80319c";
        await using (var api = HostProcess.Start("json api", Repository.Program("Notify.Api"), [], environment, log))
        {
            using var client = new NotifyClient(url, null, null);
            await Eventually.Passes(async () => (await client.GetAsync("/health/ready")).Is(200), within: TimeSpan.FromSeconds(60));
            (
                await client.CallAsync(
                    HttpMethod.Get,
                    "/v1/queues",
                    shape: r => r.Headers.Add("traceparent", $"00-{Trace}-b7ad6b7169203331-01")
                )
            ).Is(401);
            api.Terminate();
            Assert.Equal(0, await api.EndAsync(TimeSpan.FromSeconds(30)));
        }

        var lines = Parse(await File.ReadAllTextAsync(log, TestContext.Current.CancellationToken));
        Assert.Contains(lines, l => l.GetProperty("message").GetString()!.StartsWith("Application started", StringComparison.Ordinal));
        var request = Assert.Single(lines, l => l.TryGetProperty("traceId", out var trace) && trace.GetString() == Trace);
        Assert.StartsWith("GET /v1/queues was answered 401 in ", request.GetProperty("message").GetString(), StringComparison.Ordinal);
    }

    private static List<JsonElement> Parse(string output)
    {
        var lines = output
            .Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(line =>
            {
                try
                {
                    return JsonDocument.Parse(line).RootElement;
                }
                catch (JsonException)
                {
                    throw new Xunit.Sdk.XunitException($"not JSON: {line}\nin:\n{output}");
                }
            })
            .ToList();
        Assert.All(
            lines,
            l =>
            {
                Assert.Equal(TimeSpan.Zero, l.GetProperty("timestamp").GetDateTimeOffset().Offset);
                Assert.Contains(
                    l.GetProperty("level").GetString(),
                    new[] { "trace", "debug", "information", "warning", "error", "critical" }
                );
                Assert.False(string.IsNullOrEmpty(l.GetProperty("message").GetString()));
            }
        );
        return lines;
    }
}
