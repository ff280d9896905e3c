namespace Notify.Tests.Domain;

using FsCheck;
using FsCheck.Fluent;
using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using static Notify.Tests.Domain.Some;

public class CapTests
{
    private static readonly Cap ThreeADay = new(Channel.Sms, 3, CapPeriod.Day, CapExceeding.Defer);

    [Theory]
    [InlineData(CapPeriod.Hour, "2026-05-04T12:00:00Z", "2026-05-04T12:59:59Z", "2026-05-04T13:00:00Z")]
    [InlineData(CapPeriod.Day, "2026-05-04T00:00:00Z", "2026-05-04T23:59:59Z", "2026-05-05T00:00:00Z")]
    [InlineData(CapPeriod.Week, "2026-05-04T00:00:00Z", "2026-05-10T23:59:59Z", "2026-05-11T00:00:00Z")] // from a Monday to the next
    public void Windows_follow_one_another_without_gaps(CapPeriod per, string from, string last, string next)
    {
        var window = CapWindows.Of(per, At(from));
        Assert.Equal((At(from), At(next)), (CapWindows.StartOf(per, window), CapWindows.StartOf(per, window + 1)));
        Assert.Equal(
            (window - 1, window, window + 1),
            (CapWindows.Of(per, At(from).AddSeconds(-1)), CapWindows.Of(per, At(last)), CapWindows.Of(per, At(next)))
        );
    }

    [Fact]
    public void Delivery_over_a_cap_takes_the_next_free_slot_and_records_the_rule()
    {
        var counts = new Dictionary<CapKey, CapCount>();
        var planned = Enumerable.Range(0, 8).Select(_ => Decide(counts, Capped(ThreeADay))).ToList();

        Assert.All(planned, p => Assert.Equal((2, 0), (p.Plan.Deliveries.Count, p.Plan.LeftOut.Count))); // the push beside it goes
        Assert.All(planned[..3], p => Assert.Empty(p.PutOff));
        Assert.Equal(
            [.. Enumerable.Repeat(At("2026-05-05T00:00:00Z"), 3), .. Enumerable.Repeat(At("2026-05-06T00:00:00Z"), 2)],
            planned[3..].Select(p => Assert.Single(p.PutOff).Until)
        );
        var fourth = planned[3].PutOff[0];
        Assert.Equal((Sms, Reasons.CapExceeded, 0, null), (fourth.DeliveryId, fourth.Reason, fourth.Attempt, fourth.Provider));
        Assert.Equal("cap of category shipping on sms, version 3: 3 per day, 3 taken of the day from 2026-05-04 00:00Z", fourth.Rule);
    }

    [Fact]
    public void Delivery_without_a_slot_in_time_is_skipped_and_takes_none()
    {
        var counts = new Dictionary<CapKey, CapCount>();
        var category = Capped(ThreeADay with { Limit = 1 });
        Decide(counts, category);

        var expires = Decide(counts, category, expiresAt: At("2026-05-05T00:00:00Z"));
        Assert.EndsWith("; it expires before there is room", Assert.Single(expires.Plan.LeftOut).Rule, StringComparison.Ordinal);
        Assert.Equal((Reasons.CapExceeded, Lane.Apns), (expires.Plan.LeftOut[0].Reason, Assert.Single(expires.Plan.Deliveries).Lane));
        Assert.Equal(
            At("2026-05-05T00:00:00Z"),
            Assert.Single(Decide(counts, category, expiresAt: At("2026-05-05T00:00:01Z")).PutOff).Until
        );

        var flood = Enumerable.Range(0, 100).Select(_ => Decide(counts, category)).ToList();
        Assert.Equal(29, flood.Count(p => p.PutOff.Count == 1)); // with the one before, a month of days
        Assert.All(
            flood[29..],
            p => Assert.EndsWith("; there is no room within 30 days", Assert.Single(p.Plan.LeftOut).Rule, StringComparison.Ordinal)
        );
    }

