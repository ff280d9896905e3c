namespace Notify.Tests.Telemetry;

using System.Net;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Notify.Tests.Projections;
using Notify.Tests.Support;

/// <summary>An Api of its own, of which every route was called with a marker in the place of each parameter, and in the query.</summary>
public sealed partial class WalkedApi : IAsyncLifetime
{
    /// <summary>Stands for tokens and IDs.</summary>
    public const string Marker = "mark3d";

    private readonly EmptyDatabase database = new();
    private HostProcess host = null!;

    /// <summary>The spans that came over OTLP.</summary>
    public TraceCollector Collector { get; private set; } = null!;

    /// <summary>Method and route of every operation that was called.</summary>
    public List<string> Operations { get; } = [];

    /// <summary>Every answer.</summary>
    public List<(string Request, HttpResponseMessage Answer, string Text)> Answers { get; } = [];

    /// <summary>All that the host has logged.</summary>
    public string Log => host.Tail(int.MaxValue);

    /// <inheritdoc />
    public async ValueTask InitializeAsync()
    {
        await database.InitializeAsync();
        Collector = await TraceCollector.StartAsync();
        var url = new Uri($"http://127.0.0.1:{HostProcess.FreePort()}");
        host = HostProcess.Start(
            "Api",
            Repository.Program("Notify.Api"),
            [],
            new Dictionary<string, string>(TestRun.Secrets)
            {
                ["ConnectionStrings__notify"] = database.ConnectionString + ";Maximum Pool Size=10",
                ["ASPNETCORE_URLS"] = url.ToString(),
                ["OTEL_EXPORTER_OTLP_ENDPOINT"] = Collector.Address,
                ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf",
                ["OTEL_BSP_SCHEDULE_DELAY"] = "100",
                // Settings of an operator who searches for a fault.
                ["Logging__LogLevel__Notify.Requests"] = "Debug",
                ["Logging__LogLevel__Microsoft.AspNetCore"] = "Trace",
                ["Logging__Console__LogLevel__Microsoft.AspNetCore"] = "Trace",
                ["Logging__Console__FormatterOptions__IncludeScopes"] = "true",
            },
            TestRun.Log("walked-api")
        );
        using var http = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false }) { BaseAddress = url };
        await Eventually.Holds(() => IsReadyAsync(http), "Api is ready");
        await WalkAsync(http);
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        await host.DisposeAsync();
        await Collector.DisposeAsync();
        await database.DisposeAsync();
    }

    private async Task WalkAsync(HttpClient http)
    {
        var document = JsonNode.Parse(await http.GetStringAsync("/openapi/v1.json"))!;
        foreach (var (path, item) in document["paths"]!.AsObject())
        {
            foreach (var (method, _) in item!.AsObject())
            {
                await CallAsync(http, method.ToUpperInvariant(), $"{Parameter().Replace(path, Marker)}?userId={Marker}");
                Operations.Add($"{method.ToUpperInvariant()} {path}");
            }
        }

        foreach (var nothing in new[] { $"/t/{Marker}/more", $"/{Marker}", $"/v1/users/{Marker}/nothing", "/v1/notifications?from=%00" })
            await CallAsync(http, "GET", nothing);
        await CallAsync(http, "DELETE", $"/t/{Marker}");
        foreach (var page in new[] { "/docs/", "/docs/scalar.js", "/openapi/v1.json", "/metrics" })
            await CallAsync(http, "GET", page);
    }

    private async Task CallAsync(HttpClient http, string method, string path)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path);
        var answer = await http.SendAsync(request);
        Answers.Add(($"{method} {path}", answer, await answer.Content.ReadAsStringAsync()));
    }

    private async Task<bool> IsReadyAsync(HttpClient http)
    {
        if (host.HasEnded)
            throw new InvalidOperationException(host.Tail(20));
        try
        {
            using var answer = await http.GetAsync(new Uri("/health/ready", UriKind.Relative));
            return answer.IsSuccessStatusCode;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }

    [GeneratedRegex(@"\{[^}]+\}")]
    private static partial Regex Parameter();
}

/// <summary>Every route of the Api, and the paths that it shows: to operators in traces, metrics and logs, to callers in headers.</summary>
public sealed class RoutesInTraces(WalkedApi api) : IClassFixture<WalkedApi>
{
    [Fact]
    public async Task Route_s_template_stands_for_the_path_in_the_span_of_every_route()
    {
        Assert.True(api.Operations.Count > 50, $"{api.Operations.Count} operations");
        await Eventually.Passes(() =>
        {
            var spans = api.Collector.Spans.Select(s => s.Name).ToHashSet();
            Assert.All(api.Operations, o => Assert.Contains(o, spans));
            return Task.CompletedTask;
        });
        var raw = string.Concat(api.Collector.Raw);
        Assert.Contains("/t/{token}", raw, StringComparison.Ordinal);
        Assert.DoesNotContain(WalkedApi.Marker, raw, StringComparison.Ordinal);
    }

    [Fact]
    public void Path_is_in_no_log_line_whatever_level_is_configured()
    {
        Assert.Contains("Microsoft.AspNetCore", api.Log, StringComparison.Ordinal); // the level that was asked for is logged
        Assert.Contains("GET /t/{token} was answered 404 in ", api.Log, StringComparison.Ordinal);
        Assert.DoesNotContain(WalkedApi.Marker, api.Log, StringComparison.Ordinal);
    }

    [Fact]
    public void Path_is_in_no_problem_document_and_in_no_metric()
    {
        var metrics = Assert.Single(api.Answers, a => a.Request == "GET /metrics").Text;
        Assert.Contains("http_server_request_duration_seconds", metrics, StringComparison.Ordinal);
        Assert.All(api.Answers, a => Assert.DoesNotContain(WalkedApi.Marker, a.Text, StringComparison.Ordinal));
    }

    [Fact]
    public void Every_answer_has_the_headers_that_keep_browsers_and_caches_in_bounds()
    {
        foreach (var (request, answer, _) in api.Answers)
        {
            Assert.True(answer.Headers.TryGetValues("X-Content-Type-Options", out var options) && options.Single() == "nosniff", request);
            Assert.True(answer.Headers.TryGetValues("Referrer-Policy", out var referrer) && referrer.Single() == "no-referrer", request);
            Assert.True(answer.Headers.TryGetValues("Content-Security-Policy", out var policy), request);
            Assert.StartsWith("default-src 'none';", policy!.Single(), StringComparison.Ordinal);
            Assert.False(answer.Headers.Contains("Strict-Transport-Security"), request); // over https alone
            if (request.Contains(" /v1/", StringComparison.Ordinal))
                Assert.True(answer.Headers.CacheControl?.NoStore, request);
        }

        Assert.Contains(api.Answers, a => a.Answer.StatusCode == HttpStatusCode.NotFound);
        Assert.Contains(api.Answers, a => a.Answer.StatusCode == HttpStatusCode.Unauthorized);
        Assert.Contains(api.Answers, a => a.Answer.StatusCode == HttpStatusCode.MethodNotAllowed);
    }
}
