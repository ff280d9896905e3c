namespace Notify.Tests.Projections;

using Notify.Delivery;

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

    [Theory]
    [InlineData("Host=db", false, null)]
    [InlineData("Host=db", true, "-c enable_seqscan=off -c enable_bitmapscan=off -c jit=off")]
    [InlineData("Host=db;Max Auto Prepare=0", true, null)]
    [InlineData(
        "Host=db;Options=-c enable_seqscan=on",
        true,
        "-c enable_seqscan=off -c enable_bitmapscan=off -c jit=off -c enable_seqscan=on"
    )]
    public void A_host_that_reads_along_indexes_says_so_and_the_connection_string_has_the_last_word(
        string configured,
        bool byIndex,
        string? options
    ) => Assert.Equal(options, NotifyStore.Connection(configured, byIndex).Options);
}
