namespace Notify.Delivery.Broadcasts;

using Notify.Domain.Broadcasts;
using Npgsql;

/// <summary>Reads an audience in the order of user IDs, a piece at a time: however large it is, only the piece is in memory.</summary>
public static class AudienceReader
{
    /// <summary>The next users.</summary>
    /// <param name="after">The last user ID of the piece before; empty for the first.</param>
    /// <param name="limit">The number of users to check.</param>
    /// <returns>The checked users that belong to the audience, the last one checked, and whether none is left.</returns>
    public static async Task<(List<string> Users, string Last, bool IsLast)> NextAsync(
        NpgsqlConnection connection,
        Audience audience,
        string after,
        int limit,
        CancellationToken cancellation
    )
    {
        await using var command = Command(
            connection,
            $"select user_id, {Belongs} from ({Candidates(audience)}) c order by place",
            audience
        );
        command.Parameters.Add(new NpgsqlParameter { Value = after });
        command.Parameters.Add(new NpgsqlParameter { Value = limit });
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var (users, last, looked) = (new List<string>(), after, 0);
        while (await reader.ReadAsync(cancellation))
        {
            looked++;
            last = reader.GetString(0);
            if (reader.GetBoolean(1))
                users.Add(last);
        }

        return (users, last, looked < limit);
    }

    /// <summary>Those of some users who belong to it now.</summary>
    public static async Task<List<string>> AmongAsync(
        NpgsqlConnection connection,
        Audience audience,
        IReadOnlyCollection<string> some,
        CancellationToken cancellation
    )
    {
        await using var command = Command(connection, $"select c.user_id from ({Among(audience)}) c where {Belongs}", audience);
        command.Parameters.Add(new NpgsqlParameter { Value = some.ToArray() });
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var users = new List<string>();
        while (await reader.ReadAsync(cancellation))
            users.Add(reader.GetString(0));
        return users;
    }

    /// <summary>How many belong to it now.</summary>
    public static async Task<long> CountAsync(NpgsqlConnection connection, Audience audience, CancellationToken cancellation)
    {
        await using var command = Command(connection, $"select count(*) from ({Everyone(audience)}) c where {Belongs}", audience);
        command.CommandTimeout = 300;
        return (long)(await command.ExecuteScalarAsync(cancellation))!;
    }

    /// <summary>Whether nobody belongs to it now.</summary>
    public static async Task<bool> IsEmptyAsync(NpgsqlConnection connection, Audience audience, CancellationToken cancellation)
    {
        await using var command = Command(connection, $"select exists (select 1 from ({Everyone(audience)}) c where {Belongs})", audience);
        return !(bool)(await command.ExecuteScalarAsync(cancellation))!;
    }

    private const string Belongs = """
        (select count(*) from notify.topic_subscribers s where s.user_id = c.user_id and s.topic = any($2)) = cardinality($2)
        and not exists (select 1 from notify.topic_subscribers s where s.user_id = c.user_id and s.topic = any($3))
        """;

    private const string Users =
        "select substr(id, 3) as user_id, id as place from events.mt_doc_recipient where not coalesce((data ->> "
        + "'isErased')::boolean, false)";

    // Each topic gives its next ones; the first of all these together are the next ones of all.
    private static string Candidates(Audience audience) =>
        audience switch
        {
            { Any.Count: > 0 } => "select distinct user_id, user_id as place from unnest($1) as t(topic), lateral (select s.user_id from "
                + "notify.topic_subscribers s where s.topic = t.topic and s.user_id > $4 order by s.user_id limit $5) n order by "
                + "user_id limit $5",
            { All.Count: > 0 } =>
                "select user_id, user_id as place from notify.topic_subscribers where topic = ($2)[1] and user_id > $4 order "
                    + "by user_id limit $5",
            _ => $"{Users} and id > 'u/' || $4 order by id limit $5",
        };

    private static string Among(Audience audience) =>
        audience switch
        {
            { Any.Count: > 0 } => "select distinct user_id from notify.topic_subscribers where topic = any($1) and user_id = any($4)",
            { All.Count: > 0 } => "select user_id from notify.topic_subscribers where topic = ($2)[1] and user_id = any($4)",
            _ => $"{Users} and id in (select 'u/' || u from unnest($4) u)",
        };

    private static string Everyone(Audience audience) =>
        audience switch
        {
            { Any.Count: > 0 } => "select distinct user_id from notify.topic_subscribers where topic = any($1)",
            { All.Count: > 0 } => "select user_id from notify.topic_subscribers where topic = ($2)[1]",
            _ => Users,
        };

    private static NpgsqlCommand Command(NpgsqlConnection connection, string sql, Audience audience)
    {
        var command = new NpgsqlCommand(sql, connection);
        foreach (var topics in new[] { audience.Any, audience.All, audience.None })
            command.Parameters.Add(
                new NpgsqlParameter
                {
                    Value = topics.Distinct().ToArray(),
                    NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Array | NpgsqlTypes.NpgsqlDbType.Text,
                }
            );
        return command;
    }
}
