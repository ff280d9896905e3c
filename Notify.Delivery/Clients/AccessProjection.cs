namespace Notify.Delivery.Clients;

using JasperFx.Events;
using Marten;
using Marten.Events.Aggregation;
using Notify.Domain.Clients;

/// <summary>Keeps the access log as lines that can be listed by time, in the transaction of the event.</summary>
public sealed partial class AccessProjection : SingleStreamProjection<Access, string>
{
    /// <summary>Listens to the event of the log's streams.</summary>
    public AccessProjection() => IncludeType<AccessRecorded>();

    /// <summary>Declares the table's columns.</summary>
    public static void Configure(StoreOptions options) =>
        options.Schema.For<Access>().Duplicate(a => a.RecordedAt).Index([a => a.RecordedAt, a => a.Id]);

    /// <inheritdoc />
    public override Access? Evolve(Access? snapshot, string id, IEvent e) => Access.Evolve(snapshot, id, e.Data);
}
