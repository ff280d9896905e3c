namespace Notify.Tests.Dispatch;

using Microsoft.Extensions.Time.Testing;
using Notify.Dispatch.Due;

/// <summary>A host is stale when its heartbeats stop. A clock that is set makes no host stale.</summary>
public sealed class SignsOfLifeTests
{
    private static readonly DateTimeOffset Start = new(2026, 5, 4, 12, 0, 0, TimeSpan.Zero);
    private static readonly TimeSpan Stale = TimeSpan.FromSeconds(15),
        Beat = TimeSpan.FromSeconds(3);
    private readonly Guid other = Guid.NewGuid();
    private readonly FakeTimeProvider clock = new(Start);
    private readonly SignsOfLife signs;

    public SignsOfLifeTests() => signs = new SignsOfLife(Stale, Beat, clock);

    [Fact]
    public void Host_with_heartbeats_is_alive()
    {
        for (var i = 0; i < 20; i++)
            Assert.Empty(Look(at: i * 3, age: 1));
    }

    [Fact]
    public void Host_without_heartbeat_for_too_long_is_stale()
    {
        Assert.Empty(Look(at: 0, age: 0));
        for (var age = 3; age <= 15; age += 3)
            Assert.Empty(Look(at: 0, age));
        Assert.Equal([other], Look(at: 0, age: 18));
        Assert.Empty(Look(at: 18, age: 0)); // it was only stopped for a while
    }

    [Fact]
    public void Host_silent_long_before_the_first_scan_is_stale_after_missed_heartbeats()
    {
        Assert.Empty(Look(at: 0, age: 3600));
        Assert.Empty(Look(at: 0, age: 3603));
        Assert.Empty(Look(at: 0, age: 3606));
        Assert.Equal([other], Look(at: 0, age: 3609));
    }

    [Fact]
    public void A_clock_that_was_set_forward_takes_nothing_from_the_living()
    {
        Assert.Empty(Look(at: 0, age: 1));
        Assert.Empty(Look(at: 0, age: 3601)); // set forward by an hour: every sign looks old
        Assert.Empty(Look(at: 3604, age: 1));
        Assert.Empty(Look(at: 3607, age: 1));
    }

    [Fact]
    public void While_the_database_is_away_nobody_is_silent()
    {
        Assert.Empty(Look(at: 0, age: 0));
        Assert.Empty(Look(at: 0, age: 3));
        clock.Advance(TimeSpan.FromMinutes(2));
        Assert.Empty(Look(at: 0, age: 126)); // the first look after it; the other's sign is still to come
        Assert.Empty(Look(at: 128, age: 1));
    }

    [Fact]
    public void Host_that_fails_before_the_clock_is_set_back_is_stale()
    {
        Assert.Empty(Look(at: 0, age: 0));
        for (var i = 1; i <= 5; i++)
            Assert.Empty(Look(at: 0, age: -3600 + (i * 3)));
        Assert.Equal([other], Look(at: 0, age: -3600 + 18));
    }

    // One look a beat.
    private Guid[] Look(double at, double age)
    {
        var gone = signs.Gone([new SignOfLife(other, Start.AddSeconds(at), TimeSpan.FromSeconds(age))]);
        clock.Advance(Beat);
        return gone;
    }
}
