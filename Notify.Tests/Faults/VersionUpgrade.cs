namespace Notify.Tests.Faults;

using Notify.Tests.Support;

/// <summary>The upgrade of an installation from the last landed version, host by host and under load.</summary>
[Trait("Category", "Faults")]
[Trait("Category", "Long")]
public sealed class VersionUpgrade : SystemTest
{
    private const int PerSecond = 40;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    private Load? load;

    /// <inheritdoc />
    public override async ValueTask InitializeAsync() =>
        Installation = await NotifySystem.StartAsync(
            "upgrade",
            new([NotifySystem.UsualAcceptTimeout]),
            ownCluster: true,
            root: await LastVersion.BuildAsync()
        );

    /// <inheritdoc />
    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        if (Installation is not null)
            await Installation.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task Upgrade_from_last_version_under_load_refuses_no_request_loses_nothing_and_sends_nothing_twice()
    {
        var (former, formerDispatch, formerProjections) = (Installation.Api, Installation.Dispatchers[0], Installation.Projections);
        var apis = new[] { Client, Client };
        load = await Load.StartAsync(Installation, PerSecond, apis);
        await GoesOnAsync("before the migration");
        var later = await ScheduleAsync();

        await TestRun.MigrateAsync(Installation.ConnectionString);
        await GoesOnAsync("migrated, with the hosts of the last version");

        // First: the last version's Projections cannot read what is written when its other hosts have ended.
        Installation.Root = null;
        await EndAsync(formerProjections);
        await Installation.StartProjectionsAsync();
        await GoesOnAsync("without the Projections of the last version");

        var (_, url) = await Installation.StartAnotherApiAsync();
        await Installation.StartDispatchAsync();
        apis[1] = Client.At(url);
        await GoesOnAsync("with hosts of both versions");

        // A load balancer takes a host out before it ends.
        apis[0] = apis[1];
        await EndAsync(former);
        await GoesOnAsync("without the Api of the last version");
        await EndAsync(formerDispatch);
        await GoesOnAsync("without hosts of the last version");
        await load.StopAsync();
        Assert.All(
            load.Answers.Keys,
            status => Assert.True(status is 200 or 202, $"{load.Answers[status]} requests were answered {status}")
        );
        var balance = await Balance.OfAsync(Installation, load, Patience);
        balance.Show(load);
        Assert.Empty(balance.Repeats);
        await Eventually.Becomes(
            () => Sandbox.CountAsync(later),
            c => c == (1, 1),
            "what the last version scheduled is sent once",
            Patience
        );
        await Installation.VerifyAsync();
    }

    private async Task<string> ScheduleAsync()
    {
        var id = NewId("scheduled-before");
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    to = new { phone = Person.NewPhone() },
                    content = new { body = id },
                    sendAt = TimeProvider.System.GetUtcNow().AddMinutes(1),
                }
            )
        ).Is(202);
        return id;
    }

    private async Task GoesOnAsync(string when)
    {
        await load!.GoOnAsync(PerSecond * 3);
        var open = await Installation.ScalarAsync<long>("select count(*) from notify.open_deliveries");
        TestContext.Current.TestOutputHelper?.WriteLine(
            $"{when}: {load.Accepted.Count} accepted ({string.Join(", ", load.Answers.OrderBy(a => a.Key).Select(a => $"{a.Key}: {a.Value}"))}), {open} open"
        );
    }

    private static async Task EndAsync(HostProcess host)
    {
        host.Terminate();
        await host.EndAsync(TimeSpan.FromSeconds(60));
    }
}
