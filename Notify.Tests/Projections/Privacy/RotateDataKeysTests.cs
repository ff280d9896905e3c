namespace Notify.Tests.Projections.Privacy;

using Notify.Delivery.Privacy;
using Notify.Domain.Privacy;
using Notify.Tests.Projections.Analytics;
using Notify.Tests.Support;
using Npgsql;

public sealed class RotateDataKeysTests(AnalyticsDatabase database) : IClassFixture<AnalyticsDatabase>
{
    private static readonly SealedPlace Place = SealedPlace.OfPayload("n/c_shop:e-1");
    private readonly string person = $"u/{Guid.NewGuid():N}";
    private readonly SubjectKeys keys = new(database.Ring, TimeProvider.System);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Replaced_keys_open_what_they_encrypted_beside_sends_and_erasing_takes_all_of_them()
    {
        var texts = new List<Sealed> { await SealAsync("0") };
        for (var i = 1; i <= 3; i++)
        {
            var sending = Task.WhenAll(Enumerable.Range(0, 20).Select(_ => SealAsync($"{i}")));
            Assert.Equal(0, (await RunAsync(new RotateDataKeysOptions("ops", [person], TimeSpan.Zero))).Code);
            texts.AddRange(await sending);
            texts.Add(await SealAsync($"{i}"));
        }

        Assert.Equal(4, texts.Select(t => t.KeyId).Distinct().Count());
        Assert.Equal(texts[^1].KeyId, texts.Max(t => t.KeyId)); // new values are under the newest key
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        foreach (
            var set in new[]
            {
                await keys.ForAsync(connection, texts, Cancellation),
                await keys.CurrentAsync(connection, [person], Cancellation),
            }
        )
            Assert.All(texts, t => Assert.NotNull(set.OpenText(t, Place)));

        Assert.True(await keys.EraseAsync(connection, person, Cancellation));
        var after = await keys.ForAsync(connection, texts, Cancellation);
        Assert.All(texts, t => Assert.Null(after.OpenText(t, Place)));
        Assert.Empty(await database.RowsAsync($"select id from notify.subject_keys where subject = '{person}' and wrapped is not null"));
        Assert.False(await keys.EraseAsync(connection, person, Cancellation));
    }

    [Fact]
    public async Task Run_that_was_killed_is_continued_by_the_next_and_no_key_is_replaced_twice()
    {
        string[] people = [.. Enumerable.Range(0, 7).Select(i => $"{person}-{i}")];
        var before = await Task.WhenAll(people.Select(p => SealAsync("x", p)));
        using var kill = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
        var options = new RotateDataKeysOptions("kim", people, TimeSpan.Zero);
        // The clock is read once when it starts, and once a page.
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => RunAsync(options, new KillingClock(kill, after: 3), kill.Token));
        Assert.Equal(2, (await CurrentAsync(people)).Except(before.Select(b => b.KeyId)).Count()); // one page was committed

        var (code, output) = await RunAsync(options with { By = "lee" });
        Assert.Equal(0, code);
        Assert.Contains("rotation that kim started", output, StringComparison.Ordinal);
        Assert.Contains("7 data keys were replaced", output, StringComparison.Ordinal);
        Assert.Empty((await CurrentAsync(people)).Intersect(before.Select(b => b.KeyId)));
        Assert.Equal(
            2 * people.Length,
            (await database.RowsAsync($"select id from notify.subject_keys where subject like '{person}-%' and wrapped is not null")).Count
        );

