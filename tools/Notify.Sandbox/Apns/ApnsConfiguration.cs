namespace Notify.Sandbox.Apns;

using Notify.Sandbox.Keys;
using Notify.Sandbox.Providers;

/// <summary>The ports of Apple's two servers.</summary>
/// <param name="Development">That of the development server; null: it is not played.</param>
public sealed record ApnsServers(int Production, int? Development)
{
    /// <summary>Whether a request came to the development server.</summary>
    public bool IsDevelopment(HttpRequest request) => request.HttpContext.Connection.LocalPort == Development;
}

/// <summary>Wires APNs.</summary>
public static class ApnsConfiguration
{
    /// <summary>Adds the services.</summary>
    /// <param name="topics">Further apps of the account, by bundle ID.</param>
    public static IServiceCollection AddApns(this IServiceCollection services, ApnsServers servers, string[] topics) =>
        services
            .AddSingleton(servers)
            .AddSingleton<ApnsDialect>()
            .AddSingleton<IProviderDialect>(provider => provider.GetRequiredService<ApnsDialect>())
            .AddSingleton(provider => new ApnsRules([provider.GetRequiredService<SandboxKeys>().Identity.ApnsTopic, .. topics]))
            .AddSingleton<ApnsProviderTokens>()
            .AddSingleton<ApnsMagicTokens>()
            .AddSingleton<ApnsServer>();

    /// <summary>Sends all that arrives on APNs' own ports to it, past routing.</summary>
    public static void UseApns(this IApplicationBuilder app)
    {
        var server = app.ApplicationServices.GetRequiredService<ApnsServer>();
        var ports = app.ApplicationServices.GetRequiredService<ApnsServers>();
        app.Use(next =>
            context =>
                context.Connection.LocalPort is var port && (port == ports.Production || port == ports.Development)
                    ? server.HandleAsync(context)
                    : next(context)
        );
    }
}
