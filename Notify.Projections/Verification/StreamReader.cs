namespace Notify.Projections.Verification;

using Marten;
using Notify.Delivery.EventStore;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>An event as verification reads it.</summary>
internal readonly record struct StreamEvent(object Data, DateTimeOffset Timestamp);

/// <summary>A stream as verification reads it.</summary>
/// <param name="Events">The events in the order of their versions.</param>
/// <param name="Fault">The reason why it cannot be read; <c>null</c>: it can.</param>
/// <param name="Version">The version of the last event.</param>
/// <param name="HasUnknownEvents">Whether a newer host wrote some of its events.</param>
internal sealed record StreamContent(
    string Key,
    IReadOnlyList<StreamEvent> Events,
    string? Fault = null,
    long Version = 0,
    bool HasUnknownEvents = false
);

/// <summary>Reads streams for verification. A stream that cannot be read is a fault of its own, and the others are read.</summary>
internal static class StreamReader
{
    /// <summary>
    /// Reads streams, by key. Keys without a stream are absent, and so are events of types that this version does not know.
    /// </summary>
    public static async Task<Dictionary<string, StreamContent>> ReadAsync(
        IQuerySession session,
        IReadOnlyCollection<string> keys,
        CancellationToken cancellation
    )
    {
        if (keys.Count == 0)
            return [];
        return (await StoredEvents.OfStreamsAsync(session, [.. keys], cancellation))
            .GroupBy(e => e.Stream, StringComparer.Ordinal)
            .ToDictionary(s => s.Key, s => Of(s.Key, [.. s]), StringComparer.Ordinal);
    }

    /// <summary>Divides keys into parts whose streams are at most so heavy together; a heavier stream is a part by itself.</summary>
    /// <param name="most">In bytes, as the events are stored.</param>
    public static async Task<List<string[]>> PartsAsync(
        NpgsqlConnection connection,
        IReadOnlyList<string> keys,
        long most,
        CancellationToken cancellation
    )
    {
        var weights = await NotificationStreams.WeighAsync(connection, keys, cancellation);
        var parts = new List<string[]>();
        var (part, total) = (new List<string>(), 0L);
        foreach (var key in keys)
        {
            var weight = weights.GetValueOrDefault(key);
            if (part.Count > 0 && total + weight > most)
            {
                parts.Add([.. part]);
                part.Clear();
                total = 0;
            }

            part.Add(key);
            total += weight;
        }

        if (part.Count > 0)
            parts.Add([.. part]);
        return parts;
    }

    /// <summary>Runs a query of one text column.</summary>
    public static async Task<List<string>> TextsAsync(
        NpgsqlConnection connection,
        string sql,
        CancellationToken cancellation,
        params object[] parameters
    )
    {
        await using var command = SqlCommands.Create(connection, sql, parameters);
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var texts = new List<string>();
        while (await reader.ReadAsync(cancellation))
            texts.Add(reader.GetString(0));
        return texts;
    }

    private static StreamContent Of(string key, IReadOnlyList<StoredEvent> events) =>
        events.FirstOrDefault(e => e.Fault is not null) is { } bad
            ? new StreamContent(key, [], $"cannot be read: event {bad.Version} ({bad.Type}), {bad.Fault}")
            : new StreamContent(
                key,
                [.. events.Where(e => e.Data is not null).Select(e => new StreamEvent(e.Data!, e.Timestamp))],
                Version: events[^1].Version,
                HasUnknownEvents: events.Any(e => e.IsOfUnknownType)
            );
}
