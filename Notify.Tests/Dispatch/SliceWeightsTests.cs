using Notify.Dispatch.Dispatching;

namespace Notify.Tests.Dispatch;

public sealed class SliceWeightsTests
{
    [Fact]
    public void What_fits_is_taken_and_what_does_not_waits_until_others_have_gone()
    {
        var weights = new SliceWeights(most: 100);
        Assert.True(weights.TryTake(60));
        Assert.False(weights.TryTake(50));
        Assert.True(weights.TryTake(40));
        weights.Release(60);
        Assert.True(weights.TryTake(50));
        Assert.Equal(90, weights.Held);
    }

    [Fact]
    public void One_alone_goes_however_heavy_it_is()
    {
        var weights = new SliceWeights(most: 100);
        Assert.False(weights.TryTake(101));
        Assert.Equal(0, weights.Held);
        Assert.True(weights.TryTake(101, evenIfHeavy: true));
        Assert.False(weights.TryTake(1));
        weights.Release(101);
        Assert.Equal(0, weights.Held);
    }

    [Fact]
    public void Takers_at_once_never_hold_more_than_fits()
    {
        var weights = new SliceWeights(most: 1000);
        var taken = 0;
        Parallel.For(0, 10_000, _ =>
        {
            if (!weights.TryTake(7)) return;
            Interlocked.Increment(ref taken);
            Assert.True(Volatile.Read(ref taken) * 7 <= 1000);
            Interlocked.Decrement(ref taken);
            weights.Release(7);
        });
        Assert.Equal(0, weights.Held);
    }
}
