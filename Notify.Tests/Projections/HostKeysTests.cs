namespace Notify.Tests.Projections;

using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging.Abstractions;
using Notify.Delivery.EventStore;
using Notify.Delivery.Privacy;
using Notify.Domain.Channels;
using Notify.Domain.Privacy;

/// <summary>Hosts that announce their master keys, over a real database.</summary>
public sealed class HostKeysTests(EmptyDatabase database) : IClassFixture<EmptyDatabase>
{
    private static readonly string[] Values =
    [
        .. Enumerable.Range(0, 4).Select(_ => Convert.ToBase64String(System.Security.Cryptography.RandomNumberGenerator.GetBytes(32))),
    ];

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task New_key_wraps_only_after_every_live_host_has_it_and_old_one_leaves_after_rewrapping()
    {
        await CleanAsync();
        var (api, apiRing) = Host("1", 1);
        var (dispatch, _) = Host("1", 1);
        Assert.Null(await api.JoinAsync(Cancellation));
        Assert.Null(await dispatch.JoinAsync(Cancellation));
        await WrapAsync(apiRing, "u/before");

        // One host after the other gets the new key, and the setting to wrap with it.
        await api.LeaveAsync(Cancellation);
        (api, apiRing) = Host("2", 1, 2);
        Assert.Null(await api.JoinAsync(Cancellation));
        Assert.Equal("1", apiRing.CurrentId);
        await api.BeatAsync(Cancellation);
        Assert.Equal("1", apiRing.CurrentId);
        await dispatch.LeaveAsync(Cancellation);
        (dispatch, var dispatchRing) = Host("2", 1, 2);
        Assert.Null(await dispatch.JoinAsync(Cancellation));
        Assert.Equal("2", dispatchRing.CurrentId);
        await api.BeatAsync(Cancellation);
        Assert.Equal("2", apiRing.CurrentId);

        // From here on no host starts without it, though nothing is wrapped by it yet.
        var refused = await Host("1", 1).Keys.JoinAsync(Cancellation);
        Assert.Contains("Notify:MasterKeys lacks \"2\"", refused, StringComparison.Ordinal);
        Assert.Contains("Notify__MasterKeys__2", refused, StringComparison.Ordinal);
        Assert.Contains("lacks \"1\"", await Host("2", 2).Keys.JoinAsync(Cancellation), StringComparison.Ordinal);

        await new SubjectKeys(apiRing, TimeProvider.System).RewrapAsync(database.Source, Cancellation);
        await using var output = new StringWriter();
        Assert.Equal(0, await api.RetireAsync(output, Cancellation));
        Assert.Contains("Only the master key \"2\" is in use", output.ToString(), StringComparison.Ordinal);
        Assert.Null(await Host("2", 2).Keys.JoinAsync(Cancellation));
    }

