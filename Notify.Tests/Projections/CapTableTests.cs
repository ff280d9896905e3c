namespace Notify.Tests.Projections;

using System.Diagnostics;
using Notify.Delivery.Planning;
using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Domain.Recipients;
using Notify.Tests.Domain;
using Notify.Tests.Projections.Analytics;

public sealed class CapTableTests(AnalyticsDatabase database) : IClassFixture<AnalyticsDatabase>
{
    private static readonly DateTimeOffset Now = Some.Noon;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Of_a_thousand_that_race_for_one_user_as_many_go_as_the_cap_allows()
    {
        var rules = Rules(CapExceeding.Suppress);
        var user = NewUser();

        var plans = await RaceAsync(16, Enumerable.Range(0, 1000).Select(_ => Plan(user)).Chunk(20), rules);

        Assert.Equal(
            (3, 997),
            (plans.Sum(p => p.Plan.Deliveries.Count), plans.Count(p => p.Plan.LeftOut is [{ Reason: Reasons.CapExceeded }]))
        );
        Assert.Equal("{3}", await TakenAsync(user));
    }

    [Fact]
    public async Task A_flood_spreads_over_the_windows_to_come_and_fills_each()
    {
        var rules = Rules(CapExceeding.Defer);
        var user = NewUser();

        var plans = await RaceAsync(16, Enumerable.Range(0, 60).Select(_ => Plan(user)).Chunk(2), rules);

        Assert.All(plans, p => Assert.Single(p.Plan.Deliveries));
        Assert.Equal(57, plans.Count(p => p.PutOff.Count == 1));
        Assert.Equal(
            Enumerable.Range(1, 19).Select(d => (Now.Date.AddDays(d), 3)),
            plans.SelectMany(p => p.PutOff).GroupBy(p => p.Until.UtcDateTime).OrderBy(g => g.Key).Select(g => (g.Key, g.Count()))
        );
        Assert.All(
            plans.SelectMany(p => p.Open(Now)),
            o =>
                Assert.True(o.State == Notify.Delivery.DeliveryQueue.OpenState.Queued || (o.DueAt > Now && o.Reason == Reasons.CapExceeded))
        );
    }

    [Fact]
    public async Task Groups_that_share_people_in_any_order_do_not_stand_in_each_other_s_way()
    {
        var rules = Rules(CapExceeding.Suppress);
        var users = Enumerable.Range(0, 40).Select(_ => NewUser()).ToArray();

        var plans = await RaceAsync(
            12,
            Enumerable
                .Range(0, 12)
                .Select(seed =>
                {
                    var mine = users.Select(u => Plan(u)).ToArray();
                    new Random(seed).Shuffle(mine);
                    return mine;
                }),
            rules
        );

        Assert.All(plans.GroupBy(p => p.Request.Subject), u => Assert.Equal(3, u.Sum(p => p.Plan.Deliveries.Count)));
    }

    [Fact]
    public async Task Abandoned_reservation_takes_no_slot_and_a_past_window_frees_its_slots()
    {
        var (rules, user) = (Rules(CapExceeding.Suppress), NewUser());
        await using (var connection = await database.Source.OpenConnectionAsync(Cancellation))
        await using (await connection.BeginTransactionAsync(Cancellation))
            Assert.Single(
                (await CapPlanning.HoldAsync(connection, [Plan(user)], rules, database.Ring, Now, Cancellation))[0].Plan.Deliveries
            );

        Assert.Equal(
            3,
            (
                await RaceAsync(
                    1,
                    [
                        [.. Enumerable.Range(0, 5).Select(_ => Plan(user))],
                    ],
                    rules
                )
            ).Sum(p => p.Plan.Deliveries.Count)
        );
        Assert.Equal(
            3,
            (
                await RaceAsync(
                    1,
                    [
                        [.. Enumerable.Range(0, 5).Select(_ => Plan(user))],
                    ],
                    rules,
                    Now.AddHours(12)
                )
            ).Sum(p => p.Plan.Deliveries.Count)
        );
        Assert.Empty((
                await RaceAsync(
                    1,
                    [
                        [Plan(user)],
                    ],
                    rules,
                    Now
                )
            )[0].Plan.Deliveries); // a clock that is behind finds no new places
    }

