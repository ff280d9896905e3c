namespace Notify.Sandbox.Vonage;

using Notify.Sandbox.Keys;
using Notify.Sandbox.Providers;

/// <summary>Wires Vonage.</summary>
public static class VonageConfiguration
{
    /// <summary>Adds the services.</summary>
    public static IServiceCollection AddVonage(this IServiceCollection services) =>
        services
            .AddSingleton<VonageDialect>()
            .AddSingleton<IProviderDialect>(provider => provider.GetRequiredService<VonageDialect>())
            .AddSingleton(provider => new VonageRules(provider.GetRequiredService<SandboxKeys>().Identity))
            .AddSingleton(_ => new SentMessages<VonageMessage>(message => message.Id, message => message.To))
            .AddSingleton<IProviderHistory, VonageHistory>()
            .AddSingleton<VonageReceipts>()
            .AddSingleton<VonageServer>();

    /// <summary>Maps its paths.</summary>
    public static void MapVonage(this IEndpointRouteBuilder routes)
    {
        var server = routes.ServiceProvider.GetRequiredService<VonageServer>();
        foreach (var path in new[] { VonageServer.SendPath, VonageServer.RecordsPath })
            routes.Map(path, server.HandleAsync);
    }
}
