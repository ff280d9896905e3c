namespace Notify.Delivery.Recipients;

using JasperFx.Events;
using Marten.Events.Aggregation;
using Notify.Domain.Recipients;

/// <summary>Keeps what was said at addresses, in the transaction of the event: it counts at once.</summary>
public sealed partial class AddressChoicesProjection : SingleStreamProjection<AddressChoices, string>
{
    /// <summary>Listens to the events of addresses' streams.</summary>
    public AddressChoicesProjection()
    {
        IncludeType<AddressOptedOut>();
        IncludeType<AddressOptedIn>();
    }

    /// <inheritdoc />
    public override AddressChoices? Evolve(AddressChoices? snapshot, string id, IEvent e) => AddressChoices.Evolve(snapshot, id, e.Data);
}
