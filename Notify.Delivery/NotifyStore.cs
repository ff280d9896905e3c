namespace Notify.Delivery;

using System.Data.Common;
using JasperFx;
using JasperFx.Events;
using JasperFx.Events.Daemon;
using JasperFx.Events.Projections;
using Marten;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Notify.Delivery.Categories;
using Notify.Delivery.Clients;
using Notify.Delivery.EventStore;
using Notify.Delivery.Recipients;
using Notify.Delivery.Schema;
using Notify.Delivery.Templates;
using Notify.Delivery.Topics;
using Notify.Domain.Categories;
using Notify.Domain.Recipients;
using Notify.Infrastructure.Json;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>The store's configuration, the same in every host: event names, snapshots, read models.</summary>
public static class NotifyStore
{
    /// <summary>Adds the connection pools and the Marten store.</summary>
    /// <param name="mayCreate">Only the migration may create or change tables.</param>
    /// <param name="byIndex">See <see cref="Connection"/>.</param>
    /// <param name="limits">The limits of a host's connections; a command has none.</param>
    /// <param name="reads">Whether the host answers requests that only read, which then have a pool of their own.</param>
    /// <param name="readModels">Registers the read models, where the host builds or queries them.</param>
    public static MartenServiceCollectionExtensions.MartenConfigurationExpression AddNotifyStore(
        this IServiceCollection services,
        string connectionString,
        bool mayCreate,
        bool byIndex = false,
        ConnectionLimits? limits = null,
        bool reads = false,
        Action<IServiceProvider, StoreOptions>? readModels = null
    )
    {
        var sizes = PoolSizes.Of(new NpgsqlConnectionStringBuilder(connectionString).MaxPoolSize, reads);
        if (limits is not null)
            services.AddSingleton(limits);
        services.AddSingleton(_ => Source(limits is null ? null : sizes.Main));
        services.AddSingleton(_ => new HeartbeatDatabase(Source(sizes.Heartbeats)));
        services.AddSingleton(s => new ReadDatabase(
            Source(Math.Max(1, sizes.Reads), ReadDatabase.MaxWait),
            s.GetRequiredService<IDocumentStore>()
        ));
        if (readModels is not null)
            services.ConfigureMarten(readModels);
        return services.AddMarten(options => Configure(options, mayCreate)).UseNpgsqlDataSource().UseLightweightSessions();

        NpgsqlDataSource Source(int? size, TimeSpan? wait = null)
        {
            var connection = mayCreate ? MigrationConnection(connectionString) : Connection(connectionString, byIndex, limits);
            if (size is { } most)
                (connection.MaxPoolSize, connection.MinPoolSize) = (most, Math.Min(connection.MinPoolSize, most));
            if (wait is { } longest)
                connection.Timeout = (int)longest.TotalSeconds;
            return NpgsqlDataSource.Create(connection);
        }
    }

    /// <summary>
    /// How connections are made. Sessions are in UTC, whatever the server's own zone: Marten stamps appended events with the
    /// session's clock. Statements that come again are prepared, since an append is thousands of the same.
    /// </summary>
    /// <param name="configured">
    /// Overrides these settings: <c>Max Auto Prepare=0</c> prepares nothing, as a pooler that shares sessions may need.
    /// </param>
    /// <param name="byIndex">
    /// For a host whose statements all use an index, in its order. PostgreSQL plans by its last statistics, which are
    /// wrong when it matters most: a queue that was empty then has 100,000 rows now. It then reads and sorts whole tables
    /// for 25 rows, and sends at a third of the rate (measured; docs/performance.md). <c>Options</c> in the connection string go over it;
    /// with
    /// <c>Max Auto Prepare=0</c> it is not said, since a pooler takes no options.
    /// </param>
    /// <param name="limits">See <see cref="ConnectionLimits"/>.</param>
    public static NpgsqlConnectionStringBuilder Connection(string configured, bool byIndex = false, ConnectionLimits? limits = null)
    {
        var connection = new NpgsqlConnectionStringBuilder(configured) { Timezone = "UTC" };
        var isSaid = new DbConnectionStringBuilder { ConnectionString = connection.ConnectionString }.ContainsKey("Max Auto Prepare");
        if (!isSaid)
            (connection.MaxAutoPrepare, connection.AutoPrepareMinUsages) = (60, 3);
        limits?.ApplyTo(connection, takesOptions: connection.MaxAutoPrepare > 0);
        if (byIndex && connection.MaxAutoPrepare > 0)
            connection.Options = $"-c enable_seqscan=off -c enable_bitmapscan=off -c jit=off {connection.Options}".TrimEnd();
        return connection;
    }

