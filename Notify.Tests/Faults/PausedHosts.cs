namespace Notify.Tests.Faults;

using Notify.Tests.Spine;
using Notify.Tests.Support;

/// <summary>Hosts that stop without ending: others go on with their work, whether the stopped host was the leader or not.</summary>
public abstract class PausedHosts(NotifySystem system) : SpineTest(system)
{
    private protected static readonly TimeSpan Soon = TimeSpan.FromSeconds(40);

    [Fact]
    public async Task Deliveries_in_the_inbox_of_a_paused_leader_are_sent_by_the_other_host()
    {
        const int Count = 300;
        await Installation.StopDispatchAsync();
        var leader = await Installation.StartDispatchAsync();
        await LeadsAloneAsync("dispatch_messages");
        await Installation.StartDispatchAsync();
        await NodesAsync("dispatch_messages", 2);
        var people = await Task.WhenAll(Enumerable.Range(0, 10).Select(_ => Installation.NewPersonAsync(phone: false)));
        var mark = NewId("paused");
        await Sandbox.KnobsAsync("apns", new { latencyMs = 200 });

        var sending = Task.WhenAll(
            Enumerable
                .Range(0, Count)
                .Select(i =>
                    Client.SendAsync(
                        new
                        {
                            eventId = $"{mark}-{i}",
                            userId = people[i % 10].Id,
                            content = new { title = $"{mark}-{i}" },
                        }
                    )
                )
        );
        await Eventually.Becomes(() => Sandbox.CountAsync(mark), c => c.Accepted > 10, "some are sent");
        leader.Pause();
        try
        {
            foreach (var answer in await sending)
                answer.Is(202);
            await Installation.QuietAsync(Soon, mark);
            Assert.Equal(
                Count,
                await Installation.ScalarAsync<long>(
                    "select count(*) from events.mt_events where stream_id like 'n/%:' || $1 || '-%' and type = 'NotificationDispatched'",
                    mark
                )
            );
            await NodesAsync("dispatch_messages", 1);
        }
        finally
        {
            leader.Resume();
        }

        await NodesAsync("dispatch_messages", 2);
        await Installation.QuietAsync(Soon, mark);
        var sent = (await Sandbox.LedgerAsync(mark)).Where(e => e.IsAccepted);
        Assert.Equal(Count, sent.Select(e => e.Header("apns-collapse-id")).Distinct().Count());
        Assert.Equal(0, await Installation.ScalarAsync<long>("select count(*) from dispatch_messages.wolverine_dead_letters"));
        await Installation.VerifyAsync();
        await Installation.StopDispatchAsync();
        await Installation.StartDispatchAsync();
    }

    /// <summary>Waits until a single host has this message storage, and leads.</summary>
    private protected Task LeadsAloneAsync(string schema) =>
        Eventually.Becomes(
            () =>
                Installation.ScalarAsync<string>(
                    $"""
                    select count(*) || ' nodes, ' || (
                        select count(*) from {schema}.wolverine_node_assignments a join {schema}.wolverine_nodes n on n.id = a.node_id
                        where a.id like 'wolverine://leader%') || ' leads'
                    from {schema}.wolverine_nodes
                    """
                ),
            n => n == "1 nodes, 1 leads",
            "a single host leads",
            Soon
        );

    /// <summary>Waits until so many hosts have this message storage.</summary>
    private protected Task NodesAsync(string schema, int count) =>
        Eventually.Becomes(
            () => Installation.ScalarAsync<long>($"select count(*) from {schema}.wolverine_nodes"),
            n => n == count,
            $"there are {count}",
            Soon
        );
}

/// <summary>The same with messages in PostgreSQL, and what does not depend on the transport.</summary>
[Collection(FaultCollection.Name)]
[Trait("Category", "Faults")]
public sealed class PausedHostsOnPostgres(FaultSystem faults) : PausedHosts(faults.System)
{
    [Fact]
    public async Task Read_models_of_a_paused_leader_go_on_at_the_other_host_and_stay_right_when_it_wakes()
    {
        await Installation.Projections.KillAsync();
        await Installation.StartProjectionsAsync();
        await LeadsAloneAsync("projections_messages");
        var leader = Installation.Projections;
        await Installation.StartProjectionsAsync();
        await NodesAsync("projections_messages", 2);
        var person = await Installation.NewPersonAsync();
        var mark = NewId("read");
        await SendAsync(20);
        await ProjectedAsync(20);

        leader.Pause();
        try
        {
            await SendAsync(20);
            await ProjectedAsync(40);
        }
        finally
        {
            leader.Resume();
        }

        await SendAsync(20);
        await ProjectedAsync(60);
        await NodesAsync("projections_messages", 2);
        await SendAsync(20);
        await ProjectedAsync(80);
        var (exitCode, output, _) = await Installation.RunProjectionsAsync("rebuild", "analytics");
        Assert.True(exitCode == 0, output);
        Assert.Contains(", 0 differ; swapped", output, StringComparison.Ordinal);
        leader.Terminate();
        await leader.EndAsync(TimeSpan.FromSeconds(30));
        await SendAsync(10);
        await ProjectedAsync(90);

        Task SendAsync(int count) => this.SendAsync(person, mark, count);

        Task ProjectedAsync(int count) => this.ProjectedAsync(mark, count);
    }

    [Fact]
    public async Task Read_model_that_was_given_up_is_started_again_by_its_host()
    {
        var person = await Installation.NewPersonAsync();
        var mark = NewId("given-up");
        await SendAsync(person, mark, 5);
        await ProjectedAsync(mark, 5);
        await Installation.QuietAsync(Soon, mark);
        (await Client.PutAsync($"/v1/topics/{mark}", new { name = "The last event before" })).Is(200);
        await Eventually.Holds(
            () =>
                Installation.ScalarAsync<bool>(
                    "select last_seq_id = (select max(seq_id) from events.mt_events) from events.mt_event_progression where name = "
                        + "'analytics:All'"
                ),
            "it is at the end",
            Soon
        );

        // As if another host had written its position: the next batch is out of order, and Wolverine gives the read model up.
        await Installation.ScalarAsync<long>(
            "update events.mt_event_progression set last_seq_id = last_seq_id - 1 where name = 'analytics:All' returning last_seq_id"
        );
        await SendAsync(person, mark, 5);

        await ProjectedAsync(mark, 10);
        Assert.Contains("The read model analytics:All had stopped", await Installation.LogsAsync(), StringComparison.OrdinalIgnoreCase);
    }

    private async Task SendAsync(Person person, string mark, int count)
    {
        var answers = await Task.WhenAll(
            Enumerable
                .Range(0, count)
                .Select(_ =>
                    Client.SendAsync(
                        new
                        {
                            eventId = NewId(mark),
                            userId = person.Id,
                            content = new { title = mark },
                        }
                    )
                )
        );
        foreach (var answer in answers)
            answer.Is(202);
    }

    private Task ProjectedAsync(string mark, int count) =>
        Eventually.Becomes(
            () =>
                Installation.ScalarAsync<long>(
                    "select count(distinct event_id) from analytics.deliveries where event_id like $1 || '%'",
                    mark
                ),
            n => n == count,
            $"the read model has {count}",
            Soon
        );
}

/// <summary>The same with messages in RabbitMQ.</summary>
[Collection(BrokerCollection.Name)]
[Trait("Category", "Long")]
public sealed class PausedHostsOnRabbitMq(BrokerSystem system) : PausedHosts(system.System);
