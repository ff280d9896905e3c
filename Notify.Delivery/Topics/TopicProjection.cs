namespace Notify.Delivery.Topics;

using JasperFx.Events;
using Marten.Events.Aggregation;
using Notify.Domain.Topics;

/// <summary>Keeps each topic's snapshot, in the transaction of the event.</summary>
public sealed partial class TopicProjection : SingleStreamProjection<Topic, string>
{
    /// <summary>Listens to the events of topics' streams.</summary>
    public TopicProjection() => IncludeType<TopicDefined>();

    /// <inheritdoc />
    public override Topic? Evolve(Topic? snapshot, string id, IEvent e) => Topic.Evolve(snapshot, id, e.Data);
}
