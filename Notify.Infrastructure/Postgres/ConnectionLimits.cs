namespace Notify.Infrastructure.Postgres;

using System.Globalization;
using Npgsql;

/// <summary>
/// The identity of a host's connections and the limits that keep a host that has stopped from holding locks: each of them ends
/// a connection before the host's lease ends, if that is no shorter than 9 s.
/// </summary>
/// <remarks>
/// A transaction may be idle for 5 s at least: a starved host that loses each of its transactions makes no progress. Where the
/// lease is shorter, the other hosts end the transaction, see <see cref="Notify.Infrastructure.Hosting.FailedHostMonitor"/>.
/// </remarks>
/// <param name="Host">The host's name, such as <c>notify-api</c>.</param>
/// <param name="HostId">This process, as its heartbeats name it.</param>
/// <param name="HostTimeout">How long a host may be silent before others recover its work.</param>
public sealed record ConnectionLimits(string Host, Guid HostId, TimeSpan HostTimeout)
{
    /// <summary>The name of the host's connections in <c>pg_stat_activity</c>, by which others end them.</summary>
    public string ApplicationName => NameOf(Host, HostId);

    /// <summary>How long a transaction may be idle.</summary>
    public TimeSpan IdleInTransaction => Longer(HostTimeout / 3, TimeSpan.FromSeconds(5));

    /// <summary>How long sent data may stay unacknowledged.</summary>
    public TimeSpan Unacknowledged => HostTimeout * 2 / 3;

    /// <summary>Silence before the first TCP probe, the time between two, and their number.</summary>
    public (TimeSpan Idle, TimeSpan Interval, int Count) Keepalive =>
        (WholeSeconds(HostTimeout / 3), WholeSeconds(HostTimeout / 8), HostTimeout >= TimeSpan.FromSeconds(9) ? 3 : 1);

    /// <summary>The name of a host's connections.</summary>
    public static string NameOf(string host, Guid id) => $"{host}/{id}";

    /// <summary>Names the connection and limits it, on both sides.</summary>
    /// <param name="takesOptions">Whether the server takes options: a pooler that shares sessions does not.</param>
    public void ApplyTo(NpgsqlConnectionStringBuilder connection, bool takesOptions)
    {
        connection.ApplicationName = ApplicationName;
        connection.TcpKeepAlive = true;
        connection.TcpKeepAliveTime = (int)Keepalive.Idle.TotalSeconds;
        connection.TcpKeepAliveInterval = (int)Keepalive.Interval.TotalSeconds;
        if (takesOptions)
            connection.Options = $"{Options} {connection.Options}".TrimEnd();
    }

    /// <summary>The server's side of the limits, as options of a session.</summary>
    public string Options => string.Join(' ', Settings.Select(s => $"-c {s.Key}={s.Value}"));

    /// <summary>The server's side of the limits, by the names that PostgreSQL gives them.</summary>
    public IReadOnlyDictionary<string, string> Settings =>
        new Dictionary<string, string>
        {
            ["idle_in_transaction_session_timeout"] = Milliseconds(IdleInTransaction),
            ["client_connection_check_interval"] = Milliseconds(IdleInTransaction),
            ["tcp_keepalives_idle"] = Seconds(Keepalive.Idle),
            ["tcp_keepalives_interval"] = Seconds(Keepalive.Interval),
            ["tcp_keepalives_count"] = Keepalive.Count.ToString(CultureInfo.InvariantCulture),
            ["tcp_user_timeout"] = Milliseconds(Unacknowledged),
        };

    private static TimeSpan WholeSeconds(TimeSpan time) => TimeSpan.FromSeconds(Math.Max(1, Math.Floor(time.TotalSeconds)));

    private static TimeSpan Longer(TimeSpan a, TimeSpan b) => a > b ? a : b;

    private static string Milliseconds(TimeSpan time) => ((long)time.TotalMilliseconds).ToString(CultureInfo.InvariantCulture);

    private static string Seconds(TimeSpan time) => ((long)time.TotalSeconds).ToString(CultureInfo.InvariantCulture);
}
