namespace Notify.Tests.Alerts;

using Notify.Delivery.Monitoring;
using Notify.Domain.Notifications;
using Notify.Tests.Domain;
using Notify.Tests.Projections.Analytics;
using Notify.Tests.Projections.Verification;
using Npgsql;

public sealed class StandingFaultsTests(AnalyticsDatabase database) : IClassFixture<AnalyticsDatabase>
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Tombstone_of_a_failed_append_does_not_count_as_an_old_event_of_a_read_model()
    {
        var now = TimeProvider.System.GetUtcNow();
        await ExecuteAsync(
            "insert into events.mt_streams (id, version, tenant_id) values ('mt_tombstone', 0, '*DEFAULT*') on conflict do nothing"
        );
        await ExecuteAsync(
            """
            insert into events.mt_events (seq_id, id, stream_id, version, data, type, timestamp, tenant_id, mt_dotnet_type, is_archived)
            values (nextval('events.mt_events_sequence'), gen_random_uuid(), 'mt_tombstone', 1, '{}', 'tombstone', '-infinity',
                '*DEFAULT*', '', false)
            """
        );
        var builder = new StoreBuilder(database);
        await builder.AcceptAsync(builder.New("behind"), new NotificationCancelled([], "c_shop", Some.Noon));

        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        var faults = await new StandingFaults(database.Store).ReadAsync(connection, new AlertRules(), now, Cancellation);

        Assert.All(
            faults.Where(f => f.Kind == TroubleKind.ProjectionBehind),
            f => Assert.True(f.IsBad == false && f.Since > now.AddMinutes(-5), $"{f.Subject}: {f.IsBad}, since {f.Since}")
        );
    }

    private async Task ExecuteAsync(string sql)
    {
        await using var command = database.Source.CreateCommand(sql);
        await command.ExecuteNonQueryAsync(Cancellation);
    }
}
