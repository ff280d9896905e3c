namespace Notify.Tests.Projections;

using Notify.Delivery.DeliveryQueue;

public sealed class ProviderMessagesTests(EmptyDatabase database) : IClassFixture<EmptyDatabase>
{
    private readonly Guid mine = Guid.NewGuid(),
        theirs = Guid.NewGuid();
    private readonly string first = $"SM{Guid.NewGuid():N}",
        second = $"SM{Guid.NewGuid():N}";

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Message_without_a_delivery_is_free() => Assert.Equal(first, await FirstFreeAsync(mine, first, second));

    [Fact]
    public async Task Message_of_another_delivery_is_skipped()
    {
        await NoteAsync(("twilio", first, theirs));
        Assert.Equal(second, await FirstFreeAsync(mine, first, second));
        Assert.Null(await FirstFreeAsync(mine, first));
    }

    [Fact]
    public async Task Message_of_a_delivery_remains_its_own()
    {
        Assert.Empty(await NoteAsync(("twilio", first, mine)));
        Assert.Empty(await NoteAsync(("twilio", first, mine)));
        Assert.Equal(first, await FirstFreeAsync(mine, first));
    }

    [Fact]
    public async Task First_delivery_keeps_its_message()
    {
        await NoteAsync(("twilio", first, theirs));
        Assert.Equal([mine], await NoteAsync(("twilio", first, mine), ("twilio", second, Guid.NewGuid())));
        Assert.Equal(first, await FirstFreeAsync(theirs, first));
    }

    [Fact]
    public async Task Another_provider_s_message_is_another_message()
    {
        await NoteAsync(("vonage", first, theirs));
        Assert.Equal(first, await FirstFreeAsync(mine, first));
    }

    [Fact]
    public async Task A_receipt_finds_its_notification_by_either_ID_but_not_by_one_that_two_share()
    {
        await NoteAsync(("sendgrid", first, mine));
        Assert.Equal((mine, $"n/c_shop:{mine}"), await FindAsync(null, first));
        Assert.Null(await FindAsync(theirs, second));
        await using (var connection = await database.Source.OpenConnectionAsync(Cancellation))
        {
            await DeliveryStreams.NoteAsync(connection, [(theirs, "n/c_shop:theirs"), (mine, "n/c_shop:mine")], Cancellation);
            await DeliveryStreams.NoteAsync(connection, [(mine, "n/c_shop:another")], Cancellation);
        }

        Assert.Equal((theirs, "n/c_shop:theirs"), await FindAsync(theirs, first));
        await NoteAsync(("sendgrid", first, theirs));
        Assert.Null(await FindAsync(null, first));
        Assert.Equal((mine, "n/c_shop:mine"), await FindAsync(mine, first));
    }

    [Fact]
    public async Task Of_many_who_race_for_one_message_one_gets_it()
    {
        var losers = await Task.WhenAll(
            Enumerable.Range(0, 8).Select(_ => NoteAsync(("twilio", second, Guid.NewGuid()), ("twilio", first, Guid.NewGuid())))
        );
        Assert.Equal(14, losers.Sum(l => l.Count));
    }

    private async Task<HashSet<Guid>> NoteAsync(params (string, string, Guid)[] messages)
    {
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        return await ProviderMessages.NoteAsync(
            connection,
            [.. messages.Select(m => (m.Item1, m.Item2, m.Item3, $"n/c_shop:{m.Item3}"))],
            Cancellation
        );
    }

    private async Task<(Guid, string)?> FindAsync(Guid? delivery, string message)
    {
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        return Assert.Single(
            await DeliveryStreams.FindAsync(connection, [new ReceiptAddress("sendgrid", delivery, message)], Cancellation)
        );
    }

    private Task<string?> FirstFreeAsync(Guid delivery, params string[] messages) =>
        ProviderMessages.FirstFreeAsync(database.Source, "twilio", messages, delivery, Cancellation);
}
