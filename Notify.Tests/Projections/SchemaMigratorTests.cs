namespace Notify.Tests.Projections;

using Notify.Delivery.Schema;
using Notify.Tests.Support;
using Npgsql;

/// <summary>Migrations run beside traffic: they ask for no lock without need, and for none for long.</summary>
public sealed class SchemaMigratorTests(EmptyDatabase database) : IClassFixture<EmptyDatabase>
{
    private static readonly SchemaStep AddColumn = new(
        9001,
        "add a column",
        "alter table notify.open_deliveries add column if not exists tried_beside text"
    );

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private SchemaMigrator Migrator => new(database.Source, TimeProvider.System);

    [Fact]
    public async Task Applied_steps_take_no_lock_beside_an_open_snapshot()
    {
        await using var snapshot = await OpenSnapshotAsync();
        var applying = Migrator.ApplyAsync(SchemaMigrator.Steps, Cancellation);
        Assert.Null(await applying.WaitAsync(Eventually.Patience, Cancellation));
    }

    [Fact]
    public async Task Database_from_before_steps_were_counted_is_recognised_without_a_lock()
    {
        await ExecuteAsync("drop table notify.schema_steps");
        await using var snapshot = await OpenSnapshotAsync();
        Assert.Null(
            await Migrator.ApplyAsync([.. SchemaMigrator.Steps.Take(2)], Cancellation).WaitAsync(Eventually.Patience, Cancellation)
        );
        Assert.Equal([1, 2], await NumbersAsync());
        await snapshot.DisposeAsync();
        Assert.Null(await Migrator.ApplyAsync(SchemaMigrator.Steps, Cancellation));
    }

    [Fact]
    public async Task Step_that_finds_a_table_locked_lets_traffic_through_and_is_applied_when_the_lock_is_gone()
    {
        var snapshot = await OpenSnapshotAsync();
        var applying = Migrator.ApplyAsync([AddColumn], Cancellation);

        // A statement that queued behind the step's lock for its whole wait would run into this time-out.
        for (var i = 0; i < 20; i++)
        {
            await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
            await using var command = new NpgsqlCommand(
                "set statement_timeout = '5s'; select count(*) from notify.open_deliveries",
                connection
            );
            await command.ExecuteNonQueryAsync(Cancellation);
        }

        Assert.False(applying.IsCompleted);
        await snapshot.DisposeAsync();
        Assert.Null(await applying.WaitAsync(Eventually.Patience, Cancellation));
        Assert.Contains(9001, await NumbersAsync());
    }

    [Fact]
    public async Task Concurrent_step_builds_its_index_and_is_recorded_once()
    {
        var step = new SchemaStep(
            9002,
            "index",
            "-- concurrently\ncreate index concurrently if not exists open_deliveries_tried on notify.open_deliveries (attempts)"
        );
        Assert.True(step.IsConcurrent);
        Assert.Null(await Migrator.ApplyAsync([step], Cancellation));
        Assert.Null(await Migrator.ApplyAsync([step], Cancellation));
        Assert.Equal(1, (await NumbersAsync()).Count(n => n == 9002));
    }

    [Fact]
    public void Steps_are_numbered_once_and_in_order() =>
        Assert.Equal(Enumerable.Range(1, SchemaMigrator.Steps.Count), SchemaMigrator.Steps.Select(s => s.Number));

    // As an analyst's query, a dump, or a forgotten session holds it: a shared lock on the busiest table.
    private async Task<NpgsqlConnection> OpenSnapshotAsync()
    {
        var connection = await database.Source.OpenConnectionAsync(Cancellation);
        await using var command = new NpgsqlCommand(
            "begin isolation level repeatable read; select count(*) from notify.open_deliveries, notify.receipts, analytics.daily",
            connection
        );
        await command.ExecuteNonQueryAsync(Cancellation);
        return connection;
    }

    private async Task<List<int>> NumbersAsync()
    {
        await using var command = database.Source.CreateCommand("select number from notify.schema_steps order by number");
        await using var reader = await command.ExecuteReaderAsync(Cancellation);
        var numbers = new List<int>();
        while (await reader.ReadAsync(Cancellation))
            numbers.Add(reader.GetInt32(0));
        return numbers;
    }

    private async Task ExecuteAsync(string sql)
    {
        await using var command = database.Source.CreateCommand(sql);
        await command.ExecuteNonQueryAsync(Cancellation);
    }
}
