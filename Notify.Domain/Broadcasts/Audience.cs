namespace Notify.Domain.Broadcasts;

/// <summary>
/// Whom a broadcast is for: users who belong to at least one of the topics of <paramref name="Any"/> (where it names some),
/// to each of <paramref name="All"/>, and to none of <paramref name="None"/>. Without any topic: every registered user.
/// </summary>
public sealed record Audience(IReadOnlyList<string> Any, IReadOnlyList<string> All, IReadOnlyList<string> None)
{
    /// <summary>Every registered user.</summary>
    public static readonly Audience Everybody = new([], [], []);

    /// <summary>Whoever belongs to a topic.</summary>
    public static Audience Of(string topic) => new([topic], [], []);
}
