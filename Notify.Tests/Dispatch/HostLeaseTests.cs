namespace Notify.Tests.Dispatch;

using Microsoft.Extensions.Time.Testing;
using Notify.Dispatch.Providers;
using Notify.Infrastructure.Hosting;

/// <summary>The lease under which a host sends.</summary>
public sealed class HostLeaseTests
{
    private readonly FakeTimeProvider clock = new();
    private readonly HostLease lease;

    public HostLeaseTests() => lease = new HostLease(TimeSpan.FromSeconds(15), clock);

    [Fact]
    public void Nothing_is_covered_before_the_first_heartbeat() => Assert.False(lease.Covers(lease.Term, TimeSpan.Zero));

    [Fact]
    public void Lease_counts_from_before_the_heartbeat_was_sent()
    {
        var sentAt = clock.GetTimestamp();
        clock.Advance(TimeSpan.FromSeconds(10)); // the database took so long
        lease.Renew(sentAt);

        Assert.True(lease.Covers(lease.Term, TimeSpan.FromSeconds(4)));
        Assert.False(lease.Covers(lease.Term, TimeSpan.FromSeconds(5)));
        clock.Advance(TimeSpan.FromSeconds(5));
        Assert.False(lease.Covers(lease.Term, TimeSpan.Zero));
    }

    [Fact]
    public void Renewal_in_time_keeps_the_term()
    {
        Beat();
        var term = lease.Term;
        clock.Advance(TimeSpan.FromSeconds(14));
        Beat();
        clock.Advance(TimeSpan.FromSeconds(14));

        Assert.True(lease.Covers(term, TimeSpan.Zero));
    }

    [Fact]
    public void Renewal_that_was_answered_too_late_begins_a_new_term()
    {
        Beat();
        var term = lease.Term;
        clock.Advance(TimeSpan.FromSeconds(14));
        var sentAt = clock.GetTimestamp();
        clock.Advance(TimeSpan.FromSeconds(2)); // others may have seen it a moment too late
        lease.Renew(sentAt);

        Assert.False(lease.Covers(term, TimeSpan.Zero));
        Assert.True(lease.Covers(lease.Term, TimeSpan.Zero));
    }

    [Fact]
    public void Margin_is_the_request_s_time_out_up_to_a_third_of_the_host_s()
    {
        Assert.Equal(TimeSpan.FromSeconds(2), lease.Margin(TimeSpan.FromSeconds(2)));
        Assert.Equal(TimeSpan.FromSeconds(5), lease.Margin(TimeSpan.FromSeconds(10)));
    }

    [Fact]
    public async Task Claims_wait_for_a_lease()
    {
        var waiting = lease.WaitAsync(TestContext.Current.CancellationToken);
        Assert.False(waiting.IsCompleted);
        Beat();
        clock.Advance(TimeSpan.FromSeconds(1));

        await waiting;
    }

    [Fact]
    public void Boot_time_goes_on_at_the_pace_of_the_system_s_clock()
    {
        var (boot, system) = (BootTimeProvider.Instance, TimeProvider.System);
        var (from, began) = (boot.GetTimestamp(), system.GetTimestamp());
        while (system.GetElapsedTime(began) < TimeSpan.FromMilliseconds(20)) { }

        Assert.InRange(boot.GetElapsedTime(from), TimeSpan.FromMilliseconds(20), TimeSpan.FromSeconds(20));
    }

    private void Beat() => lease.Renew(clock.GetTimestamp());
}
