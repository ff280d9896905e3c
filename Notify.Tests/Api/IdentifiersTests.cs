namespace Notify.Tests.Api;

using Notify.Api.Contract;

public class IdentifiersTests
{
    [Theory]
    [InlineData("order-123-shipped", true)]
    [InlineData("A.z_0~9:-", true)]
    [InlineData("1", true)]
    [InlineData("", false)]
    [InlineData(null, false)]
    [InlineData(" ", false)]
    [InlineData("a b", false)]
    [InlineData("a/b", false)]
    [InlineData("a@b", false)]
    [InlineData("a\n", false)]
    [InlineData("a\0", false)]
    [InlineData("주문", false)]
    [InlineData("a%2e", false)]
    [InlineData("١", false)]
    public void An_event_id_is_as_contracted(string? id, bool holds) => Assert.Equal(holds, Identifiers.IsEventId(id));

    [Theory]
    [InlineData(1, true)]
    [InlineData(128, true)]
    [InlineData(129, false)]
    public void An_id_has_up_to_128_characters(int length, bool holds)
    {
        Assert.Equal(holds, Identifiers.IsEventId(new string('a', length)));
        Assert.Equal(holds, Identifiers.IsUserId(new string('a', length)));
    }

    [Theory]
    [InlineData("u-42", true)]
    [InlineData("kim@example.com", true)]
    [InlineData("a+b", true)]
    [InlineData("a/b", false)]
    [InlineData("a\n", false)]
    [InlineData("", false)]
    [InlineData(null, false)]
    public void A_user_id_is_as_ruled(string? id, bool holds) => Assert.Equal(holds, Identifiers.IsUserId(id));

    [Theory]
    [InlineData("shipping", true)]
    [InlineData("a.b_c-1", true)]
    [InlineData("Shipping", false)]
    [InlineData("a/b", false)]
    [InlineData("", false)]
    public void A_key_is_as_ruled(string key, bool holds) => Assert.Equal(holds, Identifiers.IsKey(key));

    [Fact]
    public void A_key_has_up_to_64_characters()
    {
        Assert.True(Identifiers.IsKey(new string('a', 64)));
        Assert.False(Identifiers.IsKey(new string('a', 65)));
    }
}
