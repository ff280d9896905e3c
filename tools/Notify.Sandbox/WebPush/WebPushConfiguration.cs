namespace Notify.Sandbox.WebPush;

using Notify.Sandbox.Providers;

/// <summary>Wires Web Push.</summary>
public static class WebPushConfiguration
{
    /// <summary>Adds the services.</summary>
    public static IServiceCollection AddWebPush(this IServiceCollection services) =>
        services
            .AddSingleton<WebPushDialect>()
            .AddSingleton<IProviderDialect>(provider => provider.GetRequiredService<WebPushDialect>())
            .AddSingleton<Subscriptions>()
            .AddSingleton<VapidTokens>()
            .AddSingleton<WebPushServer>();

    /// <summary>Maps the push service, the making of subscriptions, and the sample page.</summary>
    public static void MapWebPush(this IEndpointRouteBuilder routes)
    {
        var server = routes.ServiceProvider.GetRequiredService<WebPushServer>();
        routes.Map(WebPushDialect.Root + "{**subscription}", server.HandleAsync);
        routes.MapSubscriptions();
        routes.MapSamplePage();
    }
}
