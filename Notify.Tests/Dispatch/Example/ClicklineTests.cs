namespace Notify.Tests.Dispatch.Example;

using System.Text.Json.Nodes;
using Microsoft.Extensions.Configuration;
using Notify.Dispatch.Providers;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Tests.Support;
using static Notify.Tests.Dispatch.ScriptedServer;

/// <summary>The example of docs/adapters.md works as the page says.</summary>
public sealed class ClicklineTests
{
    [Fact]
    public void The_page_shows_this_very_code()
    {
        var page = File.ReadAllText(Path.Combine(Repository.Root, "docs", "adapters.md"));
        Assert.Contains(
            File.ReadAllText(Path.Combine(Repository.Root, "Notify.Tests", "Dispatch", "Example", "ClicklineProvider.cs")).Trim(),
            page,
            StringComparison.Ordinal
        );
    }

    public static TheoryData<int, string, AttemptOutcome> Table =>
        new()
        {
            { 202, """{"id":"m-1"}""", new AttemptOutcome.Accepted("m-1") },
            { 202, "?", new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
            { 200, """{"id":"m-1"}""", new AttemptOutcome.Unknown(Reasons.UnreadableAnswer) },
            { 401, "", new AttemptOutcome.Halted("401") },
            { 400, """{"code":"unknown_sender"}""", new AttemptOutcome.Halted("unknown_sender") },
            { 400, """{"code":"bad_number"}""", new AttemptOutcome.Rejected(Reasons.BadAddress, "bad_number") },
            {
                400,
                """{"code":"opted_out"}""",
                new AttemptOutcome.Rejected(Reasons.OptedOutAtProvider, "opted_out", AddressVerdict.Suppress)
            },
            { 400, """{"code":"too_rude"}""", new AttemptOutcome.Rejected(Reasons.Rejected, "too_rude") },
            { 429, "", new AttemptOutcome.Retry(Reasons.Retry, "429", TimeSpan.FromSeconds(7)) },
            { 503, """{"code":"maintenance"}""", new AttemptOutcome.Retry(Reasons.Retry, "maintenance", TimeSpan.FromSeconds(7)) },
            { 503, "", new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
            { 504, "", new AttemptOutcome.Unknown(Reasons.GatewayAnswered) },
        };

    [Theory]
    [MemberData(nameof(Table))]
    public async Task Each_answer_is_an_outcome(int status, string body, AttemptOutcome expected)
    {
        await using var server = await Http1Async(Answer(status, body, ("Retry-After", "7")));
        Assert.Equal(expected, await SendAsync(server.Url));
        var request = Assert.Single(server.Received);
        Assert.Equal("Bearer key", request.Headers["authorization"]);
        Assert.Equal("+12025550123", JsonNode.Parse(request.Body)!["to"]!.ToString());
    }

    [Fact]
    public async Task Unsent_message_is_retried_and_possibly_accepted_message_is_unknown()
    {
        Assert.IsType<AttemptOutcome.Retry>(await SendAsync(new Uri($"http://127.0.0.1:{ClosedPort()}")));
        await using var breaks = await Http1Async(Break);
        Assert.Equal(new AttemptOutcome.Unknown(Reasons.ConnectionLost), await SendAsync(breaks.Url));
        await using var silent = await Http1Async(Silence);
        Assert.Equal(new AttemptOutcome.Unknown(Reasons.TimedOut), await SendAsync(silent.Url));
    }

    [Fact]
    public void Wrong_settings_are_all_named()
    {
        var faults = new List<string>();
        Assert.Null(ClicklineProvider.Create(Section(new() { ["Concurrency"] = "0" }), TimeProvider.System, faults));
        Assert.Equal(
            ["Providers:Clickline:Concurrency", "Providers:Clickline:ApiKey", "Providers:Clickline:From"],
            faults.Select(f => f.Split(' ')[0])
        );
    }

    private static async Task<AttemptOutcome> SendAsync(Uri url)
    {
        var faults = new List<string>();
        var provider = ClicklineProvider.Create(
            Section(
                new()
                {
                    ["ApiKey"] = "key",
                    ["From"] = "+12025550100",
                    ["BaseUrl"] = url.ToString(),
                    ["Timeout"] = "00:00:00.5",
                }
            ),
            TimeProvider.System,
            faults
        );
        Assert.Empty(faults);
        using var disposable = provider as IDisposable;
        return await provider!.SendAsync(
            new OutboundMessage(Guid.NewGuid(), "+12025550123", new NotificationContent(null, "Hello"), Priority.Normal, null),
            CancellationToken.None
        );
    }

    private static IConfigurationSection Section(Dictionary<string, string?> settings) =>
        new ConfigurationBuilder()
            .AddInMemoryCollection(settings.ToDictionary(s => $"Providers:Clickline:{s.Key}", s => s.Value))
            .Build()
            .GetSection("Providers:Clickline");
}
