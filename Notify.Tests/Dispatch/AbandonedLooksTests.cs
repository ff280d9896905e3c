namespace Notify.Tests.Dispatch;

using Microsoft.Extensions.Time.Testing;
using Notify.Dispatch.Due;

/// <summary>Looking for what was abandoned is dear, and not looking is worse.</summary>
public sealed class AbandonedLooksTests
{
    private static readonly TimeSpan Beat = TimeSpan.FromSeconds(3),
        Longest = TimeSpan.FromMinutes(1);
    private static readonly Guid Me = Guid.NewGuid(),
        Other = Guid.NewGuid();
    private readonly FakeTimeProvider clock = new();
    private readonly AbandonedLooks looks;

    public AbandonedLooksTests() => looks = new AbandonedLooks(Longest, clock);

    [Fact]
    public void A_host_looks_when_it_starts_and_then_only_now_and_then()
    {
        Assert.Equal(AbandonedLooks.Repeats, Count(beats: 10, [Me, Other]));
        Assert.Equal(1, Count(beats: 20, [Me, Other]));
        Assert.Equal(1, Count(beats: 20, [Me, Other]));
    }

    [Fact]
    public void When_a_host_is_not_there_any_more_its_work_is_looked_for()
    {
        Count(beats: 10, [Me, Other]);

        Assert.Equal(AbandonedLooks.Repeats, Count(beats: 5, [Me]));
        Assert.Equal(0, Count(beats: 5, [Me, Other])); // it was only silent for a while
        Assert.Equal(AbandonedLooks.Repeats, Count(beats: 5, [Me]));
    }

    [Fact]
    public void When_one_host_takes_another_ones_place_the_firsts_work_is_looked_for()
    {
        Count(beats: 10, [Me, Other]);

        Assert.Equal(AbandonedLooks.Repeats, Count(beats: 5, [Me, Guid.NewGuid()]));
    }

    [Fact]
    public void Deliveries_given_up_by_this_host_trigger_scans()
    {
        Count(beats: 10, [Me]);

        Assert.Equal(AbandonedLooks.Repeats, Count(beats: 5, [Me], givenUp: 1));
        Assert.Equal(AbandonedLooks.Repeats, Count(beats: 5, [Me], givenUp: 3));
    }

    [Fact]
    public void A_look_that_failed_is_still_owed()
    {
        Count(beats: 10, [Me, Other]);

        for (var i = 0; i < 30; i++)
            Assert.True(looks.IsDue([Me], 0)); // the database is away
        Assert.Equal(AbandonedLooks.Repeats, Count(beats: 5, [Me]));
    }

    private int Count(int beats, Guid[] hosts, int givenUp = 0)
    {
        var count = 0;
        for (var i = 0; i < beats; i++)
        {
            clock.Advance(Beat);
            if (!looks.IsDue(hosts, givenUp))
                continue;
            looks.Looked();
            count++;
        }

        return count;
    }
}
