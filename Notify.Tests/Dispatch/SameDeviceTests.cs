namespace Notify.Tests.Dispatch;

using Notify.Dispatch.Dispatching;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Recipients;
using static Notify.Tests.Domain.Some;

public class SameDeviceTests
{
    private static readonly Dictionary<string, string> Tokens = new()
    {
        ["d_a"] = "ABCDEF01",
        ["d_b"] = "abcdef01",
        ["d_c"] = "00ff",
    };

    [Fact]
    public void One_of_two_spellings_of_a_token_is_sent()
    {
        var notification = Planned();
        var suppressed = notification.Deliveries.Values.Select(d => Find(notification, d)).OfType<DeliverySuppressed>().ToList();
        Assert.Equal(Reasons.SameDevice, Assert.Single(suppressed).Reason);
        Assert.NotEqual("d_c", notification.Deliveries[suppressed[0].DeliveryId].DeviceId);
    }

    [Fact]
    public void Second_spelling_is_not_sent_after_the_first()
    {
        var first = Planned().Deliveries.Values.First(d => d.DeviceId == "d_a");
        var notification = Planned(new NotificationDispatched(first.Id, 1, "apns", "m", 1, null, Noon));
        Assert.NotNull(Find(notification, notification.Deliveries.Values.First(d => d.DeviceId == "d_b")));
    }

    [Fact]
    public void Second_spelling_is_sent_where_the_first_is_removed_or_failed()
    {
        foreach (var device in new[] { "d_a", "d_b" })
        {
            var other = device == "d_a" ? "d_b" : "d_a";
            var notification = Planned();
            Assert.Null(
                Find(
                    notification,
                    notification.Deliveries.Values.First(d => d.DeviceId == device),
                    Recipient(new DeviceRemoved(other, DeviceRemovalReasons.OtherSpelling, "c", Noon))
                )
            );
            var failed = Planned(
                new NotificationFailed(
                    notification.Deliveries.Values.First(d => d.DeviceId == other).Id,
                    1,
                    Reasons.Unregistered,
                    "apns",
                    null,
                    Noon
                )
            );
            Assert.Null(Find(failed, failed.Deliveries.Values.First(d => d.DeviceId == device)));
        }
    }

    private static DeliverySuppressed? Find(Notification notification, Delivery delivery, Recipient? recipient = null) =>
        SameDevice.Find(notification, delivery, recipient ?? Recipient(), d => Tokens[d.DeviceId!], Noon);

    private static Recipient Recipient(params object[] more) =>
        Domain.Some.Recipient([.. Tokens.Keys.Select(id => new DeviceRegistered(id, Platform.Ios, Sealed(id), "c", Noon)), .. more]);

    private static Notification Planned(params object[] since)
    {
        var plan = new DeliveriesPlanned(
            [.. Tokens.Keys.Select(id => new PlannedDelivery(DeterministicId.OfDelivery(Key, id), Lane.Apns, id, Sealed(id)))],
            [],
            3,
            Noon
        );
        return Notify.Domain.Notifications.Notification.Fold(Key, [Requested(), plan, .. since])!;
    }
}
