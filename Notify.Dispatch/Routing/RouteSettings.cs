namespace Notify.Dispatch.Routing;

using System.Globalization;
using System.Text.RegularExpressions;
using Notify.Domain.Channels;

/// <summary>A provider that <c>Routing</c> names.</summary>
/// <param name="Name">As written.</param>
/// <param name="Weight"><c>null</c> where the route is ordered.</param>
public sealed record RouteEntry(string Name, double? Weight);

/// <summary>
/// Reads <c>Routing</c>: which providers carry a lane, in order (<c>"twilio, vonage"</c>, also with <c>&gt;</c> or spaces, or
/// as a list), or by weight (<c>"twilio=70, vonage=30"</c>, also with <c>:</c>, or each name with its weight below the lane).
/// </summary>
public static partial class RouteSettings
{
    /// <summary>The settings' names of the lanes.</summary>
    public static IReadOnlyDictionary<string, Lane> Lanes { get; } =
        new Dictionary<string, Lane>(StringComparer.OrdinalIgnoreCase)
        {
            ["push-ios"] = Lane.Apns,
            ["push-android"] = Lane.Fcm,
            ["push-web"] = Lane.Webpush,
            ["sms"] = Lane.Sms,
            ["email"] = Lane.Email,
        };

    /// <summary>Reads the routes; lanes that are not set are not among them. Every fault is added to <paramref name="faults"/>.</summary>
    public static Dictionary<Lane, IReadOnlyList<RouteEntry>> Read(IConfigurationSection section, ICollection<string> faults)
    {
        var routes = new Dictionary<Lane, IReadOnlyList<RouteEntry>>();
        if (!string.IsNullOrWhiteSpace(section.Value))
            faults.Add($"{section.Path} is \"{section.Value}\"; give {section.Path}:sms or another of {string.Join(", ", Lanes.Keys)}");
        foreach (var lane in section.GetChildren())
        {
            if (!Lanes.TryGetValue(lane.Key.Replace('_', '-'), out var known)) // shells know no variables with a hyphen
            {
                faults.Add($"{lane.Path} is no route; there are {string.Join(", ", Lanes.Keys)}");
                continue;
            }

            var before = faults.Count;
            var entries = ReadRoute(lane, faults);
            if (entries.GroupBy(e => e.Name, StringComparer.OrdinalIgnoreCase).FirstOrDefault(g => g.Count() > 1) is { } twice)
                faults.Add($"{lane.Path} names {twice.Key} twice; name each provider once");
            if (entries.Any(e => e.Weight is null) && entries.Any(e => e.Weight is not null))
                faults.Add(
                    $"{lane.Path} gives some providers a weight and others none; give all of them one (\"twilio=70, "
                        + "vonage=30\"), or none (\"twilio, vonage\": in this order)"
                );
            if (faults.Count == before && entries.Count > 0)
                routes[known] = entries;
        }

        return routes;
    }

    private static List<RouteEntry> ReadRoute(IConfigurationSection lane, ICollection<string> faults)
    {
        var children = lane.GetChildren().ToList();
        if (children.Count == 0)
            return [.. Words(lane.Value).Select(word => ReadEntry(lane.Path, word, faults)).OfType<RouteEntry>()];
        return
        [
            .. children
                .OrderBy(c => Number(c.Key) ?? int.MaxValue)
                .SelectMany(c => Number(c.Key) is null ? [$"{c.Key}={c.Value}"] : Words(c.Value))
                .Select(word => ReadEntry(lane.Path, word, faults))
                .OfType<RouteEntry>(),
        ];
    }

    private static RouteEntry? ReadEntry(string path, string word, ICollection<string> faults)
    {
        if (word.Split('=', 2) is not [var name, var text])
            return new RouteEntry(word, null);
        if (
            name.Length > 0
            && double.TryParse(text.TrimEnd('%'), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var weight)
            && weight > 0
            && double.IsFinite(weight)
        )
            return new RouteEntry(name, weight);
        faults.Add($"{path} has \"{word}\"; give a provider and a weight above 0, such as twilio=70");
        return null;
    }

    private static string[] Words(string? text) =>
        WeightSign()
            .Replace(text ?? "", "=")
            .Split([',', ';', '>', ' ', '\t'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    private static int? Number(string key) =>
        int.TryParse(key, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : null;

    [GeneratedRegex(@"\s*[=:]\s*")]
    private static partial Regex WeightSign();
}