        var events = await EventsAsync();
        var ended = Assert.IsType<DataKeysRotated>(events[^1]);
        Assert.Equal(("lee", 7L), (ended.By, ended.Count));
        Assert.Equal("kim", Assert.IsType<DataKeyRotationStarted>(events[^2]).By);
        Assert.DoesNotContain("goes on", (await RunAsync(options)).Output, StringComparison.OrdinalIgnoreCase); // a new rotation
    }

    [Fact]
    public async Task Erasure_that_meets_a_rotation_takes_the_new_key_too()
    {
        await SealAsync("x");
        // The rotation has locked the key, and waits for the master key's row before it replaces it.
        await database.ExecuteAsync("update notify.master_keys set in_use = false");
        await using var holder = await database.Source.OpenConnectionAsync(Cancellation);
        await using var held = await holder.BeginTransactionAsync(Cancellation);
        await using (var hold = new NpgsqlCommand("update notify.master_keys set check_value = check_value", holder))
            await hold.ExecuteNonQueryAsync(Cancellation);
        var rotation = RunAsync(new RotateDataKeysOptions("ops", [person], TimeSpan.Zero));
        await WaitForLocksAsync(1);
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        var erasure = keys.EraseAsync(connection, person, Cancellation);
        await WaitForLocksAsync(2);
        await held.CommitAsync(Cancellation);

        await rotation;
        Assert.True(await erasure);
        Assert.Equal(2, (await database.RowsAsync($"select id from notify.subject_keys where subject = '{person}'")).Count);
        Assert.Empty(await database.RowsAsync($"select id from notify.subject_keys where subject = '{person}' and wrapped is not null"));
    }

    [Fact]
    public async Task Keys_of_the_age_are_replaced_and_younger_ones_and_others_are_not()
    {
        var (old, young, other) = (await SealAsync("x"), await SealAsync("x", $"{person}-young"), await SealAsync("x", $"{person}-other"));
        await database.ExecuteAsync(
            $"update notify.subject_keys set created_at = now() - interval '400 days' where subject <> '{person}-young'"
        );
        var (code, output) = await RunAsync(new RotateDataKeysOptions("ops", [person, $"{person}-young"], TimeSpan.FromDays(365)));
        Assert.Equal((0, true), (code, output.StartsWith("1 data keys were replaced", StringComparison.Ordinal)));
        var now = await CurrentAsync([person, $"{person}-young", $"{person}-other"]);
        Assert.Equal((false, true, true), (now.Contains(old.KeyId), now.Contains(young.KeyId), now.Contains(other.KeyId)));
    }

    [Fact]
    public async Task Nothing_is_replaced_while_a_host_of_a_former_version_lives()
    {
        var text = await SealAsync("x");
        database.Ring.Format.Follow(lowestLive: 3, minReader: 3);
        try
        {
            var (code, output) = await RunAsync(new RotateDataKeysOptions("ops", [person], TimeSpan.Zero));
            Assert.Equal((1, true), (code, output.Contains("former version lives", StringComparison.Ordinal)));
            Assert.Contains(text.KeyId, await CurrentAsync([person]));
        }
        finally
        {
            database.Ring.Format.Follow(lowestLive: 4, minReader: 4);
        }
    }

    [Fact]
    public async Task Replaced_keys_are_wrapped_anew_with_the_others()
    {
        var text = await SealAsync("x");
        await RunAsync(new RotateDataKeysOptions("ops", [person], TimeSpan.Zero));
        await database.ExecuteAsync($"update notify.subject_keys set master_key = 'gone' where subject = '{person}'");
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        Assert.True((await keys.ForAsync(connection, [text], Cancellation)).IsLocked(text)); // locked, not erased
        Assert.Equal(
            2,
            (
                await database.RowsAsync(
                    $"select id from notify.subject_keys where wrapped is not null and master_key = 'gone' and subject = '{person}'"
                )
            ).Count
        );
        await database.ExecuteAsync($"update notify.subject_keys set master_key = '1' where subject = '{person}'");
    }

    [Theory]
    [InlineData("--by kim", "kim", null, 0)]
    [InlineData("--by kim --subject u/1 --subject a/2 --older-than 365d", "kim", "u/1,a/2", 365)]
    public void Words_are_read(string words, string by, string? subjects, int days)
    {
        var (options, fault) = RotateDataKeysOptions.Parse(words.Split(' '));
        Assert.Null(fault);
        Assert.Equal(
            (by, subjects, days),
            (options!.By, options.Subjects is null ? null : string.Join(',', options.Subjects), (int)options.OlderThan.TotalDays)
        );
    }

    [Theory]
    [InlineData("", "--by NAME")]
    [InlineData("--by", "needs a value")]
    [InlineData("--by kim --older-than soon", "give days")]
    [InlineData("--by kim u/1", "not known")]
    public void Wrong_words_are_told(string words, string said) =>
        Assert.Contains(
            said,
            RotateDataKeysOptions.Parse(words.Split(' ', StringSplitOptions.RemoveEmptyEntries)).Fault,
            StringComparison.Ordinal
        );

    private async Task<(int Code, string Output)> RunAsync(
        RotateDataKeysOptions options,
        TimeProvider? clock = null,
        CancellationToken? cancellation = null
    )
    {
        await using var output = new StringWriter();
        var code = await new RotateDataKeys(
            database.Store,
            database.Source,
            database.Ring,
            clock ?? TimeProvider.System,
            output,
            pageSize: 2
        ).RunAsync(options, cancellation ?? Cancellation);
        return (code, output.ToString());
    }

    private async Task<Sealed> SealAsync(string text, string? subject = null)
    {
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        return (await keys.CurrentAsync(connection, [subject ?? person], Cancellation)).Seal(subject ?? person, Place, text);
    }

    private async Task<IReadOnlyList<long>> CurrentAsync(string[] subjects)
    {
        await using var command = database.Source.CreateCommand(
            "select id from notify.subject_keys where subject = any($1) and erased_at is null"
        );
        command.Parameters.Add(new NpgsqlParameter { Value = subjects });
        await using var reader = await command.ExecuteReaderAsync(Cancellation);
        var ids = new List<long>();
        while (await reader.ReadAsync(Cancellation))
            ids.Add(reader.GetInt64(0));
        return ids;
    }

    private Task WaitForLocksAsync(int waiting) =>
        Eventually.Holds(
            async () =>
                (
                    await database.RowsAsync(
                        "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
                    )
                ).Count == waiting,
            $"{waiting} sessions wait for locks"
        );

    private async Task<IReadOnlyList<object>> EventsAsync()
    {
        await using var session = database.Store.QuerySession();
        return [.. (await session.Events.FetchStreamAsync(DataKeyRotation.Key, token: Cancellation)).Select(e => e.Data)];
    }

    /// <summary>Ends a run at a reading of the clock.</summary>
    private sealed class KillingClock(CancellationTokenSource kill, int after) : TimeProvider
    {
        private int left = after;

        public override DateTimeOffset GetUtcNow()
        {
            if (--left == 0)
                kill.Cancel();
            return base.GetUtcNow();
        }
    }
}
