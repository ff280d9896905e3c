namespace Notify.Tests.Projections;

using Notify.Api.Contract;
using Notify.Delivery.EventStore;
using Notify.Delivery.Privacy;
using Notify.Domain.Recipients;
using Notify.Tests.Support;
using Npgsql;

/// <summary>The references of users, over a real database.</summary>
public sealed class UserReferencesTests(EmptyDatabase database) : IClassFixture<EmptyDatabase>
{
    private readonly MasterKeyRing ring = NewRing();
    private readonly string user = $"Oblomov.{Guid.NewGuid():N}";

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private UserReferences References => new(ring, database.Source);

    private SubjectKeys Keys => new(ring, TimeProvider.System);

    [Fact]
    public async Task Reference_follows_from_the_ID_without_a_lookup_and_no_user_ID_looks_like_one()
    {
        await using var away = NpgsqlDataSource.Create("Host=127.0.0.1;Port=1");
        var reference = await new UserReferences(ring, away).FindAsync(user, Cancellation);

        Assert.Equal((1 + UserRef.Length, UserRef.Mark), (reference.Length, reference[0]));
        Assert.True(UserRef.Is(reference));
        Assert.True(UserRef.IsOfSubject(Recipient.KeyOf(reference)));
        Assert.False(Identifiers.IsUserId(reference));
        Assert.Equal(reference, await new UserReferences(NewRing(), away).FindAsync(user, Cancellation));
        Assert.NotEqual(reference, await new UserReferences(ring, away).FindAsync(user.ToUpperInvariant(), Cancellation));
    }

    [Fact]
    public async Task User_from_before_keeps_the_ID_as_reference_and_a_new_one_gets_a_reference()
    {
        var (byKey, byStream, gone) = ($"{user}-1", $"{user}-2", $"{user}-3");
        await MakeKeyAsync(Recipient.KeyOf(byKey));
        await MakeKeyAsync(Recipient.KeyOf(gone));
        await ExecuteAsync("update notify.subject_keys set wrapped = null, erased_at = now() where subject = $1", Recipient.KeyOf(gone));
        foreach (var stream in new[] { byStream, gone })
            await ExecuteAsync("insert into events.mt_streams (id, version) values ($1, 1)", Recipient.KeyOf(stream));
        ring.Format.Follow(StoreFormat.Reader, StoreFormat.Reader, plainUsers: true);
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        var references = References;

        for (var i = 0; i < 2; i++) // asked of the database, and remembered
        {
            var found = await references.FindAsync(connection, [byKey, byStream, gone, user, user], Cancellation);
            Assert.Equal([byKey, byStream, gone, RefOf(user)], new[] { byKey, byStream, gone, user }.Select(u => found[u]));
        }

        Assert.Equal(
            (byKey, RefOf(user)),
            (await references.FindAsync(byKey, Cancellation), await references.FindAsync(user, Cancellation))
        );
    }

    [Fact]
    public async Task New_user_gets_the_ID_while_a_host_of_the_former_version_lives_and_keeps_it_afterwards()
    {
        var references = References;
        ring.Format.Follow(lowestLive: 3, minReader: 3);
        Assert.Equal(user, await references.FindAsync(user, Cancellation));

        // Another host was told before this one that references begin: its user is not made a second time.
        var other = $"{user}-other";
        await MakeKeyAsync(Recipient.KeyOf(RefOf(other)));
        Assert.Equal(RefOf(other), await references.FindAsync(other, Cancellation));

        await MakeKeyAsync(Recipient.KeyOf(user));
        ring.Format.Follow(StoreFormat.Reader, StoreFormat.Reader, plainUsers: true);
        Assert.Equal(user, await references.FindAsync(user, Cancellation));
    }

    [Theory]
    [InlineData("order-1", false)]
    [InlineData("autumn@*abcdefghijklmnopqrstuv", false)]
    [InlineData("autumn@u-42", true)]
    [InlineData("autumn@kim@example", true)]
    public async Task Notification_of_a_broadcast_is_found_by_the_ID_of_its_user(string eventId, bool isMapped)
    {
        var found = await References.FindEventIdAsync(eventId, Cancellation);
        Assert.Equal(isMapped ? $"autumn@{RefOf(eventId["autumn@".Length..])}" : eventId, found);
    }

    [Fact]
    public async Task Stream_of_a_user_is_found_by_the_ID()
    {
        var key = Recipient.KeyOf(RefOf("u-42"));
        Assert.Equal(["k/news", key, key], await References.FindStreamsAsync(["k/news", "u/u-42", key], Cancellation));
    }

