namespace Notify.Sandbox.Fcm;

using Notify.Sandbox.Providers;

/// <summary>Wires FCM and the token endpoint that belongs to it.</summary>
public static class FcmConfiguration
{
    /// <summary>Adds the services.</summary>
    public static IServiceCollection AddFcm(this IServiceCollection services) =>
        services
            .AddSingleton<FcmDialect>()
            .AddSingleton<IProviderDialect>(provider => provider.GetRequiredService<FcmDialect>())
            .AddSingleton<GoogleTokens>()
            .AddSingleton<FcmMagicTokens>()
            .AddSingleton<FcmServer>();

    /// <summary>Maps both.</summary>
    public static void MapFcm(this IEndpointRouteBuilder routes)
    {
        var (server, tokens) = (
            routes.ServiceProvider.GetRequiredService<FcmServer>(),
            routes.ServiceProvider.GetRequiredService<GoogleTokens>()
        );
        routes.Map(FcmServer.Root + "{**rest}", server.HandleAsync);
        routes.Map(GoogleTokens.Path, async context => await (await tokens.IssueAsync(context)).ExecuteAsync(context));
    }
}
