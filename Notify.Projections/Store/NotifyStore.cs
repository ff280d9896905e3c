using JasperFx;
using JasperFx.Events;
using JasperFx.Events.Projections;
using Marten;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Domain.Recipients;
using Notify.Projections.Clients;
using Notify.Projections.NotificationViews;
using Notify.Projections.Recipients;
using Npgsql;

namespace Notify.Projections;

/// <summary>The store's configuration, the same in every host: event names, snapshots, read models.</summary>
public static class NotifyStore
{
    /// <summary>The schema of events and documents.</summary>
    public const string Schema = "events";

    /// <summary>Adds the data source and the Marten store.</summary>
    /// <param name="mayCreate">Only the migration may create or change tables.</param>
    /// <param name="runsDaemon">Whether this host's daemon keeps the read models.</param>
    public static MartenServiceCollectionExtensions.MartenConfigurationExpression AddNotifyStore(
        this IServiceCollection services, string connectionString, bool mayCreate, bool runsDaemon = false)
    {
        services.AddSingleton(_ => NpgsqlDataSource.Create(connectionString));
        return services.AddMarten(options => Configure(options, mayCreate, runsDaemon)).UseNpgsqlDataSource().UseLightweightSessions();
    }

    private static void Configure(StoreOptions options, bool mayCreate, bool runsDaemon)
    {
        options.DatabaseSchemaName = Schema;
        options.Events.DatabaseSchemaName = Schema;
        options.AutoCreateSchemaObjects = mayCreate ? AutoCreate.CreateOrUpdate : AutoCreate.None;
        options.UseSystemTextJsonForSerialization(configure: o => NotifyJson.Configure(o));
        options.DisableNpgsqlLogging = true;

        options.Events.StreamIdentity = StreamIdentity.AsString;
        options.Events.AppendMode = EventAppendMode.Quick;
        options.Events.UseMandatoryStreamTypeDeclaration = false;
        foreach (var type in EventTypes) options.Events.MapEventType(type, type.Name);

        options.Projections.Add(new RecipientProjection(), ProjectionLifecycle.Inline);
        options.Projections.Add(new ClientProjection(), ProjectionLifecycle.Inline);
        if (runsDaemon || mayCreate) options.Projections.Add(new NotificationViewProjection(), ProjectionLifecycle.Async);
        NotificationViewProjection.Configure(options);

        // A read model that cannot go on stops and is seen to have stopped; it never goes on with a hole in it.
        options.Projections.Errors.SkipApplyErrors = false;
        options.Projections.Errors.SkipSerializationErrors = false;
        options.Projections.Errors.SkipUnknownEvents = false;
    }

    /// <summary>Every event there is; its type's name is its name in the store, the API and the tables.</summary>
    public static IReadOnlyList<Type> EventTypes { get; } =
    [
        typeof(NotificationRequested), typeof(DeliveriesPlanned), typeof(DeliveryDeferred), typeof(DispatchAttempted), typeof(NotificationDispatched),
        typeof(NotificationDelivered), typeof(NotificationFailed), typeof(DispatchOutcomeUnknown), typeof(DeliverySuppressed), typeof(DeliveryDeadLettered),
        typeof(DeliveryRedriven), typeof(NotificationCancelled), typeof(NotificationRescheduled), typeof(NotificationExpired), typeof(NotificationOpened),
        typeof(ContactDetailsGiven), typeof(DeviceRegistered), typeof(DeviceRemoved), typeof(OptedIn), typeof(OptedOut), typeof(PreferenceWithdrawn),
        typeof(AddressSuppressed), typeof(UserErased),
        typeof(ClientRegistered), typeof(SecretIssued), typeof(SecretRevoked), typeof(ClientDisabled),
    ];
}
