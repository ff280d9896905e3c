namespace Notify.Bench;

using System.Globalization;
using System.Text;

/// <summary>The bodies that are posted; the nth carries the run's marker and n in its event ID and text.</summary>
internal sealed class Requests
{
    private readonly string before;
    private readonly string after;
    private readonly int users;
    private readonly Func<int, DateTimeOffset>? sendAt;

    private Requests(
        string marker,
        string channel,
        int users,
        string userPrefix = BenchUsers.Prefix,
        Func<int, DateTimeOffset>? sendAt = null
    )
    {
        (Marker, this.users, this.sendAt) = (marker, users, sendAt);
        before = $$"""{"eventId":"{{marker}}-""";
        after = $$$"""
            ","userId":"{{{userPrefix}}}#","channels":["{{{channel}}}"],"category":"shipping","content":{"title":"Your order has shipped","body":"It arrives tomorrow between 9 and 12. Track it in the app. {{{marker}}}-@."}~}
            """;
    }

    /// <summary>Names the run in event IDs and texts.</summary>
    public string Marker { get; }

    /// <summary>A marker that no other run has.</summary>
    public static string NewMarker() =>
        "b" + TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds().ToString("x", CultureInfo.InvariantCulture);

    /// <summary>One push each.</summary>
    public static Requests Push(string marker, int users) => new(marker, "push", users);

    /// <summary>One push each, at its time.</summary>
    public static Requests Scheduled(string marker, int users, Func<int, DateTimeOffset> sendAt) =>
        new(marker, "push", users, sendAt: sendAt);

    /// <summary>One SMS each.</summary>
    public static Requests Sms(string marker, int users) => new(marker, "sms", users);

    /// <summary>Pushes to people who have no device: accepted and planned, with nothing to carry.</summary>
    public static Requests ToNobody(string marker) => new(marker, "push", 1_000, "nobody-");

    /// <summary>The nth body.</summary>
    public byte[] Body(int n) => Encoding.UTF8.GetBytes(Text(n));

    /// <summary>The bodies from <paramref name="first"/> on, as one batch.</summary>
    public byte[] Batch(int first, int count)
    {
        var text = new StringBuilder("{\"notifications\":[");
        for (var n = first; n < first + count; n++)
            text.Append(n > first ? "," : "").Append(Text(n));
        return Encoding.UTF8.GetBytes(text.Append("]}").ToString());
    }

    private string Text(int n) =>
        string.Concat(
            before,
            Number(n),
            after
                .Replace("#", (n % users).ToString("D5", CultureInfo.InvariantCulture), StringComparison.Ordinal)
                .Replace("@", Number(n), StringComparison.Ordinal)
                .Replace(
                    "~",
                    sendAt is null ? "" : string.Create(CultureInfo.InvariantCulture, $",\"sendAt\":\"{sendAt(n):O}\""),
                    StringComparison.Ordinal
                )
        );

    private static string Number(int n) => n.ToString("D7", CultureInfo.InvariantCulture);
}
