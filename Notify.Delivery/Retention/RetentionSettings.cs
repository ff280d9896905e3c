namespace Notify.Delivery.Retention;

using Microsoft.Extensions.Configuration;
using Notify.Infrastructure.Hosting;

/// <summary>How long rows are kept: <c>Notify:Retention</c>. Absent: permanently.</summary>
public sealed record RetentionSettings
{
    private static readonly TimeSpan Least = TimeSpan.FromDays(1);

    /// <summary>Payloads: content, addresses and metadata of notifications and broadcasts.</summary>
    public TimeSpan? Payloads { get; init; }

    /// <summary>The raw texts of receipts.</summary>
    public TimeSpan? ReceiptTexts { get; init; }

    /// <summary>The destinations of tracked links: afterwards they lead nowhere.</summary>
    public TimeSpan? TrackedLinks { get; init; }

    /// <summary>The notification views: afterwards lists and users' histories no longer show the notification.</summary>
    public TimeSpan? Views { get; init; }

    /// <summary>The rows of single deliveries in <c>analytics</c>. Counts by day and by broadcast are kept permanently.</summary>
    public TimeSpan? Analytics { get; init; }

    /// <summary>The tables with their retention.</summary>
    public IReadOnlyList<(PartitionedTable Table, TimeSpan? Retention)> Tables =>
        [
            (PartitionedTable.Payloads, Payloads),
            (PartitionedTable.ReceiptTexts, ReceiptTexts),
            (PartitionedTable.Links, TrackedLinks),
            (PartitionedTable.Views, Views),
            (PartitionedTable.Deliveries, Analytics),
            (PartitionedTable.Engagement, Analytics),
        ];

    /// <summary>Reads the settings; every fault is added to <paramref name="faults"/>.</summary>
    public static RetentionSettings Read(IConfiguration configuration, ICollection<string> faults)
    {
        var section = configuration.GetSection("Notify:Retention");
        var settings = section.Read<RetentionSettings>(faults);
        foreach (
            var (name, time) in new[]
            {
                (nameof(Payloads), settings.Payloads),
                (nameof(ReceiptTexts), settings.ReceiptTexts),
                (nameof(TrackedLinks), settings.TrackedLinks),
                (nameof(Views), settings.Views),
                (nameof(Analytics), settings.Analytics),
            }
        )
        {
            if (time < Least)
                faults.Add($"{section.Path}:{name} is {time}; give a day or more, such as 90.00:00:00; without it they are kept");
        }

        return settings;
    }
}
