namespace Notify.Delivery.Hosting;

using JasperFx.Resources;
using Marten;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Notify.Delivery.Messaging;
using Notify.Delivery.Privacy;
using Notify.Delivery.Recipients;
using Notify.Delivery.Schema;
using Notify.Infrastructure.Hosting;
using Npgsql;

/// <summary>Brings the database to what this version needs. Run once per version, before its hosts start; running it again changes
/// nothing.</summary>
public static class Migrations
{
    // Any number that nothing else in the database locks by.
    private const long Lock = 0x4E_6F_74_69_66_79;

    /// <summary>Runs a migration while no other one runs: a second one waits, and then finds nothing left to do.</summary>
    private static async Task<int> AloneAsync(IServiceProvider services, Func<Task<int>> migrate, CancellationToken cancellation = default)
    {
        await using var connection = await services.GetRequiredService<NpgsqlDataSource>().OpenConnectionAsync(cancellation);
        // Tried again and again: a statement that waits for the lock would be a snapshot that a concurrent index waits for.
        await using (
            var take = new NpgsqlCommand("select pg_try_advisory_lock($1)", connection)
            {
                Parameters = { new NpgsqlParameter { Value = Lock } },
            }
        )
        {
            var clock = services.GetRequiredService<TimeProvider>();
            while (await take.ExecuteScalarAsync(cancellation) is not true)
                await Task.Delay(TimeSpan.FromMilliseconds(250), clock, cancellation);
        }

        var code = await migrate();
        await using var give = new NpgsqlCommand("select pg_advisory_unlock($1)", connection)
        {
            Parameters = { new NpgsqlParameter { Value = Lock } },
        };
        await give.ExecuteNonQueryAsync(cancellation);
        return code;
    }

    /// <summary>Applies the event store's and documents' tables, then ours.</summary>
    /// <returns>The exit code.</returns>
    public static Task<int> ApplyStoreAsync(IServiceProvider services, string name, CancellationToken cancellation = default) =>
        AloneAsync(
            services,
            async () =>
            {
                var clock = services.GetRequiredService<TimeProvider>();
                await WithRetriesAsync(
                    () => services.GetRequiredService<IDocumentStore>().Storage.ApplyAllConfiguredChangesToDatabaseAsync(),
                    clock,
                    cancellation
                );
                var migrator = new SchemaMigrator(services.GetRequiredService<NpgsqlDataSource>(), clock);
                if (await migrator.ApplyAsync(SchemaMigrator.Steps, cancellation) is { } fault)
                    return NotifyHost.Fail(name, fault);
                if (await services.GetRequiredService<HostKeys>().CheckAsync(records: true, cancellation) is { } wrong)
                    return NotifyHost.FailConfiguration(name, wrong);
                // It needs the keys, and goes on where it was broken off.
                var removed = 0;
                await WithRetriesAsync(
                    async () => removed += await ActivatorUtilities.CreateInstance<DeviceSpellings>(services).RunAsync(cancellation),
                    clock,
                    cancellation
                );
                if (removed > 0)
                    Console.WriteLine($"{name}: {removed} devices removed that were stored by another spelling of their token.");
                return 0;
            },
            cancellation
        );

    /// <summary>Applies a host's message storage and queues.</summary>
    /// <returns>The exit code.</returns>
    public static Task<int> ApplyMessagingAsync(IHost host) =>
        AloneAsync(
            host.Services,
            async () =>
            {
                await WithRetriesAsync(() => host.SetupResources(), host.Services.GetRequiredService<TimeProvider>(), default);
                return 0;
            }
        );

    /// <summary>Applies a host's message storage and queues, and then the roles.</summary>
    /// <returns>The exit code.</returns>
    public static async Task<int> ApplyMessagingAsync(WebApplication app, string name) =>
        await ApplyMessagingAsync(app) is not 0 and var code ? code : await ApplyRolesAsync(app, name);

    /// <summary>Makes the database's roles, gives them their powers, and lets the host log in as its role.</summary>
    /// <returns>The exit code: 0 also where the owner may make no roles, which it says.</returns>
    public static Task<int> ApplyRolesAsync(WebApplication app, string name) =>
        AloneAsync(
            app.Services,
            async () =>
            {
                var database = app.Services.GetRequiredService<NpgsqlDataSource>();
                IReadOnlyList<string> refused = [];
                await WithRetriesAsync(
                    async () => refused = await DatabaseRoles.ApplyAsync(database, name, app.Configuration.Database(), default),
                    app.Services.GetRequiredService<TimeProvider>(),
                    default
                );
                foreach (var line in refused)
                    Console.WriteLine($"{name}: {line}");
                return 0;
            }
        );

    // Marten and Wolverine compare what there is with what they need, and take locks only for a difference. A migration's connections
    // have the lock time-out of SchemaMigrator, and both may be repeated whole.
    private static async Task WithRetriesAsync(Func<Task> apply, TimeProvider clock, CancellationToken cancellation)
    {
        var began = clock.GetTimestamp();
        for (var failures = 0; ; failures++)
        {
            try
            {
                await apply();
                return;
            }
            catch (Exception e) when (IsLockTimeout(e) && clock.GetElapsedTime(began) < SchemaMigrator.Patience)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(Math.Min(250 << Math.Min(failures, 4), 4000)), clock, cancellation);
            }
        }
    }

    private static bool IsLockTimeout(Exception? e) =>
        e switch
        {
            null => false,
            PostgresException p => p.SqlState is PostgresErrorCodes.LockNotAvailable,
            AggregateException a => a.InnerExceptions.Any(IsLockTimeout),
            _ => IsLockTimeout(e.InnerException),
        };

    /// <summary>
    /// Declares the broker's queues where there is one, and records the transport. After a change, messages in the old queues are sent
    /// again.
    /// </summary>
    /// <returns>The exit code.</returns>
    public static async Task<int> ApplyTransportAsync(WebApplication app, string name, CancellationToken cancellation = default)
    {
        if (app.Services.GetService<RabbitMqBroker>() is { } broker && await broker.DeclareAsync(cancellation) is { } fault)
            return NotifyHost.Fail(name, fault.Message);
        var transport = app.Configuration.Transport();
        var again = await TransportMark.SetAsync(app.Services.GetRequiredService<NpgsqlDataSource>(), transport, cancellation);
        if (again > 0)
            Console.WriteLine($"Messages go over {transport} from now on; {again} deliveries that lay in queues are sent again.");
        return 0;
    }
}
