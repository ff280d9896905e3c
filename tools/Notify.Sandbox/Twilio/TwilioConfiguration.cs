namespace Notify.Sandbox.Twilio;

using Notify.Sandbox.Keys;
using Notify.Sandbox.Providers;

/// <summary>Wires Twilio.</summary>
public static class TwilioConfiguration
{
    /// <summary>Adds the services.</summary>
    public static IServiceCollection AddTwilio(this IServiceCollection services) =>
        services
            .AddSingleton<TwilioDialect>()
            .AddSingleton<IProviderDialect>(provider => provider.GetRequiredService<TwilioDialect>())
            .AddSingleton(provider => new TwilioRules(provider.GetRequiredService<SandboxKeys>().Identity.TwilioFrom))
            .AddSingleton(_ => new SentMessages<TwilioMessage>(message => message.Sid, message => message.To))
            .AddSingleton<IProviderHistory, TwilioHistory>()
            .AddSingleton<TwilioReceipts>()
            .AddSingleton<TwilioServer>();

    /// <summary>Maps all of the API's paths; the server knows them itself, and answers in its own shape.</summary>
    public static void MapTwilio(this IEndpointRouteBuilder routes)
    {
        var server = routes.ServiceProvider.GetRequiredService<TwilioServer>();
        routes.Map(TwilioServer.Root + "{**rest}", server.HandleAsync);
    }
}