    [Fact]
    public void Of_two_caps_both_must_have_room_and_the_one_that_leaves_out_leaves_out()
    {
        var counts = new Dictionary<CapKey, CapCount>();
        var category = Capped(
            new Cap(Channel.Sms, 1, CapPeriod.Hour, CapExceeding.Defer),
            new Cap(Channel.Sms, 3, CapPeriod.Day, CapExceeding.Suppress)
        );
        var planned = Enumerable.Range(0, 4).Select(_ => Decide(counts, category)).ToList();

        Assert.Equal([At("2026-05-04T13:00:00Z"), At("2026-05-04T14:00:00Z")], planned[1..3].Select(p => Assert.Single(p.PutOff).Until));
        Assert.Contains("3 per day", Assert.Single(planned[3].Plan.LeftOut).Rule, StringComparison.Ordinal);
    }

    [Fact]
    public void In_quiet_hours_a_place_is_taken_in_the_window_in_which_they_end()
    {
        var counts = new Dictionary<CapKey, CapCount>();
        var category = Capped(ThreeADay with { Limit = 1 });
        var planned = Enumerable.Range(0, 3).Select(_ => Decide(counts, category, quiet: Nights, now: At("2026-05-04T23:00:00Z"))).ToList();

        Assert.Equal(
            ["2026-05-05T08:00:00Z", "2026-05-06T08:00:00Z", "2026-05-07T08:00:00Z"],
            planned.Select(p => $"{p.PutOff.Single(d => d.DeliveryId == Sms).Until.UtcDateTime:yyyy-MM-ddTHH:mm:ssZ}")
        );
        Assert.Equal((Reasons.QuietHours, "at night"), (planned[0].PutOff[1].Reason, planned[0].PutOff[1].Rule));
        Assert.Equal(
            (
                Reasons.CapExceeded,
                "at night; cap of category shipping on sms, version 3: 1 per day, 1 taken of the day from 2026-05-05 00:00Z"
            ),
            (planned[1].PutOff[1].Reason, planned[1].PutOff[1].Rule)
        );
        // The push has no cap.
        Assert.All(planned, p => Assert.Equal((Reasons.QuietHours, At("2026-05-05T08:00:00Z")), (p.PutOff[0].Reason, p.PutOff[0].Until)));
        // The day it was asked for on has its place still.
        Assert.Empty(Decide(counts, category, now: At("2026-05-04T23:00:00Z")).PutOff);

        // A cap does not stop a critical SMS; the quiet hours defer it.
        Assert.Equal(
            At("2026-05-05T08:00:00Z"),
            Decide(counts, category, priority: Priority.Critical, quiet: Nights, now: At("2026-05-04T23:00:00Z")).PutOff[1].Until
        );
    }

    [Fact]
    public void Delivery_that_expires_in_quiet_hours_takes_no_slot()
    {
        var counts = new Dictionary<CapKey, CapCount>();
        var expires = Decide(
            counts,
            Capped(ThreeADay),
            expiresAt: At("2026-05-05T03:00:00Z"),
            quiet: Nights,
            now: At("2026-05-04T23:00:00Z")
        );
        Assert.Equal((2, 2), (expires.Plan.Deliveries.Count, expires.PutOff.Count));
        Assert.All(counts.Values, c => Assert.Empty(c.Taken));
    }

    [Fact]
    public void Put_off_again_it_takes_a_place_in_another_window_only()
    {
        var counts = new Dictionary<CapKey, CapCount>();
        var category = Capped(ThreeADay with { Limit = 1 });
        Decide(counts, category, now: At("2026-05-04T07:00:00Z"));
        CapPlace Again(Func<DateTimeOffset, (DateTimeOffset Until, string Rule)?> quiet, string now) =>
            CapDecider.Take(Requested(), Channel.Sms, category, "u/u-1", counts, [At("2026-05-04T07:00:00Z")], quiet, At(now));

        Assert.Equal(At("2026-05-04T08:00:00Z"), Again(Nights, "2026-05-04T07:00:00Z").At);
        Assert.Equal([1], Assert.Single(counts).Value.Taken);
        Assert.Equal(At("2026-05-05T08:00:00Z"), Again(Nights, "2026-05-04T23:00:00Z").At);
        Assert.Equal([1, 1], Assert.Single(counts).Value.Taken);
    }

