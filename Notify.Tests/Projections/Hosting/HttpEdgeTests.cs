namespace Notify.Tests.Projections.Hosting;

using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging;
using Notify.Api.Contract;
using Notify.Infrastructure.Hosting;
using Notify.Tests.Support;

/// <summary>The edge of a host, over real connections.</summary>
public sealed class HttpEdgeTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Pages_of_operators_are_answered_at_the_management_listener_alone()
    {
        var (open, management) = (HostProcess.FreePort(), HostProcess.FreePort());
        await using var app = await StartAsync(
            $"http://127.0.0.1:{open}",
            new() { ["Notify:ManagementUrl"] = $"http://127.0.0.1:{management}" }
        );

        foreach (var path in new[] { "/metrics", "/docs", "/docs/scalar.js", "/openapi/v1.json" })
        {
            Assert.Equal(HttpStatusCode.NotFound, (await GetAsync(open, path)).StatusCode);
            // Nobody gets there by naming the other listener.
            Assert.Equal(HttpStatusCode.NotFound, (await GetAsync(open, path, r => r.Headers.Host = $"127.0.0.1:{management}")).StatusCode);
            Assert.Equal(HttpStatusCode.OK, (await GetAsync(management, path)).StatusCode);
        }

        Assert.Equal(HttpStatusCode.OK, (await GetAsync(open, "/health/ready")).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await GetAsync(management, "/health/ready")).StatusCode);
        Assert.Equal("nosniff", (await GetAsync(open, "/metrics")).Headers.GetValues("X-Content-Type-Options").Single());
    }

    [Fact]
    public async Task Trusted_proxy_tells_the_scheme_and_another_one_does_not()
    {
        var port = HostProcess.FreePort();
        await using (await StartAsync($"http://127.0.0.1:{port}", new() { ["Notify:TrustedProxies"] = "10.1.0.0/16, 127.0.0.1" }))
        {
            var answer = await GetAsync(port, "/x", Forwarded);
            Assert.Equal("max-age=31536000", answer.Headers.GetValues("Strict-Transport-Security").Single());
            Assert.False((await GetAsync(port, "/x")).Headers.Contains("Strict-Transport-Security"));
        }

        await using (await StartAsync($"http://127.0.0.1:{port}", new() { ["Notify:TrustedProxies"] = "10.1.0.0/16" }))
            Assert.False((await GetAsync(port, "/x", Forwarded)).Headers.Contains("Strict-Transport-Security"));

        static void Forwarded(HttpRequestMessage request) => request.Headers.Add("X-Forwarded-Proto", "https");
    }

    [Fact]
    public async Task Limit_of_one_address_leaves_the_others_theirs()
    {
        var port = HostProcess.FreePort();
        await using var app = await StartAsync(
            $"http://127.0.0.1:{port}",
            new() { ["Notify:TrustedProxies"] = "127.0.0.1" },
            new AddressLimit { PerSecond = 1, Burst = 3 }
        );

        var refused = await Eventually.Becomes(
            () => FromAsync("203.0.113.7"),
            a => a.StatusCode == HttpStatusCode.TooManyRequests,
            "the limit is reached"
        );
        Assert.Contains("rate_limited", await refused.Content.ReadAsStringAsync(Cancellation), StringComparison.Ordinal);
        Assert.True(refused.Headers.RetryAfter!.Delta >= TimeSpan.FromSeconds(1));
        Assert.Equal(HttpStatusCode.OK, (await FromAsync("203.0.113.8")).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await GetAsync(port, "/free", r => r.Headers.Add("X-Forwarded-For", "203.0.113.7"))).StatusCode);

        Task<HttpResponseMessage> FromAsync(string address) => GetAsync(port, "/limited", r => r.Headers.Add("X-Forwarded-For", address));
    }

    [Theory]
    [InlineData("203.0.113.7", "::ffff:203.0.113.7", true)]
    [InlineData("2001:db8:1:2:3:4:5:6", "2001:db8:1:2:ffff::1", true)]
    [InlineData("2001:db8:1:2::1", "2001:db8:1:3::1", false)]
    [InlineData("203.0.113.7", "203.0.113.8", false)]
    public void Address_counts_as_its_network(string one, string other, bool same) =>
        Assert.Equal(same, AddressLimit.KeyOf(IPAddress.Parse(one)).Equals(AddressLimit.KeyOf(IPAddress.Parse(other))));

    [Theory]
    [InlineData("Notify:ManagementUrl", "9080", "Notify:ManagementUrl is \"9080\"")]
    [InlineData("Notify:ManagementUrl", "http://127.0.0.1:5080", "Notify:ManagementUrl has the port 5080")]
    [InlineData("Notify:ManagementUrl", "http://a:1;http://b:2", "Notify:ManagementUrl is")]
    [InlineData("Notify:TrustedProxies", "10.0.0.0/8, proxy", "Notify:TrustedProxies has \"proxy\"")]
    public void Wrong_setting_is_told(string setting, string value, string told)
    {
        var (faults, urls) = (new List<string>(), "http://127.0.0.1:5080");
        HttpEdge.Read(new ConfigurationBuilder().AddInMemoryCollection([new(setting, value)]).Build(), ref urls, faults);
        Assert.StartsWith(told, Assert.Single(faults), StringComparison.Ordinal);
        Assert.Equal("http://127.0.0.1:5080", urls);
    }

    private static async Task<WebApplication> StartAsync(string urls, Dictionary<string, string?> settings, AddressLimit? limit = null)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Configuration.AddInMemoryCollection(settings);
        builder.Logging.ClearProviders();
        builder.Services.AddPublicLimit(limit ?? PublicLimit.Default);
        var faults = new List<string>();
        var edge = HttpEdge.Read(builder.Configuration, ref urls, faults);
        Assert.Empty(faults);
        builder.WebHost.UseUrls(urls.Split(';'));
        var app = builder.Build();
        edge.Use(app);
        edge.UseManagement(app);
        app.UseRateLimiter();
        app.MapGet("/limited", () => "x").RequireRateLimiting(PublicLimit.Policy);
        app.MapGet("/{*all}", () => "x");
        await app.StartAsync(Cancellation);
        return app;
    }

    private static async Task<HttpResponseMessage> GetAsync(int port, string path, Action<HttpRequestMessage>? with = null)
    {
        using var http = new HttpClient();
        using var request = new HttpRequestMessage(HttpMethod.Get, $"http://127.0.0.1:{port}{path}");
        with?.Invoke(request);
        return await http.SendAsync(request, Cancellation);
    }
}