    [Fact]
    public async Task User_ID_opens_with_a_key_that_was_replaced_and_joins_its_successor()
    {
        var subject = Recipient.KeyOf(RefOf(user));
        var userIds = new Dictionary<string, string> { [subject] = user };
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        await Keys.CurrentAsync(connection, [subject], Cancellation, userIds);
        await ExecuteAsync("update notify.subject_keys set erased_at = 'infinity', replaced_at = now() where subject = $1", subject);
        await MakeKeyAsync(subject);
        Assert.Equal(user, (await Keys.UserIdsAsync(connection, [RefOf(user)], Cancellation))[RefOf(user)]);

        await Keys.CurrentAsync(connection, [subject], Cancellation, userIds);
        Assert.Equal(
            2,
            await CountAsync("select count(*) from notify.subject_keys where subject = $1 and sealed_user_id is not null", subject)
        );
        Assert.True(await Keys.EraseAsync(connection, subject, Cancellation));
        Assert.Empty(await Keys.UserIdsAsync(connection, [RefOf(user)], Cancellation));
        Assert.Equal(
            2,
            await CountAsync("select count(*) from notify.subject_keys where subject = $1 and sealed_user_id is null", subject)
        );
    }

    [Fact]
    public async Task User_ID_is_kept_encrypted_with_the_key_until_the_user_is_erased()
    {
        var (reference, subject) = (RefOf(user), Recipient.KeyOf(RefOf(user)));
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        await Keys.CurrentAsync(connection, [subject], Cancellation, new Dictionary<string, string> { [subject] = user });

        Assert.Equal(user, (await Keys.UserIdsAsync(connection, [reference, null, "u-old"], Cancellation))[reference]);
        Assert.DoesNotContain(user, System.Text.Encoding.UTF8.GetString(await SealedAsync(subject)), StringComparison.OrdinalIgnoreCase);
        Assert.Equal("u-old", (await Keys.UserIdsAsync(connection, ["u-old"], Cancellation))["u-old"]); // from before references

        Assert.True(await Keys.EraseAsync(connection, subject, Cancellation));
        Assert.Empty(await Keys.UserIdsAsync(connection, [reference], Cancellation));
        Assert.Equal(
            0,
            await CountAsync(
                "select count(*) from notify.subject_keys where subject = $1 and (wrapped is not null or sealed_user_id is not null)",
                subject
            )
        );
    }

    [Fact]
    public async Task User_ID_joins_a_key_that_was_made_without_it_and_opens_under_no_other_key()
    {
        var (one, two) = (Recipient.KeyOf(RefOf(user)), Recipient.KeyOf(RefOf($"{user}-2")));
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        await Keys.CurrentAsync(connection, [one, two], Cancellation);
        Assert.Empty(await Keys.UserIdsAsync(connection, [RefOf(user)], Cancellation));

        await Keys.CurrentAsync(connection, [one], Cancellation, new Dictionary<string, string> { [one] = user });
        Assert.Equal(user, Assert.Single(await Keys.UserIdsAsync(connection, [RefOf(user), RefOf($"{user}-2")], Cancellation)).Value);

        await ExecuteAsync(
            """
            update notify.subject_keys set sealed_user_id = (select sealed_user_id from notify.subject_keys where subject = $1)
            where subject = $2
            """,
            one,
            two
        );
        Assert.DoesNotContain(RefOf($"{user}-2"), await Keys.UserIdsAsync(connection, [RefOf($"{user}-2")], Cancellation));
    }

    [Fact]
    public async Task User_from_before_has_no_ID_with_the_key()
    {
        var subject = Recipient.KeyOf(user);
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        await Keys.CurrentAsync(connection, [subject], Cancellation, new Dictionary<string, string> { [subject] = user });
        Assert.Equal(
            1,
            await CountAsync("select count(*) from notify.subject_keys where subject = $1 and sealed_user_id is null", subject)
        );
    }

    private static MasterKeyRing NewRing() => UserRefs.NewRing();

    private static string RefOf(string userId) => UserRefs.Of(userId);

    private async Task MakeKeyAsync(string subject)
    {
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        await Keys.CurrentAsync(connection, [subject], Cancellation);
    }

    private async Task<byte[]> SealedAsync(string subject)
    {
        await using var command = database.Source.CreateCommand("select sealed_user_id from notify.subject_keys where subject = $1");
        command.Parameters.Add(new NpgsqlParameter { Value = subject });
        return (byte[])(await command.ExecuteScalarAsync(Cancellation))!;
    }

    private async Task<long> CountAsync(string sql, string parameter)
    {
        await using var command = database.Source.CreateCommand(sql);
        command.Parameters.Add(new NpgsqlParameter { Value = parameter });
        return (long)(await command.ExecuteScalarAsync(Cancellation))!;
    }

    private async Task ExecuteAsync(string sql, params string[] parameters)
    {
        await using var command = database.Source.CreateCommand(sql);
        foreach (var p in parameters)
            command.Parameters.Add(new NpgsqlParameter { Value = p });
        await command.ExecuteNonQueryAsync(Cancellation);
    }
}
