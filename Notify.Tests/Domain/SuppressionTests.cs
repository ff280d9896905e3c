namespace Notify.Tests.Domain;

using Notify.Domain.Channels;
using Notify.Domain.Suppressions;

public class SuppressionTests
{
    private static readonly DateTimeOffset Noon = Some.Noon;

    [Fact]
    public void First_suppression_is_recorded()
    {
        var e = Suppression.Suppress(null, Learned(SuppressionReasons.HardBounced), Noon)!;
        Assert.Equal(
            ("print", SuppressionReasons.HardBounced, "sendgrid", null, Noon),
            (e.Fingerprint, e.Reason, e.Source, e.ExpiresAt, e.At)
        );
    }

    [Fact]
    public void The_same_again_is_no_news() =>
        Assert.Null(Suppression.Suppress(Standing(SuppressionReasons.HardBounced), Learned(SuppressionReasons.HardBounced), Noon));

    [Theory]
    [InlineData(
        SuppressionReasons.HardBounced,
        null,
        SuppressionReasons.OptedOutAtProvider,
        null,
        SuppressionReasons.OptedOutAtProvider,
        null
    )]
    [InlineData(SuppressionReasons.Blocked, 30, SuppressionReasons.HardBounced, null, SuppressionReasons.HardBounced, null)]
    [InlineData(SuppressionReasons.Blocked, 30, SuppressionReasons.Blocked, 31, SuppressionReasons.Blocked, 31)]
    [InlineData(SuppressionReasons.ByRequest, null, SuppressionReasons.HardBounced, 30, SuppressionReasons.HardBounced, null)]
    [InlineData(SuppressionReasons.Complained, 5, SuppressionReasons.Blocked, 30, SuppressionReasons.Complained, 30)]
    public void A_heavier_reason_or_a_later_end_is_taken_over(
        string before,
        int? beforeDays,
        string learned,
        int? learnedDays,
        string reason,
        int? days
    )
    {
        var now = Suppression.Evolve(
            Standing(before, beforeDays),
            Suppression.Suppress(Standing(before, beforeDays), Learned(learned, learnedDays), Noon)!
        )!;
        Assert.Equal((reason, Days(days)), (now.Reason, now.ExpiresAt));
    }

    [Theory]
    [InlineData(SuppressionReasons.OptedOutAtProvider, null, SuppressionReasons.HardBounced, null)]
    [InlineData(SuppressionReasons.HardBounced, null, SuppressionReasons.Blocked, 30)]
    [InlineData(SuppressionReasons.Blocked, 30, SuppressionReasons.Blocked, 29)]
    [InlineData(SuppressionReasons.Blocked, 30, "SomethingElse", 1)]
    public void Nothing_gets_lighter_or_shorter(string before, int? beforeDays, string learned, int? learnedDays) =>
        Assert.Null(Suppression.Suppress(Standing(before, beforeDays), Learned(learned, learnedDays), Noon));

    // Receipts come late, twice and in any order.
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Suppressions_in_any_order_end_the_same_and_each_event_changes_the_state(int seed)
    {
        var random = new Random(seed);
        for (var round = 0; round < 200; round++)
        {
            var learned = Enumerable
                .Range(0, random.Next(1, 8))
                .Select(_ =>
                    Learned(
                        SuppressionReasons.All[random.Next(SuppressionReasons.All.Count)],
                        random.Next(3) == 0 ? null : random.Next(1, 60)
                    )
                )
                .ToArray();
            var ends = Enumerable
                .Range(0, 6)
                .Select(_ =>
                {
                    random.Shuffle(learned);
                    Suppression? state = null;
                    foreach (var one in learned.Concat(learned))
                    {
                        var news = Suppression.Suppress(state, one, Noon);
                        var next = news is null ? state : Suppression.Evolve(state, news);
                        Assert.NotEqual(
                            news is null,
                            (state?.Reason, state?.ExpiresAt, state is null) != (next?.Reason, next?.ExpiresAt, next is null)
                        );
                        state = next;
                    }

                    return (state!.Reason, state.ExpiresAt);
                })
                .Distinct()
                .ToList();
            Assert.Equal(learned.Any(l => l.ExpiresAt is null) ? null : learned.Max(l => l.ExpiresAt), Assert.Single(ends).ExpiresAt);
        }
    }

    [Fact]
    public void It_ends_by_itself_and_can_come_back()
    {
        var soft = Standing(SuppressionReasons.Blocked, 30);
        Assert.True(soft.StandsAt(Noon.AddDays(30).AddSeconds(-1)));
        Assert.False(soft.StandsAt(Noon.AddDays(30)));
        Assert.NotNull(Suppression.Suppress(soft, Learned(SuppressionReasons.Blocked, 60), Noon.AddDays(30)));
    }

    [Fact]
    public void Lifted_suppression_is_inactive_has_no_address_and_is_lifted_once()
    {
        var standing = Standing(SuppressionReasons.HardBounced) with { Address = Some.Sealed("a") };
        var lifted = Suppression.Evolve(standing, Suppression.Lift(standing, LiftReasons.ByRequest, "c_shop", Noon)!)!;
        Assert.Equal((false, null, Noon), (lifted.StandsAt(Noon), lifted.Address, lifted.LiftedAt));
        Assert.Null(Suppression.Lift(lifted, LiftReasons.ByRequest, "c_shop", Noon));
        Assert.Null(Suppression.Lift(null, LiftReasons.ByRequest, "c_shop", Noon));
        Assert.NotNull(Suppression.Suppress(lifted, Learned(SuppressionReasons.Blocked, 30), Noon));
    }

    [Fact]
    public void START_lifts_what_STOP_did_and_nothing_else()
    {
        Assert.NotNull(
            Suppression.Lift(
                Standing(SuppressionReasons.OptedOutByReply),
                LiftReasons.OptedInAtProvider,
                "twilio",
                Noon,
                only: SuppressionReasons.LiftedByReply
            )
        );
        Assert.NotNull(
            Suppression.Lift(
                Standing(SuppressionReasons.OptedOutAtProvider),
                LiftReasons.OptedInAtProvider,
                "twilio",
                Noon,
                only: SuppressionReasons.LiftedByReply
            )
        );
        Assert.Null(
            Suppression.Lift(
                Standing(SuppressionReasons.BadAddress),
                LiftReasons.OptedInAtProvider,
                "twilio",
                Noon,
                only: SuppressionReasons.LiftedByReply
            )
        );
    }

    [Fact]
    public void Only_soft_reasons_end_by_themselves_and_on_one_day_all_end_at_once()
    {
        Assert.All(SuppressionReasons.All.Where(r => r != SuppressionReasons.Blocked), r => Assert.Null(Suppression.ExpiryOf(r, Noon)));
        Assert.Equal(new DateTimeOffset(2026, 6, 4, 0, 0, 0, TimeSpan.Zero), Suppression.ExpiryOf(SuppressionReasons.Blocked, Noon));
        Assert.Equal(
            Suppression.ExpiryOf(SuppressionReasons.Blocked, Noon),
            Suppression.ExpiryOf(SuppressionReasons.Blocked, Noon.AddHours(11))
        );
    }

    private static DateTimeOffset? Days(int? days) => days is { } d ? Noon.AddDays(d) : null;

    private static AddressToSuppress Learned(string reason, int? days = null) =>
        new(Channel.Email, "print", reason, "sendgrid", "sendgrid", Days(days));

    private static Suppression Standing(string reason, int? days = null) =>
        new(Channel.Email, "print", reason, "sendgrid", "sendgrid", Noon.AddDays(-1), Days(days), null);
}
