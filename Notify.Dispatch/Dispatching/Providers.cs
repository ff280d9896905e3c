using Notify.Domain.Clients;
using Notify.Domain.Notifications;

namespace Notify.Dispatch.Dispatching;

/// <summary>This process, as claims and heartbeats name it; another one after every start.</summary>
public sealed class HostIdentity
{
    /// <summary>Its ID.</summary>
    public Guid Id { get; } = Guid.NewGuid();
}

/// <summary>
/// Which provider carries a lane, for live and for test clients. A test client's deliveries go to what is configured under
/// <c>TestProviders</c>, the sandbox, and nowhere else.
/// </summary>
public sealed class Providers : IDisposable
{
    private readonly Dictionary<(Lane, ClientMode), IDeliveryProvider> byLane = [];

    // What no provider carries only needs to be told so.
    private const int WithoutProvider = 100;

    /// <summary>Calls under way per lane, shared by both modes: a lane's workers are its own.</summary>
    public Dictionary<Lane, DispatchGate> Gates { get; } = Lanes.All.ToDictionary(lane => lane, _ => new DispatchGate(WithoutProvider));

    /// <summary>The lanes that nothing carries for live clients; deliveries on them fail with <see cref="Reasons.NoProvider"/>.</summary>
    public IEnumerable<Lane> NotCarried => Lanes.All.Where(lane => For(lane, ClientMode.Live) is null);

    /// <summary>The providers of live clients, with the lanes that they carry.</summary>
    public IEnumerable<(string Provider, Lane Lane)> Carried => byLane.Where(p => p.Key.Item2 == ClientMode.Live).Select(p => (p.Value.Name, p.Key.Item1));

    /// <summary>Adds a provider.</summary>
    public void Add(ClientMode mode, IDeliveryProvider provider)
    {
        byLane[(provider.Lane, mode)] = provider;
        if (mode == ClientMode.Live || !byLane.ContainsKey((provider.Lane, ClientMode.Live))) Gates[provider.Lane] = new DispatchGate(provider.Concurrency);
    }

    /// <summary>The provider of a lane; <c>null</c> where there is none.</summary>
    public IDeliveryProvider? For(Lane lane, ClientMode mode) => byLane.GetValueOrDefault((lane, mode));

    /// <inheritdoc />
    public void Dispose()
    {
        foreach (var provider in byLane.Values.OfType<IDisposable>()) provider.Dispose();
    }
}
