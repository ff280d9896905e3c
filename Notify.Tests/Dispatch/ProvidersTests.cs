using Microsoft.Extensions.Configuration;
using Notify.Dispatch;
using Notify.Dispatch.Dispatching;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;

namespace Notify.Tests.Dispatch;

public class ProvidersTests
{
    [Fact]
    public void A_test_client_s_deliveries_never_meet_a_live_provider()
    {
        var live = new Stub();
        using var providers = new Providers();
        providers.Add(ClientMode.Live, live);
        Assert.Same(live, providers.For(Lane.Sms, ClientMode.Live));
        Assert.Null(providers.For(Lane.Sms, ClientMode.Test));
        Assert.Null(providers.For(Lane.Apns, ClientMode.Live));
        Assert.Equal([Lane.Apns, Lane.Fcm, Lane.Webpush, Lane.Email], providers.NotCarried);
    }

    [Fact]
    public void A_message_never_tells_what_is_personal() =>
        Assert.DoesNotContain("+8210", $"{new OutboundMessage(Guid.Empty, "+821012345678", new NotificationContent(Body: "+8210"), Priority.Normal, null)}", StringComparison.Ordinal);

    [Fact]
    public void A_lane_has_one_provider()
    {
        var faults = Faults(new()
        {
            ["Providers:Twilio:AccountSid"] = "AC", ["Providers:Twilio:AuthToken"] = "x", ["Providers:Twilio:From"] = "+15005550006",
            ["Providers:Vonage:ApiKey"] = "abcd1234", ["Providers:Vonage:ApiSecret"] = "x", ["Providers:Vonage:From"] = "Acme",
        });
        Assert.Equal("Providers:Vonage and Providers:twilio both carry sms; configure one of them", Assert.Single(faults));
    }

    [Fact]
    public void A_choice_that_is_none_is_told_with_what_there_is() => Assert.Contains(
        Faults(new() { ["Providers:Smtp:Host"] = "localhost", ["Providers:Smtp:From"] = "a@example.com", ["Providers:Smtp:Security"] = "Perhaps" }),
        f => f.StartsWith("Providers:Smtp:Security", StringComparison.Ordinal) && f.Contains("None, StartTls, Tls", StringComparison.Ordinal));

    private static List<string> Faults(Dictionary<string, string?> settings)
    {
        var faults = new List<string>();
        using var providers = new Providers();
        Adapters.AddTo(providers, ClientMode.Live, new ConfigurationBuilder().AddInMemoryCollection(settings).Build().GetSection("Providers"), TimeProvider.System, faults);
        return faults;
    }

    private sealed class Stub : IDeliveryProvider
    {
        public string Name => "stub";

        public Lane Lane => Lane.Sms;

        public int Concurrency => 1;

        public Task<AttemptOutcome> SendAsync(OutboundMessage message, CancellationToken cancellation) => throw new NotSupportedException();
    }
}
