namespace Notify.Tests.Projections;

using System.Net.Sockets;
using System.Text.Json;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>Which faults pass.</summary>
public sealed class DatabaseFaultsTests
{
    [Theory]
    [InlineData("57014")] // a statement's time-out
    [InlineData("25P03")] // an idle transaction's
    [InlineData("25P04")] // a transaction's
    [InlineData("57P05")] // an idle session's
    [InlineData("55P03")] // a lock's
    [InlineData("40001")]
    [InlineData("40P01")]
    [InlineData("25006")] // a standby
    [InlineData("25P02")] // the statement after one that failed
    [InlineData("26000")] // a prepared statement behind a pooler
    [InlineData("0A000")] // a cached plan after a migration
    [InlineData("08P01")] // a pooler's own
    [InlineData("53100")] // disk full
    [InlineData("53300")]
    [InlineData("57P01")]
    [InlineData("58030")]
    [InlineData("28P01")]
    [InlineData("3D000")]
    [InlineData("XX000")]
    [InlineData("23505", "pkey_mt_events_seq_id")]
    [InlineData("23505", "pk_mt_events_stream_and_version")]
    public void Fault_of_the_database_passes(string state, string? constraint = null) =>
        Assert.True(DatabaseFaults.IsPassing(Postgres(state, constraint)));

    [Theory]
    [InlineData("22P05")]
    [InlineData("22001")]
    [InlineData("23505", "pk_event_ids")]
    [InlineData("23514")]
    [InlineData("42601")]
    [InlineData("54000")]
    [InlineData("P0001")]
    [InlineData("XX001")]
    public void Fault_of_the_data_does_not_pass(string state, string? constraint = null) =>
        Assert.False(DatabaseFaults.IsPassing(Postgres(state, constraint)));

    [Fact]
    public void Time_outs_and_broken_connections_pass_and_faults_of_the_program_do_not()
    {
        Exception[] passing =
        [
            new TimeoutException(),
            new TaskCanceledException(),
            new OperationCanceledException(),
            new SocketException(),
            new IOException(),
            new NpgsqlException("Exception while reading from stream"),
            new InvalidOperationException("wrapped", new NpgsqlException("broken")),
            new AggregateException(new TimeoutException(), Postgres("57014")),
        ];
        Exception[] lasting =
        [
            new InvalidOperationException(),
            new KeyNotFoundException(),
            new JsonException(),
            new InvalidOperationException("wrapped", Postgres("22P05")),
            new AggregateException(new TimeoutException(), Postgres("22P05")),
        ];
        Assert.All(passing, e => Assert.True(DatabaseFaults.IsPassing(e)));
        Assert.All(lasting, e => Assert.False(DatabaseFaults.IsPassing(e)));
    }

    private static PostgresException Postgres(string state, string? constraint = null) =>
        new("x", "ERROR", "ERROR", state, constraintName: constraint);
}
