using Notify.Projections;

namespace Notify.Tests.Projections;

public sealed class ConnectionTests
{
    [Theory]
    [InlineData("Host=db", 60)]
    [InlineData("Host=db;Max Auto Prepare=0", 0)]
    [InlineData("Host=db;MaxAutoPrepare=0", 0)]
    [InlineData("Host=db;max auto prepare=7", 7)]
    public void Repeated_statements_are_prepared_unless_the_connection_string_says_otherwise(string configured, int prepared)
    {
        Assert.Equal(prepared, NotifyStore.Connection(configured).MaxAutoPrepare);
        Assert.Equal("UTC", NotifyStore.Connection(configured).Timezone);
    }
}
