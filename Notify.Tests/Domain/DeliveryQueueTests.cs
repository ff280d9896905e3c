namespace Notify.Tests.Domain;

using Notify.Domain.Channels;
using Notify.Domain.Messages;
using Notify.Domain.Notifications;

public class DeliveryQueueTests
{
    private static readonly DeliveryQueue[] Conceivable =
    [
        .. from lane in Enum.GetValues<Lane>() from priority in Enum.GetValues<Priority>() select new DeliveryQueue(lane, priority),
    ];

    [Fact]
    public void Names_are_unique() => Assert.Equal(Conceivable.Length, Conceivable.Select(q => q.Name).Distinct().Count());

    [Fact]
    public void Names_become_tables_and_so_have_letters_and_underscore_only() =>
        Assert.All(Conceivable, q => Assert.Matches("^[a-z]+_[a-z]+$", q.Name));

    [Fact]
    public void Codes_are_unique_and_lead_back()
    {
        Assert.Equal(Conceivable.Length, Conceivable.Select(q => q.Code).Distinct().Count());
        Assert.All(Conceivable, q => Assert.Equal(q, DeliveryQueue.FromCode(q.Code)));
    }

    // Stored in rows: permanently stable.
    [Theory]
    [InlineData(Lane.Apns, Priority.Critical, "apns_critical", 0)]
    [InlineData(Lane.Apns, Priority.Bulk, "apns_bulk", 2)]
    [InlineData(Lane.Fcm, Priority.Normal, "fcm_normal", 11)]
    [InlineData(Lane.Webpush, Priority.Critical, "webpush_critical", 20)]
    [InlineData(Lane.Sms, Priority.Critical, "sms_critical", 30)]
    [InlineData(Lane.Email, Priority.Bulk, "email_bulk", 42)]
    public void A_queue_keeps_its_name_and_code(Lane lane, Priority priority, string name, short code) =>
        Assert.Equal((name, code), (new DeliveryQueue(lane, priority).Name, new DeliveryQueue(lane, priority).Code));

    [Fact]
    public void Every_carried_lane_has_a_queue_per_priority() => Assert.Equal(Lanes.All.Count * 3, DeliveryQueue.All.Distinct().Count());

    [Fact]
    public void Only_push_replaces_itself() =>
        Assert.Equal([Lane.Apns, Lane.Fcm, Lane.Webpush], Enum.GetValues<Lane>().Where(Lanes.RepeatReplacesItself));

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(DispatchDeliveries.MaxDeliveries)]
    [InlineData(DispatchDeliveries.MaxDeliveries + 1)]
    [InlineData(1000)]
    public void Messages_name_every_delivery_once_and_stay_small(int count)
    {
        var ids = Enumerable.Range(0, count).Select(i => DeterministicId.OfDelivery("n/c:e", $"{i}")).ToList();
        var messages = DispatchDeliveries.Cut(new DeliveryQueue(Lane.Sms, Priority.Bulk), ids).ToList();
        Assert.Equal(ids, messages.SelectMany(m => m.Deliveries));
        Assert.All(messages, m => Assert.InRange(m.Deliveries.Length, 1, DispatchDeliveries.MaxDeliveries));
        Assert.All(messages, m => Assert.Equal((Lane.Sms, Priority.Bulk), (m.Lane, m.Priority)));
    }
}