    [Fact]
    public async Task Host_with_another_value_of_a_key_is_refused()
    {
        await CleanAsync();
        var (first, ring) = Host("1", 1);
        Assert.Null(await first.JoinAsync(Cancellation));
        await WrapAsync(ring, "u/1");
        var refused = await Host("1", [("1", Values[3])]).Keys.JoinAsync(Cancellation);
        Assert.StartsWith("Notify:MasterKeys:1 has another value", refused, StringComparison.Ordinal);
        Assert.DoesNotContain(Values[3], refused, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Host_with_another_value_is_refused_where_the_check_value_was_never_recorded()
    {
        await CleanAsync();
        await WrapAsync(Host("1", 1).Ring, "u/1");
        Assert.StartsWith(
            "Notify:MasterKeys:1 has another value",
            await Host("1", [("1", Values[3])]).Keys.JoinAsync(Cancellation),
            StringComparison.Ordinal
        );
        Assert.Null(await Host("1", 1).Keys.JoinAsync(Cancellation));
    }

    [Fact]
    public async Task Host_with_another_pepper_is_refused_and_its_commands_too()
    {
        await CleanAsync();
        Assert.Null(await Host("1", 1).Keys.JoinAsync(Cancellation));
        var (other, _) = Host("1", [("1", Values[0])], pepper: Values[3]);
        foreach (var refused in new[] { await other.JoinAsync(Cancellation), await other.CheckAsync(records: true, Cancellation) })
        {
            Assert.StartsWith("Notify:Pepper has another value", refused, StringComparison.Ordinal);
            Assert.Contains("set Notify__Pepper", refused, StringComparison.Ordinal);
            Assert.DoesNotContain(Values[3], refused, StringComparison.Ordinal);
        }

        Assert.Null(await Host("1", 1).Keys.CheckAsync(records: false, Cancellation));
        Assert.Null(await Host("1", 1).Keys.JoinAsync(Cancellation));
    }

    [Fact]
    public async Task Migration_records_the_pepper_and_a_command_does_not()
    {
        await CleanAsync();
        Assert.Null(await Host("1", [("1", Values[0])], pepper: Values[3]).Keys.CheckAsync(records: false, Cancellation));
        Assert.Null(await Host("1", 1).Keys.CheckAsync(records: true, Cancellation));
        Assert.NotNull(await Host("1", [("1", Values[0])], pepper: Values[3]).Keys.JoinAsync(Cancellation));
    }

    [Fact]
    public async Task Another_pepper_is_refused_where_its_check_value_was_never_recorded()
    {
        await CleanAsync();
        var (first, ring) = Host("1", 1);
        Assert.Null(await first.JoinAsync(Cancellation));
        await using (var connection = await database.Source.OpenConnectionAsync(Cancellation))
        {
            var fingerprint = ring.OfPhone("+12025550123");
            var subject = Notify.Domain.Suppressions.Suppression.KeyOf(Channel.Sms, fingerprint);
            var keys = await new SubjectKeys(ring, TimeProvider.System).CurrentAsync(connection, [subject], Cancellation);
            await using var command = new Npgsql.NpgsqlCommand(
                """
                insert into notify.suppressions (id, channel, fingerprint, reason, source, suppressed_by, since, address)
                values ('sms_' || $2, $1, $2, 'HardBounce', '', '', now(), $3)
                """,
                connection
            )
            {
                Parameters =
                {
                    new() { Value = (short)Channel.Sms },
                    new() { Value = fingerprint },
                    new() { Value = keys.Seal(subject, SealedPlace.OfSuppressed(subject), "+12025550123").Text },
                },
            };
            await command.ExecuteNonQueryAsync(Cancellation);
        }

        await ExecuteAsync("truncate notify.secret_checks"); // as it is before this version migrated
        var refused = await Host("1", [("1", Values[0])], pepper: Values[3]).Keys.JoinAsync(Cancellation);
        Assert.StartsWith("Notify:Pepper has another value", refused, StringComparison.Ordinal);
        Assert.Null(await Host("1", 1).Keys.JoinAsync(Cancellation));
    }

    [Fact]
    public async Task Unused_key_of_no_live_host_may_get_another_value()
    {
        await CleanAsync();
        var (mistaken, _) = Host("1", [("1", Values[0]), ("2", Values[3])]);
        Assert.Null(await mistaken.JoinAsync(Cancellation));
        Assert.StartsWith(
            "Notify:MasterKeys:2 has another value",
            await Host("1", 1, 2).Keys.JoinAsync(Cancellation),
            StringComparison.Ordinal
        );
        await mistaken.LeaveAsync(Cancellation);
        Assert.Null(await Host("1", 1, 2).Keys.JoinAsync(Cancellation));
    }

    [Fact]
    public async Task Running_host_that_lacks_a_key_in_use_is_not_ready_and_raises_the_alert()
    {
        await CleanAsync();
        var (host, _) = Host("1", 1);
        Assert.Null(await host.JoinAsync(Cancellation));
        await host.BeatAsync(Cancellation);
        Assert.Equal(
            Microsoft.Extensions.Diagnostics.HealthChecks.HealthStatus.Healthy,
            (await new MasterKeyHealth(host).CheckHealthAsync(new(), Cancellation)).Status
        );
        await ExecuteAsync("insert into notify.master_keys (id, in_use) values ('9', true)");

        await host.BeatAsync(Cancellation);

        var health = await new MasterKeyHealth(host).CheckHealthAsync(new(), Cancellation);
        Assert.Equal(Microsoft.Extensions.Diagnostics.HealthChecks.HealthStatus.Unhealthy, health.Status);
        Assert.Contains("lacks \"9\"", health.Description, StringComparison.Ordinal);
        await using var command = database.Source.CreateCommand("select lacks[1] from notify.host_keys");
        Assert.Equal("9", await command.ExecuteScalarAsync(Cancellation));
    }

    [Fact]
    public async Task Values_are_encrypted_for_no_place_while_a_host_of_the_former_version_lives()
    {
        await CleanAsync();
        var (host, ring) = Host("1", 1);
        Assert.Null(await host.JoinAsync(Cancellation));
        await ExecuteAsync("update notify.store_format set min_reader = 2");
        await ExecuteAsync(
            "insert into notify.host_keys (host, name, keys, wraps, lacks, reader, seen_at) "
                + "values (gen_random_uuid(), 'notify-dispatch', '{1}', '1', '{}', 2, now())"
        );
        await host.BeatAsync(Cancellation);
        Assert.Equal((true, false, 2), (ring.Format.WritesPayloadRows, ring.Format.WritesPlaces, await MinReaderAsync()));

        await ExecuteAsync("delete from notify.host_keys where reader = 2");
        await host.BeatAsync(Cancellation);
        Assert.Equal((true, true, StoreFormat.Reader), (ring.Format.WritesPlaces, ring.Format.WritesApps, await MinReaderAsync()));
    }

    [Fact]
    public async Task Payloads_stay_inside_events_while_a_host_of_the_former_version_lives_and_then_get_rows_for_good()
    {
        await CleanAsync();
        var (host, ring) = Host("1", 1);
        Assert.Null(await host.JoinAsync(Cancellation));
        await ExecuteAsync("update notify.store_format set min_reader = 1");
        await ExecuteAsync("insert into notify.dispatchers (id, seen_at) values (gen_random_uuid(), now())");
        await host.BeatAsync(Cancellation);
        Assert.Equal((false, false), (ring.Format.WritesPayloadRows, ring.Format.WritesPlaces));
        Assert.Equal(1, await MinReaderAsync());

        await ExecuteAsync("truncate notify.dispatchers");
        await host.BeatAsync(Cancellation);
        Assert.True(ring.Format.WritesPayloadRows);
        Assert.Equal((true, StoreFormat.Reader), (ring.Format.WritesPlaces, await MinReaderAsync()));

        // Rows exist from here on: the former version cannot be saved by the older form.
        await ExecuteAsync("insert into notify.dispatchers (id, seen_at) values (gen_random_uuid(), now())");
        await host.BeatAsync(Cancellation);
        Assert.True(ring.Format.WritesPayloadRows);
        await ExecuteAsync("truncate notify.dispatchers");
    }

    [Fact]
    public async Task Host_that_cannot_judge_the_store_neither_starts_nor_goes_on()
    {
        await CleanAsync();
        var (host, ring) = Host("1", 1);
        Assert.Null(await host.JoinAsync(Cancellation));
        await ExecuteAsync("update notify.store_format set min_reader = 99");
        await host.BeatAsync(Cancellation);
        Assert.True(ring.Format.IsOutdated);
        var health = await new MasterKeyHealth(host).CheckHealthAsync(new(), Cancellation);
        Assert.Equal(Microsoft.Extensions.Diagnostics.HealthChecks.HealthStatus.Unhealthy, health.Status);
        Assert.Contains("need a reader of 99", await Host("1", 1).Keys.JoinAsync(Cancellation), StringComparison.Ordinal);
        await ExecuteAsync("update notify.store_format set min_reader = 1");
    }

    [Theory]
    [InlineData("", "", false)]
    [InlineData("insert into notify.subject_keys (subject, master_key, created_at) values ('u/u-42', '1', now())", "", true)]
    [InlineData("insert into notify.subject_keys (subject, master_key, created_at) values ('a/x', '1', now())", "", false)]
    [InlineData("insert into events.mt_doc_recipient (id, data) values ('u/u-42', '{}')", "delete from events.mt_doc_recipient", true)]
    [InlineData(LiveHost, "", true)]
    public async Task Users_from_before_are_looked_for_once_when_references_begin(string before, string after, bool arePossible)
    {
        await CleanAsync();
        await ExecuteAsync("update notify.store_format set min_reader = 4, plain_users = false");
        if (before.Length > 0)
            await ExecuteAsync(before);
        var (host, ring) = Host("1", 1);
        Assert.Null(await host.JoinAsync(Cancellation));
        Assert.Equal((true, arePossible), (ring.Format.WritesUserRefs, ring.Format.MayHavePlainUsers));

        // It stays so for hosts that start later, and for commands.
        if (after.Length > 0)
            await ExecuteAsync(after);
        await ExecuteAsync("truncate notify.subject_keys");
        var (later, laterRing) = Host("1", 1);
        Assert.Null(await later.JoinAsync(Cancellation));
        var (command, commandRing) = Host("1", 1);
        Assert.Null(await command.CheckAsync(records: false, Cancellation));
        Assert.Equal((arePossible, arePossible), (laterRing.Format.MayHavePlainUsers, commandRing.Format.MayHavePlainUsers));
    }

    // It might still write the form of before for a moment.
    private const string LiveHost =
        "insert into notify.host_keys (host, name, keys, wraps, lacks, reader, seen_at) "
        + "values (gen_random_uuid(), 'notify-api', '{1}', '1', '{}', 5, now())";

    [Fact]
    public async Task Users_keep_their_IDs_while_a_host_of_the_former_version_lives()
    {
        await CleanAsync();
        await ExecuteAsync("update notify.store_format set min_reader = 3");
        await ExecuteAsync(LiveHost.Replace("5, now()", "3, now()", StringComparison.Ordinal));
        var (host, ring) = Host("1", 1);
        Assert.Null(await host.JoinAsync(Cancellation));
        Assert.Equal((true, false, 3), (ring.Format.WritesPlaces, ring.Format.WritesUserRefs, await MinReaderAsync()));
        var (command, commandRing) = Host("1", 1);
        Assert.Null(await command.CheckAsync(records: false, Cancellation)); // which raises nothing
        Assert.Equal((false, 3), (commandRing.Format.WritesUserRefs, await MinReaderAsync()));
    }

    [Theory]
    [InlineData("2", "1,2", "1,2|2,1", "2")]
    [InlineData("2", "1,2", "1,2|1", "1")]
    [InlineData("1", "1,2", "1,2", "1")]
    [InlineData("3", "2,3,10", "2,10", "10")]
    [InlineData("2", "2", "1", null)]
    [InlineData("2", "1,2", "", "2")]
    public void Named_key_wraps_when_all_hosts_have_it_else_the_newest_common_one(
        string named,
        string own,
        string live,
        string? expected
    ) =>
        Assert.Equal(
            expected,
            HostKeyDecider.Choose(
                named,
                own.Split(','),
                [.. live.Split('|', StringSplitOptions.RemoveEmptyEntries).Select(h => new AnnouncedHost("notify-api", h.Split(',')))]
            )
        );

    private (HostKeys Keys, MasterKeyRing Ring) Host(string named, params int[] keys) =>
        Host(named, [.. keys.Select(k => ($"{k}", Values[k - 1]))]);

    private (HostKeys Keys, MasterKeyRing Ring) Host(string named, (string Id, string Value)[] keys, string? pepper = null)
    {
        var configuration = new ConfigurationBuilder()
            .AddInMemoryCollection(
                keys.Select(k => KeyValuePair.Create<string, string?>($"Notify:MasterKeys:{k.Id}", k.Value))
                    .Append(new("Notify:Pepper", pepper ?? Values[0]))
                    .Append(new("Notify:MasterKey", named))
            )
            .Build();
        var ring = MasterKeyRing.Read(configuration, [])!;
        return (
            new HostKeys(
                database.Source,
                ring,
                new HostName("notify-api"),
                configuration,
                TimeProvider.System,
                NullLogger<HostKeys>.Instance
            ),
            ring
        );
    }

    private async Task WrapAsync(MasterKeyRing ring, string subject)
    {
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        await new SubjectKeys(ring, TimeProvider.System).CurrentAsync(connection, [subject], Cancellation);
    }

    private async Task<int> MinReaderAsync()
    {
        await using var command = database.Source.CreateCommand("select min_reader from notify.store_format");
        return (int)(await command.ExecuteScalarAsync(Cancellation))!;
    }

    private Task CleanAsync() =>
        ExecuteAsync(
            """
            truncate notify.master_keys, notify.host_keys, notify.subject_keys, notify.dispatchers, notify.secret_checks,
                notify.suppressions, notify.peppers
            """
        );

    private async Task ExecuteAsync(string sql)
    {
        await using var command = database.Source.CreateCommand(sql);
        await command.ExecuteNonQueryAsync(Cancellation);
    }
}
