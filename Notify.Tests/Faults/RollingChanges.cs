namespace Notify.Tests.Faults;

using System.Security.Cryptography;
using Notify.Tests.Support;

/// <summary>A system of its own with two Apis, whose hosts are restarted one by one.</summary>
public sealed class RollingSystem : IAsyncLifetime
{
    /// <summary>The system.</summary>
    public NotifySystem System { get; private set; } = null!;

    /// <inheritdoc />
    public async ValueTask InitializeAsync() => System = await NotifySystem.StartAsync("rolling", projections: false);

    /// <inheritdoc />
    public ValueTask DisposeAsync() => System.DisposeAsync();
}

/// <summary>Hosts that differ for a while: in their master keys, or in the events that they can read.</summary>
[Trait("Category", "Faults")]
public sealed class RollingChanges(RollingSystem rolling) : IClassFixture<RollingSystem>
{
    // Hosts are restarted in these tests, and start in seconds or, on a machine that is busy, much later.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(90);

    private NotifySystem System => rolling.System;

    private NotifyClient Client => rolling.System.Client;

    [Fact]
    [Trait("Category", "Long")]
    public async Task New_master_key_arrives_host_by_host_under_traffic_and_everything_is_sent()
    {
        var (another, url) = await System.StartAnotherApiAsync();
        using var other = Client.At(url);
        var traffic = new Traffic([Client, other], $"rolling-{Guid.NewGuid():N}");
        await traffic.GoesOnAsync();

        System.Set("Notify__MasterKeys__2", Convert.ToBase64String(RandomNumberGenerator.GetBytes(32)));
        System.Set("Notify__MasterKey", "2");
        await EndAsync(System.Api);
        await System.StartApiAsync();
        await traffic.GoesOnAsync();
        await EndAsync(another);
        await System.StartAnotherApiAsync(url);
        await traffic.GoesOnAsync();
        Assert.Equal(0L, await System.ScalarAsync<long>("select count(*) from notify.subject_keys where master_key = '2'"));
        var dispatch = System.Dispatchers[0];
        await EndAsync(dispatch);
        await System.ReplaceDispatchAsync(dispatch);
        await Eventually.Holds(
            () => System.ScalarAsync<bool>("select count(*) > 10 from notify.subject_keys where master_key = '2'"),
            "the new key wraps",
            Patience
        );
        await traffic.GoesOnAsync();
        var accepted = await traffic.EndAsync();

        await System.QuietAsync(Patience, traffic.Mark);
        Assert.Equal(0L, await EventsAsync(traffic.Mark, "(type = 'DeliverySuppressed' or data::text ~ '\"(Erased|Unreadable)\"')"));
        Assert.Equal((long)accepted, await EventsAsync(traffic.Mark, "type = 'NotificationDispatched'"));
        await System.VerifyAsync();

        await RefusesAsync("Notify__MasterKeys__2", "", "Notify:MasterKeys lacks \"2\"", ("Notify__MasterKey", "1"));
        await RefusesAsync(
            "Notify__MasterKeys__1",
            Convert.ToBase64String(RandomNumberGenerator.GetBytes(32)),
            "Notify:MasterKeys:1 has another value"
        );
        await RefusesAsync("Notify__MasterKey", "", "Notify:MasterKey is missing, and there are several master keys (1, 2)");
        var (exitCode, output, _) = await System.RunProjectionsAsync("rewrap-keys");
        Assert.Equal(0, exitCode);
        Assert.Contains("Only the master key \"2\" is in use", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Delivery_whose_key_no_host_has_waits_unharmed_and_goes_when_a_host_has_it()
    {
        var mark = $"locked-{Guid.NewGuid():N}";
        await System.StopDispatchAsync();
        await SendSmsAsync(mark, 2);
        var scheduled = $"{mark}-later";
        (
            await Client.SendAsync(
                new
                {
                    eventId = scheduled,
                    to = new { phone = Person.NewPhone() },
                    content = new { body = scheduled },
                    sendAt = TimeProvider.System.GetUtcNow().AddSeconds(1),
                }
            )
        ).Is(202);
        await ExecuteAsync(
            """
            update notify.subject_keys set master_key = 'of-a-newer-host-' || master_key where id in (
                select (data -> 'payload' ->> 'keyId')::bigint from events.mt_events
                where type = 'NotificationRequested' and stream_id like '%' || $1 || '%' and stream_id not like '%-1')
            """,
            mark
        );

        await System.StartDispatchAsync();
        await Eventually.Holds(async () => (await System.Sandbox.CountAsync($"{mark}-1")).Accepted == 1, "the other one goes", Patience);
        await IsOpenAsync($"{mark}-0", "reason = 'KeyNotHeld' and attempts = 0");
        await IsOpenAsync(scheduled, "state = 5 and due_at > enqueued_at + interval '2 seconds'");
        Assert.Equal(0L, await EventsAsync(mark, "type = 'DeliverySuppressed'"));

        await ExecuteAsync(
            "update notify.subject_keys set master_key = substr(master_key, 17) where master_key like $1 || '%'",
            "of-a-newer-host-"
        );
        await System.QuietAsync(Patience, mark);
        await Eventually.Becomes(() => EventsAsync(mark, "type = 'NotificationDispatched'"), n => n == 3, "all three went", Patience);
        Assert.Equal(3, (await System.Sandbox.CountAsync(mark)).Accepted);
        await System.VerifyAsync();
    }

    [Fact]
    public async Task Stream_that_cannot_be_read_is_set_aside_alone_and_goes_after_its_repair()
    {
        const int Sms = 18;
        var mark = $"unreadable-{Guid.NewGuid():N}";
        await System.StopDispatchAsync();
        await SendSmsAsync(mark, Sms);
        await AddEventAsync($"{mark}-3", "DeliveryTeleported", """{"deliveryId":"0b1f7c3e-52ab-8d0e-9c41-6a7d2f90e513"}""");
        await AddEventAsync($"{mark}-7", "NotificationDispatched", "{}");
        await AddEventAsync($"{mark}-9", "NotificationDispatched", "{}");
        // As a host that died left them: three in flight, one of them with a stream that cannot be read.
        await ExecuteAsync(
            """
            update notify.open_deliveries set state = 1, owner = gen_random_uuid(), claim = gen_random_uuid()
            where notification like '%' || $1 || '%' and notification ~ '-(8|9|10)$'
            """,
            mark
        );

        await System.StartDispatchAsync();
        await Eventually.Becomes(() => System.Sandbox.CountAsync(mark), c => c.Accepted == Sms - 2, "all but two are sent", Patience);
        await IsOpenAsync($"{mark}-7", "reason = 'StreamUnreadable' and attempts = 0");
        await IsOpenAsync($"{mark}-9", "state = 1");
        Assert.Equal(
            2L,
            await System.ScalarAsync<long>("select count(*) from notify.stream_faults where stream like '%' || $1 || '%'", mark)
        );

        (await Client.GetAsync($"/v1/notifications/{mark}-7")).IsProblem(503, "stream_unreadable");
        (await Client.CancelAsync($"{mark}-7")).IsProblem(503, "stream_unreadable");
        (await Client.CancelAsync($"{mark}-3")).IsProblem(409, "already_dispatched");
        Assert.Contains("cannot be read", (await Client.EventsAsync($"{mark}-7"))[^1].Json["text"]!.ToString(), StringComparison.Ordinal);
        Assert.Contains(
            "newer version",
            (await Client.EventsAsync($"{mark}-3")).Single(e => e.Type == "DeliveryTeleported").Json["text"]!.ToString(),
            StringComparison.Ordinal
        );
        var (exitCode, output, _) = await System.RunProjectionsAsync("verify");
        Assert.Equal(1, exitCode);
        Assert.Equal(
            2,
            output
                .Split('\n')
                .Count(l =>
                    l.StartsWith("FAULT", StringComparison.Ordinal)
                    && l.Contains(mark, StringComparison.Ordinal)
                    && l.Contains("cannot be read", StringComparison.Ordinal)
                )
        );

        await ExecuteAsync("delete from events.mt_events where stream_id like '%' || $1 || '%' and data = '{}'", mark);
        await ExecuteAsync(
            """
            update events.mt_streams s set version = (select max(version) from events.mt_events e where e.stream_id = s.id)
            where id like '%' || $1 || '%'
            """,
            mark
        );
        await System.QuietAsync(Patience, mark);
        Assert.Equal(Sms, (await System.Sandbox.CountAsync(mark)).Accepted);
        await System.VerifyAsync();
    }

    private async Task SendSmsAsync(string mark, int count) =>
        (
            await Client.PostAsync(
                "/v1/notifications/batch",
                new
                {
                    notifications = Enumerable
                        .Range(0, count)
                        .Select(i => new
                        {
                            eventId = $"{mark}-{i}",
                            to = new { phone = Person.NewPhone() },
                            content = new { body = $"{mark}-{i} " },
                        })
                        .ToArray(),
                }
            )
        ).Is(200);

    private Task AddEventAsync(string eventId, string type, string data) =>
        ExecuteAsync(
            $"""
            with stream as (update events.mt_streams set version = version + 1 where id like '%:' || $1 returning id, version, tenant_id)
            insert into events.mt_events (seq_id, id, stream_id, version, data, type, timestamp, tenant_id, mt_dotnet_type, is_archived)
            select nextval('events.mt_events_sequence'), gen_random_uuid(), id, version, '{data}', '{type}', now(), tenant_id,
                   'Notify.Domain.Notifications.{type}, Notify.Domain', false from stream
            """,
            eventId
        );

    private Task<long> EventsAsync(string mark, string where) =>
        System.ScalarAsync<long>($"select count(*) from events.mt_events where stream_id like '%' || $1 || '%' and {where}", mark);

    private Task IsOpenAsync(string eventId, string where) =>
        Eventually.Holds(
            () =>
                System.ScalarAsync<bool>(
                    $"select count(*) = 1 from notify.open_deliveries where notification like '%:' || $1 and {where}",
                    eventId
                ),
            $"{eventId} is open with {where}",
            Patience
        );

    private async Task ExecuteAsync(string sql, string parameter)
    {
        await using var command = System.Database.CreateCommand(sql);
        command.Parameters.Add(new Npgsql.NpgsqlParameter { Value = parameter });
        Assert.NotEqual(0, await command.ExecuteNonQueryAsync());
    }

    private async Task RefusesAsync(string key, string value, string line, params (string Key, string Value)[] more)
    {
        var environment = System.Environment(new Uri($"http://127.0.0.1:{HostProcess.FreePort()}"));
        foreach (var (name, setting) in more.Append((key, value)))
        {
            if (setting.Length > 0)
                environment[name] = setting;
            else
                environment.Remove(name);
        }

        foreach (var host in new[] { "Api", "Dispatch", "Projections" })
        {
            var (exitCode, _, errors) = await HostProcess.RunAsync(
                host,
                Repository.Program($"Notify.{host}"),
                [],
                environment,
                TestRun.Log($"rolling-refused-{Guid.NewGuid():N}")
            );
            Assert.Equal(78, exitCode);
            Assert.Contains(errors, e => e.Contains(line, StringComparison.Ordinal));
        }
    }

    private static async Task EndAsync(HostProcess host)
    {
        host.Terminate();
        await host.EndAsync(TimeSpan.FromSeconds(30));
    }

    /// <summary>SMS and pushes to people who are new each time, through whichever Api answers.</summary>
    private sealed class Traffic
    {
        private readonly NotifyClient[] apis;
        private readonly CancellationTokenSource stop = new();
        private readonly Task[] senders;
        private int accepted;

        public Traffic(NotifyClient[] apis, string mark)
        {
            (this.apis, Mark) = (apis, mark);
            senders = [.. Enumerable.Range(0, 2).Select(s => Task.Run(() => SendAsync(s)))];
        }

        public string Mark { get; }

        /// <summary>Waits until some more were accepted.</summary>
        public async Task GoesOnAsync()
        {
            var goal = Volatile.Read(ref accepted) + 30;
            await Eventually.Becomes(
                () => Task.FromResult(Volatile.Read(ref accepted)),
                n => n >= goal,
                "notifications are accepted",
                Patience
            );
        }

        public async Task<int> EndAsync()
        {
            await stop.CancelAsync();
            await Task.WhenAll(senders);
            stop.Dispose();
            return accepted;
        }

        private async Task SendAsync(int sender)
        {
            for (var i = 0; !stop.IsCancellationRequested; i++)
            {
                var id = $"{Mark}-{sender}-{i}";
                object request =
                    i % 2 == 0
                        ? new
                        {
                            eventId = id,
                            to = new { phone = Person.NewPhone() },
                            content = new { body = id },
                        }
                        : new
                        {
                            eventId = id,
                            to = new { device = new { platform = "ios", token = Person.NewToken() } },
                            content = new { title = "t", body = id },
                        };
                for (var attempt = sender; !await IsAcceptedAsync(apis[attempt % 2], request); attempt++)
                    await Task.Delay(50, TestContext.Current.CancellationToken);
                Interlocked.Increment(ref accepted);
            }
        }

        private static async Task<bool> IsAcceptedAsync(NotifyClient api, object request)
        {
            try
            {
                return (await api.SendAsync(request)).Status is 200 or 202;
            }
            catch (HttpRequestException)
            {
                return false; // it is just being restarted
            }
        }
    }
}
