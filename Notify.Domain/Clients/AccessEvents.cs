namespace Notify.Domain.Clients;

/// <summary>
/// A client or person accessed data of others, or used a permission that leaves no event elsewhere: read another client's notification
/// or raw receipts, read a person's details, made a client token, listed clients, or revealed encrypted data.
/// </summary>
/// <remarks>Each in a stream of its own, <c>x/{random}</c>, so that two never wait for each other.</remarks>
/// <param name="By">The client, or for a command the name that was given.</param>
/// <param name="From">The caller's network address; for a command the machine's name.</param>
/// <param name="Operation">The operation's ID in the HTTP contract, or the command.</param>
/// <param name="Target">The notification, user or client that it was about, as named in the request, a user by
/// reference; <c>null</c>: none in particular.</param>
/// <param name="Client">The client whose notification was read, where it is another one's.</param>
/// <param name="Status">The HTTP status of the answer; 200 for a command that goes on.</param>
/// <param name="Reason">The reason that was given for a command.</param>
public sealed record AccessRecorded(
    string By,
    string From,
    string Operation,
    string? Target,
    string? Client,
    int Status,
    string? Reason,
    DateTimeOffset At
)
{
    /// <summary>The stream key of a record.</summary>
    public static string KeyOf(string random) => $"x/{random}";
}

/// <summary>A line of the access log; snapshot of a stream <c>x/{random}</c>.</summary>
/// <param name="Id">The stream key.</param>
public sealed record Access(string Id, AccessRecorded Recorded, DateTimeOffset RecordedAt)
{
    /// <summary>Folds the one event there is.</summary>
    public static Access? Evolve(Access? state, string key, object @event) => @event is AccessRecorded e ? new Access(key, e, e.At) : state;
}
