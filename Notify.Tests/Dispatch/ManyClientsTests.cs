namespace Notify.Tests.Dispatch;

using System.Diagnostics;
using Microsoft.Extensions.Time.Testing;
using Notify.Delivery.DeliveryQueue;
using Notify.Dispatch.Dispatching;
using Notify.Dispatch.Routing;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Tests.Projections;
using Npgsql;

/// <summary>Fairness among ten thousand clients of one queue, over a real table.</summary>
public sealed class ManyClientsTests(EmptyDatabase database) : IClassFixture<EmptyDatabase>, IAsyncLifetime
{
    private const int Clients = 10_000,
        Busy = 600,
        Slice = 200;
    private static readonly DeliveryQueue Queue = new(Lane.Apns, Priority.Bulk);
    private readonly FakeTimeProvider clock = new();
    private NpgsqlConnection connection = null!;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        connection = await database.Source.OpenConnectionAsync(Cancellation);
        // One delivery each; the first clients by name have fifty, the oldest.
        await ExecuteAsync(
            $"""
            truncate notify.open_deliveries;
            insert into notify.open_deliveries (delivery_id, notification, queue, state, enqueued_at)
            select gen_random_uuid(), format('n/c_%s:e-%s', to_char(c, 'FM00000'), e), {Queue.Code}, 0,
                '2026-05-04'::timestamptz + make_interval(secs => case when e = 1 then 100 else 0 end)
            from generate_series(1, {Clients}) c, generate_series(1, 50) e where e = 1 or c <= {Busy};
            analyze notify.open_deliveries;
            """
        );
    }

    public ValueTask DisposeAsync() => connection.DisposeAsync();

    [Fact]
    public async Task Every_client_is_served_once_before_any_is_served_three_times()
    {
        var host = Host();
        var served = new Dictionary<string, int>(StringComparer.Ordinal);
        var watch = Stopwatch.StartNew();
        var claims = 0;
        for (; served.Count < Clients && claims < 2 * Clients / Slice; claims++)
        {
            foreach (var row in await ClaimAsync(host))
                served[ClientOf(row)] = served.GetValueOrDefault(ClientOf(row)) + 1;
            clock.Advance(TimeSpan.FromMilliseconds(100)); // the waiting clients are read again meanwhile
        }

        TestContext.Current.TestOutputHelper?.WriteLine(
            $"{claims} claims of {Slice}, {watch.Elapsed.TotalMilliseconds / claims:F1} ms each."
        );
        Assert.Equal(Clients, served.Count);
        Assert.InRange(claims, 1, (Clients / Slice) + 1);
        Assert.InRange(served.Values.Max(), 1, 2);
    }

    [Fact]
    public async Task Two_hosts_serve_all_clients_and_leave_nothing()
    {
        var hosts = new[] { Host(), Host() };
        var left = Clients + (Busy * 49);
        for (var claim = 0; left > 0; claim++)
        {
            var rows = await ClaimAsync(hosts[claim % 2]);
            Assert.NotEmpty(rows);
            left -= rows.Count;
        }

        Assert.Empty(await ClaimAsync(hosts[0]));
    }

    [Fact]
    public async Task A_client_that_comes_later_waits_for_one_round_at_most()
    {
        var host = Host();
        for (var claim = 0; claim < 7; claim++)
            await ClaimAsync(host);
        await ExecuteAsync(
            $"""
            insert into notify.open_deliveries (delivery_id, notification, queue, state, enqueued_at)
            values (gen_random_uuid(), 'n/c_00001a:late', {Queue.Code}, 0, now())
            """
        );
        for (var claim = 0; claim <= Clients / Slice; claim++)
        {
            if ((await ClaimAsync(host)).Exists(r => ClientOf(r) == "c_00001a"))
                return;
        }

        Assert.Fail("The client had no turn in a whole round.");
    }

    private SlicePick Host()
    {
        var turns = new FairTurns(clock);
        for (var i = 0; i < 3; i++)
            turns.Enter(Queue);
        return new SlicePick(turns, new HostIdentity());
    }

    // Claimed for good: a row that was sent is gone.
    private async Task<List<OpenDelivery>> ClaimAsync(SlicePick host)
    {
        await using var transaction = await connection.BeginTransactionAsync(Cancellation);
        var named = Enumerable.Range(0, Slice).Select(_ => Guid.NewGuid()).ToArray();
        var rows = await host.ClaimAsync(connection, Queue, named, Guid.NewGuid(), Cancellation);
        await OpenDeliveryTable.RemoveAsync(connection, [.. rows.Select(r => r.Id)], Cancellation);
        await transaction.CommitAsync(Cancellation);
        return rows;
    }

    private async Task ExecuteAsync(string sql)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(Cancellation);
    }

    private static string ClientOf(OpenDelivery row) => NotificationKey.Parse(row.Notification)!.Value.ClientId;
}
