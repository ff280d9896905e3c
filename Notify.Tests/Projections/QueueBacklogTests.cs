namespace Notify.Tests.Projections;

using Notify.Domain.Channels;
using Backlog = Notify.Delivery.Monitoring.QueueBacklog;

public class QueueBacklogTests
{
    [Theory]
    [InlineData(Priority.Normal, 0, 0, 0, 1, 0)] // nothing to do
    [InlineData(Priority.Normal, 0, 10, 10, 1, 1)] // keeping up
    [InlineData(Priority.Normal, 1, 0, 0, 0, 1)] // one waits, nobody works
    [InlineData(Priority.Critical, 1000, 0, 0, 0, 1)] // 1,000 in 5 s by hosts taken to reach 200/s
    [InlineData(Priority.Critical, 10_000, 0, 0, 0, 10)]
    [InlineData(Priority.Normal, 10_000, 0, 0, 0, 1)] // in 60 s
    [InlineData(Priority.Bulk, 100_000, 0, 0, 0, 1)] // in 600 s
    [InlineData(Priority.Normal, 60_000, 1000, 500, 1, 4)] // 1,000/s arrive, 1,000/s to catch up, a host shows 500/s
    [InlineData(Priority.Normal, 60_000, 1000, 500, 2, 8)] // two hosts show 250/s each
    [InlineData(Priority.Normal, 5, 10, 10, 1, 1)] // a few wait at the moment of looking
    [InlineData(Priority.Normal, 3000, 2000, 2000, 1, 2)] // keeping up at a high rate, barely
    [InlineData(Priority.Normal, 1_000_000_000, 0, 1, 1, 100)] // never more than 100
    public void So_many_workers_clear_the_backlog_in_time(
        Priority priority,
        long ready,
        double enqueued,
        double shown,
        int hosts,
        int expected
    ) => Assert.Equal(expected, Backlog.Suggest(priority, ready, enqueued, shown, hosts));

    [Fact]
    public void More_backlog_never_wants_fewer_workers()
    {
        foreach (var priority in Enum.GetValues<Priority>())
        {
            var last = 0;
            for (var ready = 1L; ready < 10_000_000; ready *= 3)
            {
                var workers = Backlog.Suggest(priority, ready, 100, 150, 1);
                Assert.True(workers >= last);
                last = workers;
            }
        }
    }
}
