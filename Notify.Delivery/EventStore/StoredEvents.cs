namespace Notify.Delivery.EventStore;

using System.Collections.Concurrent;
using System.Collections.Frozen;
using System.Data.Common;
using System.Reflection;
using System.Text.Json;
using JasperFx.Events;
using Marten;
using Npgsql;

/// <summary>An event as it is stored, read by itself.</summary>
/// <param name="Sequence">Its place among all events of the installation.</param>
/// <param name="Type">The name of its type in the store.</param>
/// <param name="Data">The event; <c>null</c> where the type is unknown to this host or the data cannot be read.</param>
/// <param name="Fault">
/// The reason why the data cannot be read, without the data; <c>null</c> where they can, or where the type is unknown.
/// </param>
public sealed record StoredEvent(
    string Stream,
    long Version,
    long Sequence,
    DateTimeOffset Timestamp,
    string Type,
    object? Data,
    string? Fault
)
{
    /// <summary>Whether a newer host wrote it: its type changes nothing for this host.</summary>
    public bool IsOfUnknownType => Data is null && Fault is null;

    /// <summary>The event as Marten's projections take it; <c>null</c> where it cannot be read.</summary>
    public IEvent? AsEvent()
    {
        if (Data is null)
            return null;
        var wrapped = (IEvent)Activator.CreateInstance(typeof(Event<>).MakeGenericType(Data.GetType()), Data)!;
        (wrapped.StreamKey, wrapped.Version, wrapped.Sequence, wrapped.Timestamp) = (Stream, Version, Sequence, Timestamp);
        return wrapped;
    }
}

/// <summary>Reads events row by row, so that one that cannot be read is a fault of its own stream and of no other.</summary>
/// <remarks>
/// Marten's own queries throw for the whole result when one row has an unknown type or unreadable data. The serializer and the
/// type names are Marten's.
/// </remarks>
public static class StoredEvents
{
    private static readonly FrozenDictionary<string, Type> Types = EventTypes.All.ToFrozenDictionary(t => t.Name, StringComparer.Ordinal);
    private static readonly ConcurrentDictionary<Type, PropertyInfo[]> Required = new();

    /// <summary>Reads all events of these streams, in no order between streams and in the order of versions in each.</summary>
    /// <param name="keep">Reduces each event as it is read; <c>null</c>: all of it is kept.</param>
    public static async Task<List<StoredEvent>> OfStreamsAsync(
        IQuerySession session,
        string[] keys,
        CancellationToken cancellation,
        Func<object, object>? keep = null
    )
    {
        // Sorted here: asked for an order, PostgreSQL would rather walk all events in that order than use the streams' index.
        var events = await ReadAsync(session, "stream_id = any($1)", [keys], cancellation, keep);
        events.Sort((a, b) => a.Version.CompareTo(b.Version));
        return events;
    }

    /// <summary>Reads events by a condition on <c>mt_events</c>.</summary>
    /// <param name="where">SQL with positional parameters; may end with an order and a limit.</param>
    public static async Task<List<StoredEvent>> ReadAsync(
        IQuerySession session,
        string where,
        IReadOnlyList<object> parameters,
        CancellationToken cancellation,
        Func<object, object>? keep = null
    )
    {
        await using var command = new NpgsqlCommand(
            $"select stream_id, version, seq_id, timestamp, type, data from {EventSchema.Name}.mt_events where {where}"
        );
        foreach (var value in parameters)
            command.Parameters.Add(new NpgsqlParameter { Value = value });
        var serializer = session.DocumentStore.Options.Serializer();
        await using var reader = await session.ExecuteReaderAsync(command, cancellation);
        var events = new List<StoredEvent>();
        while (await reader.ReadAsync(cancellation))
        {
            var type = reader.GetString(4);
            var (data, fault) = Types.TryGetValue(type, out var known) ? Read(serializer, known, reader) : (null, null);
            events.Add(
                new StoredEvent(
                    reader.GetString(0),
                    reader.GetInt64(1),
                    reader.GetInt64(2),
                    reader.GetFieldValue<DateTimeOffset>(3),
                    type,
                    data is null || keep is null ? data : keep(data),
                    fault
                )
            );
        }

        return events;
    }

    private static (object? Data, string? Fault) Read(ISerializer serializer, Type type, DbDataReader reader)
    {
        try
        {
            if (serializer.FromJson(type, reader, 5) is not { } data)
                return (null, "it has no data");
            // A missing property is read as null even where its type forbids it: the fold would fail on it later, for more
            // than this stream.
            return MissingOf(data) is { } missing ? (null, $"it has no {JsonNamingPolicy.CamelCase.ConvertName(missing)}") : (data, null);
        }
        catch (Exception e)
            when (e
                    is JsonException
                        or NotSupportedException
                        or FormatException
                        or InvalidCastException
                        or ArgumentException
                        or InvalidOperationException { Source: not "Npgsql" }
            )
        {
            // The exception's message may contain a part of the data.
            return (null, $"its data cannot be read ({(e is JsonException { Path: { } path } ? $"at {path}" : e.GetType().Name)})");
        }
    }

    /// <summary>Whether a deserialized event has all that its type promises; read models pass over one that has not.</summary>
    public static bool IsComplete(object data) => MissingOf(data) is null;

    private static string? MissingOf(object data)
    {
        foreach (var property in Required.GetOrAdd(data.GetType(), RequiredOf))
        {
            if (property.GetValue(data) is null)
                return property.Name;
        }

        return null;
    }

    private static PropertyInfo[] RequiredOf(Type type)
    {
        var nullability = new NullabilityInfoContext();
        return
        [
            .. type.GetProperties(BindingFlags.Public | BindingFlags.Instance)
                .Where(p =>
                    p.CanWrite
                    && !p.PropertyType.IsValueType
                    && p.GetIndexParameters().Length == 0
                    && nullability.Create(p).ReadState == NullabilityState.NotNull
                ),
        ];
    }
}
