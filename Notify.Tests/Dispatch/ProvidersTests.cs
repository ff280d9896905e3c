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

    private sealed class Stub : IDeliveryProvider
    {
        public string Name => "stub";

        public Lane Lane => Lane.Sms;

        public int Concurrency => 1;

        public Task<AttemptOutcome> SendAsync(OutboundMessage message, CancellationToken cancellation) => throw new NotSupportedException();
    }
}
