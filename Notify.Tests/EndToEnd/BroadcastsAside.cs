namespace Notify.Tests.EndToEnd;

using Notify.Tests.Support;
using Npgsql;

/// <summary>Broadcasts to recipients one of whom is locked or cannot be read: the others do not wait.</summary>
public sealed class BroadcastsAside(BroadcastSystem broadcasts) : CrowdTest(broadcasts)
{
    private const int Followers = 300;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Broadcast_reaches_all_others_at_once_when_a_recipient_is_locked_and_another_unreadable()
    {
        // The documents of earlier crowds are removed behind their streams: they are not verified here.
        var before = await Installation.ScalarAsync<long>("select coalesce(max(seq_id), 0) from events.mt_events");
        var (topic, id) = (await CrowdAsync(Followers), NewId("aside"));
        var (locked, unreadable) = ($"{topic}-7", $"{topic}-200");
        await using var connection = await Installation.Database.OpenConnectionAsync(Cancellation);
        await using var transaction = await connection.BeginTransactionAsync(Cancellation);
        await using (var hold = new NpgsqlCommand("insert into notify.event_ids (key, request_hash) values ($1, 'held')", connection))
        {
            hold.Parameters.Add(new NpgsqlParameter { Value = $"n/{Client.AppKey}:{id}@{UserRefs.Of(locked)}" });
            await hold.ExecuteNonQueryAsync(Cancellation);
        }

        await DamageAsync(unreadable, "jsonb_set(data, '{devices}', '7') || jsonb_build_object('kept', data -> 'devices')");
        (
            await Client.PostAsync(
                "/v1/broadcasts",
                new
                {
                    broadcastId = id,
                    topic,
                    channels = new[] { "push" },
                    content = new { title = id, body = "x" },
                }
            )
        ).Is(202);

        await ReachesAsync(id, Followers - 2);
        await Eventually.Becomes(
            async () => (await Sandbox.CountAsync(id)).Accepted,
            n => n == Followers - 2,
            "all others are sent to while one is locked"
        );
        Assert.Null((await Client.GetAsync($"/v1/broadcasts/{id}")).Is(200)["endedAt"]);
        Assert.Equal(
            2,
            await Installation.ScalarAsync<long>("select count(*) from notify.broadcast_retries where key = $1", $"b/{Client.AppKey}:{id}")
        );

        await transaction.RollbackAsync(Cancellation);
        await ReachesAsync(id, Followers - 1);
        await DamageAsync(unreadable, "jsonb_set(data, '{devices}', data -> 'kept') - 'kept'");
        Assert.Equal($"{Followers}", (await EndsAsync(id))["expanded"]);
        await Installation.QuietAsync(TimeSpan.FromMinutes(1), id);
        await ReachedOnceAsync(id, Followers);
        await Installation.VerifyAsync(before);
    }

    [Fact]
    public async Task Broadcast_withdrawn_while_recipients_wait_makes_nothing_for_them()
    {
        var (topic, id) = (await CrowdAsync(10, muted: true), NewId("aside-withdrawn"));
        await DamageAsync($"{topic}-5", "jsonb_set(data, '{devices}', '7')");
        (
            await Client.PostAsync(
                "/v1/broadcasts",
                new
                {
                    broadcastId = id,
                    topic,
                    channels = new[] { "push" },
                    content = new { title = id, body = "x" },
                }
            )
        ).Is(202);
        await ReachesAsync(id, 9);
        (await Client.PostAsync($"/v1/broadcasts/{id}/cancel", new { })).Is(200);
        await Eventually.Becomes(
            () => Installation.ScalarAsync<long>("select count(*) from notify.broadcast_retries where key = $1", $"b/{Client.AppKey}:{id}"),
            n => n == 0,
            "nobody waits"
        );
        Assert.Equal(9, await StreamsAsync(id));
    }

    private Task<long> DamageAsync(string user, string data) =>
        Installation.ScalarAsync<long>(
            $"with changed as (update events.mt_doc_recipient set data = {data} where id = $1 returning 1) select count(*) from changed",
            UserRefs.KeyOf(user)
        );
}
