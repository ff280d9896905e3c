namespace Notify.Tests.Domain;

using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Planning;
using Notify.Domain.Recipients;
using static Notify.Tests.Domain.Some;

public class DeviceAppTests
{
    private static readonly (string, PushEnvironment)[] Apps =
    [
        ("com.own", PushEnvironment.Production),
        ("com.own", PushEnvironment.Sandbox),
        ("com.dev", PushEnvironment.Sandbox),
        ("com.both", PushEnvironment.Sandbox),
        ("com.both", PushEnvironment.Production),
    ];

    [Theory]
    [InlineData(null, null, 0)]
    [InlineData(null, PushEnvironment.Sandbox, 1)]
    [InlineData("com.own", null, 0)]
    [InlineData("com.own", PushEnvironment.Sandbox, 1)]
    [InlineData("com.dev", null, 2)]
    [InlineData("com.dev", PushEnvironment.Production, -1)]
    [InlineData("com.both", null, 4)]
    [InlineData("com.both", PushEnvironment.Sandbox, 3)]
    [InlineData("COM.OWN", null, -1)]
    [InlineData("com.other", null, -1)]
    public void Device_has_the_settings_of_its_own_app_or_none(string? app, PushEnvironment? environment, int expected) =>
        Assert.Equal(expected, DeviceApp.Choose(DeviceApp.Of(app, environment), Apps));

    [Fact]
    public void App_of_a_device_reaches_its_delivery()
    {
        var app = new DeviceApp("com.example.driver", PushEnvironment.Sandbox);
        var recipient = Recipient(new DeviceRegistered("d_1", Platform.Ios, Sealed("token"), "c", Noon, app));
        var plan = DeliveryPlanner.ForUser(
            Key,
            Requested(),
            new NotificationContent(Body: "b"),
            recipient,
            Rules(),
            (_, _) => Sealed("contact"),
            Noon
        );
        var notification = Notify.Domain.Notifications.Notification.Fold(Key, [Requested(), plan])!;
        Assert.Equal(app, Assert.Single(notification.Deliveries.Values, d => d.DeviceId == "d_1").App);
    }
}
