namespace Notify.Delivery.Topics;

using Npgsql;

/// <summary>
/// The subscribers of topics: <c>notify.topic_subscribers</c>, written in the transaction of the events in the users' streams, which
/// are locked before.
/// </summary>
public static class TopicSubscribers
{
    /// <summary>Adds users to a topic.</summary>
    /// <returns>Those who did not belong to it before.</returns>
    public static Task<List<string>> AddAsync(
        NpgsqlConnection connection,
        string topic,
        string[] users,
        DateTimeOffset now,
        CancellationToken cancellation
    ) =>
        UsersAsync(
            connection,
            "insert into notify.topic_subscribers (topic, user_id, since) select $1, u, $3 from unnest($2) u order by u on "
                + "conflict do nothing returning user_id",
            cancellation,
            topic,
            users,
            now
        );

    /// <summary>Takes a user out of a topic.</summary>
    /// <returns>Whether they belonged to it.</returns>
    public static async Task<bool> RemoveAsync(NpgsqlConnection connection, string topic, string user, CancellationToken cancellation) =>
        (
            await UsersAsync(
                connection,
                "delete from notify.topic_subscribers where topic = $1 and user_id = $2 returning user_id",
                cancellation,
                topic,
                user
            )
        ).Count > 0;

    /// <summary>Takes a user out of every topic.</summary>
    public static Task ForgetAsync(NpgsqlConnection connection, string user, CancellationToken cancellation) =>
        UsersAsync(connection, "delete from notify.topic_subscribers where user_id = $1 returning user_id", cancellation, user);

    /// <summary>How many belong to a topic.</summary>
    public static async Task<long> CountAsync(NpgsqlConnection connection, string topic, CancellationToken cancellation)
    {
        await using var command = new NpgsqlCommand("select count(*) from notify.topic_subscribers where topic = $1", connection)
        {
            Parameters = { new NpgsqlParameter { Value = topic } },
        };
        return (long)(await command.ExecuteScalarAsync(cancellation))!;
    }

    private static async Task<List<string>> UsersAsync(
        NpgsqlConnection connection,
        string sql,
        CancellationToken cancellation,
        params object[] parameters
    )
    {
        await using var command = new NpgsqlCommand(sql, connection);
        foreach (var p in parameters)
            command.Parameters.Add(new NpgsqlParameter { Value = p });
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var users = new List<string>();
        while (await reader.ReadAsync(cancellation))
            users.Add(reader.GetString(0));
        return users;
    }
}
