namespace Notify.Tests.Projections;

using Microsoft.Extensions.Logging.Abstractions;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.Digests;
using Notify.Delivery.EventStore;
using Notify.Delivery.Privacy;
using Notify.Domain.Categories;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Domain.Privacy;
using Notify.Infrastructure.Postgres;
using Notify.Tests.Domain;
using Notify.Tests.Projections.Analytics;

/// <summary>Reading of a closing digest from a real store.</summary>
public sealed class DigestReadingTests(AnalyticsDatabase database) : IClassFixture<AnalyticsDatabase>
{
    private const int Members = 9,
        MaxItems = 5;
    private static readonly DateTimeOffset Now = Some.Noon.AddHours(1);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("parts", 150_000)]
    [InlineData("ones", 1)]
    [InlineData("whole", DigestReading.MostBytes)]
    public async Task However_it_is_divided_each_is_told_once_and_what_is_not_told_is_not_kept(string mark, long most)
    {
        var (subjectKeys, html) = (new SubjectKeys(database.Ring, TimeProvider.System), new string('x', 40_000));
        var place = new DigestPlace("c_shop", "shipping", "u/u-1");
        var digest = (Key: $"n/c_shop:digest={mark}", EventId: $"digest={mark}");
        var keys = Enumerable.Range(0, Members).Select(i => $"n/c_shop:{mark}-{i}").ToList();
        await using var session = database.Store.LightweightSession();
        await session.BeginTransactionAsync(Cancellation);
        var sealing = await subjectKeys.CurrentAsync(session.Connection!, ["u/u-1"], Cancellation);
        foreach (var (key, i) in keys.Select((k, i) => (k, i)))
        {
            var payload = new NotificationPayload(
                new NotificationContent($"t{i}", $"b{i}", html, Url: $"https://example.com/{i}"),
                Params: System.Text.Json.JsonSerializer.SerializeToElement(new { i })
            );
            var said = sealing.SealJson("u/u-1", SealedPlace.OfPayload(key), payload);
            var requested = Some.Requested(expiresAt: i == 1 ? Now : null) with { EventId = $"{mark}-{i}", Payload = said };
            session.Events.StartStream(key, requested, new NotificationCollected(digest.EventId, Now, "rule", Some.Noon));
        }

        await session.SaveChangesAsync(Cancellation);

        await using var reading = database.Store.LightweightSession();
        await reading.BeginTransactionAsync(Cancellation);
        var sizes = await NotificationStreams.WeighAsync(reading.Connection!, keys, Cancellation);
        Assert.All(keys, k => Assert.InRange(sizes[k], 50_000, 80_000));
        var opened = Notification.Fold(
            digest.Key,
            [
                Some.Requested() with
                {
                    EventId = digest.EventId,
                },
                new DigestOpened("u/u-1", new DigestRule(3600, null, null, MaxItems), 1, Some.Noon),
            ]
        )!;
        var entries = keys.Select(k => new DigestEntry(k, digest.Key, place)).ToLookup(e => e.Digest, StringComparer.Ordinal);
        var (closing, items) = (
            await new DigestReading(subjectKeys, new StreamFaults(database.Ring, NullLogger<StreamFaults>.Instance), most).ReadAsync(
                reading,
                [opened],
                entries,
                sizes,
                Now,
                Cancellation
            )
        )[digest.Key];

        var told = Enumerable.Range(0, Members).Where(i => i != 1).ToList();
        Assert.Equal(told.Select(i => $"{mark}-{i}"), closing.Told.Select(m => m.Notification.Request.EventId));
        Assert.Equal([new DigestLeftOut($"{mark}-1", Reasons.Expired)], closing.LeftOut);
        Assert.Equal(keys, closing.Events.Select(e => e.Key));
        Assert.All(closing.Told, m => Assert.True(m.Notification.Request.Payload.IsNone));
        Assert.Equal(
            told[..MaxItems].Select(i => ($"t{i}", $"b{i}", $"https://example.com/{i}", i)),
            items.Select(i =>
                (
                    i.Payload.Content.Title!,
                    i.Payload.Content.Body!,
                    i.Payload.Content.Url!,
                    i.Payload.Params!.Value.GetProperty("i").GetInt32()
                )
            )
        );
        Assert.Equal([html, null, null, null, null], items.Select(i => i.Payload.Content.Html));
    }

    [Fact]
    public void Parts_are_no_heavier_than_they_may_be_and_nothing_is_lost()
    {
        int[] sizes = [1, 2, 3, 20, 4, 6, 1, 9];
        Assert.Equal(["1 2 3", "20", "4 6", "1 9"], WeightedBatches.Of(sizes, s => s, 10).Select(p => string.Join(' ', p)));
        Assert.Equal([20], WeightedBatches.FirstOf([20, 1], s => s, 10));
        Assert.Empty(WeightedBatches.Of(Array.Empty<int>(), s => s, 10));
    }
}
