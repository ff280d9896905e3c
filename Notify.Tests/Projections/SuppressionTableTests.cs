namespace Notify.Tests.Projections;

using Notify.Delivery.Privacy;
using Notify.Delivery.Suppressions;
using Notify.Domain.Channels;
using Notify.Domain.Suppressions;
using Notify.Tests.Projections.Analytics;

public sealed class SuppressionTableTests(AnalyticsDatabase database) : IClassFixture<AnalyticsDatabase>
{
    private static readonly DateTimeOffset Now = new(2026, 5, 4, 12, 0, 0, TimeSpan.Zero);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Twenty_who_learn_the_same_at_once_make_one_event()
    {
        var print = NewPrint();

        var news = await Task.WhenAll(Enumerable.Range(0, 20).Select(i => SuppressAsync(Learned(print) with { By = $"c_{i}" })));

        Assert.Single(news, isNew => isNew);
        var e = Assert.IsType<AddressSuppressed>(Assert.Single(await EventsAsync(print)));
        Assert.Equal(e.By, Assert.Single(await StandingAsync(Now, print)).By);
    }

    [Fact]
    public async Task Those_who_learn_and_those_who_lift_at_once_leave_table_and_stream_of_one_mind()
    {
        var print = NewPrint();

        await Task.WhenAll(Enumerable.Range(0, 20).Select(i => i % 2 == 0 ? SuppressAsync(Learned(print)) : LiftAsync(print)));

        var events = await EventsAsync(print);
        Assert.NotEmpty(events);
        Suppression? folded = null;
        foreach (var e in events)
        {
            Assert.Equal(e is SuppressionLifted, folded?.StandsAt(Now) == true); // one after the other, never two of a kind
            folded = Suppression.Evolve(folded, e);
        }

        Assert.Equal(folded!.StandsAt(Now), (await StandingAsync(Now, print)).Count == 1);
    }

    [Fact]
    public async Task Groups_that_share_addresses_in_any_order_do_not_stand_in_each_other_s_way()
    {
        var prints = Enumerable.Range(0, 12).Select(_ => NewPrint()).ToArray();

        await Task.WhenAll(
            Enumerable
                .Range(0, 10)
                .Select(seed =>
                {
                    var mine = prints.ToArray();
                    new Random(seed).Shuffle(mine);
                    return SuppressAsync([.. mine.Select(p => Learned(p))]);
                })
        );

        Assert.Equal(12, (await StandingAsync(Now, prints)).Count);
        foreach (var print in prints)
            Assert.Single(await EventsAsync(print));
    }

    [Fact]
    public async Task Two_suppressions_in_one_group_end_as_the_stronger()
    {
        var print = NewPrint();
        await SuppressAsync(Learned(print, SuppressionReasons.Blocked, Now.AddDays(30)), Learned(print), Learned(print));
        var standing = Assert.Single(await StandingAsync(Now, print));
        Assert.Equal((SuppressionReasons.HardBounced, null), (standing.Reason, standing.ExpiresAt));
        Assert.Equal(2, (await EventsAsync(print)).Count);
    }

    [Fact]
    public async Task It_stands_until_its_end_and_can_be_learned_anew_after_it()
    {
        var print = NewPrint();
        await SuppressAsync(Learned(print, SuppressionReasons.Blocked, Now.AddDays(30)));
        Assert.Single(await StandingAsync(Now.AddDays(30).AddMilliseconds(-1), print));
        Assert.Empty(await StandingAsync(Now.AddDays(30), print));

        await using var session = database.Store.LightweightSession();
        var again = await SuppressionTable.SuppressAsync(
            session,
            [Learned(print, SuppressionReasons.Blocked, Now.AddDays(61))],
            Now.AddDays(31),
            Cancellation
        );
        await session.SaveChangesAsync(Cancellation);

        Assert.True(again.Values.Single().IsNew);
        Assert.Single(await StandingAsync(Now.AddDays(60), print));
    }

    [Fact]
    public async Task A_transaction_that_is_given_up_leaves_nothing()
    {
        var print = NewPrint();
        await using (var session = database.Store.LightweightSession())
            await SuppressionTable.SuppressAsync(session, [Learned(print)], Now, Cancellation);
        Assert.Empty(await StandingAsync(Now, print));
        Assert.Empty(await EventsAsync(print));
        Assert.True(await SuppressAsync(Learned(print)));
    }

    [Theory]
    [InlineData("Kim@Example.COM", "kim@example.com")]
    [InlineData("kim@예시.한국", "kim@xn--vv4b11d.xn--3e0b707e")]
    public void An_email_address_has_one_fingerprint_however_it_is_written(string one, string other) =>
        Assert.Equal(database.Ring.Of(Channel.Email, one), database.Ring.Of(Channel.Email, other));

    [Fact]
    public void Devices_and_nothing_have_no_fingerprint_and_channels_have_fingerprints_of_their_own()
    {
        Assert.Null(database.Ring.Of(Channel.Push, "token"));
        Assert.Null(database.Ring.Of(Channel.Sms, null));
        Assert.NotEqual(database.Ring.Of(Channel.Sms, "+15005550006"), database.Ring.Of(Channel.Email, "+15005550006"));
    }

    private static string NewPrint() => $"p{Guid.NewGuid():N}";

    private static AddressToSuppress Learned(
        string print,
        string reason = SuppressionReasons.HardBounced,
        DateTimeOffset? expiresAt = null
    ) => new(Channel.Email, print, reason, "sendgrid", "sendgrid", expiresAt);

    private async Task<bool> SuppressAsync(params AddressToSuppress[] learned)
    {
        await using var session = database.Store.LightweightSession();
        var result = await SuppressionTable.SuppressAsync(session, learned, Now, Cancellation);
        await session.SaveChangesAsync(Cancellation);
        return result[learned[0].Id].IsNew;
    }

    private async Task<bool> LiftAsync(string print)
    {
        await using var session = database.Store.LightweightSession();
        var lifted = await SuppressionTable.LiftAsync(
            session,
            new SubjectKeys(database.Ring, TimeProvider.System),
            Suppression.IdOf(Channel.Email, print),
            LiftReasons.ByRequest,
            "c_shop",
            Now,
            Cancellation
        );
        await session.SaveChangesAsync(Cancellation);
        return lifted;
    }

    private async Task<IReadOnlyCollection<Suppression>> StandingAsync(DateTimeOffset now, params string[] prints)
    {
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        return
        [
            .. (
                await SuppressionTable.StandingAsync(
                    connection,
                    [.. prints.Select(p => Suppression.IdOf(Channel.Email, p))],
                    now,
                    Cancellation
                )
            ).Values,
        ];
    }

    private async Task<List<object>> EventsAsync(string print)
    {
        await using var session = database.Store.QuerySession();
        return
        [
            .. (await session.Events.FetchStreamAsync(Suppression.KeyOf(Channel.Email, print), token: Cancellation)).Select(e => e.Data),
        ];
    }
}
