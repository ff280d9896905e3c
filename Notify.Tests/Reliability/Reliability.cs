namespace Notify.Tests.Reliability;

using System.Globalization;
using System.Security.Cryptography;
using Npgsql;

/// <summary>
/// The promises under each kind of fault, with the load going on: nothing accepted is lost, no SMS or email goes twice, nothing goes
/// after its cancel or expiry, pushes repeat only where they were in flight, and <c>verify</c> agrees.
/// </summary>
public abstract partial class Reliability(ReliabilitySystem system) : ReliabilityTest(system)
{
    private static int masterKeys = 1;

    /// <summary>The hosts, and how many seconds each is paused.</summary>
    public static TheoryData<string, int> Pauses
    {
        get
        {
            var rows = new TheoryData<string, int>();
            foreach (var host in new[] { "api", "dispatch", "projections" })
            foreach (var seconds in new[] { 5, 20, 60, 300 })
                rows.Add(host, seconds);
            return rows;
        }
    }

    [Theory]
    [InlineData("api")]
    [InlineData("dispatch")]
    [InlineData("projections")]
    public Task Host_killed_under_load(string host) =>
        RunAsync(
            $"{host} kill -9",
            FaultPlan.HostRounds,
            0,
            async round =>
            {
                var victim = Hosts.Host(host, round);
                await victim.KillAsync();
                await Hosts.ReplaceAsync(host, victim);
            }
        );

    [Theory]
    [MemberData(nameof(Pauses))]
    public Task Host_paused_under_load(string host, int seconds)
    {
        Assert.SkipUnless(FaultPlan.Allows(seconds), "longer than NOTIFY_FAULT_SECONDS");
        return RunAsync(
            $"{host} SIGSTOP {seconds} s",
            FaultPlan.HostRounds,
            seconds,
            async round =>
            {
                var victim = Hosts.Host(host, round);
                victim.Pause();
                try
                {
                    await Task.Delay(TimeSpan.FromSeconds(seconds), Stop); // the fault itself
                }
                finally
                {
                    victim.Resume();
                }
            }
        );
    }

    [Fact]
    public Task Database_killed_under_load() =>
        RunAsync("PostgreSQL killed", FaultPlan.StoreRounds, 0, _ => Installation.Cluster.RestartAsync("immediate"));

    [Fact]
    public Task Database_frozen_under_load() =>
        RunAsync(
            "PostgreSQL frozen",
            FaultPlan.StoreRounds,
            FaultPlan.Freeze.TotalSeconds,
            async _ =>
            {
                await Installation.Cluster.PauseAsync();
                try
                {
                    await Task.Delay(FaultPlan.Freeze, Stop);
                }
                finally
                {
                    await Installation.Cluster.ResumeAsync();
                }
            }
        );

    [Fact]
    public Task Sandbox_killed_under_load() =>
        RunAsync("providers killed", FaultPlan.StoreRounds, 0, _ => Installation.CrashSandboxAsync());

    [Fact]
    public async Task Each_table_locked_under_load()
    {
        var tables = await TablesAsync();
        await RunAsync(
            $"each of {tables.Count} tables locked",
            tables.Count,
            FaultPlan.Lock.TotalSeconds,
            async round =>
            {
                Show($"{tables[round]} is locked");
                await using var connection = new NpgsqlConnection($"{Installation.ConnectionString};Pooling=false");
                await connection.OpenAsync(Stop);
                await using var transaction = await connection.BeginTransactionAsync(Stop);
                await using (var take = new NpgsqlCommand($"lock table {tables[round]} in access exclusive mode", connection, transaction))
                {
                    take.CommandTimeout = 60;
                    await take.ExecuteNonQueryAsync(Stop);
                }

                await Task.Delay(FaultPlan.Lock, Stop);
                await transaction.RollbackAsync(Stop);
            }
        );
    }

    [Fact]
    public Task Hosts_restarted_one_by_one_under_load() => RunAsync("rolling restart", FaultPlan.ChangeRounds, 0, _ => RollAsync());

    [Fact]
    public Task Master_key_replaced_host_by_host_under_load() =>
        RunAsync(
            "rolling key change",
            FaultPlan.ChangeRounds,
            0,
            async _ =>
            {
                var key = (++masterKeys).ToString(CultureInfo.InvariantCulture);
                Installation.Set($"Notify__MasterKeys__{key}", Convert.ToBase64String(RandomNumberGenerator.GetBytes(32)));
                Installation.Set("Notify__MasterKey", key);
                await RollAsync();
                var (exitCode, output, _) = await Installation.RunProjectionsAsync("rewrap-keys");
                Assert.True(exitCode == 0, output);
                Assert.Equal(
                    0L,
                    await Installation.ScalarAsync<long>("select count(*) from notify.subject_keys where master_key <> $1", key)
                );
            }
        );

    private protected static void Show(string text) => TestContext.Current.TestOutputHelper?.WriteLine(text);

    // Partitions are locked with the table that they belong to.
    private async Task<IReadOnlyList<string>> TablesAsync()
    {
        await using var command = Installation.Database.CreateCommand(
            """
            select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where c.relkind in ('r', 'p') and not c.relispartition and n.nspname in ('notify', 'events') order by 1
            """
        );
        await using var reader = await command.ExecuteReaderAsync(Stop);
        var tables = new List<string>();
        while (await reader.ReadAsync(Stop))
            tables.Add(reader.GetString(0));
        return tables;
    }
}
