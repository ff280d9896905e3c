using System.Data.Common;
using JasperFx;
using JasperFx.Events;
using JasperFx.Events.Daemon;
using JasperFx.Events.Projections;
using Marten;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Notify.Domain.Broadcasts;
using Notify.Domain.Categories;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;
using Notify.Domain.Routing;
using Notify.Domain.Suppressions;
using Notify.Domain.Templates;
using Notify.Domain.Topics;
using Notify.Projections.Analytics;
using Notify.Projections.Categories;
using Notify.Projections.Clients;
using Notify.Projections.NotificationViews;
using Notify.Projections.Privacy;
using Notify.Projections.Recipients;
using Notify.Projections.Templates;
using Notify.Projections.Topics;
using Npgsql;

namespace Notify.Projections;

/// <summary>The store's configuration, the same in every host: event names, snapshots, read models.</summary>
public static class NotifyStore
{
    /// <summary>The schema of events and documents.</summary>
    public const string Schema = "events";

    /// <summary>Adds the connection pools and the Marten store.</summary>
    /// <param name="mayCreate">Only the migration may create or change tables.</param>
    /// <param name="byIndex">See <see cref="Connection"/>.</param>
    /// <param name="limits">The limits of a host's connections; a command has none.</param>
    /// <param name="reads">Whether the host answers requests that only read, which then have a pool of their own.</param>
    public static MartenServiceCollectionExtensions.MartenConfigurationExpression AddNotifyStore(
        this IServiceCollection services,
        string connectionString,
        bool mayCreate,
        bool byIndex = false,
        ConnectionLimits? limits = null,
        bool reads = false
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
        services.ConfigureMarten(
            (provider, options) =>
                options.Projections.Add(
                    new AnalyticsProjection(provider.GetRequiredService<MasterKeyRing>()),
                    ProjectionLifecycle.Async,
                    AnalyticsProjection.ProjectionName,
                    LargePages
                )
        );
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
        options.DatabaseSchemaName = Schema;
        options.Events.DatabaseSchemaName = Schema;
        options.AutoCreateSchemaObjects = mayCreate ? AutoCreate.CreateOrUpdate : AutoCreate.None;
        options.UseSystemTextJsonForSerialization(casing: Weasel.Core.Casing.CamelCase, configure: o => NotifyJson.Configure(o));
        options.DisableNpgsqlLogging = true;
        options.ConfigurePolly(_ => { }); // a statement is never repeated inside a broken transaction: we repeat transactions whole

        options.Events.StreamIdentity = StreamIdentity.AsString;
        options.Events.AppendMode = EventAppendMode.Quick;
        options.Events.UseMandatoryStreamTypeDeclaration = false;
        foreach (var type in EventTypes)
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
        // Large pages, looked for twice a second: under load most of a notification's events then meet in one page, and its
        // view is written once instead of once an event.
        options.Projections.Add(
            new NotificationViewProjection(),
            ProjectionLifecycle.Async,
            NotificationViewProjection.ProjectionName,
            LargePages
        );
        options.Projections.FastPollingTime = TimeSpan.FromMilliseconds(500);
        options.Projections.SlowPollingTime = TimeSpan.FromMilliseconds(500);
        // Numbered steps make its table, which may be partitioned: Marten would copy a partitioned one into a plain one.
        if (!mayCreate)
            NotificationViewProjection.Configure(options);
        options.Projections.AsyncMode = DaemonMode.ExternallyManaged; // the Projections host runs them; see its Program.cs

        // A read model that cannot apply an event stops visibly. An event that cannot be read at all is skipped:
        // a newer host's would stop it until that version runs everywhere, a damaged one permanently, and for all notifications. The
        // work on the stream records it (notify.stream_faults), and a rebuild processes the skipped events.
        options.Projections.Errors.SkipApplyErrors = false;
        options.Projections.Errors.SkipSerializationErrors = true;
        options.Projections.Errors.SkipUnknownEvents = true;
    }

    private static void LargePages(AsyncOptions async)
    {
        async.BatchSize = 5000;
        async.MaximumHopperSize = 20_000;
    }

    /// <summary>Every event there is; its type's name is its name in the store, the API and the tables.</summary>
    public static IReadOnlyList<Type> EventTypes { get; } =
    [
        typeof(NotificationRequested),
        typeof(DeliveriesPlanned),
        typeof(DeliveryDeferred),
        typeof(DeliveryReaddressed),
        typeof(CapPlaceMoved),
        typeof(DispatchAttempted),
        typeof(NotificationDispatched),
        typeof(DuplicateDispatchDetected),
        typeof(NotificationDelivered),
        typeof(NotificationFailed),
        typeof(DispatchOutcomeUnknown),
        typeof(DeliverySuppressed),
        typeof(DeliveryDeadLettered),
        typeof(DeliveryRedriven),
        typeof(NotificationCancelled),
        typeof(NotificationRescheduled),
        typeof(NotificationExpired),
        typeof(NotificationOpened),
        typeof(LinkClicked),
        typeof(Complained),
        typeof(Unsubscribed),
        typeof(NotificationCollected),
        typeof(NotificationDigested),
        typeof(DigestOpened),
        typeof(DigestClosed),
        typeof(ContactDetailsGiven),
        typeof(DeviceRegistered),
        typeof(DeviceRemoved),
        typeof(OptedIn),
        typeof(OptedOut),
        typeof(PreferenceWithdrawn),
        typeof(QuietHoursSet),
        typeof(QuietHoursWithdrawn),
        typeof(UserErased),
        typeof(AddressSuppressed),
        typeof(SuppressionLifted),
        typeof(CategoryDefined),
        typeof(TemplateDefined),
        typeof(TemplateArchived),
        typeof(LayoutDefined),
        typeof(TopicDefined),
        typeof(TopicJoined),
        typeof(TopicLeft),
        typeof(BroadcastRequested),
        typeof(BroadcastStarted),
        typeof(BroadcastPaused),
        typeof(BroadcastResumed),
        typeof(BroadcastCancelled),
        typeof(BroadcastExpired),
        typeof(BroadcastCompleted),
        typeof(ClientRegistered),
        typeof(SecretIssued),
        typeof(SecretRevoked),
        typeof(ClientDisabled),
        typeof(ClientPowersChanged),
        typeof(AccessRecorded),
        typeof(AddressOptedOut),
        typeof(AddressOptedIn),
        typeof(DataKeyRotationStarted),
        typeof(DataKeysRotated),
        typeof(PepperCarriedOver),
        typeof(PepperDropped),
        typeof(SecretRehashed),
        typeof(PersonErased),
        typeof(MasterKeyRetired),
        typeof(MasterKeyDestroyed),
        typeof(CircuitOpened),
        typeof(CircuitHalfOpened),
        typeof(CircuitClosed),
        typeof(ProviderWeightChanged),
    ];
}
