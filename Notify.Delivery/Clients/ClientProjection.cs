namespace Notify.Delivery.Clients;

using JasperFx.Events;
using Marten.Events.Aggregation;
using Notify.Domain.Clients;

/// <summary>Keeps each client's snapshot, in the transaction of the event: a revoked secret counts no more at once.</summary>
public sealed partial class ClientProjection : SingleStreamProjection<Client, string>
{
    /// <summary>Listens to the events of clients' streams.</summary>
    public ClientProjection()
    {
        IncludeType<ClientRegistered>();
        IncludeType<SecretIssued>();
        IncludeType<SecretRehashed>();
        IncludeType<SecretRevoked>();
        IncludeType<ClientDisabled>();
        IncludeType<ClientPowersChanged>();
    }

    /// <inheritdoc />
    public override Client? Evolve(Client? snapshot, string id, IEvent e) => Client.Evolve(snapshot, id, e.Data);
}