    private static (DateTimeOffset Until, string Rule)? Nights(DateTimeOffset time) =>
        time.Hour is >= 22 or < 8 ? (new DateTimeOffset(time.AddHours(2).Date.AddHours(8), TimeSpan.Zero), "at night") : null;

    [Fact]
    public void A_push_to_several_devices_is_one_and_a_channel_that_is_not_tried_is_none()
    {
        var counts = new Dictionary<CapKey, CapCount>();
        var category = Capped(
            new Cap(Channel.Push, 1, CapPeriod.Day, CapExceeding.Suppress),
            new Cap(Channel.Email, 1, CapPeriod.Day, CapExceeding.Suppress)
        );
        var plan = new DeliveriesPlanned(
            [.. Planned().Deliveries, new PlannedDelivery(Guid.NewGuid(), Lane.Fcm, "d_2", Sealed("token"))],
            [],
            3,
            Noon
        );

        Assert.Equal(3, Decide(counts, category, plan: plan).Plan.Deliveries.Count);
        var second = Decide(counts, category, plan: plan).Plan;
        Assert.Equal([Lane.Sms], second.Deliveries.Select(d => d.Lane));
        Assert.Equal([("d_1", Reasons.CapExceeded), ("d_2", Reasons.CapExceeded)], second.LeftOut.Select(l => (l.DeviceId!, l.Reason)));
        Assert.Equal(Channel.Push, Assert.Single(counts.Keys).Channel);
    }

    // For any order of requests and for clocks that differ a little: no window has more deliveries than its cap allows, no
    // delivery is stopped while a slot is free, and a critical or required delivery is never stopped.
    [Fact]
    public void For_any_order_no_cap_is_exceeded_and_nothing_that_passes_is_stopped()
    {
        var step =
            from minutes in Gen.Choose(-2, 400)
            from person in Gen.Choose(0, 1)
            from critical in Gen.Frequency((4, Gen.Constant(false)), (1, Gen.Constant(true)))
            from expiry in Gen.Frequency((3, Gen.Constant(0)), (1, Gen.Choose(1, 3000)))
            select (minutes, person, critical, expiry);
        var cap =
            from limit in Gen.Choose(1, 4)
            from per in Gen.Elements(Enum.GetValues<CapPeriod>())
            from exceeding in Gen.Elements(Enum.GetValues<CapExceeding>())
            select new Cap(Channel.Sms, limit, per, exceeding);
        var cases =
            from caps in Gen.NonEmptyListOf(cap)
            from required in Gen.Frequency((5, Gen.Constant(false)), (1, Gen.Constant(true)))
            from steps in Gen.ListOf(step)
            select (Category: Capped([.. caps.DistinctBy(c => c.Per)]) with { Required = required }, Steps: steps);
        Check.One(Config.QuickThrowOnFailure.WithMaxTest(400), Prop.ForAll(Arb.From(cases), c => Holds(c.Category, [.. c.Steps])));
    }

