namespace Notify.Tests.Projections.Privacy;

using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging.Abstractions;
using Notify.Delivery.Privacy;
using Notify.Domain.Privacy;
using Notify.Tests.Projections.Analytics;

/// <summary>Rotation of master keys in a folder that hosts share, over a real database.</summary>
public sealed class KeyRotationTests(AnalyticsDatabase database) : IClassFixture<AnalyticsDatabase>, IAsyncLifetime
{
    private readonly string folder = Directory.CreateTempSubdirectory("notify-keys-").FullName;
    private string first = null!;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        await database.ExecuteAsync(
            "truncate notify.master_keys, notify.host_keys, notify.subject_keys, notify.secret_checks, " + "notify.idempotency_keys"
        );
        first = new KeyFolder(folder).Add(TimeProvider.System.GetUtcNow().AddDays(-1));
    }

    public ValueTask DisposeAsync()
    {
        Directory.Delete(folder, recursive: true);
        return ValueTask.CompletedTask;
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    public async Task Rotation_that_was_interrupted_goes_on_where_it_was(int steps)
    {
        var (hosts, ring) = await HostAsync();
        var text = await SealAsync(ring, "u/kept");
        var answer = new KeptAnswers(ring, TimeProvider.System);
        await AnswerAsync(answer, keeps: true);
        var rotation = Rotation(hosts, ring);

        // When it ends between two steps,
        var key = first;
        if (steps > 0)
            key = await rotation.BeginAsync(Cancellation);
        if (steps > 1)
            Assert.Empty(await rotation.FollowAsync(key, Cancellation));
        if (steps > 2)
            await rotation.RewrapAsync(Cancellation);
        if (steps > 3)
            Assert.Empty(await rotation.RetireAsync(key, 1, Cancellation));
        if (steps > 4)
            await database.ExecuteAsync($"update notify.master_keys set destroyed_at = now() where id = '{first}'");
        await hosts.LeaveAsync(Cancellation);

        // and a new process rotates,
        (hosts, ring) = await HostAsync();
        Assert.Equal(steps is > 0 and < 4, await Rotation(hosts, ring, TimeSpan.FromDays(30)).IsDueAsync(Cancellation));
        var (code, output) = await RotateAsync(hosts, ring);

        // then one key is left, everything is readable, and the former key is gone.
        Assert.True(code == 0, output);
        var left = Assert.Single(Directory.GetFiles(folder, "*.key"));
        Assert.Equal(ring.CurrentId, Path.GetFileNameWithoutExtension(left));
        Assert.NotEqual(first, ring.CurrentId);
        if (!OperatingSystem.IsWindows())
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(left));
        Assert.Equal("words", await OpenAsync(ring, text));
        Assert.Equal("answer"u8.ToArray(), await AnswerAsync(new KeptAnswers(ring, TimeProvider.System), keeps: false));
        var events = await database.RowsAsync($"select type from events.mt_events where stream_id = 'm/{first}' order by version");
        Assert.Equal(
            steps > 4 ? ["MasterKeyRetired"] : ["MasterKeyRetired", "MasterKeyDestroyed"],
            events.Select(e => e.Split('"')[3]).Take(steps > 4 ? 1 : 2)
        );
        Assert.Contains($"\"{first}\" is destroyed", output, StringComparison.Ordinal);
    }

    [Fact]
    public void New_key_is_later_than_the_newest_one_also_where_the_clock_was_set_back()
    {
        var now = TimeProvider.System.GetUtcNow();
        var ids = new List<string> { "1", "k00000000000000" };
        foreach (var at in new[] { now, now, now.AddDays(-3), now.AddSeconds(1) })
            ids.Add(KeyFolder.IdAfter(HostKeyDecider.Newest(ids), at));
        Assert.All(Enumerable.Range(1, ids.Count), n => Assert.Equal(ids[n - 1], HostKeyDecider.Newest(ids.Take(n))));
    }

    [Fact]
    public async Task New_key_waits_for_every_live_host()
    {
        var (hosts, ring) = await HostAsync();
        var (slow, slowRing) = await HostAsync();
        var rotation = Rotation(hosts, ring);
        var key = await rotation.BeginAsync(Cancellation);

        Assert.Contains("lacks it", string.Join(',', await rotation.FollowAsync(key, Cancellation)), StringComparison.Ordinal);
        Assert.Equal(first, ring.CurrentId);
        await slow.BeatAsync(Cancellation);
        Assert.Empty(await rotation.FollowAsync(key, Cancellation));
        Assert.Equal((key, key), (ring.CurrentId, slowRing.CurrentId));
    }

    [Fact]
    public async Task Host_that_stood_still_wraps_nothing_by_a_key_that_was_retired_meanwhile()
    {
        var (hosts, ring) = await HostAsync();
        var (paused, pausedRing) = await HostAsync();
        await database.ExecuteAsync("update notify.host_keys set seen_at = now() - interval '1 hour' where wraps is not null");
        Assert.Equal(0, (await RotateAsync(hosts, ring)).Code);

        await Assert.ThrowsAsync<KeyNotHeldException>(() => SealAsync(pausedRing, "u/late"));
        Assert.Equal(["{\"count\": 0}"], await database.RowsAsync("select count(*) from notify.subject_keys where subject = 'u/late'"));

        await paused.BeatAsync(Cancellation);
        Assert.Equal("words", await OpenAsync(ring, await SealAsync(pausedRing, "u/late")));
    }

    [Fact]
    public async Task Key_is_not_retired_while_a_transaction_wraps_by_it()
    {
        var (hosts, ring) = await HostAsync();
        var (_, pausedRing) = await HostAsync();
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        await using var transaction = await connection.BeginTransactionAsync(Cancellation);
        await new SubjectKeys(pausedRing, TimeProvider.System).CurrentAsync(connection, ["u/slow"], Cancellation);
        await database.ExecuteAsync("update notify.host_keys set seen_at = now() - interval '1 hour'");
        var rotation = Rotation(hosts, ring);
        var key = await rotation.BeginAsync(Cancellation);
        Assert.Empty(await rotation.FollowAsync(key, Cancellation));

        var retiring = rotation.RetireAsync(key, 0, Cancellation);
        await Support.Eventually.Becomes(
            () =>
                database.RowsAsync(
                    "select 1 from pg_locks where locktype = 'advisory' and not granted "
                        + "and database = (select oid from pg_database where datname = current_database())"
                ),
            r => r.Count == 1,
            "it waits"
        );
        await transaction.CommitAsync(Cancellation);

        Assert.Equal([first], await retiring);
        await rotation.RewrapAsync(Cancellation);
        Assert.Empty(await rotation.RetireAsync(key, 1, Cancellation));
    }

    [Fact]
    public async Task Retired_key_is_kept_for_backups_and_tells_when_it_is_kept_too_long()
    {
        var (hosts, ring) = await HostAsync();
        await SealAsync(ring, "u/erased");
        await database.ExecuteAsync(
            "update notify.subject_keys set wrapped = null, erased_at = now() - interval '39 days' where subject = 'u/erased'"
        );
        var (code, output) = await RotateAsync(hosts, ring, TimeSpan.FromDays(7));
        Assert.True(code == 0 && !output.Contains("destroyed", StringComparison.Ordinal), output);
        Assert.True(File.Exists(Path.Combine(folder, $"{first}.key")));

        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        var until = TimeProvider.System.GetUtcNow().AddDays(-38);
        Assert.Equal((1L, first), await OverdueAsync());
        await database.ExecuteAsync(
            "update notify.master_keys set retired_at = retired_at - interval '8 days' where retired_at is not null"
        );
        Assert.Contains("is destroyed", (await RotateAsync(hosts, ring, TimeSpan.FromDays(7))).Output, StringComparison.Ordinal);
        Assert.False(File.Exists(Path.Combine(folder, $"{first}.key")));
        Assert.Equal((0L, null), await OverdueAsync());

        async Task<(long, string?)> OverdueAsync()
        {
            var (count, key, _) = await KeyRotationTable.OverdueAsync(connection, until, Cancellation);
            return (count, key);
        }
    }

    [Fact]
    public async Task Key_in_the_settings_is_replaced_and_the_setting_to_take_out_is_named()
    {
        File.Delete(Path.Combine(folder, $"{first}.key"));
        var setting = Convert.ToBase64String(System.Security.Cryptography.RandomNumberGenerator.GetBytes(32));
        var (hosts, ring) = await HostAsync(setting);
        var text = await SealAsync(ring, "u/kept");

        var (code, output) = await RotateAsync(hosts, ring);
        Assert.True(code == 0, output);
        Assert.Contains("take Notify__MasterKeys__1 out of every host", output, StringComparison.Ordinal);
        await hosts.LeaveAsync(Cancellation);

        (hosts, ring) = await HostAsync();
        Assert.Equal("words", await OpenAsync(ring, text));
        await Rotation(hosts, ring).DestroyAsync(Cancellation);
        Assert.Equal(["{\"id\": \"1\"}"], await database.RowsAsync("select id from notify.master_keys where destroyed_at is not null"));
    }

    private async Task<(HostKeys Hosts, MasterKeyRing Ring)> HostAsync(string? setting = null)
    {
        var configuration = new ConfigurationBuilder()
            .AddInMemoryCollection(
                new Dictionary<string, string?>
                {
                    ["Notify:KeyFolder"] = folder,
                    ["Notify:MasterKeys:1"] = setting,
                    ["Notify:Pepper"] = Support.TestRun.Secrets["Notify__Pepper"],
                }.Where(s => s.Value is not null)
            )
            .Build();
        var ring = MasterKeyRing.Read(configuration, [])!;
        var hosts = new HostKeys(
            database.Source,
            ring,
            new HostName("notify-api"),
            configuration,
            TimeProvider.System,
            NullLogger<HostKeys>.Instance
        );
        Assert.Null(await hosts.JoinAsync(Cancellation));
        return (hosts, ring);
    }

    private KeyRotation Rotation(HostKeys hosts, MasterKeyRing ring, TimeSpan keep = default) =>
        new(
            database.Source,
            database.Store,
            ring,
            new SubjectKeys(ring, TimeProvider.System),
            hosts,
            new HostName("notify-projections"),
            new KeyRotationSettings(TimeSpan.FromDays(30), keep),
            TimeProvider.System
        );

    private async Task<(int Code, string Output)> RotateAsync(HostKeys hosts, MasterKeyRing ring, TimeSpan keep = default)
    {
        await using var output = new StringWriter();
        var code = await new RotateKeysCommand(
            database.Source,
            Rotation(hosts, ring, keep),
            ring,
            new SubjectKeys(ring, TimeProvider.System),
            hosts,
            TimeProvider.System,
            output
        ).RunAsync(Cancellation);
        return (code, output.ToString());
    }

    private async Task<Sealed> SealAsync(MasterKeyRing ring, string subject)
    {
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        return (await new SubjectKeys(ring, TimeProvider.System).CurrentAsync(connection, [subject], Cancellation)).Seal(
            subject,
            new SealedPlace(subject, "test"),
            "words"
        );
    }

    private async Task<string?> OpenAsync(MasterKeyRing ring, Sealed text)
    {
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        var set = await new SubjectKeys(ring, TimeProvider.System).ForAsync(connection, [text], Cancellation);
        return set.OpenText(text, new SealedPlace(set.SubjectOf(text)!, "test"));
    }

    private async Task<byte[]?> AnswerAsync(KeptAnswers answers, bool keeps)
    {
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        var taken = await answers.TakeAsync(connection, "scope", "key", "hash", Cancellation);
        if (keeps)
            await answers.KeepAsync(connection, "scope", "key", "answer"u8.ToArray(), Cancellation);
        return taken.Answer;
    }
}