    /// <summary>The same for a migration: a lock that is not free soon is given up, so that nobody queues behind it for long.</summary>
    /// <remarks>Not said with <c>Max Auto Prepare=0</c>, since a pooler takes no options; our own steps set it by themselves.</remarks>
    public static NpgsqlConnectionStringBuilder MigrationConnection(string configured)
    {
        var connection = Connection(configured);
        if (connection.MaxAutoPrepare > 0)
            connection.Options = $"-c lock_timeout={(int)SchemaMigrator.LockTimeout.TotalMilliseconds} {connection.Options}".TrimEnd();
        return connection;
    }

    private static void Configure(StoreOptions options, bool mayCreate)
    {
        options.DatabaseSchemaName = EventSchema.Name;
        options.Events.DatabaseSchemaName = EventSchema.Name;
        options.AutoCreateSchemaObjects = mayCreate ? AutoCreate.CreateOrUpdate : AutoCreate.None;
        options.UseSystemTextJsonForSerialization(casing: Weasel.Core.Casing.CamelCase, configure: o => NotifyJson.Configure(o));
        options.DisableNpgsqlLogging = true;
        options.ConfigurePolly(_ => { }); // a statement is never repeated inside a broken transaction: we repeat transactions whole

        options.Events.StreamIdentity = StreamIdentity.AsString;
        options.Events.AppendMode = EventAppendMode.Quick;
        options.Events.UseMandatoryStreamTypeDeclaration = false;
        foreach (var type in EventTypes.All)
            options.Events.MapEventType(type, type.Name);

        options.Projections.Add(new RecipientProjection(), ProjectionLifecycle.Inline);
        options.Projections.Add(new ClientProjection(), ProjectionLifecycle.Inline);
        options.Projections.Add(new AddressChoicesProjection(), ProjectionLifecycle.Inline);
        options.Projections.Add(new AccessProjection(), ProjectionLifecycle.Inline);
        AccessProjection.Configure(options);
        options.Projections.Add(new CategoryProjection(), ProjectionLifecycle.Inline);
        options.Projections.Add(new TemplateProjection(), ProjectionLifecycle.Inline);
        options.Projections.Add(new LayoutProjection(), ProjectionLifecycle.Inline);
        options.Projections.Add(new TopicProjection(), ProjectionLifecycle.Inline);
        // A snapshot's version is its stream's, read from its column: at the append it is not known yet.
        options
            .Schema.For<Recipient>()
            .Metadata(m => m.Revision.MapTo(r => r.Version))
            .IgnoreIndex(AddressWordsReader.EmailIndex)
            .IgnoreIndex(AddressWordsReader.PhoneIndex)
            .IgnoreIndex("recipients_having_email")
            .IgnoreIndex("recipients_having_phone");
        options.Schema.For<Category>().Metadata(m => m.Revision.MapTo(c => c.Version));
        options.Projections.AsyncMode = DaemonMode.ExternallyManaged; // the Projections host runs them; see its Program.cs

        // A read model that cannot apply an event stops visibly. An event that cannot be read at all is skipped:
        // a newer host's would stop it until that version runs everywhere, a damaged one permanently, and for all notifications. The
        // work on the stream records it (notify.stream_faults), and a rebuild processes the skipped events.
        options.Projections.Errors.SkipApplyErrors = false;
        options.Projections.Errors.SkipSerializationErrors = true;
        options.Projections.Errors.SkipUnknownEvents = true;
    }
}
