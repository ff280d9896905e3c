namespace Notify.Tests.Dispatch;

using Notify.Dispatch.Dispatching;
using Notify.Dispatch.Providers;
using Notify.Domain.Notifications;

public sealed class StorableWordsTests
{
    [Theory]
    [InlineData("SM1")]
    [InlineData("2.0.0 Ok: queued as 4XyZ")]
    public void Storable_message_id_is_unchanged(string id) =>
        Assert.Equal(new AttemptOutcome.Accepted(id), StorableWords.Of(new AttemptOutcome.Accepted(id)));

    [Theory]
    [InlineData("a\0b")]
    [InlineData("\ud800")]
    [InlineData("")]
    public void Message_id_that_the_database_rejects_is_replaced_by_its_hash(string id)
    {
        var stored = Assert.IsType<AttemptOutcome.Accepted>(StorableWords.Of(new AttemptOutcome.Accepted(id))).MessageId;
        Assert.StartsWith("sha256:", stored, StringComparison.Ordinal);
        Assert.Equal(stored, ((AttemptOutcome.Accepted)StorableWords.Of(new AttemptOutcome.Accepted(id))).MessageId);
    }

    [Fact]
    public void Codes_that_cannot_be_stored_are_left_away()
    {
        Assert.Equal(
            new AttemptOutcome.Rejected(Reasons.Rejected, null),
            StorableWords.Of(new AttemptOutcome.Rejected(Reasons.Rejected, "\0"))
        );
        Assert.Equal(
            new AttemptOutcome.Retry(Reasons.Retry, null),
            StorableWords.Of(new AttemptOutcome.Retry(Reasons.Retry, new string('x', 201)))
        );
        Assert.Equal(new AttemptOutcome.Halted("unreadable"), StorableWords.Of(new AttemptOutcome.Halted("bad\nkey")));
    }
}
