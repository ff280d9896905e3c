namespace Notify.Projections.Replay;

using System.Globalization;

/// <summary>The person who decrypts values, and their reason.</summary>
/// <param name="By">A name, as the person gives it.</param>
/// <param name="Reason">A reason, as the person gives it.</param>
public sealed record Revealing(string By, string Reason);

/// <summary>What <c>replay</c> is asked for.</summary>
/// <param name="EventId">The event ID; of a broadcast's notification also <c>{broadcastId}@{userId}</c>.</param>
/// <param name="AsOfVersion">The stream up to this version.</param>
/// <param name="AsOf">The stream up to this time.</param>
/// <param name="Client">The client; <c>null</c>: the one that has the event ID.</param>
/// <param name="NdJson">One event a line, as JSON.</param>
/// <param name="Reveal">The person who decrypts values, and their reason; <c>null</c>: they stay encrypted.</param>
public sealed record ReplayOptions(string EventId, long? AsOfVersion, DateTimeOffset? AsOf, string? Client, bool NdJson, Revealing? Reveal)
{
    public const string Usage =
        "usage: replay EVENT-ID [--as-of TIME|VERSION] [--client CLIENT-ID] [--ndjson] [--reveal --by NAME " + "--reason TEXT]";

    /// <summary>Parses the arguments after <c>replay</c>.</summary>
    /// <returns>The options, or what is wrong with them.</returns>
    public static (ReplayOptions? Options, string? Fault) Parse(IReadOnlyList<string> words)
    {
        string? eventId = null,
            client = null,
            asOf = null,
            by = null,
            reason = null;
        bool ndjson = false,
            reveal = false;
        for (var i = 0; i < words.Count; i++)
        {
            switch (words[i])
            {
                case "--ndjson":
                    ndjson = true;
                    break;
                case "--reveal":
                    reveal = true;
                    break;
                case "--as-of" or "--client" or "--by" or "--reason" when i + 1 == words.Count:
                    return (null, $"{words[i]} needs a value; {Usage}");
                case "--as-of":
                    asOf = words[++i];
                    break;
                case "--client":
                    client = words[++i];
                    break;
                case "--by":
                    by = words[++i];
                    break;
                case "--reason":
                    reason = words[++i];
                    break;
                case var option
                    when option.StartsWith("--", StringComparison.Ordinal) && !option.StartsWith("--Notify:", StringComparison.Ordinal):
                    return (null, $"there is no option {option}; {Usage}");
                case var word when !word.StartsWith("--", StringComparison.Ordinal):
                    if (eventId is not null)
                        return (null, $"\"{word}\" is one event ID too many; {Usage}");
                    eventId = word;
                    break;
            }
        }

        if (eventId is null)
            return (null, $"which notification? {Usage}");
        long? version = null;
        DateTimeOffset? time = null;
        if (asOf is not null)
        {
            if (long.TryParse(asOf, NumberStyles.None, CultureInfo.InvariantCulture, out var v) && v > 0)
                version = v;
            else if (
                asOf.Contains('-', StringComparison.Ordinal)
                && DateTimeOffset.TryParse(asOf, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var t)
            )
                time = t.ToUniversalTime();
            else
                return (
                    null,
                    $"--as-of is \"{asOf}\"; give a version from 1, such as 3, or a time in ISO 8601, such as 2026-12-01T09:00:00Z"
                );
        }

        if (!reveal)
            return (new ReplayOptions(eventId, version, time, client, ndjson, null), null);
        return string.IsNullOrWhiteSpace(by) || string.IsNullOrWhiteSpace(reason)
            ? (
                null,
                $"--reveal opens what is personal, and that is recorded: say who you are and why, with --by NAME --reason TEXT; "
                    + $"{Usage}"
            )
            : (new ReplayOptions(eventId, version, time, client, ndjson, new Revealing(by, reason)), null);
    }
}
