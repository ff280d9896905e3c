namespace Notify.Delivery.Hosting;

using System.Globalization;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Notify.Delivery.Telemetry;
using Notify.Infrastructure.Hosting;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>
/// The one clock of an installation: the database's. Due times, expiries and the time stamps of events follow it in every host.
/// Between two queries of the database it advances by this machine's counter. So a host whose own clock is
/// wrong, or is set forward or back, neither sends early nor late, and takes no deliveries from others.
/// </summary>
/// <param name="host">The host's own clock; it is used until the database is first queried.</param>
public sealed class InstallationClock(TimeProvider host) : TimeProvider
{
    private Reading last = new(host.GetUtcNow(), host.GetTimestamp());

    /// <inheritdoc />
    public override long TimestampFrequency => host.TimestampFrequency;

    /// <inheritdoc />
    public override DateTimeOffset GetUtcNow() => At(host.GetTimestamp());

    /// <inheritdoc />
    public override long GetTimestamp() => host.GetTimestamp();

    /// <inheritdoc />
    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
        host.CreateTimer(callback, state, dueTime, period);

    /// <summary>How far this host's own clock is ahead; negative: behind.</summary>
    public TimeSpan HostIsAhead => host.GetUtcNow() - GetUtcNow();

    /// <summary>
    /// Takes in what the database said. It read its clock at some time between question and answer; as long as that can be
    /// what this clock shows, nothing changes.
    /// </summary>
    /// <param name="asked">The timestamp of the question.</param>
    /// <param name="said">The database's time.</param>
    /// <param name="answered">The timestamp of the answer.</param>
    /// <returns>By how much this clock was set; negative: back.</returns>
    public TimeSpan Heard(long asked, DateTimeOffset said, long answered)
    {
        var (now, latest) = (At(answered), said + host.GetElapsedTime(asked, answered));
        var right =
            now < said ? said
            : now > latest ? latest
            : now;
        if (right != now)
            Volatile.Write(ref last, new Reading(right, answered));
        return right - now;
    }

    private DateTimeOffset At(long timestamp)
    {
        var reading = Volatile.Read(ref last);
        return reading.At + host.GetElapsedTime(reading.Timestamp, timestamp);
    }

    private sealed record Reading(DateTimeOffset At, long Timestamp);
}

/// <summary>
/// Queries the database's time, before the host does anything else and each second from then on, and reports wrong clocks.
/// </summary>
public sealed class ClockWatch(InstallationClock clock, HeartbeatDatabase database, ILogger<ClockWatch> log, ReadDatabase? reads = null)
    : BackgroundService
{
    /// <summary>The difference from which on it is reported.</summary>
    public static readonly TimeSpan Noticeable = TimeSpan.FromSeconds(1);

    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);
    private bool isTold;

    /// <inheritdoc />
    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        Telemetry.ObserveClock(() => clock.HostIsAhead.TotalSeconds);
        await TryAsync(isFirst: true, cancellationToken);
        await base.StartAsync(cancellationToken);
    }

    /// <summary>Asks once.</summary>
    /// <returns>By how much the clock was set.</returns>
    public async Task<TimeSpan> LookAsync(CancellationToken cancellation)
    {
        await using var connection = await database.Source.OpenConnectionAsync(cancellation);
        await using var command = new NpgsqlCommand("select clock_timestamp()", connection) { CommandTimeout = 5 };
        var asked = clock.GetTimestamp();
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        await reader.ReadAsync(cancellation);
        return clock.Heard(asked, reader.GetFieldValue<DateTimeOffset>(0), clock.GetTimestamp());
    }

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, clock);
        while (await timer.NextAsync(stoppingToken))
            await TryAsync(isFirst: false, stoppingToken);
    }

    private async Task TryAsync(bool isFirst, CancellationToken cancellation)
    {
        try
        {
            var set = await LookAsync(cancellation);
            if (!isFirst && set.Duration() > Noticeable)
                log.LogWarning("The database's clock was set {By}; what is due goes by it.", Words(set, "forward", "back"));
            var ahead = clock.HostIsAhead;
            if (ahead.Duration() > Noticeable != isTold)
            {
                isTold = !isTold;
                if (isTold)
                    log.LogWarning(
                        "This host's clock is {Skew} the database's, by which everything goes here too; see that both are "
                            + "right, e.g. by NTP.",
                        Words(ahead, "ahead of", "behind")
                    );
                else
                    log.LogInformation("This host's clock agrees with the database's again.");
            }
        }
        catch (Exception e) when (e is OperationCanceledException or NpgsqlException || DatabaseFaults.IsPassing(e))
        {
            // The database is away, and the clock goes on by the counter. Idle connections of requests that read are broken, too:
            // the first request after a restart must not find one.
            if (DatabaseFaults.IsBrokenConnection(e))
                reads?.Source.Clear();
        }
    }

    private static string Words(TimeSpan by, string forward, string back) =>
        string.Create(CultureInfo.InvariantCulture, $"{Math.Abs(by.TotalSeconds):0.#} s {(by > TimeSpan.Zero ? forward : back)}");
}