    private static bool Holds(Category category, (int Minutes, int Person, bool Critical, int Expiry)[] steps)
    {
        var (now, counts) = (Noon, new Dictionary<CapKey, CapCount>());
        var placed = new Dictionary<(string Person, CapPeriod Per, long Window), int>();
        var latest = new Dictionary<(string Person, CapPeriod Per), long>();
        foreach (var (minutes, who, critical, expiry) in steps)
        {
            now = now.AddMinutes(minutes);
            var person = $"u/{who}";
            long Window(CapPeriod per, DateTimeOffset time) => Math.Max(latest.GetValueOrDefault((person, per)), CapWindows.Of(per, time));
            int Placed(Cap cap, DateTimeOffset time) => placed.GetValueOrDefault((person, cap.Per, Window(cap.Per, time)));
            foreach (var cap in category.Caps!)
                latest[(person, cap.Per)] = Window(cap.Per, now);

            DateTimeOffset? expiresAt = expiry == 0 ? null : now.AddMinutes(expiry);
            var (plan, putOff) = Decide(
                counts,
                category,
                expiresAt,
                person: person,
                priority: critical ? Priority.Critical : Priority.Normal,
                now: now
            );
            var (passes, isTried) = (critical || category.Required, plan.Deliveries.Any(d => d.Lane == Lane.Sms));
            Assert.Equal(1, (isTried ? 1 : 0) + plan.LeftOut.Count);
            if (passes)
                Assert.True(isTried && putOff.Count == 0);
            if (!isTried || putOff.Count > 0)
                Assert.Contains(category.Caps!, c => Placed(c, now) >= c.Limit);
            if (!isTried)
                continue;

            var at = putOff.Count == 0 ? now : Assert.Single(putOff).Until;
            Assert.False(at > now && at >= expiresAt);
            foreach (var cap in category.Caps!)
            {
                if (!passes)
                    Assert.True(Placed(cap, at) < cap.Limit, $"{cap} is exceeded at {at}");
                var window = (person, cap.Per, Window(cap.Per, at));
                placed[window] = placed.GetValueOrDefault(window) + 1;
            }
        }

        return true;
    }

    [Fact]
    public void A_category_with_other_caps_is_defined_anew_and_their_order_says_nothing()
    {
        Cap[] caps = [ThreeADay, new(Channel.Push, 1, CapPeriod.Hour, CapExceeding.Suppress)];
        var defined = Notify.Domain.Categories.Category.Evolve(null, "k/news", Define(null, caps)!);
        Assert.Equal([caps[1], caps[0]], defined!.Caps!);
        Assert.Null(Define(defined, [caps[1], caps[0]]));
        Assert.NotNull(Define(defined, [caps[0]]));
        Assert.NotNull(Define(defined, [caps[0], caps[1] with { Limit = 2 }]));
        Assert.Null(Define(defined, [])!.Caps);
    }

    private static CategoryDefined? Define(Category? current, Cap[] caps) =>
        Notify.Domain.Categories.Category.Define(
            current,
            "news",
            false,
            new Dictionary<string, bool>(),
            UnknownOutcome.Hold,
            "c_shop",
            Noon,
            caps
        );

    private static Category Capped(params Cap[] caps) => Category() with { Caps = caps };

    private static (DeliveriesPlanned Plan, IReadOnlyList<DeliveryDeferred> PutOff) Decide(
        Dictionary<CapKey, CapCount> counts,
        Category category,
        DateTimeOffset? expiresAt = null,
        DeliveriesPlanned? plan = null,
        string person = "u/u-1",
        Priority priority = Priority.Normal,
        DateTimeOffset? now = null,
        Func<DateTimeOffset, (DateTimeOffset Until, string Rule)?>? quiet = null
    )
    {
        var at = now ?? Noon;
        foreach (var key in CapDecider.Concerns(plan ?? Planned(), category, _ => person))
            counts[key] = counts.TryGetValue(key, out var known) ? known.From(at) : CapCount.None(key.Per, at);
        return CapDecider.Decide(
            Requested(expiresAt: expiresAt, priority: priority),
            plan ?? Planned(),
            category,
            _ => person,
            counts,
            quiet ?? (_ => null),
            at
        );
    }

    private static DateTimeOffset At(string time) => DateTimeOffset.Parse(time, System.Globalization.CultureInfo.InvariantCulture);
}
