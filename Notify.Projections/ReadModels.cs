namespace Notify.Projections;

using JasperFx;
using JasperFx.Events.Projections;
using Marten;
using Microsoft.Extensions.DependencyInjection;
using Notify.Delivery.Privacy;
using Notify.Projections.Analytics;
using Notify.Projections.NotificationViews;

/// <summary>The read models that the daemon builds from events.</summary>
public static class ReadModels
{
    /// <summary>Registers all of them in a host's store.</summary>
    public static void Configure(IServiceProvider services, StoreOptions options)
    {
        options.Projections.Add(
            new AnalyticsProjection(services.GetRequiredService<MasterKeyRing>()),
            ProjectionLifecycle.Async,
            AnalyticsProjection.ProjectionName,
            LargePages
        );
        // Large pages, polled twice a second: under load most of a notification's events then meet in one page, and its
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
        if (options.AutoCreateSchemaObjects == AutoCreate.None)
            NotificationViewProjection.Configure(options);
    }

    private static void LargePages(AsyncOptions async)
    {
        async.BatchSize = 5000;
        async.MaximumHopperSize = 20_000;
    }
}
