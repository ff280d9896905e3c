namespace Notify.Tests.Faults;

using System.Diagnostics;
using Notify.Tests.Support;

/// <summary>Dispatch dies while thousands fall due: each is planned once and sent, none early.</summary>
[Trait("Category", "Faults")]
public sealed class DueKills(FaultSystem faults) : FaultTest(faults)
{
    private const int Count = 2_000;

    [Fact]
    public async Task Two_thousand_that_fall_due_while_Dispatch_is_killed_twice_are_each_sent_once()
    {
        var people = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => Installation.NewPersonAsync(phone: false)));
        var (mark, sendAt) = (NewId("due"), TimeProvider.System.GetUtcNow().AddSeconds(8));
        var ids = Enumerable.Range(0, Count).Select(i => $"{mark}-{i:D4}").ToList();
        foreach (var batch in ids.Index().Chunk(1000))
            (
                await Client.PostAsync(
                    "/v1/notifications/batch",
                    new
                    {
                        notifications = batch.Select(b => new
                        {
                            eventId = b.Item,
                            userId = people[b.Index % 20].Id,
                            sendAt,
                            content = new { title = b.Item },
                        }),
                    }
                )
            ).Is(200);
        Assert.Equal((0, 0), await Sandbox.CountAsync(mark));

        var watch = Stopwatch.StartNew();
        foreach (var planned in new[] { 1, 900 })
        {
            await Eventually.Becomes(PlannedAsync, n => n >= planned, $"{planned} are planned", TimeSpan.FromMinutes(1));
            await Installation.KillDispatchAsync();
            TestContext.Current.TestOutputHelper?.WriteLine(
                $"Killed with {await PlannedAsync()} planned and {(await Sandbox.CountAsync(mark)).Accepted} sent."
            );
            await Installation.StartDispatchAsync();
        }

        await Eventually.Becomes(PlannedAsync, n => n == Count, "all are planned", TimeSpan.FromMinutes(2));
        await Installation.QuietAsync(TimeSpan.FromMinutes(2), mark);
        TestContext.Current.TestOutputHelper?.WriteLine($"All sent after {watch.Elapsed}, with two kills.");

        Assert.Equal(
            Count,
            await Installation.ScalarAsync<long>(
                "select count(*) from events.mt_events where stream_id like 'n/%:' || $1 || '-%' and type = 'NotificationDispatched'",
                mark
            )
        );
        // A push that was in flight at a kill is repeated, under the collapse ID by which it replaces itself.
        var sent = (await Sandbox.LedgerAsync(mark)).Where(e => e.IsAccepted).ToList();
        Assert.Equal(Count, sent.Select(e => e.Header("apns-collapse-id")).Distinct().Count());
        Assert.InRange(sent.Count - Count, 0, 1_000);
        Assert.All(sent, e => Assert.True(e.ReceivedAt >= sendAt));
        await Installation.VerifyAsync();

        Task<long> PlannedAsync() =>
            Installation.ScalarAsync<long>(
                "select count(*) from events.mt_events where stream_id like 'n/%:' || $1 || '-%' and type = 'DeliveriesPlanned'",
                mark
            );
    }
}
