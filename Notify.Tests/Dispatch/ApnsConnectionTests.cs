namespace Notify.Tests.Dispatch;

using System.Collections.Concurrent;
using System.Security.Cryptography;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.Apns;
using Notify.Domain.Channels;
using Notify.Domain.Content;

/// <summary>Few connections, kept for long; what Apple does to them costs no push.</summary>
public sealed class ApnsConnectionTests : IAsyncDisposable
{
    private readonly ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private RawHttp2Server? server;
    private ApnsProvider? provider;

    public async ValueTask DisposeAsync()
    {
        provider?.Dispose();
        key.Dispose();
        if (server is not null)
            await server.DisposeAsync();
    }

    [Fact]
    public async Task Pushes_beyond_goaway_are_sent_again_and_earlier_ones_are_answered()
    {
        var answered = new ConcurrentBag<(int, int)>();
        Serve(
            async c =>
            {
                if (c.Number > 1)
                {
                    answered.Add((c.Number, c.Requests[^1]));
                    await c.AnswerAsync(c.Requests[^1]);
                }
                else if (c.Requests.Count == 10)
                {
                    var looked = c.Requests.Order().Take(5).ToList(); // and at no more; they need not have come whole in this order
                    await c.GoAwayAsync(looked[^1]);
                    foreach (var id in looked)
                    {
                        answered.Add((1, id));
                        await c.AnswerAsync(id);
                    }
                }
            },
            connections: 1
        );

        Assert.All(await SendAsync(10), o => Assert.IsType<AttemptOutcome.Accepted>(o));
        Assert.Equal(10, answered.Count); // no push was looked at twice
        Assert.Equal(5, answered.Count(a => a.Item1 == 1));
        Assert.Equal(2, server!.Connections);
    }

    [Fact]
    public async Task A_connection_that_ended_while_idle_costs_nothing()
    {
        Serve(
            async c =>
            {
                await c.AnswerAsync(c.Requests[^1]);
                await c.GoAwayAsync(c.Requests[^1]);
                await c.ShutdownAsync();
            },
            connections: 1
        );
        for (var i = 1; i <= 5; i++)
        {
            Assert.All(await SendAsync(1), o => Assert.IsType<AttemptOutcome.Accepted>(o));
            await server!.ClosedAsync();
            Assert.Equal(i, server.Connections);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(4)]
    public async Task However_few_streams_Apple_allows_at_first_there_are_no_more_connections_than_configured(int connections)
    {
        Serve(
            async c =>
            {
                await c.AnswerAsync(c.Requests[^1]);
                if (c.Requests.Count == 1)
                    await c.SettingsAsync(1000); // its token is good
            },
            connections,
            firstStreams: 1
        );
        Assert.All(await SendAsync(200), o => Assert.IsType<AttemptOutcome.Accepted>(o));
        Assert.All(await SendAsync(200), o => Assert.IsType<AttemptOutcome.Accepted>(o));
        Assert.Equal(connections, server!.Connections);
    }

    private void Serve(Func<RawHttp2Server.Connection, Task> onRequest, int connections, int? firstStreams = null)
    {
        server = new RawHttp2Server(onRequest, firstStreams);
        provider = new ApnsProvider(
            new ApnsOptions
            {
                TeamId = "TEAMID1234",
                KeyId = "KEYID67890",
                Topic = "com.example.app",
                BaseUrl = server.Url,
                TrustedCaPath = ScriptedServer.Certificate.CaPath,
                Timeout = TimeSpan.FromSeconds(20),
                Connections = connections,
            },
            key,
            TimeProvider.System
        );
    }

    private Task<AttemptOutcome[]> SendAsync(int count) =>
        Task.WhenAll(
            Enumerable
                .Range(0, count)
                .Select(_ =>
                    provider!.SendAsync(
                        new OutboundMessage(
                            Guid.NewGuid(),
                            "5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f",
                            new NotificationContent("t", "b"),
                            Priority.Normal,
                            null
                        ),
                        TestContext.Current.CancellationToken
                    )
                )
        );
}
