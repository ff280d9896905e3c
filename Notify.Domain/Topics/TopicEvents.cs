namespace Notify.Domain.Topics;

/// <summary>A topic exists under this name; in the stream <c>o/{key}</c>.</summary>
/// <param name="Name">As people read it.</param>
public sealed record TopicDefined(string Key, string Name, string By, DateTimeOffset At);

/// <summary>The user belongs to the topic from now on; in the user's stream, so that no stream grows with the topic.</summary>
/// <param name="Topic">The topic's key.</param>
public sealed record TopicJoined(string Topic, string By, DateTimeOffset At);

/// <summary>The user does not belong to the topic any more; in the user's stream.</summary>
/// <param name="Topic">The topic's key.</param>
public sealed record TopicLeft(string Topic, string By, DateTimeOffset At);
