using Notify.Dispatch.Apns;
using Notify.Dispatch.Dispatching;
using Notify.Dispatch.Email.Mailchimp;
using Notify.Dispatch.Email.SendGrid;
using Notify.Dispatch.Email.Smtp;
using Notify.Dispatch.Fcm;
using Notify.Dispatch.Sms.Twilio;
using Notify.Dispatch.Sms.Vonage;
using Notify.Dispatch.WebPush;
using Notify.Domain.Clients;

namespace Notify.Dispatch;

/// <summary>Makes an adapter from its section of the configuration; every fault is added, and then there is no adapter.</summary>
public delegate IDeliveryProvider? Adapter(IConfigurationSection settings, TimeProvider clock, ICollection<string> faults);

/// <summary>Every adapter, by the name of its section under <c>Providers</c>: a new one is its folder and a line here.</summary>
public static class Adapters
{
    /// <summary>The adapters.</summary>
    public static IReadOnlyDictionary<string, Adapter> All { get; } = new Dictionary<string, Adapter>(StringComparer.OrdinalIgnoreCase)
    {
        ["Apns"] = ApnsProvider.Create,
        ["Fcm"] = FcmProvider.Create,
        ["Twilio"] = TwilioProvider.Create,
        ["SendGrid"] = SendGridProvider.Create,
        ["WebPush"] = WebPushProvider.Create,
        ["Vonage"] = VonageProvider.Create,
        ["Mailchimp"] = MailchimpProvider.Create,
        ["Smtp"] = SmtpProvider.Create,
    };

    /// <summary>Adds the providers that are configured: those whose section is there.</summary>
    /// <param name="section"><c>Providers</c>, or <c>TestProviders</c> for the clients in test mode.</param>
    public static void AddTo(Providers providers, ClientMode mode, IConfigurationSection section, TimeProvider clock, ICollection<string> faults)
    {
        foreach (var settings in section.GetChildren())
        {
            if (!All.TryGetValue(settings.Key, out var create)) faults.Add($"{settings.Path} is no provider; there are {string.Join(", ", All.Keys)}");
            else if (create(settings, clock, faults) is { } provider)
            {
                if (providers.For(provider.Lane, mode) is { } other)
                    faults.Add($"{settings.Path} and {section.Path}:{other.Name} both carry {provider.Lane.ToString().ToLowerInvariant()}; configure one of them");
                providers.Add(mode, provider);
            }
        }

        if (mode == ClientMode.Live && !section.GetChildren().Any())
            faults.Add($"{section.Path} is missing: no provider is configured; there are {string.Join(", ", All.Keys)}");
    }
}
