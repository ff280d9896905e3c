namespace Notify.Tests.Spine;

using Notify.Delivery.Messaging;
using Notify.Domain.Channels;
using Notify.Tests.Faults;
using Notify.Tests.Support;
using RabbitMQ.Client;

/// <summary>The spine, with messages in RabbitMQ; and what is RabbitMQ's alone.</summary>
[Collection(BrokerCollection.Name)]
[Trait("Category", "Faults")]
public sealed class SpineOnRabbitMq(BrokerSystem system) : Spine(system.System)
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    private MessageBroker Broker => system.Broker;

    /// <inheritdoc />
    protected override int Rounds => 1; // a broker takes its time to start; the long form kills more often

    /// <inheritdoc />
    protected override async Task CrashCarrierAsync()
    {
        await Broker.KillAsync();
        await Broker.StartAgainAsync();
    }

    /// <inheritdoc />
    protected override async Task CarrierWasMissedAsync(Load load)
    {
        Assert.Equal([200, 202], load.Answers.Keys.Append(200).Distinct().Order()); // no caller noticed
        Assert.Contains("RabbitMQ does not answer", await Installation.LogsAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task While_the_broker_is_away_Api_accepts_and_starts_and_says_so()
    {
        var person = await Installation.NewPersonAsync();
        var ids = Enumerable.Range(0, 5).Select(_ => NewId("away")).ToList();
        await Broker.KillAsync();
        try
        {
            foreach (var id in ids)
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
            await Installation.Api.KillAsync();
            await Installation.StartApiAsync();

            foreach (var url in new[] { Installation.ApiUrl, Installation.DispatchUrl })
            {
                using var host = new NotifyClient(url, null, null);
                var ready = (await host.GetAsync("/health/ready")).Is(200);
                Assert.Equal("Degraded", ready["status"]);
                Assert.Contains("RabbitMQ does not answer", ready.Text, StringComparison.Ordinal);
            }
        }
        finally
        {
            await Broker.StartAgainAsync();
        }

        foreach (var id in ids)
            await Client.BecomesAsync(id, "dispatched", TimeSpan.FromSeconds(40));
        await Installation.QuietAsync(TimeSpan.FromSeconds(20));
        foreach (var id in ids)
            Assert.Equal((2, 2), await Sandbox.CountAsync(id));
    }

    [Fact]
    public async Task Silent_broker_delays_neither_requests_nor_scheduled_notifications()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var ids = Enumerable.Range(0, 20).Select(_ => NewId("silent")).ToList();
        var due = NewId("silent-due");
        await Broker.PauseAsync();
        try
        {
            var watch = System.Diagnostics.Stopwatch.StartNew();
            foreach (var pair in ids.Chunk(4))
            {
                var replies = await Task.WhenAll(
                        pair.Select(
                            (id, i) =>
                                Client.SendAsync(
                                    new
                                    {
                                        eventId = id,
                                        userId = person.Id,
                                        priority = i % 2 == 0 ? "critical" : "bulk",
                                        content = new { body = id },
                                    }
                                )
                        )
                    )
                    .WaitAsync(Eventually.Patience, Stop);
                Assert.All(replies, r => r.Is(202));
            }

            TestContext.Current.TestOutputHelper?.WriteLine(
                $"20 requests, four at a time, were accepted in {watch.ElapsedMilliseconds} ms"
            );
            var sendAt = TimeProvider.System.GetUtcNow().AddSeconds(2);
            (
                await Client.SendAsync(
                    new
                    {
                        eventId = due,
                        userId = person.Id,
                        sendAt,
                        content = new { body = due },
                    }
                )
            ).Is(202);
            await Eventually.Becomes(
                () => Client.EventTypesAsync(due),
                types => types.Contains("DeliveriesPlanned"),
                "what is due is planned"
            );
        }
        finally
        {
            await Broker.ResumeAsync();
        }

        foreach (var id in ids.Append(due))
            await Client.BecomesAsync(id, "dispatched", TimeSpan.FromSeconds(60));
        foreach (var id in ids.Append(due))
            Assert.Equal((1, 1), await Sandbox.CountAsync(id));
    }

    [Fact]
    public async Task Message_without_a_queue_waits_in_the_outbox_until_the_migration_creates_it()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var id = NewId("unroutable");
        await DeleteAsync(new DeliveryQueue(Lane.Sms, Priority.Bulk));

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    priority = "bulk",
                    content = new { body = id },
                }
            )
        ).Is(202);

        await Eventually.Becomes(
            Installation.LogsAsync,
            logs => logs.Contains("RabbitMQ has no queue notify.sms_bulk", StringComparison.Ordinal),
            "the fault is told"
        );
        using (var api = new NotifyClient(Installation.ApiUrl, null, null))
            Assert.Contains(
                "RabbitMQ has no queue notify.sms_bulk; run the migrate command",
                (await api.GetAsync("/health/ready")).Is(200).Text,
                StringComparison.Ordinal
            );
        // Wake-ups of other queues may still lie there from a broker that was away: their deliveries were polled meanwhile.
        Assert.Equal(
            1,
            await Installation.ScalarAsync<long>(
                "select count(*) from api_messages.wolverine_outgoing_envelopes where destination like '%sms_bulk%'"
            )
        );

        await Installation.UseTransportAsync("RabbitMq");
        await Client.BecomesAsync(id, "dispatched", TimeSpan.FromSeconds(40));
        Assert.Equal((1, 1), await Sandbox.CountAsync(id));
    }

    [Theory]
    [InlineData("Api", "empty", "RabbitMQ has no queue notify.apns_critical")]
    [InlineData("Dispatch", "empty", "run the migrate command")]
    [InlineData("Dispatch", "nowhere", "RabbitMQ does not answer as it should")]
    [InlineData("Api", "nowhere", "RabbitMQ does not answer as it should")]
    public async Task A_host_whose_queues_are_missing_ends_with_one_line(string host, string vhost, string named)
    {
        var environment = Installation.Environment(new Uri($"http://127.0.0.1:{HostProcess.FreePort()}"));
        environment["ConnectionStrings__rabbitmq"] = Broker.Address(vhost);

        await EndsAsync(host, environment, named);
    }

    [Fact]
    public async Task Dispatch_without_a_broker_ends_with_one_line()
    {
        var environment = Installation.Environment(new Uri($"http://127.0.0.1:{HostProcess.FreePort()}"));
        environment["ConnectionStrings__rabbitmq"] = $"amqp://notify:hidden@127.0.0.1:{HostProcess.FreePort()}/notify";

        await EndsAsync("Dispatch", environment, "RabbitMQ does not answer as it should");
    }

    [Theory]
    [InlineData("Api")]
    [InlineData("Dispatch")]
    public async Task A_host_of_another_transport_ends_with_one_line(string host)
    {
        var environment = Installation.Environment(new Uri($"http://127.0.0.1:{HostProcess.FreePort()}"));
        environment["Notify__Transport"] = "Postgres";

        await EndsAsync(host, environment, "this installation was migrated for RabbitMq");
    }

    [Fact]
    public async Task Queued_deliveries_are_sent_after_a_change_of_transport()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var mark = NewId("moved");
        await Installation.StopDispatchAsync();
        (
            await Client.PostAsync(
                "/v1/notifications/batch",
                new
                {
                    notifications = Enumerable
                        .Range(0, 30)
                        .Select(i => new
                        {
                            eventId = $"{mark}-{i}",
                            userId = person.Id,
                            content = new { body = $"{mark}-{i}" },
                        }),
                }
            )
        ).Is(200);
        await Eventually.Becomes(
            () => Installation.ScalarAsync<long>("select count(*) from api_messages.wolverine_outgoing_envelopes"),
            n => n == 0,
            "the messages are in RabbitMQ"
        );

        await Installation.UseTransportAsync("Postgres");
        try
        {
            await Installation.StartDispatchAsync();
            await Installation.QuietAsync(mark: mark);
            Assert.Equal((30, 30), await Sandbox.CountAsync(mark));
        }
        finally
        {
            await Installation.StopDispatchAsync();
            await Installation.UseTransportAsync("RabbitMq");
            await Installation.StartDispatchAsync();
        }

        await Eventually.Stays(() => Sandbox.CountAsync(mark), (30, 30), TimeSpan.FromSeconds(1)); // the old messages find nothing to do
    }

    [Fact]
    public async Task The_queues_are_quorum_queues_that_never_drop_a_message_that_comes_back()
    {
        await using var connection = await new ConnectionFactory { Uri = new Uri(Broker.Address("notify")) }.CreateConnectionAsync(Stop);
        await using var channel = await connection.CreateChannelAsync(cancellationToken: Stop);
        // Declared again with other settings, the broker would refuse.
        var arguments = new Dictionary<string, object?> { ["x-queue-type"] = "quorum", ["x-delivery-limit"] = int.MaxValue };
        foreach (var queue in DeliveryQueue.All)
            await channel.QueueDeclareAsync(RabbitMqBroker.QueueName(queue), true, false, false, arguments, cancellationToken: Stop);

        const string Copy = "copy";
        await channel.QueueDeclareAsync(Copy, true, false, false, arguments, cancellationToken: Stop);
        await channel.BasicPublishAsync("", Copy, new byte[] { 1 }, Stop);
        for (var i = 0; i < 30; i++)
        {
            var message = await Eventually.Becomes(
                () => channel.BasicGetAsync(Copy, autoAck: false, Stop),
                m => m is not null,
                $"it is there after {i} returns"
            );
            await channel.BasicNackAsync(message!.DeliveryTag, multiple: false, requeue: true, Stop);
        }

        await channel.QueueDeleteAsync(Copy, cancellationToken: Stop);
    }

    private static async Task EndsAsync(string host, Dictionary<string, string> environment, string named)
    {
        var (exitCode, output, errors) = await HostProcess.RunAsync(
            host,
            Repository.Program($"Notify.{host}"),
            [],
            environment,
            TestRun.Log($"start-{host}-{Guid.NewGuid():N}")
        );

        Assert.True(exitCode == 1, $"ended with {exitCode}: {output}");
        Assert.Contains(named, Assert.Single(errors), StringComparison.Ordinal);
        Assert.DoesNotContain("hidden", output, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", output, StringComparison.Ordinal);
    }

    private async Task DeleteAsync(DeliveryQueue queue)
    {
        await using var connection = await new ConnectionFactory { Uri = new Uri(Broker.Address("notify")) }.CreateConnectionAsync(Stop);
        await using var channel = await connection.CreateChannelAsync(cancellationToken: Stop);
        await channel.QueueDeleteAsync(RabbitMqBroker.QueueName(queue), cancellationToken: Stop);
    }
}
