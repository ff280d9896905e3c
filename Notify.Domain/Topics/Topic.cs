namespace Notify.Domain.Topics;

/// <summary>A topic; snapshot of the stream <c>o/{key}</c>. Its followers are in <c>notify.topic_subscribers</c>.</summary>
/// <param name="Id">The stream key.</param>
/// <param name="DefinedAt">When it was given its name.</param>
public sealed record Topic(string Id, string Name, string By, DateTimeOffset DefinedAt)
{
    /// <summary>The key by which broadcasts name it.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public string Key => Id[2..];

    /// <summary>The stream key of a topic.</summary>
    public static string KeyOf(string topic) => $"o/{topic}";

    /// <summary>Folds one event into a topic.</summary>
    public static Topic? Evolve(Topic? state, string key, object @event) =>
        @event is TopicDefined e ? new Topic(key, e.Name, e.By, e.At) : state;
}
