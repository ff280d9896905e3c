namespace Notify.Sandbox.SendGrid;

using Notify.Sandbox.Providers;

/// <summary>Wires SendGrid.</summary>
public static class SendGridConfiguration
{
    /// <summary>Adds the services.</summary>
    public static IServiceCollection AddSendGrid(this IServiceCollection services) =>
        services
            .AddSingleton<SendGridDialect>()
            .AddSingleton<IProviderDialect>(provider => provider.GetRequiredService<SendGridDialect>())
            .AddSingleton<SendGridEvents>()
            .AddHostedService(provider => provider.GetRequiredService<SendGridEvents>())
            .AddSingleton<SendGridServer>();

    /// <summary>Maps all paths under the one it serves; the server answers them in its own shape.</summary>
    public static void MapSendGrid(this IEndpointRouteBuilder routes)
    {
        var server = routes.ServiceProvider.GetRequiredService<SendGridServer>();
        routes.Map("/v3/mail/{**rest}", server.HandleAsync);
    }
}
