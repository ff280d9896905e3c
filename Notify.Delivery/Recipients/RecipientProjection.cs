namespace Notify.Delivery.Recipients;

using JasperFx.Events;
using Marten.Events.Aggregation;
using Notify.Domain.Recipients;

/// <summary>Keeps each user's snapshot, in the transaction of the event: planning reads what was last said.</summary>
public sealed partial class RecipientProjection : SingleStreamProjection<Recipient, string>
{
    /// <summary>Listens to the events of users' streams.</summary>
    public RecipientProjection()
    {
        IncludeType<ContactDetailsGiven>();
        IncludeType<DeviceRegistered>();
        IncludeType<DeviceRemoved>();
        IncludeType<OptedIn>();
        IncludeType<OptedOut>();
        IncludeType<PreferenceWithdrawn>();
        IncludeType<QuietHoursSet>();
        IncludeType<QuietHoursWithdrawn>();
        IncludeType<UserErased>();
    }

    /// <inheritdoc />
    public override Recipient? Evolve(Recipient? snapshot, string id, IEvent e) => Recipient.Evolve(snapshot, id, e.Data);
}
