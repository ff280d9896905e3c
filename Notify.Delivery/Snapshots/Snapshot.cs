namespace Notify.Delivery.Snapshots;

using System.ComponentModel;

/// <summary>A document as one version of its row had it.</summary>
/// <param name="ChangedBy">The transaction that wrote the row version (<c>xmin</c>): every change of the row has another one.</param>
/// <param name="ChangedAt">
/// The time, to the microsecond: it distinguishes transactions of the same number, as after a restored backup.
/// </param>
/// <param name="Document"><c>null</c>: there was none. That is never believed; it spares the second level a question that it could not
/// answer.</param>
[ImmutableObject(true)]
public sealed record Snapshot<T>(uint ChangedBy, DateTimeOffset ChangedAt, T? Document)
    where T : class;
