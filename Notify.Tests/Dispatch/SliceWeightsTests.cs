namespace Notify.Tests.Dispatch;

using Notify.Delivery.DeliveryQueue;
using Notify.Dispatch.Dispatching;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;

public sealed class SliceWeightsTests
{
    [Fact]
    public void Batch_is_admitted_while_it_fits_the_budget()
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
        Parallel.For(
            0,
            10_000,
            _ =>
            {
                if (!weights.TryTake(7))
                    return;
                Interlocked.Increment(ref taken);
                Assert.True(Volatile.Read(ref taken) * 7 <= 1000);
                Interlocked.Decrement(ref taken);
                weights.Release(7);
            }
        );
        Assert.Equal(0, weights.Held);
    }

    [Fact]
    public void Of_heavy_ones_those_that_fit_are_taken_and_the_light_ones_wait_for_none_of_them()
    {
        var weights = new SliceWeights(most: 10 * Mega);
        var (heavy, light) = (Rows(5, "heavy"), Rows(3, "light"));
        var sizes = heavy
            .ToDictionary(r => r.Notification, _ => 4 * Mega)
            .Concat(light.ToDictionary(r => r.Notification, _ => SliceWeights.Light))
            .ToDictionary();

        var first = weights.Take([.. heavy, .. light], sizes);
        Assert.Equal(heavy[..2].Concat(light).Select(r => r.Id), first.Keys);
        Assert.Equal((8 * Mega) + (3 * SliceWeights.Light), weights.Held);

        // However much others hold: one goes, and what is light.
        Assert.Equal([heavy[2].Id, light[0].Id], weights.Take([heavy[2], heavy[3], light[0]], sizes).Keys);
        weights.Release(weights.Held);
        Assert.Equal(heavy[..3].Select(r => r.Id), weights.Take(heavy, sizes, inAnyCase: r => r.Id == heavy[2].Id).Keys);
    }

    [Fact]
    public void A_notification_to_many_devices_is_held_once()
    {
        var weights = new SliceWeights(most: 10 * Mega);
        var row = Rows(1, "n")[0];
        var devices = Enumerable.Range(0, 20).Select(i => row with { Id = DeterministicId.OfDelivery(row.Notification, $"{i}") }).ToList();

        var taken = weights.Take(devices, new Dictionary<string, long> { [row.Notification] = 9 * Mega });
        Assert.Equal((20, 9 * Mega), (taken.Count, weights.Held));
        Assert.Equal(weights.Held, taken.Values.Sum());
    }

    private const long Mega = 1024 * 1024;

    private static List<OpenDelivery> Rows(int count, string name) =>
        [
            .. Enumerable
                .Range(0, count)
                .Select(i => $"n/c:{name}-{i}")
                .Select(n => new OpenDelivery(
                    DeterministicId.OfDelivery(n, "d"),
                    n,
                    new DeliveryQueue(Lane.Apns, Priority.Normal),
                    OpenState.Queued,
                    0,
                    DateTimeOffset.UnixEpoch,
                    null
                )),
        ];
}
