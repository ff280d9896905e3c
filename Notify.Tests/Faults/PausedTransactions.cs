namespace Notify.Tests.Faults;

using System.Diagnostics;
using Notify.Tests.Support;
using Npgsql;

/// <summary>Hosts that stop in the middle of a transaction: the locks that they hold are let go within the host time-out.</summary>
public sealed class PausedTransactions(FaultSystem faults) : FaultTest(faults)
{
    // The idle limit of a transaction, the host time-out, and a busy machine.
    private static readonly TimeSpan Bound = NotifySystem.Takeover * 3;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Api_paused_in_a_commit_does_not_hold_up_the_other()
    {
        var (other, url) = await Installation.StartAnotherApiAsync();
        using var healthy = Client.At(url);
        var person = await Installation.NewPersonAsync();
        var (id, mark) = (NewId("paused"), NewId("healthy"));
        var request = Sms(id, person);

        var sending = await PausedBehindAsync("notify.open_deliveries", "notify-api", () => Client.SendAsync(request), Installation.Api);
        try
        {
            // Its caller comes again, at the host that lives, and others come too.
            var longest = TimeSpan.Zero;
            for (var i = 0; i < 20; i++)
            {
                var watch = Stopwatch.StartNew();
                var reply = await healthy.SendAsync(i == 0 ? request : Sms($"{mark}-{i}", person));
                Assert.True(reply.Status is 200 or 202 or 503, reply.ToString());
                if (reply.Status == 503)
                    i--; // it comes again
                longest = longest > watch.Elapsed ? longest : watch.Elapsed;
            }

            Show($"20 accepted beside a paused Api; the longest took {longest.TotalSeconds:0.0} s.");
            Assert.True(longest < Bound, $"{longest}");
        }
        finally
        {
            Installation.Api.Resume();
        }

        await sending;
        await Eventually.Becomes(
            () => healthy.GetAsync($"/v1/notifications/{id}"),
            r => r["status"] is "dispatched" or "delivered",
            "the first is sent"
        );
        await other.KillAsync();
        await Installation.QuietAsync(TimeSpan.FromMinutes(1), mark);
        Assert.Equal((1, 1), await Sandbox.CountAsync(id));
        Assert.Equal((19, 19), await Sandbox.CountAsync(mark));
    }

    [Fact]
    public async Task Dispatch_paused_in_a_claim_does_not_hold_up_cancel()
    {
        var person = await Installation.NewPersonAsync();
        var (cancelled, sent) = (NewId("cancelled"), NewId("sent"));
        var paused = Installation.Dispatchers[0];
        await PausedBehindAsync(
            "notify.delivery_streams",
            "notify-dispatch",
            async () =>
            {
                await SendAsync(cancelled);
                return await SendAsync(sent);
            },
            paused
        );
        try
        {
            var watch = Stopwatch.StartNew();
            Assert.True((await Client.CancelAsync(cancelled)).Status is 200 or 409 or 503);
            Show($"Cancel answered after {watch.Elapsed.TotalSeconds:0.0} s.");
            Assert.True(watch.Elapsed < Bound, $"{watch.Elapsed}");
        }
        finally
        {
            paused.Resume();
        }

        await Installation.QuietAsync(TimeSpan.FromMinutes(1), sent);
        Assert.Equal((1, 1), await Sandbox.CountAsync(sent));
        await Installation.VerifyAsync();

        Task<Reply> SendAsync(string id) => Client.SendAsync(Sms(id, person));
    }

    private static object Sms(string id, Person person) =>
        new
        {
            eventId = id,
            userId = person.Id,
            channels = new[] { "sms" },
            content = new { body = id },
        };

    private static void Show(string text) => TestContext.Current.TestOutputHelper?.WriteLine(text);

    // Has a host wait for a table in the middle of its transaction, pauses it there, and lets go of the table: the host's session
    // goes on to the end of its statement and stays in its transaction.
    private async Task<Task<Reply>> PausedBehindAsync(string table, string host, Func<Task<Reply>> act, HostProcess process)
    {
        await using var connection = new NpgsqlConnection($"{Installation.ConnectionString};Pooling=false");
        await connection.OpenAsync(Cancellation);
        await using var transaction = await connection.BeginTransactionAsync(Cancellation);
        await using (var take = new NpgsqlCommand($"lock table {table} in share row exclusive mode", connection, transaction))
            await take.ExecuteNonQueryAsync(Cancellation);
        var acting = act();
        await StateAsync("active", "and wait_event_type = 'Lock'");
        process.Pause();
        await transaction.RollbackAsync(Cancellation);
        await StateAsync("idle in transaction", "");
        return acting;

        Task StateAsync(string state, string more) =>
            Eventually.Becomes(
                () =>
                    Installation.ScalarAsync<long>(
                        $"""
                        select count(*) from pg_stat_activity
                        where datname = current_database() and application_name like $1 || '/%' and state = $2 {more}
                        """,
                        host,
                        state
                    ),
                n => n > 0,
                $"{host} is {state}"
            );
    }
}
