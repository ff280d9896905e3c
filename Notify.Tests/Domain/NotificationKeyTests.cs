namespace Notify.Tests.Domain;

using Notify.Domain.Notifications;

public class NotificationKeyTests
{
    [Theory]
    [InlineData("c_shop", "order-1")]
    [InlineData("c_shop", "a:b:c")]
    [InlineData("c_shop", "n/x:y")]
    public void A_key_is_taken_apart_again(string client, string eventId) =>
        Assert.Equal((client, eventId), NotificationKey.Parse(NotificationKey.Of(client, eventId)));

    [Theory]
    [InlineData("u/u-1")]
    [InlineData("n/no-colon")]
    [InlineData("")]
    public void Malformed_key_is_not_parsed(string key) => Assert.Null(NotificationKey.Parse(key));
}
