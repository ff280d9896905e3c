namespace Notify.Domain.Categories;

using System.Text.Json.Serialization;
using Notify.Domain.Channels;

/// <summary>How a category's notifications are collected into one, for each person.</summary>
/// <param name="WindowSeconds">For how long, from the first one on; <see cref="MinWindowSeconds"/> to
/// <see cref="MaxWindowSeconds"/>.</param>
/// <param name="Template">The template of its content; <c>null</c>: plain text.</param>
/// <param name="Channels">Its channels; <c>null</c>: those of its template, else those of its notifications.</param>
/// <param name="MaxItems">The number of members listed one by one, 1 to <see cref="MostItems"/>; the rest is counted.</param>
public sealed record DigestRule(int WindowSeconds, string? Template, IReadOnlyList<Channel>? Channels, int MaxItems)
{
    public const int MinWindowSeconds = 1,
        MaxWindowSeconds = 7 * 86_400,
        DefaultItems = 50,
        MostItems = 200;

    /// <summary>The most notifications in one digest. Further ones open the next digest, so that each closes in one transaction.</summary>
    public const int MostMembers = 1000;

    /// <summary>For how long.</summary>
    [JsonIgnore]
    public TimeSpan Window => TimeSpan.FromSeconds(WindowSeconds);

    /// <inheritdoc />
    public bool Equals(DigestRule? other) =>
        other is not null
        && WindowSeconds == other.WindowSeconds
        && Template == other.Template
        && MaxItems == other.MaxItems
        && (Channels ?? []).SequenceEqual(other.Channels ?? []);

    /// <inheritdoc />
    public override int GetHashCode() => HashCode.Combine(WindowSeconds, Template, MaxItems);
}
