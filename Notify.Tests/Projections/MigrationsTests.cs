namespace Notify.Tests.Projections;

using Notify.Tests.Support;

/// <summary>Migrations may be run again, and by several at once: as when many hosts of one version are rolled out.</summary>
public sealed class MigrationsTests
{
    [Fact]
    public async Task Two_that_migrate_an_empty_database_at_once_both_succeed_and_a_third_changes_nothing()
    {
        var cluster = await TestRun.Cluster;
        const string Database = "migrated_by_two";
        await cluster.CreateDatabaseAsync(Database);
        var connection = cluster.ConnectionString(Database) + ";Pooling=false";
        await Task.WhenAll(RunAsync("Projections"), RunAsync("Projections"));
        await Task.WhenAll(RunAsync("Api"), RunAsync("Api"), RunAsync("Dispatch"));
        var before = await ShapeAsync();
        await using (var source = Npgsql.NpgsqlDataSource.Create(connection))
        await using (var snapshot = await source.OpenConnectionAsync(TestContext.Current.CancellationToken))
        {
            // Beside an open snapshot, which keeps every exclusive lock away until it ends.
            await using var open = new Npgsql.NpgsqlCommand(
                "begin isolation level repeatable read; "
                    + "select count(*) from notify.open_deliveries, notify.receipts, events.mt_events, events.mt_streams",
                snapshot
            );
            await open.ExecuteNonQueryAsync(TestContext.Current.CancellationToken);
            foreach (var host in new[] { "Projections", "Api", "Dispatch" })
                await RunAsync(host);
        }

        Assert.Equal(before, await ShapeAsync());
        await cluster.DropDatabaseAsync(Database);

        async Task RunAsync(string host)
        {
            var environment = new Dictionary<string, string>(TestRun.Secrets) { ["ConnectionStrings__notify"] = connection };
            var (exitCode, output, _) = await HostProcess.RunAsync(
                $"migrate {host}",
                Repository.Program($"Notify.{host}"),
                ["migrate"],
                environment,
                TestRun.Log($"migrate-two-{Guid.NewGuid():N}")
            );
            Assert.True(exitCode == 0, output);
        }

        async Task<string> ShapeAsync()
        {
            await using var source = Npgsql.NpgsqlDataSource.Create(connection);
            await using var command = source.CreateCommand(
                """
                select string_agg(format('%s.%s.%s %s', table_schema, table_name, column_name, data_type), E'\n' order by table_schema, table_name, column_name)
                from information_schema.columns where table_schema not in ('pg_catalog', 'information_schema')
                """
            );
            return (string)(await command.ExecuteScalarAsync())!;
        }
    }
}
