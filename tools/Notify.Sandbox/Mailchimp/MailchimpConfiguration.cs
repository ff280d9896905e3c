namespace Notify.Sandbox.Mailchimp;

using Notify.Sandbox.Providers;

/// <summary>Wires Mailchimp Transactional.</summary>
public static class MailchimpConfiguration
{
    /// <summary>Adds the services.</summary>
    public static IServiceCollection AddMailchimp(this IServiceCollection services) =>
        services
            .AddSingleton<MailchimpDialect>()
            .AddSingleton<IProviderDialect>(provider => provider.GetRequiredService<MailchimpDialect>())
            .AddSingleton<MailchimpEvents>()
            .AddHostedService(provider => provider.GetRequiredService<MailchimpEvents>())
            .AddSingleton<MailchimpServer>();

    /// <summary>Maps all of the API's paths; the server knows them itself, and answers in its own shape.</summary>
    public static void MapMailchimp(this IEndpointRouteBuilder routes)
    {
        var server = routes.ServiceProvider.GetRequiredService<MailchimpServer>();
        routes.Map(MailchimpServer.Root + "{**rest}", server.HandleAsync);
    }
}
