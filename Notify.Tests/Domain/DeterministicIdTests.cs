namespace Notify.Tests.Domain;

using Notify.Domain.Notifications;

public class DeterministicIdTests
{
    // Computed with another implementation (Python's hashlib). A change here would make planned deliveries strangers to their past.
    [Theory]
    [InlineData("n/c_a:order-1", "sms", "9052f529-2d82-802f-bcaa-bfd0a31fe471")]
    [InlineData("n/c_a:order-1", "d_1", "e82ef91d-0847-8010-a731-d0a6056833f9")]
    [InlineData("n/c_a:주문", "email", "23f7168b-39b9-8ce0-bc15-83bdb9816dce")]
    public void A_delivery_s_id_is_stable_for_ever(string key, string contact, string id) =>
        Assert.Equal(Guid.Parse(id), DeterministicId.OfDelivery(key, contact));

    [Fact]
    public void A_planning_s_id_is_stable_for_ever() =>
        Assert.Equal(Guid.Parse("2d6fe012-c5da-81da-b1a3-9552769a829e"), DeterministicId.OfPlanning("n/c_a:order-1"));

    [Fact]
    public void Ids_are_uuids_of_version_8()
    {
        for (var i = 0; i < 1000; i++)
        {
            var text = DeterministicId.OfDelivery("n/c:e", $"{i}").ToString();
            Assert.Equal('8', text[14]);
            Assert.Contains(text[19], "89ab");
        }
    }

    [Fact]
    public void Different_deliveries_have_different_ids() =>
        Assert.Equal(
            20_000,
            Enumerable
                .Range(0, 10_000)
                .SelectMany(i => new[] { DeterministicId.OfDelivery($"n/c:{i}", "sms"), DeterministicId.OfDelivery("n/c:0", $"d_{i}") })
                .Distinct()
                .Count()
        );
}
