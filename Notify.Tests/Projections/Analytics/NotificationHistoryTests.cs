namespace Notify.Tests.Projections.Analytics;

using Notify.Delivery.EventStore;
using Notify.Delivery.Tracking;
using Notify.Domain.Notifications;
using Notify.Projections.Analytics;
using Notify.Tests.Domain;

public class NotificationHistoryTests
{
    private static readonly DateTimeOffset Noon = Some.Noon;

    [Fact]
    public void Every_event_of_a_notification_says_when_it_happened() =>
        Assert.All(
            EventTypes.All.Where(t => t.Namespace == typeof(NotificationRequested).Namespace),
            t => Assert.Equal(typeof(DateTimeOffset), t.GetProperty("At")?.PropertyType)
        );

    [Fact]
    public void Times_are_those_of_the_first_attempt_and_of_the_present_status()
    {
        var times = Fold(
            new DispatchAttempted(Some.Sms, 1, "twilio", Noon.AddSeconds(1)),
            new DispatchOutcomeUnknown(Some.Sms, 1, "twilio", Reasons.TimedOut, Noon.AddMinutes(15), Noon.AddSeconds(11)),
            new NotificationDispatched(Some.Sms, 1, "twilio", "SM1", 430, null, Noon.AddSeconds(20)),
            new NotificationDelivered(Some.Sms, "receipt", Noon.AddSeconds(25)),
            new NotificationDelivered(Some.Sms, "receipt", Noon.AddSeconds(30))
        ).Times[Some.Sms];
        Assert.Equal(
            (Noon, Noon.AddSeconds(1), Noon.AddSeconds(25), 430),
            (times.PlannedAt, times.FirstAttemptAt, times.StatusAt, times.ProviderLatencyMs)
        );
        Assert.Null(times.FailedAt);
    }

    [Fact]
    public void A_failure_that_is_corrected_is_still_told()
    {
        var history = Fold(
            new NotificationFailed(Some.Sms, 1, Reasons.OutcomeNeverKnown, "twilio", null, Noon.AddSeconds(5)),
            new NotificationDelivered(Some.Sms, "receipt", Noon.AddSeconds(9))
        );
        Assert.Equal(
            (DeliveryStatus.Delivered, Noon.AddSeconds(5), Noon.AddSeconds(9)),
            (history.State.Deliveries[Some.Sms].Status, history.Times[Some.Sms].FailedAt, history.Times[Some.Sms].StatusAt)
        );
    }

    [Fact]
    public void Waiting_without_an_attempt_is_no_attempt() =>
        Assert.Null(
            Fold(new DeliveryDeferred(Some.Push, Noon.AddMinutes(1), Reasons.ChannelHalted, 0, "apns", "403", Noon.AddSeconds(1)))
                .Times[Some.Push]
                .FirstAttemptAt
        );

    [Fact]
    public void An_open_counts_once()
    {
        var opened = Fold(
            new NotificationOpened(Some.Push, "app", Noon.AddSeconds(7)),
            new NotificationOpened(Some.Push, "app", Noon.AddSeconds(8))
        );
        Assert.Equal([new Engagement("opened", "", "app", Noon.AddSeconds(7))], opened.Times[Some.Push].Engagements);
    }

    [Fact]
    public void It_holds_nothing_that_is_sealed()
    {
        var history = Fold();
        Assert.True(history.State.Deliveries.Values.All(d => d.Contact is null));
        Assert.DoesNotContain("payload", history.State.Request.Payload.Inline ?? "", StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(-5, 0)]
    [InlineData(0, 0)]
    [InlineData(31, 31)]
    [InlineData(32, 32)]
    [InlineData(33, 32)]
    [InlineData(34, 33)]
    [InlineData(63, 47)]
    [InlineData(64, 48)]
    [InlineData(1000, 32 + (4 * 16) + 15)]
    public void Milliseconds_fall_into_their_bucket(long milliseconds, int bucket) =>
        Assert.Equal(bucket, LatencyHistogram.BucketOf(milliseconds));

    [Fact]
    public void Buckets_grow_with_the_milliseconds()
    {
        var last = 0;
        for (var ms = 1L; ms < 1L << 40; ms += 1 + (ms / 50))
        {
            var bucket = LatencyHistogram.BucketOf(ms);
            Assert.InRange(bucket, last, last + 1);
            last = bucket;
        }
    }

    [Fact]
    public void Taking_out_what_was_added_leaves_nothing()
    {
        var delivery = new CountedDelivery(
            new DailyKey(new DateOnly(2026, 5, 4), "c", "push", "news", "", "apns", "live"),
            null,
            "delivered",
            true,
            true,
            77,
            1,
            2,
            true
        );
        var counts = new DailyCounts();
        counts.Add(delivery, 1);
        Assert.Equal([1L, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 2, 1], Enumerable.Range(0, DailyCounts.Columns.Count).Select(i => counts[i]));
        counts.Add(delivery, -1);
        Assert.All(Enumerable.Range(0, DailyCounts.Columns.Count), i => Assert.Equal(0, counts[i]));
        Assert.Equal("{}", LatencyHistogram.Write(counts.Histogram));
    }

    private static NotificationHistory Fold(params object[] since) =>
        new object[] { Some.Requested(), Some.Planned() }
            .Concat(since)
            .Aggregate((NotificationHistory?)null, (h, e) => NotificationHistory.Evolve(h, Some.Key, e))!;
}