    [Fact]
    public async Task People_who_are_not_registered_are_known_by_their_address_and_what_is_tried_out_is_counted_apart()
    {
        var rules = Rules(CapExceeding.Suppress);
        var phone = $"+8210{Random.Shared.Next(10_000_000, 99_999_999)}";
        NotificationPlan To(string email, ClientMode mode = ClientMode.Live)
        {
            var plan = Plan($"a/{email}", mode);
            return plan with
            {
                Request = plan.Request with { UserRef = null },
                Payload = new NotificationPayload(new NotificationContent(), new UnregisteredRecipient(email, phone, null), null),
            };
        }

        var plans = await RaceAsync(
            1,
            [
                [
                    To("one@mail.example"),
                    To("two@mail.example"),
                    To("three@mail.example"),
                    To("four@mail.example"),
                    To("one@mail.example", ClientMode.Test),
                ],
            ],
            rules
        );

        Assert.Equal([1, 1, 1, 0, 1], plans.Select(p => p.Plan.Deliveries.Count));
    }

    [Fact]
    public async Task Counts_are_removed_a_day_after_their_last_window()
    {
        var user = NewUser();
        await RaceAsync(
            1,
            [
                [Plan(user)],
            ],
            Rules(CapExceeding.Defer),
            Now.AddDays(-400)
        );

        Assert.Equal(0, await CapTable.SweepAsync(database.Source, Now.AddDays(-399).AddHours(11), 5000, Cancellation));
        Assert.Equal(1, await CapTable.SweepAsync(database.Source, Now.AddDays(-398).AddHours(13), 5000, Cancellation));
        Assert.Null(await TakenAsync(user));
    }

    [Fact]
    public async Task Cost_of_caps_is_measured()
    {
        async Task<double> MeasureAsync(ReachRules rules)
        {
            var groups = Enumerable.Range(0, 1000).Select(_ => Plan(NewUser())).Chunk(250).ToList();
            var began = Stopwatch.GetTimestamp();
            var plans = await RaceAsync(1, groups, rules);
            Assert.Equal(1000, plans.Sum(p => p.Plan.Deliveries.Count));
            return Stopwatch.GetElapsedTime(began).TotalMilliseconds;
        }

        await MeasureAsync(Rules(CapExceeding.Defer)); // the first statements are planned and compiled
        TestContext.Current.TestOutputHelper?.WriteLine(
            $"1,000 plans for 1,000 people in 4 transactions: without a cap {await MeasureAsync(ReachRules.None):0} ms, with "
                + $"one {await MeasureAsync(Rules(CapExceeding.Defer)):0} ms"
        );
    }

    private static string NewUser() => $"u/{Guid.NewGuid():N}";

    private static ReachRules Rules(CapExceeding exceeding) =>
        Some.Rules(null, Some.Category() with { Caps = [new Cap(Channel.Sms, 3, CapPeriod.Day, exceeding)] });

    private static NotificationPlan Plan(string subject, ClientMode mode = ClientMode.Live)
    {
        var key = $"n/c_shop:{Guid.NewGuid():N}";
        return new NotificationPlan(
            key,
            Some.Requested() with
            {
                Subject = subject,
                Mode = mode,
            },
            null,
            new DeliveriesPlanned(
                [new PlannedDelivery(DeterministicId.OfDelivery(key, "sms"), Lane.Sms, null, Some.Sealed("phone"))],
                [],
                3,
                Now
            )
        );
    }

    private async Task<List<NotificationPlan>> RaceAsync(
        int width,
        IEnumerable<IReadOnlyList<NotificationPlan>> groups,
        ReachRules rules,
        DateTimeOffset? now = null
    )
    {
        var held = new System.Collections.Concurrent.ConcurrentQueue<NotificationPlan>();
        await Parallel.ForEachAsync(
            groups,
            new ParallelOptions { MaxDegreeOfParallelism = width, CancellationToken = Cancellation },
            async (group, cancellation) =>
            {
                await using var connection = await database.Source.OpenConnectionAsync(cancellation);
                await using var transaction = await connection.BeginTransactionAsync(cancellation);
                var plans = await CapPlanning.HoldAsync(connection, group, rules, database.Ring, now ?? Now, cancellation);
                await transaction.CommitAsync(cancellation);
                foreach (var plan in plans)
                    held.Enqueue(plan);
            }
        );
        return [.. held];
    }

    private async Task<string?> TakenAsync(string user) =>
        (await database.RowsAsync($"select taken::text as t from notify.cap_counts where person = '{user}'"))
            .Select(r => System.Text.Json.Nodes.JsonNode.Parse(r)!["t"]!.ToString())
            .SingleOrDefault();
}
