namespace Notify.Tests.Projections;

using Marten;
using Notify.Domain.Categories;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;
using Notify.Tests.Projections.Analytics;

public sealed class SnapshotVersionTests(AnalyticsDatabase database) : IClassFixture<AnalyticsDatabase>
{
    [Fact]
    public async Task A_snapshot_s_version_is_its_stream_s()
    {
        var (at, cancellation) = (DateTimeOffset.UnixEpoch, TestContext.Current.CancellationToken);
        for (var i = 1; i <= 3; i++)
        {
            await database.AppendAsync(
                "u/x",
                new ContactDetailsGiven(new Sealed("1.x"), true, false, null, null, "c", at),
                new UserErased("c", at)
            );
            await database.AppendAsync(
                "k/x",
                new CategoryDefined("x", i == 1, new Dictionary<string, bool>(), UnknownOutcome.Hold, "c", at)
            );
            await using var session = database.Store.QuerySession();
            Assert.Equal(
                (2 * i, i),
                (
                    (await session.LoadManyAsync<Recipient>(cancellation, "u/x"))[0].Version,
                    (await session.LoadAsync<Category>("k/x", cancellation))!.Version
                )
            );
            Assert.Equal(i, (await session.Query<Category>().SingleAsync(cancellation)).Version);
        }
    }
}
