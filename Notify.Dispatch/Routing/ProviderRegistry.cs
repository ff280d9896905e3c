namespace Notify.Dispatch.Routing;

using Notify.Dispatch.Providers;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;

/// <summary>This process, as claims and heartbeats name it; another one after every start.</summary>
public sealed class HostIdentity
{
    /// <summary>Its ID.</summary>
    public Guid Id { get; } = Guid.NewGuid();
}

/// <summary>
/// The providers and the routes over them, for live and for test clients. A test client's deliveries go to what is configured
/// under <c>TestProviders</c>, the sandbox, and nowhere else.
/// </summary>
public sealed class ProviderRegistry : IDisposable
{
    private readonly Dictionary<(string, ClientMode), IDeliveryProvider> byName = [];
    private readonly Dictionary<(Lane, ClientMode), ProviderRoute> routes = [];

    // Deliveries on a lane without a provider only need to fail.
    private const int WithoutProvider = 100;

    /// <summary>Calls under way per lane, shared by both modes: a lane's workers are its own.</summary>
    public Dictionary<Lane, DispatchGate> Gates { get; } = Lanes.All.ToDictionary(lane => lane, _ => new DispatchGate(WithoutProvider));

    /// <summary>The lanes that nothing carries for live clients; deliveries on them fail with <see cref="Reasons.NoProvider"/>.</summary>
    public IEnumerable<Lane> NotCarried => Lanes.All.Where(lane => RouteOf(lane, ClientMode.Live) is null);

    /// <summary>All routes.</summary>
    public IEnumerable<(ClientMode Mode, ProviderRoute Route)> Routes => routes.Select(r => (r.Key.Item2, r.Value));

    /// <summary>Adds a provider. It may be in no route: deliveries that it was sent earlier are still asked about.</summary>
    public void Add(ClientMode mode, IDeliveryProvider provider) => byName[(provider.Name, mode)] = provider;

    /// <summary>Has a route carry its lane.</summary>
    public void Route(ClientMode mode, ProviderRoute route)
    {
        routes[(route.Lane, mode)] = route;
        if (mode == ClientMode.Live || !routes.ContainsKey((route.Lane, ClientMode.Live)))
            Gates[route.Lane] = route.OpenGate();
    }

    /// <summary>The route of a lane; <c>null</c> where nothing carries it.</summary>
    public ProviderRoute? RouteOf(Lane lane, ClientMode mode) => routes.GetValueOrDefault((lane, mode));

    /// <summary>A provider by its name; <c>null</c> where it is not configured.</summary>
    public IDeliveryProvider? Named(string? name, ClientMode mode) => name is null ? null : byName.GetValueOrDefault((name, mode));

    /// <inheritdoc />
    public void Dispose()
    {
        foreach (var provider in byName.Values.OfType<IDisposable>())
            provider.Dispose();
    }
}
