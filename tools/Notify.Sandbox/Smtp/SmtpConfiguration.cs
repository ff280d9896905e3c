namespace Notify.Sandbox.Smtp;

using Microsoft.AspNetCore.Connections;
using Notify.Sandbox.Providers;

/// <summary>Wires the mail server, which listens for itself.</summary>
public static class SmtpConfiguration
{
    /// <summary>Adds the services.</summary>
    public static IServiceCollection AddSmtp(this IServiceCollection services, BindingAddress address) =>
        services
            .AddSingleton<SmtpDialect>()
            .AddSingleton<IProviderDialect>(provider => provider.GetRequiredService<SmtpDialect>())
            .AddSingleton(SmtpAddress.Of(address))
            .AddSingleton<SmtpServer>()
            .AddHostedService<SmtpListener>();
}
