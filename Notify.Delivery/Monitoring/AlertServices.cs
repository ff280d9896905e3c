namespace Notify.Delivery.Monitoring;

using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;

/// <summary>Joins the alerts to a host.</summary>
public static class AlertServices
{
    /// <summary>Where callers reach the API; for links. Setting <c>Notify:PublicUrl</c>.</summary>
    public static Uri PublicUrl(this IConfiguration configuration) =>
        Uri.TryCreate(configuration["Notify:PublicUrl"] ?? "http://127.0.0.1:5080", UriKind.Absolute, out var url)
            ? url
            : new Uri("http://127.0.0.1:5080");

    /// <summary>Reads and checks the settings; every fault is added to <paramref name="faults"/>.</summary>
    public static AlertRules ReadAlertRules(this IConfiguration configuration, ICollection<string> faults)
    {
        if (
            configuration["Notify:PublicUrl"] is { } text
            && !(
                Uri.TryCreate(text, UriKind.Absolute, out var url) && (url.Scheme == Uri.UriSchemeHttp || url.Scheme == Uri.UriSchemeHttps)
            )
        )
            faults.Add($"Notify:PublicUrl is \"{text}\"; give the address at which the API is reached, such as https://notify.example.com");
        return AlertRules.Read(configuration, faults);
    }

    /// <summary>Adds the evaluation and the posting of alerts to this host, in turn with all others.</summary>
    public static IServiceCollection AddAlerts(this IServiceCollection services) =>
        services.AddSingleton<StandingFaults>().AddHostedService<AlertWatch>().AddHostedService<AlertWebhook>();
}
