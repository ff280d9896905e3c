namespace Notify.Tests.Projections;

using Marten;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Notify.Delivery;
using Notify.Delivery.EventStore;
using Notify.Delivery.Privacy;
using Notify.Delivery.Retention;
using Notify.Delivery.Schema;
using Notify.Domain.Recipients;
using Notify.Domain.Routing;
using Notify.Projections;
using Notify.Tests.Domain;
using Notify.Tests.Projections.Analytics;
using Notify.Tests.Support;
using Npgsql;

/// <summary>The powers of hosts in a migrated database, tried as the roles that hosts log in as.</summary>
public sealed class DatabaseRolesTests(AnalyticsDatabase database) : IClassFixture<AnalyticsDatabase>
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("Api")]
    [InlineData("Dispatch")]
    [InlineData("Projections")]
    public async Task Host_can_neither_change_nor_delete_an_event(string host)
    {
        await database.AppendAsync($"u/{Guid.NewGuid():N}", Given());
        await using var source = As(host);
        string[] forbidden =
        [
            "update events.mt_events set data = '{}'",
            "update events.mt_events set timestamp = now()",
            "delete from events.mt_events",
            "truncate events.mt_events cascade",
            "truncate events.mt_streams cascade",
            "delete from events.mt_streams",
            "update events.mt_streams set id = 'u/other'",
            "alter table events.mt_events disable trigger all",
            "drop table events.mt_events",
            "create table events.other (id text)",
            "create table notify.other (id text)",
            "create trigger t before insert on events.mt_events for each row execute function "
                + "pg_catalog.suppress_redundant_updates_trigger()",
            "update notify.event_ids set request_hash = 'other'",
            "delete from notify.event_ids",
            "truncate notify.event_ids",
            "update notify.schema_steps set name = 'other'",
            "alter role notify_api superuser",
            "select notify.add_partitions('events.mt_events', now(), 1)",
            "select notify.drop_partition('events.mt_events')",
            "select notify.drop_partition('notify.payloads_default')",
        ];
        foreach (var statement in forbidden)
        {
            var refused = await Assert.ThrowsAsync<PostgresException>(() => RunAsync(source, statement));
            Assert.True(refused.SqlState == PostgresErrorCodes.InsufficientPrivilege, $"{statement}: {refused.MessageText}");
        }

        await RunAsync(source, "select count(*) from events.mt_events");
    }

    [Fact]
    public async Task Roles_are_neither_superusers_nor_owners_and_no_table_can_be_truncated_by_them()
    {
        Assert.Equal(
            ["{\"rolname\": \"notify_api\"}", "{\"rolname\": \"notify_dispatch\"}", "{\"rolname\": \"notify_projections\"}"],
            await database.RowsAsync(
                """
                select rolname from pg_roles where rolname in ('notify_api', 'notify_dispatch', 'notify_projections')
                  and not (rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls) order by 1
                """
            )
        );
        Assert.Empty(
            await database.RowsAsync(
                """
                select c.oid::regclass as t, r.rolname from pg_class c join pg_namespace n on n.oid = c.relnamespace
                cross join pg_roles r
                where r.rolname in ('notify_api', 'notify_dispatch', 'notify_projections') and c.relkind in ('r', 'p')
                  and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
                  and (has_table_privilege(r.oid, c.oid, 'truncate, trigger, references') or c.relowner = r.oid)
                """
            )
        );
        Assert.Empty(
            await database.RowsAsync(
                """
                select r.rolname, p.privilege from pg_roles r
                cross join unnest(array['update', 'delete', 'truncate']) as p (privilege)
                where r.rolname in ('notify_api', 'notify_dispatch', 'notify_projections', 'notify_analyst')
                  and has_table_privilege(r.oid, 'events.mt_events', p.privilege)
                """
            )
        );
        Assert.Empty(
            await database.RowsAsync(
                """
                select column_name from information_schema.column_privileges
                where table_schema = 'events' and table_name = 'mt_events' and privilege_type = 'UPDATE' and grantee like 'notify\_%'
                """
            )
        );
        Assert.Empty(
            await database.RowsAsync( // another host's messages are none of its business, but for the dead letters
                """
                select c.oid::regclass as t from pg_class c join pg_namespace n on n.oid = c.relnamespace
                where n.nspname in ('api_messages', 'projections_messages') and c.relkind = 'r' and c.relname <> 'wolverine_dead_letters'
                  and has_table_privilege('notify_dispatch', c.oid, 'select, insert, update, delete')
                """
            )
        );
    }

    [Theory]
    [InlineData("Api")]
    [InlineData("Dispatch")]
    [InlineData("Projections")]
    public async Task Host_appends_events_and_their_documents_and_locks_streams(string host)
    {
        await using var services = StoreAs(host);
        var store = services.GetRequiredService<IDocumentStore>();
        var key = host == "Projections" ? $"p/{Guid.NewGuid():N}" : $"u/{Guid.NewGuid():N}"; // it writes no document of a user
        for (var i = 0; i < 2; i++)
        {
            await using var session = store.LightweightSession();
            await NotificationStreams.LockAsync(session, [key], Cancellation);
            session.Events.Append(key, host == "Projections" ? new CircuitClosed("p", "works", Some.Noon) : Given());
            await session.SaveChangesAsync(Cancellation);
        }

        await using var reading = store.QuerySession();
        Assert.Equal(2, (await reading.Events.FetchStreamStateAsync(key, Cancellation))!.Version);
        if (host != "Projections")
            Assert.Equal(2, (await reading.LoadManyAsync<Recipient>(Cancellation, key)).Single().Version);
    }

    [Fact]
    public async Task Projections_makes_and_drops_partitions_and_writes_no_document_of_a_user()
    {
        await using var services = StoreAs("Projections");
        await using var source = As("Projections");
        await using (var session = services.GetRequiredService<IDocumentStore>().LightweightSession())
        {
            session.Events.Append($"u/{Guid.NewGuid():N}", Given());
            await Assert.ThrowsAnyAsync<Exception>(() => session.SaveChangesAsync(Cancellation));
        }

        var old = new DateTimeOffset(2020, 1, 6, 0, 0, 0, TimeSpan.Zero);
        await using var connection = await source.OpenConnectionAsync(Cancellation);
        Assert.InRange(await PartitionedTable.Payloads.AddAheadAsync(connection, old, Cancellation), 1, 10);
        var ended = await PartitionedTable.Payloads.EndedAsync(connection, old.AddDays(60), Cancellation);
        await using var transaction = await connection.BeginTransactionAsync(Cancellation);
        foreach (var week in ended)
            Assert.True(await PartitionedTable.Payloads.DropAsync(connection, week, Cancellation));
        await transaction.CommitAsync(Cancellation);
        Assert.Empty(await PartitionedTable.Payloads.EndedAsync(connection, old.AddDays(60), Cancellation));
    }

    [Theory]
    [InlineData("Api", null)]
    [InlineData(null, "is superuser, so this host can change and delete events")]
    public async Task Host_reports_powers_that_it_does_not_need(string? role, string? warning)
    {
        await using var source = role is null ? NpgsqlDataSource.Create(database.ConnectionString) : As(role);
        var found = (await DatabaseSettings.ReadAsync(source, Cancellation)).PowerWarning("notify-api");

        if (warning is null)
            Assert.Null(found);
        else
            Assert.Contains(warning, found, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Migration_that_runs_again_gives_the_same_powers()
    {
        const string Powers = """
            select n.nspname, c.relname, c.relacl::text as acl from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast') and c.relacl is not null order by 1, 2
            """;
        var before = await database.RowsAsync(Powers);
        Assert.Empty(
            await DatabaseRoles.ApplyAsync(
                database.Source,
                "notify-api",
                HostRoles.Connection(database.ConnectionString, "Api"),
                Cancellation
            )
        );
        Assert.Equal(before, await database.RowsAsync(Powers));
    }

    private static ContactDetailsGiven Given() => new(Some.Sealed("d"), true, false, "e", null, "c", Some.Noon);

    private NpgsqlDataSource As(string host) =>
        NpgsqlDataSource.Create(HostRoles.Connection(database.ConnectionString, host) + ";Maximum Pool Size=3");

    private ServiceProvider StoreAs(string host)
    {
        var collection = new ServiceCollection().AddSingleton(database.Ring).AddLogging(l => l.SetMinimumLevel(LogLevel.None));
        var connection = HostRoles.Connection(database.ConnectionString, host);
        collection.AddNotifyStore(connection, mayCreate: false, readModels: ReadModels.Configure);
        return collection.BuildServiceProvider();
    }

    private static async Task RunAsync(NpgsqlDataSource source, string statement)
    {
        await using var connection = await source.OpenConnectionAsync(Cancellation);
        await using var transaction = await connection.BeginTransactionAsync(Cancellation);
        await using var command = new NpgsqlCommand(statement, connection);
        await command.ExecuteNonQueryAsync(Cancellation);
    }
}
