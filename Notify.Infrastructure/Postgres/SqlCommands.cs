namespace Notify.Infrastructure.Postgres;

using Npgsql;

/// <summary>Makes commands of SQL with numbered parameters.</summary>
public static class SqlCommands
{
    /// <summary>Makes a command; <c>$1</c> is the first parameter.</summary>
    /// <param name="parameters">Values, or <see cref="NpgsqlParameter"/> where a value does not tell its type.</param>
    public static NpgsqlCommand Create(NpgsqlConnection connection, string sql, params ReadOnlySpan<object> parameters)
    {
        var command = new NpgsqlCommand(sql, connection);
        foreach (var p in parameters)
            command.Parameters.Add(p as NpgsqlParameter ?? new NpgsqlParameter { Value = p });
        return command;
    }
}
