namespace Notify.Dispatch;

using Notify.Delivery.Hosting;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.Apns;
using Notify.Dispatch.Providers.Email.Mailchimp;
using Notify.Dispatch.Providers.Email.SendGrid;
using Notify.Dispatch.Providers.Email.Smtp;
using Notify.Dispatch.Providers.Fcm;
using Notify.Dispatch.Providers.Sms.Twilio;
using Notify.Dispatch.Providers.Sms.Vonage;
using Notify.Dispatch.Providers.WebPush;
using Notify.Dispatch.Receipts;
using Notify.Dispatch.Routing;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Infrastructure.Hosting;

/// <summary>Makes an adapter from its section of the configuration; every fault is added, and then there is no adapter.</summary>
public delegate IDeliveryProvider? Adapter(IConfigurationSection settings, TimeProvider clock, ICollection<string> faults);

/// <summary>Every adapter, by the name of its section under <c>Providers</c>: a new one is its folder and a line here.</summary>
public static class Adapters
{
    private static readonly (string Name, Lane Lane, Adapter Create, IReceiptSource? Receipts)[] InOrder =
    [
        ("Apns", Lane.Apns, ApnsProvider.Create, null),
        ("Fcm", Lane.Fcm, FcmProvider.Create, null),
        ("Twilio", Lane.Sms, TwilioProvider.Create, new TwilioReceipts()),
        ("SendGrid", Lane.Email, SendGridProvider.Create, new SendGridReceipts()),
        ("WebPush", Lane.Webpush, WebPushProvider.Create, null),
        ("Vonage", Lane.Sms, VonageProvider.Create, new VonageReceipts()),
        ("Mailchimp", Lane.Email, MailchimpProvider.Create, new MailchimpReceipts()),
        ("Smtp", Lane.Email, SmtpProvider.Create, null),
    ];

    /// <summary>The adapters. Where <c>Routing</c> says nothing, the providers of a lane are tried in this order.</summary>
    public static IReadOnlyDictionary<string, Adapter> All { get; } =
        InOrder.ToDictionary(a => a.Name, a => a.Create, StringComparer.OrdinalIgnoreCase);

    /// <summary>Those that post receipts, by the name of their section.</summary>
    public static IReadOnlyDictionary<string, IReceiptSource> Receipts { get; } =
        InOrder.Where(a => a.Receipts is not null).ToDictionary(a => a.Name, a => a.Receipts!, StringComparer.OrdinalIgnoreCase);

    /// <summary>The lane that a provider carries; <c>null</c> where there is no such provider.</summary>
    public static Lane? LaneOf(string name) =>
        InOrder.Where(a => a.Name.Equals(name, StringComparison.OrdinalIgnoreCase)).Select(a => (Lane?)a.Lane).FirstOrDefault();

    /// <summary>Adds the providers that are configured, those whose section is there, and the routes over them.</summary>
    /// <param name="section"><c>Providers</c>, or <c>TestProviders</c> for the clients in test mode.</param>
    /// <param name="routing"><c>Routing</c>: which of them carry a lane, and in which order or by which weights; without it all, in the
    /// order of <see cref="All"/>.</param>
    public static void AddTo(
        ProviderRegistry providers,
        ClientMode mode,
        IConfigurationSection section,
        IReadOnlyDictionary<Lane, IReadOnlyList<RouteEntry>> routing,
        TimeProvider clock,
        ICollection<string> faults
    )
    {
        var sections = section.GetChildren().ToDictionary(s => s.Key, StringComparer.OrdinalIgnoreCase);
        foreach (var unknown in sections.Values.Where(s => !All.ContainsKey(s.Key)))
            faults.Add($"{unknown.Path} is no provider; there are {string.Join(", ", All.Keys)}");

        var made = new Dictionary<string, RouteMember>(StringComparer.OrdinalIgnoreCase);
        foreach (var (name, _, create, _) in InOrder)
        {
            if (!sections.TryGetValue(name, out var settings))
                continue;
            var before = faults.Count;
            var pace = Pace.Read(settings, faults);
            if (create(settings, clock, faults) is not { } provider)
                continue;
            if (faults.Count == before)
                made[name] = new RouteMember(provider, Pace: pace.Or(provider.Pace));
            providers.Add(mode, provider);
        }

        if (mode == ClientMode.Live && sections.Count == 0)
            faults.Add(
                $"{section.Path} is missing: no provider is configured; there are {string.Join(", ", All.Keys)}. "
                    + $"To try Notify out, {SandboxSettings.Switch} = true sends to the sandbox that TestProviders names"
            );

        foreach (var (lane, setting) in RouteSettings.Lanes.Select(l => (l.Value, l.Key)))
        {
            // Test clients' routes keep the configured order as far as possible; a provider that only live clients have is skipped.
            var named = routing.GetValueOrDefault(lane) ?? [];
            if (mode == ClientMode.Live)
                Check(lane, setting, named, sections, made, section.Path, faults);
            var members = named
                .Where(e => made.TryGetValue(e.Name, out var m) && m.Provider.Lane == lane)
                .Select(e => made[e.Name] with { Weight = e.Weight })
                .ToList();
            if (members.Count == 0)
                members = [.. InOrder.Where(a => made.TryGetValue(a.Name, out var m) && m.Provider.Lane == lane).Select(a => made[a.Name])];
            if (members.Count > 0)
                providers.Route(mode, new ProviderRoute(lane, members, clock));
        }
    }

    private static void Check(
        Lane lane,
        string setting,
        IReadOnlyList<RouteEntry> named,
        Dictionary<string, IConfigurationSection> sections,
        Dictionary<string, RouteMember> made,
        string path,
        ICollection<string> faults
    )
    {
        foreach (var name in named.Select(e => e.Name))
        {
            if (!All.ContainsKey(name))
                faults.Add($"Routing:{setting} names {name}, which is no provider; there are {string.Join(", ", All.Keys)}");
            else if (!sections.ContainsKey(name))
                faults.Add(
                    $"Routing:{setting} names {name}, which is not configured; set it up under "
                        + $"{path}:{All.Keys.First(k => k.Equals(name, StringComparison.OrdinalIgnoreCase))}, or leave it out"
                );
            else if (made.TryGetValue(name, out var member) && member.Provider.Lane != lane)
                faults.Add(
                    $"Routing:{setting} names {name}, which carries "
                        + $"{RouteSettings.Lanes.First(l => l.Value == member.Provider.Lane).Key}; leave it out"
                );
        }
    }
}
