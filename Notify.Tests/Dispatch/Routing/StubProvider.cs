namespace Notify.Tests.Dispatch.Routing;

using Notify.Dispatch.Providers;
using Notify.Domain.Channels;

/// <summary>A provider that is never called; the test sets its outcomes itself.</summary>
internal sealed class StubProvider(string name, Lane lane = Lane.Sms, int concurrency = 10) : IDeliveryProvider
{
    public string Name => name;

    public Lane Lane => lane;

    public int Concurrency => concurrency;

    public Task<AttemptOutcome> SendAsync(OutboundMessage message, CancellationToken cancellation) => throw new NotSupportedException();
}
