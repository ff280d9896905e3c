namespace Notify.Tests.Dispatch;

using Microsoft.Extensions.Configuration;
using Notify.Dispatch;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Routing;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Content;
using Notify.Tests.Dispatch.Routing;

public class ProvidersTests
{
    [Fact]
    public void A_test_client_s_deliveries_never_meet_a_live_provider()
    {
        var live = new StubProvider("stub");
        using var providers = new ProviderRegistry();
        providers.Add(ClientMode.Live, live);
        providers.Route(ClientMode.Live, new ProviderRoute(Lane.Sms, [new RouteMember(live)], TimeProvider.System));
        Assert.Same(live, providers.RouteOf(Lane.Sms, ClientMode.Live)!.Choose([], 0.5));
        Assert.Same(live, providers.Named("stub", ClientMode.Live));
        Assert.Null(providers.RouteOf(Lane.Sms, ClientMode.Test));
        Assert.Null(providers.Named("stub", ClientMode.Test));
        Assert.Null(providers.RouteOf(Lane.Apns, ClientMode.Live));
        Assert.Equal([Lane.Apns, Lane.Fcm, Lane.Webpush, Lane.Email], providers.NotCarried);
    }

    [Fact]
    public void A_message_never_tells_what_is_personal() =>
        Assert.DoesNotContain(
            "+8210",
            $"{new OutboundMessage(Guid.Empty, "+821012345678", new NotificationContent(Body: "+8210"), Priority.Normal, null)}",
            StringComparison.Ordinal
        );

    [Fact]
    public void A_choice_that_is_none_is_told_with_what_there_is() =>
        Assert.Contains(
            Faults(
                new()
                {
                    ["Providers:Smtp:Host"] = "localhost",
                    ["Providers:Smtp:From"] = "a@example.com",
                    ["Providers:Smtp:Security"] = "Perhaps",
                }
            ),
            f =>
                f.StartsWith("Providers:Smtp:Security", StringComparison.Ordinal)
                && f.Contains("None, StartTls, Tls", StringComparison.Ordinal)
        );

    private static List<string> Faults(Dictionary<string, string?> settings)
    {
        var faults = new List<string>();
        using var providers = new ProviderRegistry();
        Adapters.AddTo(
            providers,
            ClientMode.Live,
            new ConfigurationBuilder().AddInMemoryCollection(settings).Build().GetSection("Providers"),
            new Dictionary<Lane, IReadOnlyList<RouteEntry>>(),
            TimeProvider.System,
            faults
        );
        return faults;
    }
}
