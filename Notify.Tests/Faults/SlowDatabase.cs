namespace Notify.Tests.Faults;

using Notify.Tests.Support;
using Npgsql;

/// <summary>A database whose statements end by a time-out, as with hosted PostgreSQL, while it is slow.</summary>
public sealed class SlowDatabase(FaultSystem faults) : FaultTest(faults)
{
    private const int Mails = 6;

    [Fact]
    public async Task Answers_of_a_provider_are_kept_until_the_database_takes_them()
    {
        var mark = NewId("slow");
        var ids = Enumerable.Range(0, Mails).Select(i => $"{mark}-{i}").ToList();
        await Installation.StopDispatchAsync();
        await ExecuteAsync(
            """
            create table public.slow_now as select 1;
            grant select on public.slow_now to public;
            create function public.be_slow() returns trigger language plpgsql as $$ 
                begin if exists (select from public.slow_now) then perform pg_sleep(2); end if; return null; end $$;
            create trigger slow after delete on notify.open_deliveries for each statement execute function public.be_slow();
            """
        );
        try
        {
            await Installation.StartDispatchAsync(
                new()
                {
                    ["ConnectionStrings__notify"] =
                        $"{Installation.ConnectionString};Maximum Pool Size=30;Options=-c statement_timeout=500",
                }
            );
            foreach (var id in ids)
            {
                (
                    await Client.SendAsync(
                        new
                        {
                            eventId = id,
                            to = new { email = Person.NewEmail() },
                            channels = new[] { "email" },
                            content = new { title = id, body = "x" },
                        }
                    )
                ).Is(202);
            }

            await Eventually.Becomes(() => Sandbox.CountAsync(mark), c => c.Accepted == Mails, "the provider has all");
            using var host = new NotifyClient(Installation.DispatchUrl, null, null);
            var ready = await Eventually.Becomes(
                () => host.GetAsync("/health/ready"),
                r => r.Text.Contains("are kept", StringComparison.Ordinal),
                "the host shows what it keeps"
            );
            Assert.Contains("statement_timeout is 500 ms", ready.Is(200).Text, StringComparison.Ordinal);
            Assert.Equal("Degraded", ready["status"]);
            // Longer than a host time-out: nobody takes over what a living host keeps.
            await Eventually.Stays(() => Sandbox.CountAsync(mark), (Mails, Mails), NotifySystem.Takeover * 2);
            await ExecuteAsync("delete from public.slow_now");
            foreach (var id in ids)
                await Eventually.Becomes(() => Client.StateAsync(id), s => s.Status is "dispatched" or "delivered", "each is written");
        }
        finally
        {
            await ExecuteAsync("drop trigger slow on notify.open_deliveries; drop function public.be_slow; drop table public.slow_now");
            await Installation.StopDispatchAsync();
            await Installation.StartDispatchAsync();
        }

        Assert.Equal((Mails, Mails), await Sandbox.CountAsync(mark));
        await Installation.VerifyAsync();
    }

    private async Task ExecuteAsync(string sql)
    {
        await using var connection = new NpgsqlConnection($"{Installation.ConnectionString};Pooling=false");
        await connection.OpenAsync(TestContext.Current.CancellationToken);
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(TestContext.Current.CancellationToken);
    }
}
