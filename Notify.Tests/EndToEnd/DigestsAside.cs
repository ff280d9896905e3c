namespace Notify.Tests.EndToEnd;

using Notify.Tests.Support;
using Npgsql;

/// <summary>Digests with a member that is locked or cannot be read: neither their other members nor other digests wait.</summary>
public sealed class DigestsAside : SystemTest
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Digest_goes_without_its_locked_member_which_follows_in_its_own()
    {
        var (category, person, other) = (await CategoryAsync(), await NewAsync(), await NewAsync());
        var (ids, others) = (await SendAsync(person, category), await SendAsync(other, category));
        var digest = await DigestOfAsync(ids[0]);
        await using var connection = await Installation.Database.OpenConnectionAsync(Cancellation);
        await using var transaction = await connection.BeginTransactionAsync(Cancellation);
        await using (var hold = new NpgsqlCommand("select id from events.mt_streams where id = $1 for update", connection))
        {
            hold.Parameters.Add(new NpgsqlParameter { Value = $"n/{Client.AppKey}:{ids[1]}" });
            await hold.ExecuteNonQueryAsync(Cancellation);
        }

        await CloseAsync(digest);
        await CloseAsync(await DigestOfAsync(others[0]));
        await Client.BecomesAsync(await DigestOfAsync(others[0]), "dispatched");
        var sent = await Client.BecomesAsync(digest, "dispatched");
        Assert.Equal([ids[0], ids[2]], sent.Json["members"]!.AsArray().Select(m => m!.ToString()));
        Assert.Equal((0, 0), await Sandbox.CountAsync(ids[1]));
        await Installation.VerifyAsync();

        await transaction.RollbackAsync(Cancellation);
        await FollowsAsync(ids, digest);
    }

    [Fact]
    public async Task Digest_goes_without_its_unreadable_member_which_follows_when_it_can_be_read()
    {
        var (category, person) = (await CategoryAsync(), await NewAsync());
        var ids = await SendAsync(person, category);
        var (digest, key) = (await DigestOfAsync(ids[0]), $"n/{Client.AppKey}:{ids[1]}");
        await Installation.ScalarAsync<long>(
            """
            with damaged as (
                update events.mt_events set data = jsonb_build_object('kept', data) where stream_id = $1 and version = 1 returning 1)
            select count(*) from damaged
            """,
            key
        );

        await CloseAsync(digest);
        var sent = await Client.BecomesAsync(digest, "dispatched");
        Assert.Equal([ids[0], ids[2]], sent.Json["members"]!.AsArray().Select(m => m!.ToString()));

        await Installation.ScalarAsync<long>(
            """
            with repaired as (
                update events.mt_events set data = data -> 'kept' where stream_id = $1 and version = 1 returning 1)
            select count(*) from repaired
            """,
            key
        );
        await FollowsAsync(ids, digest);
    }

    [Fact]
    public async Task Locked_place_of_one_person_keeps_no_other_digest_waiting()
    {
        var (category, person, other) = (await CategoryAsync(), await NewAsync(), await NewAsync());
        var (ids, others) = (await SendAsync(person, category), await SendAsync(other, category));
        await using var connection = await Installation.Database.OpenConnectionAsync(Cancellation);
        await using var transaction = await connection.BeginTransactionAsync(Cancellation);
        var digest = await DigestOfAsync(ids[0]);
        await CloseAsync(digest, inSeconds: 2);
        await CloseAsync(await DigestOfAsync(others[0]), inSeconds: 2);
        await using (
            var hold = new NpgsqlCommand("select person from notify.digests where category = $1 and person = $2 for update", connection)
        )
        {
            hold.Parameters.Add(new NpgsqlParameter { Value = category });
            hold.Parameters.Add(new NpgsqlParameter { Value = person.Key });
            Assert.Equal(person.Key, await hold.ExecuteScalarAsync(Cancellation));
        }

        await Client.BecomesAsync(await DigestOfAsync(others[0]), "dispatched");
        Assert.Equal("scheduled", (await Client.StateAsync(digest)).Status);
        await transaction.RollbackAsync(Cancellation);
        Assert.Equal(3, (await Client.BecomesAsync(digest, "dispatched")).Json["members"]!.AsArray().Count);
        Assert.Equal((1, 1), await Sandbox.CountAsync(ids[0]));
    }

    // The one that was left behind is told by a digest of its own, once.
    private async Task FollowsAsync(string[] ids, string digest)
    {
        var state = await Client.BecomesAsync(ids[1], "digested");
        var follower = state.Json["digest"]!.ToString();
        Assert.NotEqual(digest, follower);
        await Client.BecomesAsync(follower, "dispatched");
        foreach (var id in ids)
            Assert.Equal((1, 1), await Sandbox.CountAsync(id));
        await Installation.VerifyAsync();
    }

    private Task<Person> NewAsync() => Installation.NewPersonAsync(devices: 0);

    private async Task<string> CategoryAsync()
    {
        var category = $"aside-{Guid.NewGuid():N}";
        (await Client.PutAsync($"/v1/categories/{category}", new { digest = new { windowSeconds = 3600 } })).Is(200);
        return category;
    }

    private async Task<string[]> SendAsync(Person person, string category)
    {
        var ids = Enumerable.Range(0, 3).Select(i => NewId($"aside{i}")).ToArray();
        foreach (var id in ids)
            (
                await Client.SendAsync(
                    new
                    {
                        eventId = id,
                        userId = person.Id,
                        category,
                        content = new { body = id },
                    }
                )
            ).Is(202);
        return ids;
    }

    private async Task<string> DigestOfAsync(string id) => (await Client.StateAsync(id)).Json["digest"]!.ToString();

    private async Task CloseAsync(string digest, int inSeconds = 0) =>
        (
            await Client.PostAsync(
                $"/v1/notifications/{digest}/reschedule",
                new { sendAt = TimeProvider.System.GetUtcNow().AddSeconds(inSeconds) }
            )
        ).Is(200);
}
