namespace Notify.Tests.Projections;

using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Notify.Delivery.Hosting;
using Notify.Infrastructure.Postgres;

/// <summary>Every host follows the database's clock, independent of its own.</summary>
public sealed class InstallationClockTests(EmptyDatabase database) : IClassFixture<EmptyDatabase>
{
    private readonly HostClock host = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public void Until_the_database_was_asked_the_hosts_own_clock_counts()
    {
        var clock = new InstallationClock(host);
        host.Pass(TimeSpan.FromSeconds(3));
        Assert.Equal(host.True, clock.GetUtcNow());
    }

    [Theory]
    [InlineData(3600)]
    [InlineData(-3600)]
    public void A_host_whose_clock_is_wrong_goes_by_the_databases(int seconds)
    {
        host.Skew = TimeSpan.FromSeconds(seconds);
        var clock = new InstallationClock(host);
        Assert.Equal(host.True + host.Skew, clock.GetUtcNow());
        Assert.Equal(-host.Skew, Ask(clock, TimeSpan.Zero));
        Assert.Equal(host.True, clock.GetUtcNow());
        Assert.Equal(host.Skew, clock.HostIsAhead);
        host.Pass(TimeSpan.FromMinutes(5));
        Assert.Equal(host.True, clock.GetUtcNow());
    }

    [Theory]
    [InlineData(3600)]
    [InlineData(-3600)]
    public void A_jump_of_the_hosts_clock_between_two_looks_changes_nothing(int seconds)
    {
        var clock = new InstallationClock(host);
        Ask(clock, TimeSpan.Zero);
        host.Skew = TimeSpan.FromSeconds(seconds);
        host.Pass(TimeSpan.FromSeconds(0.5));
        Assert.Equal(host.True, clock.GetUtcNow());
        Assert.Equal(TimeSpan.Zero, Ask(clock, TimeSpan.Zero));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(30)]
    [InlineData(100)]
    public void Database_time_within_the_round_trip_moves_no_clock(int readAfterMs)
    {
        var clock = new InstallationClock(host);
        var asked = clock.GetTimestamp();
        var said = host.True + TimeSpan.FromMilliseconds(readAfterMs);
        host.Pass(TimeSpan.FromMilliseconds(100));
        Assert.Equal(TimeSpan.Zero, clock.Heard(asked, said, clock.GetTimestamp()));
    }

    [Theory]
    [InlineData(3600)]
    [InlineData(-3600)]
    public void Where_the_databases_clock_is_set_all_follow_by_no_more_than_is_certain(int seconds)
    {
        var clock = new InstallationClock(host);
        Ask(clock, TimeSpan.Zero);
        var (before, asked) = (host.True, clock.GetTimestamp());
        host.Pass(TimeSpan.FromMilliseconds(100));
        clock.Heard(asked, before + TimeSpan.FromSeconds(seconds), clock.GetTimestamp());
        // Forward to the earliest time that it can be there, back to the latest.
        Assert.Equal(
            before + TimeSpan.FromSeconds(seconds) + (seconds < 0 ? TimeSpan.FromMilliseconds(100) : TimeSpan.Zero),
            clock.GetUtcNow()
        );
    }

    [Fact]
    public async Task The_database_is_asked_before_the_host_does_anything_else()
    {
        var ahead = new Ahead(TimeSpan.FromHours(1));
        var clock = new InstallationClock(ahead);
        using var watch = new ClockWatch(clock, new HeartbeatDatabase(database.Source), NullLogger<ClockWatch>.Instance);

        await watch.StartAsync(Cancellation);

        Assert.InRange((clock.GetUtcNow() - TimeProvider.System.GetUtcNow()).Duration(), TimeSpan.Zero, TimeSpan.FromSeconds(1));
        Assert.InRange(clock.HostIsAhead, TimeSpan.FromMinutes(59.9), TimeSpan.FromMinutes(60.1));
        await watch.StopAsync(Cancellation);
    }

    private TimeSpan Ask(InstallationClock clock, TimeSpan roundTrip)
    {
        var asked = clock.GetTimestamp();
        host.Pass(roundTrip);
        return clock.Heard(asked, host.True, clock.GetTimestamp());
    }

    // A machine's counter advances correctly, independent of its clock.
    private sealed class HostClock : TimeProvider
    {
        private readonly FakeTimeProvider real = new(new DateTimeOffset(2026, 5, 4, 12, 0, 0, TimeSpan.Zero));

        public TimeSpan Skew { get; set; }

        public DateTimeOffset True => real.GetUtcNow();

        public override long TimestampFrequency => real.TimestampFrequency;

        public void Pass(TimeSpan time) => real.Advance(time);

        public override DateTimeOffset GetUtcNow() => real.GetUtcNow() + Skew;

        public override long GetTimestamp() => real.GetTimestamp();
    }

    private sealed class Ahead(TimeSpan by) : TimeProvider
    {
        public override DateTimeOffset GetUtcNow() => TimeProvider.System.GetUtcNow() + by;
    }
}
