namespace Notify.Tests.Projections;

using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Logging.Abstractions;
using Notify.Delivery;
using Notify.Delivery.Schema;
using Notify.Infrastructure.Hosting;
using Notify.Infrastructure.Postgres;
using Notify.Tests.Support;
using Npgsql;

/// <summary>The settings that connections ask for, and the report where the database denies them.</summary>
public sealed class DatabaseSettingsTests(EmptyDatabase database) : IClassFixture<EmptyDatabase>
{
    private static readonly ConnectionLimits Limits = new("notify-dispatch", Guid.NewGuid(), TimeSpan.FromSeconds(15));

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(15)]
    [InlineData(90)]
    public void Limits_of_a_connection_are_below_the_host_time_out(double seconds)
    {
        var limits = Limits with { HostTimeout = TimeSpan.FromSeconds(seconds) };
        Assert.InRange(limits.IdleInTransaction, TimeSpan.FromSeconds(5), TimeSpan.FromSeconds(Math.Max(5, seconds * 0.9)));
        Assert.True(limits.Unacknowledged < limits.HostTimeout);
        Assert.True(seconds < 3 || limits.Keepalive.Idle + (limits.Keepalive.Interval * limits.Keepalive.Count) < limits.HostTimeout);
        Assert.InRange(limits.ApplicationName.Length, 1, 63); // PostgreSQL cuts longer ones
    }

    [Fact]
    public async Task Sessions_of_a_host_have_its_limits_and_its_name()
    {
        await using var source = NpgsqlDataSource.Create(NotifyStore.Connection(database.ConnectionString, byIndex: true, Limits));
        await using var command = source.CreateCommand(
            "select string_agg(current_setting(s), ' ' order by o) from unnest($1) with ordinality t(s, o)"
        );
        string[] names =
        [
            "application_name",
            "idle_in_transaction_session_timeout",
            "client_connection_check_interval",
            "tcp_user_timeout",
            "tcp_keepalives_idle",
            "enable_seqscan",
        ];
        command.Parameters.Add(new NpgsqlParameter { Value = names });
        Assert.Equal($"{Limits.ApplicationName} 5s 5s 10000 5 off", await command.ExecuteScalarAsync(Cancellation));
        Assert.Empty((await DatabaseSettings.ReadAsync(source, Cancellation)).Faults(Limits));
    }

    [Fact]
    public async Task Time_outs_that_are_too_short_or_missing_are_reported_with_the_statement_that_fixes_them()
    {
        await using var source = Source(c => c.Options = "-c statement_timeout=2s -c idle_in_transaction_session_timeout=0");
        using var monitor = new DatabaseMonitor(source, Limits, TimeProvider.System, NullLogger<DatabaseMonitor>.Instance);
        var faults = await monitor.CheckAsync(Cancellation);
        Contains("statement_timeout is 2000 ms", "set statement_timeout = 0");
        Contains("idle_in_transaction_session_timeout is not set", "set idle_in_transaction_session_timeout = '5000ms'");
        Assert.Equal(HealthStatus.Degraded, (await monitor.CheckHealthAsync(new HealthCheckContext(), Cancellation)).Status);

        void Contains(string found, string advice) =>
            Assert.Contains(faults, f => f.StartsWith(found, StringComparison.Ordinal) && f.Contains(advice, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("on", "", 0, false)]
    [InlineData("on", "", 2, true)]
    [InlineData("local", "any 1 (*)", 1, true)]
    [InlineData("on", "any 1 (*)", 1, false)]
    [InlineData("remote_apply", "any 1 (*)", 1, false)]
    [InlineData("off", "", 0, true)]
    public void Commits_that_a_failover_or_a_crash_loses_are_reported(string commit, string names, int standbys, bool expected)
    {
        var settings = new DatabaseSettings(new Dictionary<string, long>(), commit, names, standbys, true, "notify");
        Assert.Equal(expected, settings.Faults(Limits).Count == 1);
    }

    [Fact]
    public async Task Sessions_of_a_stale_host_are_ended_and_its_locks_with_them()
    {
        var alive = Limits with { HostId = Guid.NewGuid(), HostTimeout = TimeSpan.FromMilliseconds(500) };
        var stale = Limits with { HostId = Guid.NewGuid() };
        await BeatAsync(stale.HostId);
        // In the middle of a statement, as a host whose answer is on its way: no idle time ends it.
        await using var source = Source(c => c.ApplicationName = stale.ApplicationName);
        await using var connection = await source.OpenConnectionAsync(Cancellation);
        await using var transaction = await connection.BeginTransactionAsync(Cancellation);
        await using (
            var take = new NpgsqlCommand(
                $"select 1 from notify.dispatchers where id = '{stale.HostId}' for update",
                connection,
                transaction
            )
        )
            await take.ExecuteNonQueryAsync(Cancellation);
        await using var sleep = new NpgsqlCommand("select pg_sleep(600)", connection, transaction) { CommandTimeout = 0 };
        var sleeping = sleep.ExecuteNonQueryAsync(Cancellation);

        await using var heartbeats = new HeartbeatDatabase(Source(c => c.ApplicationName = alive.ApplicationName));
        using var monitor = new FailedHostMonitor(heartbeats, alive, TimeProvider.System, NullLogger<FailedHostMonitor>.Instance);
        await Eventually.Becomes(
            async () =>
            {
                await BeatAsync(alive.HostId);
                return await monitor.PollAsync(Cancellation);
            },
            ended => ended == 1,
            "the stale host's session is ended"
        );

        Assert.Equal(PostgresErrorCodes.AdminShutdown, (await Assert.ThrowsAsync<PostgresException>(() => sleeping)).SqlState);
        await BeatAsync(stale.HostId); // its lock is gone
        Assert.Equal(0, await monitor.PollAsync(Cancellation));
    }

    [Fact]
    public void Connections_of_a_host_are_divided_and_heartbeats_have_their_own()
    {
        Assert.Equal(new PoolSizes(64, 33, 3), PoolSizes.Of(100, reads: true));
        Assert.Equal(new PoolSizes(97, 0, 3), PoolSizes.Of(100, reads: false));
        Assert.Equal(new PoolSizes(2, 1, 1), PoolSizes.Of(4, reads: true));
    }

    private NpgsqlDataSource Source(Action<NpgsqlConnectionStringBuilder> shape)
    {
        var connection = new NpgsqlConnectionStringBuilder(database.ConnectionString);
        shape(connection);
        return NpgsqlDataSource.Create(connection);
    }

    private async Task BeatAsync(Guid host)
    {
        await using var command = database.Source.CreateCommand(
            $"""
            insert into notify.dispatchers (id, seen_at) values ('{host}', clock_timestamp())
            on conflict (id) do update set seen_at = clock_timestamp()
            """
        );
        await command.ExecuteNonQueryAsync(Cancellation);
    }
}
