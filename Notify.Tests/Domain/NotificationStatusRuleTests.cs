namespace Notify.Tests.Domain;

using System.Collections.Immutable;
using Notify.Domain.Notifications;
using static Notify.Tests.Domain.Some;

public class NotificationStatusRuleTests
{
    // The contract's order: any in flight; any unknown; all skipped; all delivered; some delivered; any dispatched; else failed.
    [Theory]
    [InlineData("Queued", NotificationStatus.Accepted)]
    [InlineData("Queued Queued", NotificationStatus.Accepted)]
    [InlineData("Queued Suppressed", NotificationStatus.Accepted)]
    [InlineData("Deferred", NotificationStatus.Scheduled)]
    [InlineData("Deferred Queued", NotificationStatus.Accepted)]
    [InlineData("Deferred+1", NotificationStatus.Dispatching)]
    [InlineData("Attempting+1", NotificationStatus.Dispatching)]
    [InlineData("Queued Dispatched", NotificationStatus.Dispatching)]
    [InlineData("Queued Delivered", NotificationStatus.Dispatching)]
    [InlineData("Queued Failed", NotificationStatus.Dispatching)]
    [InlineData("Queued Unknown", NotificationStatus.Dispatching)]
    [InlineData("Attempting+1 Delivered Failed Unknown", NotificationStatus.Dispatching)]
    [InlineData("Unknown", NotificationStatus.Unknown)]
    [InlineData("Unknown Delivered", NotificationStatus.Unknown)]
    [InlineData("Unknown Failed Suppressed", NotificationStatus.Unknown)]
    [InlineData("", NotificationStatus.Suppressed)]
    [InlineData("Suppressed", NotificationStatus.Suppressed)]
    [InlineData("Suppressed Suppressed", NotificationStatus.Suppressed)]
    [InlineData("Cancelled", NotificationStatus.Cancelled)]
    [InlineData("Cancelled Suppressed", NotificationStatus.Cancelled)]
    [InlineData("Expired", NotificationStatus.Expired)]
    [InlineData("Expired Suppressed", NotificationStatus.Expired)]
    [InlineData("Delivered", NotificationStatus.Delivered)]
    [InlineData("Delivered Delivered", NotificationStatus.Delivered)]
    [InlineData("Delivered Suppressed", NotificationStatus.Delivered)]
    [InlineData("Delivered Dispatched", NotificationStatus.PartiallyDelivered)]
    [InlineData("Delivered Failed", NotificationStatus.PartiallyDelivered)]
    [InlineData("Delivered DeadLettered", NotificationStatus.PartiallyDelivered)]
    [InlineData("Dispatched", NotificationStatus.Dispatched)]
    [InlineData("Dispatched Failed", NotificationStatus.Dispatched)]
    [InlineData("Dispatched Cancelled", NotificationStatus.Dispatched)]
    [InlineData("Failed", NotificationStatus.Failed)]
    [InlineData("DeadLettered", NotificationStatus.Failed)]
    [InlineData("Failed Suppressed", NotificationStatus.Failed)]
    [InlineData("Failed Cancelled", NotificationStatus.Failed)]
    public void Deliveries_make_the_status(string deliveries, NotificationStatus expected) =>
        Assert.Equal(expected, NotificationStatusRule.Of(Of(deliveries)));

    [Fact]
    public void The_status_does_not_depend_on_the_order_of_deliveries()
    {
        foreach (var a in Enum.GetNames<DeliveryStatus>())
        {
            foreach (var b in Enum.GetNames<DeliveryStatus>())
                Assert.Equal(NotificationStatusRule.Of(Of($"{a} {b}")), NotificationStatusRule.Of(Of($"{b} {a}")));
        }
    }

    [Fact]
    public void Before_planning_the_request_makes_the_status()
    {
        Assert.Equal(NotificationStatus.Accepted, Status(Requested()));
        Assert.Equal(NotificationStatus.Scheduled, Status(Requested(sendAt: Noon.AddDays(1))));
        Assert.Equal(
            NotificationStatus.Cancelled,
            Status(Requested(sendAt: Noon.AddDays(1)), new NotificationCancelled([], "c_shop", Noon))
        );
        Assert.Equal(NotificationStatus.Expired, Status(Requested(), new NotificationExpired([], Noon)));
    }

    private static NotificationStatus Status(params object[] events) =>
        NotificationStatusRule.Of(Notify.Domain.Notifications.Notification.Fold(Key, events)!);

    private static Notification Of(string deliveries) =>
        Notification() with
        {
            Deliveries = deliveries
                .Split(' ', StringSplitOptions.RemoveEmptyEntries)
                .Select(d => d.Split('+'))
                .Select(d => Delivery(Enum.Parse<DeliveryStatus>(d[0]), d.Length > 1 ? int.Parse(d[1]) : 0))
                .ToImmutableDictionary(d => d.Id),
        };
}
