namespace Notify.Tests.Faults;

using System.Diagnostics;
using Notify.Tests.Support;

/// <summary>All processes of PostgreSQL stop for 20 s and go on: acceptance, claims and read models go on with them.</summary>
[Trait("Category", "Faults")]
[Trait("Category", "Long")]
public sealed class FrozenDatabase(FaultSystem faults) : FaultTest(faults)
{
    private const int PerSecond = 20;
    private static readonly TimeSpan Freeze = TimeSpan.FromSeconds(20),
        Patience = TimeSpan.FromSeconds(90);

    [Fact]
    public async Task Acceptance_claims_and_read_models_go_on_after_a_freeze_and_nothing_is_lost_or_sent_twice()
    {
        var load = await Load.StartAsync(Installation, PerSecond);
        await load.GoOnAsync(100);
        await ProjectedAsync(await EventsAsync());

        await Installation.Cluster.PauseAsync();
        try
        {
            await Task.Delay(Freeze, TestContext.Current.CancellationToken); // the freeze itself
        }
        finally
        {
            await Installation.Cluster.ResumeAsync();
        }

        var watch = Stopwatch.StartNew();
        var (accepted, events) = (load.Accepted.Count, await EventsAsync());
        await Task.WhenAll(
            TimedAsync("acceptance", () => load.GoOnAsync(1)),
            TimedAsync("the first claim", () => SentAfterAsync(events)),
            TimedAsync("read models", () => ProjectedAsync(events + 1))
        );
        await TimedAsync(
            "all that was accepted is sent",
            async () =>
            {
                await load.StopAsync();
                await Installation.QuietAsync(Patience, load.Mark);
            }
        );
        await TimedAsync("read models have all", async () => await ProjectedAsync(await EventsAsync()));
        Assert.True(load.Accepted.Count > accepted);
        var balance = await Balance.OfAsync(Installation, load, Patience);
        balance.Show(load);

        async Task TimedAsync(string part, Func<Task> act)
        {
            await act();
            TestContext.Current.TestOutputHelper?.WriteLine($"{part}: {watch.Elapsed.TotalSeconds:0.0} s after the freeze");
        }
    }

    private Task<long> EventsAsync() => Installation.ScalarAsync<long>("select max(seq_id) from events.mt_events");

    private Task SentAfterAsync(long sequence) =>
        Eventually.Holds(
            () =>
                Installation.ScalarAsync<bool>(
                    "select exists (select from events.mt_events where seq_id > $1 and type in ('NotificationDispatched', "
                        + "'DispatchAttempted'))",
                    sequence
                ),
            "a delivery is claimed",
            Patience
        );

    // Every read model has come as far as an event.
    private Task ProjectedAsync(long sequence) =>
        Eventually.Becomes(
            () =>
                Installation.ScalarAsync<string>(
                    """
                    select coalesce(string_agg(name || ' at ' || last_seq_id, ', '), '') from events.mt_event_progression
                    where last_seq_id < $1 and name like '%:%'
                    """,
                    sequence
                ),
            behind => behind.Length == 0,
            $"all read models have event {sequence}",
            Patience
        );
}
