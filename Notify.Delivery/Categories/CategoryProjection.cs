namespace Notify.Delivery.Categories;

using JasperFx.Events;
using Marten.Events.Aggregation;
using Notify.Domain.Categories;

/// <summary>Writes each category's snapshot, in the transaction of the event: the next planning reads it.</summary>
public sealed partial class CategoryProjection : SingleStreamProjection<Category, string>
{
    /// <summary>Listens to the events of categories' streams.</summary>
    public CategoryProjection() => IncludeType<CategoryDefined>();

    /// <inheritdoc />
    public override Category? Evolve(Category? snapshot, string id, IEvent e) => Category.Evolve(snapshot, id, e.Data);
}
