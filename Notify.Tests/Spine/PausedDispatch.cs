namespace Notify.Tests.Spine;

using Notify.Tests.Dispatch;
using Notify.Tests.Support;

/// <summary>A Dispatch host that is paused between its claims and their calls, and goes on when other hosts have its work.</summary>
public abstract class PausedDispatch(NotifySystem system) : SpineTest(system)
{
    private const int Count = 40;

    [Fact]
    public async Task A_host_that_wakes_after_its_lease_has_ended_sends_nothing()
    {
        var (mark, people) = (NewId("paused"), new List<Person>());
        for (var i = 0; i < 4; i++)
            people.Add(await Installation.NewPersonAsync(phone: false));
        await using var apns = new HeldConnections(new Uri(Installation.Environment(Installation.ApiUrl)["Providers__Apns__BaseUrl"]));
        await using var twilio = new HeldConnections(Installation.SandboxUrl, ScriptedServer.Certificate.Server);
        await Installation.StopDispatchAsync();
        var paused = await Installation.StartDispatchAsync(
            Patient("Apns", apns.Url)
                .Concat(Patient("Twilio", twilio.Url))
                .Append(new("SSL_CERT_FILE", ScriptedServer.Certificate.CaPath))
                .ToDictionary()
        );
        try
        {
            // Everything is claimed by a host that waits for its connections, when it stops.
            await Sandbox.KnobsAsync(
                "apns",
                new
                {
                    errorRate = 1,
                    errorStatus = 503,
                    retryAfterSeconds = 60,
                }
            );
            var expiresAt = TimeProvider.System.GetUtcNow().AddSeconds(25);
            await SendAsync(i => new
            {
                eventId = $"{mark}-cancelled-{i}",
                userId = people[i % 4].Id,
                content = new { title = $"{mark}-cancelled-{i}" },
            });
            await SendAsync(i => new
            {
                eventId = $"{mark}-expired-{i}",
                userId = people[i % 4].Id,
                expiresAt,
                content = new { title = $"{mark}-expired-{i}" },
            });
            await SendAsync(i => new
            {
                eventId = $"{mark}-sms-{i}",
                to = new { phone = Person.NewPhone() },
                content = new { body = $"{mark}-sms-{i}" },
            });
            await IsOpenAsync(mark, "state = 1", 3 * Count, "all are claimed");
            paused.Pause();
            Assert.Equal((0, 0), await Sandbox.CountAsync(mark));

            // Another host takes over: it sends the SMS, and its pushes wait for their provider, so that they can be withdrawn.
            await Installation.StartDispatchAsync();
            await IsOpenAsync($"{mark}-cancelled", "state = 2 and reason = 'ProviderAskedToWait'", Count, "the pushes wait");
            for (var i = 0; i < Count; i++)
                (await Client.CancelAsync($"{mark}-cancelled-{i}")).Is(200);
            await HappenedAsync($"{mark}-expired", "NotificationExpired", "the pushes expire");
            await HappenedAsync($"{mark}-sms", "NotificationDispatched", "the SMS are sent");
            await Sandbox.BehaveAsync();

            // The first one goes on where it stopped.
            apns.LetThrough();
            twilio.LetThrough();
            paused.Resume();

            await Eventually.Becomes(
                () => Task.FromResult((apns.Established, twilio.Established)),
                e => e is { Item1: > 0, Item2: > 0 },
                "the host that was paused has its connections"
            );
            Assert.Equal((0, 0, Count), await Eventually.Settles(AcceptedAsync, TimeSpan.FromSeconds(3)));
            await Installation.QuietAsync(mark: mark);
            await Installation.VerifyAsync();
        }
        finally
        {
            await Installation.KillDispatchAsync();
            await Installation.StopDispatchAsync();
            await Installation.StartDispatchAsync();
        }

        async Task<(int Cancelled, int Expired, int Sms)> AcceptedAsync() =>
            (
                (await Sandbox.CountAsync($"{mark}-cancelled")).Accepted,
                (await Sandbox.CountAsync($"{mark}-expired")).Accepted,
                (await Sandbox.CountAsync($"{mark}-sms")).Accepted
            );
    }

    private async Task SendAsync(Func<int, object> notification) =>
        (await Client.PostAsync("/v1/notifications/batch", new { notifications = Enumerable.Range(0, Count).Select(notification) })).Is(
            200
        );

    private Task IsOpenAsync(string mark, string condition, long count, string what) =>
        Eventually.Becomes(
            () =>
                Installation.ScalarAsync<long>(
                    $"select count(*) from notify.open_deliveries where {condition} and notification like '%:' || $1 || '%'",
                    mark
                ),
            n => n == count,
            what,
            TimeSpan.FromSeconds(60)
        );

    private Task HappenedAsync(string mark, string type, string what) =>
        Eventually.Becomes(
            () =>
                Installation.ScalarAsync<long>(
                    "select count(*) from events.mt_events where type = $1 and stream_id like '%:' || $2 || '%'",
                    type,
                    mark
                ),
            n => n == Count,
            what,
            TimeSpan.FromSeconds(60)
        );

    // Its time-outs must not end its calls before it goes on.
    private static IEnumerable<KeyValuePair<string, string>> Patient(string provider, Uri url) =>
        [
            new($"Providers__{provider}__BaseUrl", url.ToString()),
            new($"Providers__{provider}__ConnectTimeout", "00:03:00"),
            new($"Providers__{provider}__Timeout", "00:03:00"),
            new($"Providers__{provider}__TotalTimeout", "00:03:00"),
        ];
}

/// <summary>With messages in PostgreSQL.</summary>
[Collection(SpineCollection.Name)]
[Trait("Category", "Faults")]
public sealed class PausedDispatchOnPostgres(FaultSystem faults) : PausedDispatch(faults.System);

/// <summary>With messages in RabbitMQ.</summary>
[Collection(BrokerCollection.Name)]
[Trait("Category", "Faults")]
public sealed class PausedDispatchOnRabbitMq(BrokerSystem broker) : PausedDispatch(broker.System);
