namespace Notify.Tests.Projections;

using Microsoft.Extensions.Logging.Abstractions;
using Notify.Infrastructure.Messaging;

/// <summary>Old envelopes in an outbox are released, and no others are changed.</summary>
public sealed class OutboxSweepTests(EmptyDatabase database) : IClassFixture<EmptyDatabase>
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_message_that_lies_in_the_outbox_at_three_looks_is_freed_and_others_are_not()
    {
        var sweep = new OutboxSweep(database.Source, "api_messages", TimeProvider.System, NullLogger<OutboxSweep>.Instance);
        var (stuck, passing, late) = (Guid.NewGuid(), Guid.NewGuid(), Guid.NewGuid());
        await PutAsync(stuck);
        await PutAsync(passing);

        Assert.Equal(0, await sweep.LookAsync(Cancellation));
        await ExecuteAsync($"delete from api_messages.wolverine_outgoing_envelopes where id = '{passing}'"); // it was sent
        await PutAsync(late);
        Assert.Equal(0, await sweep.LookAsync(Cancellation));
        Assert.Equal(1, await sweep.LookAsync(Cancellation));

        Assert.Equal((0, 7), (await OwnerAsync(stuck), await OwnerAsync(late)));
        await ExecuteAsync("truncate api_messages.wolverine_outgoing_envelopes");
    }

    private Task PutAsync(Guid id) =>
        ExecuteAsync(
            "insert into api_messages.wolverine_outgoing_envelopes (id, owner_id, destination, body, message_type) values "
                + $"('{id}', 7, 'postgresql://apns_normal/', '', 'x')"
        );

    private async Task<int> OwnerAsync(Guid id)
    {
        await using var command = database.Source.CreateCommand(
            $"select owner_id from api_messages.wolverine_outgoing_envelopes where id = '{id}'"
        );
        return (int)(await command.ExecuteScalarAsync(Cancellation))!;
    }

    private async Task ExecuteAsync(string sql)
    {
        await using var command = database.Source.CreateCommand(sql);
        await command.ExecuteNonQueryAsync(Cancellation);
    }
}
