using Notify.Sandbox.Keys;
using Notify.Sandbox.Providers;

namespace Notify.Sandbox.Apns;

/// <summary>Wires APNs.</summary>
public static class ApnsConfiguration
{
    /// <summary>Adds the services.</summary>
    public static IServiceCollection AddApns(this IServiceCollection services) => services
        .AddSingleton<ApnsDialect>()
        .AddSingleton<IProviderDialect>(provider => provider.GetRequiredService<ApnsDialect>())
        .AddSingleton(provider => new ApnsRules(provider.GetRequiredService<SandboxKeys>().Identity.ApnsTopic))
        .AddSingleton<ApnsProviderTokens>()
        .AddSingleton<ApnsMagicTokens>()
        .AddSingleton<ApnsServer>();

    /// <summary>Sends all that arrives on APNs' own port to it, past routing.</summary>
    public static void UseApns(this IApplicationBuilder app, int port)
    {
        var server = app.ApplicationServices.GetRequiredService<ApnsServer>();
        app.Use(next => context => context.Connection.LocalPort == port ? server.HandleAsync(context) : next(context));
    }
}
