namespace Notify.Delivery.Templates;

using JasperFx.Events;
using Marten.Events.Aggregation;
using Notify.Domain.Templates;

/// <summary>Keeps each template as it is now, in the transaction of the event: the next request is accepted with it.</summary>
public sealed partial class TemplateProjection : SingleStreamProjection<Template, string>
{
    /// <summary>Listens to the events of templates' streams.</summary>
    public TemplateProjection()
    {
        IncludeType<TemplateDefined>();
        IncludeType<TemplateArchived>();
    }

    /// <inheritdoc />
    public override Template? Evolve(Template? snapshot, string id, IEvent e) => Template.Evolve(snapshot, id, e.Data);
}

/// <summary>Keeps each layout as it is now, in the transaction of the event.</summary>
public sealed partial class LayoutProjection : SingleStreamProjection<Layout, string>
{
    /// <summary>Listens to the events of layouts' streams.</summary>
    public LayoutProjection() => IncludeType<LayoutDefined>();

    /// <inheritdoc />
    public override Layout? Evolve(Layout? snapshot, string id, IEvent e) => Layout.Evolve(snapshot, id, e.Data);
}
