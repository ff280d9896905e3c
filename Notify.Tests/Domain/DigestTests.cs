namespace Notify.Tests.Domain;

using FsCheck;
using FsCheck.Fluent;
using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using static Notify.Tests.Domain.Some;

public class DigestTests
{
    private static readonly DigestRule Hourly = new(3600, null, null, 50);
    private static readonly Category Collecting = Category() with { Digest = Hourly };
    private static readonly NotificationContent Words = new("Title", "Body");

    [Fact]
    public void Notification_of_a_digest_category_is_collected_unless_it_cannot_wait_or_be_summarised()
    {
        Assert.Equal(Hourly, DigestDecider.RuleFor(Requested(), Words, Collecting));
        Assert.Equal(Hourly, DigestDecider.RuleFor(Requested(priority: Priority.Bulk), new NotificationContent(Html: "<p>"), Collecting));
        Assert.Equal(
            Hourly,
            DigestDecider.RuleFor(
                Requested() with
                {
                    Template = new PinnedTemplate("t", 1, null, [Channel.Sms], []),
                },
                new NotificationContent(),
                Collecting
            )
        );

        Assert.Equal(
            Hourly,
            DigestDecider.RuleFor(Requested(priority: Priority.Critical) with { Through = "app:c_shop" }, Words, Collecting)
        ); // an app's word is not critical

        Assert.Null(DigestDecider.RuleFor(Requested(), Words, Category()));
        Assert.Null(DigestDecider.RuleFor(Requested(priority: Priority.Critical), Words, Collecting));
        Assert.Null(DigestDecider.RuleFor(Requested(), Words, Collecting with { Required = true }));
        Assert.Null(
            DigestDecider.RuleFor(Requested(), Words with { Attachments = [new EmailAttachment("a.txt", "text/plain", [1])] }, Collecting)
        );
        Assert.Null(
            DigestDecider.RuleFor(
                Requested(),
                new NotificationContent(Data: System.Text.Json.JsonSerializer.SerializeToElement(new { a = 1 })),
                Collecting
            )
        );
    }

    [Fact]
    public void The_first_opens_a_digest_for_the_whole_window_and_a_full_one_is_followed_by_the_next()
    {
        var (first, isNew) = DigestDecider.Join(null, Hourly, () => "n/c_shop:digest=1", Noon);
        Assert.Equal((new OpenDigest("n/c_shop:digest=1", Noon.AddHours(1), 1), true), (first, isNew));
        Assert.Equal((first with { Members = 2 }, false), DigestDecider.Join(first, Hourly, () => "never", Noon.AddMinutes(59)));
        // Late, and still open.
        Assert.Equal((first with { Members = 2 }, false), DigestDecider.Join(first, Hourly, () => "never", Noon.AddHours(2)));
        var next = DigestDecider.Join(
            first with
            {
                Members = DigestRule.MostMembers,
            },
            Hourly,
            () => "n/c_shop:digest=2",
            Noon.AddMinutes(1)
        );
        Assert.Equal((new OpenDigest("n/c_shop:digest=2", Noon.AddMinutes(61), 1), true), next);

        var collected = DigestDecider.Collected(first, Hourly, Collecting, Noon);
        Assert.Equal(
            ("digest=1", Noon.AddHours(1), "digest of category shipping, version 3: 3600 s from its first notification on"),
            (collected.Digest, collected.Until, collected.Rule)
        );
    }

    [Fact]
    public void Expired_or_unreadable_member_is_skipped_when_the_digest_closes()
    {
        var now = Noon.AddHours(1);
        var closing = DigestDecider.Close(
            "digest=1",
            [
                Waiting("a", expiresAt: now),
                Waiting("b", Priority.Bulk, expiresAt: now.AddMinutes(1)),
                Waiting("c", isReadable: false),
                Waiting("d", expiresAt: now.AddMinutes(2)),
            ],
            now
        );

        Assert.Equal(["b", "d"], closing.Told.Select(m => m.Notification.Request.EventId));
        Assert.Equal([new DigestLeftOut("a", Reasons.Expired), new DigestLeftOut("c", Reasons.Erased)], closing.LeftOut);
        Assert.Equal((Priority.Normal, now.AddMinutes(2)), (closing.Priority, closing.ExpiresAt));
        Assert.Equal(Priority.Normal, DigestDecider.Close("digest=1", [Waiting("a", Priority.Critical)], now).Priority);
        Assert.Null(DigestDecider.Close("digest=1", [Waiting("a", expiresAt: now.AddDays(1)), Waiting("b")], now).ExpiresAt);
        Assert.Equal(
            [
                ("n/c_shop:a", typeof(NotificationExpired)),
                ("n/c_shop:b", typeof(NotificationDigested)),
                ("n/c_shop:c", typeof(DeliveriesPlanned)),
                ("n/c_shop:d", typeof(NotificationDigested)),
            ],
            closing.Events.Select(e => (e.Key, e.Event.GetType()))
        );
    }

    [Fact]
    public void A_member_is_scheduled_until_the_digest_closes_and_then_digested_or_as_it_ended()
    {
        object collected = new NotificationCollected("digest=1", Noon.AddHours(1), "rule", Noon);
        Assert.Equal(NotificationStatus.Scheduled, StatusOf(collected));
        Assert.Equal(NotificationStatus.Digested, StatusOf(collected, new NotificationDigested("digest=1", Noon)));
        Assert.Equal(NotificationStatus.Cancelled, StatusOf(collected, new NotificationCancelled([], "c", Noon)));
        Assert.Equal(NotificationStatus.Expired, StatusOf(collected, new NotificationExpired([], Noon)));

        var waiting = Notify.Domain.Notifications.Notification.Fold(Key, [Requested(sendAt: Noon.AddHours(2)), collected])!;
        Assert.True(waiting is { IsToBePlanned: false, IsInOpenDigest: true });
        Assert.NotNull(NotificationDecider.Cancel(waiting, [], "c", Noon));
        Assert.Null(NotificationDecider.Reschedule(waiting, Noon.AddHours(3), "c", Noon));
        Assert.Null(
            NotificationDecider.Cancel(
                Notify.Domain.Notifications.Notification.Evolve(waiting, Key, new NotificationDigested("digest=1", Noon))!,
                [],
                "c",
                Noon
            )
        );
    }

    [Fact]
    public void A_digest_that_closes_is_what_its_members_make_of_it_and_without_any_it_ends_as_they_have()
    {
        var opened = new DigestOpened("u/u-1", Hourly, 3, Noon);
        var closed = new DigestClosed(["a", "b"], [], Priority.Normal, [Channel.Sms], null, Noon.AddDays(1), Sealed("words"), null, Noon);
        DigestClosed Empty(params DigestLeftOut[] leftOut) => new([], leftOut, Priority.Bulk, null, null, null, null, null, Noon);
        var digest = Notify.Domain.Notifications.Notification.Fold(Key, [Requested(sendAt: Noon), opened, closed])!;

        Assert.Equal((Sealed("words").Text, Noon.AddDays(1)), (digest.Request.Payload.Inline, digest.Request.ExpiresAt!.Value));
        Assert.Equal([Channel.Sms], digest.Request.Channels!);
        Assert.True(digest is { IsToBePlanned: true, Members.Count: 2 });
        Assert.Equal(NotificationStatus.Cancelled, StatusOf(opened, Empty()));
        Assert.Equal(
            NotificationStatus.Expired,
            StatusOf(opened, Empty(new DigestLeftOut("a", Reasons.Expired), new DigestLeftOut("b", Reasons.Erased)))
        );
        Assert.Equal(NotificationStatus.Suppressed, StatusOf(opened, Empty(new DigestLeftOut("a", Reasons.Erased))));
    }

    [Fact]
    public void A_category_that_collects_otherwise_is_defined_anew_and_the_same_again_changes_nothing()
    {
        CategoryDefined? Define(Category? current, DigestRule? digest) =>
            Notify.Domain.Categories.Category.Define(
                current,
                "news",
                false,
                new Dictionary<string, bool>(),
                UnknownOutcome.Hold,
                "c_shop",
                Noon,
                null,
                digest
            );
        var rule = new DigestRule(60, "told", [Channel.Sms], 10);
        var defined = Notify.Domain.Categories.Category.Evolve(null, "k/news", Define(null, rule)!);
        Assert.Equal(rule, defined!.Digest);
        Assert.Null(Define(defined, new DigestRule(60, "told", [Channel.Sms], 10)));
        Assert.All(
            [
                null,
                rule with
                {
                    WindowSeconds = 61,
                },
                rule with
                {
                    Template = null,
                },
                rule with
                {
                    Channels = [Channel.Email],
                },
                rule with
                {
                    MaxItems = 11,
                },
            ],
            other => Assert.NotNull(Define(defined, other))
        );
    }

    private abstract record Step;

    private sealed record Add(int Person, int ExpiresIn) : Step;

    private sealed record Withdraw(int Which) : Step;

    private sealed record Close(int Which) : Step;

    // For any order of requests, cancellations and closings: each notification ends once. One digest contains it, or none where it
    // was cancelled or had expired. A digest contains the notifications of one person only.
    [Fact]
    public void For_any_interleaving_each_is_told_by_exactly_one_digest_or_says_why_not()
    {
        var step = Gen.Frequency(
            (6, from person in Gen.Choose(0, 2) from expires in Gen.Elements(0, 0, 0, 1, 5, 20) select (Step)new Add(person, expires)),
            (1, from which in Gen.Choose(0, 100) select (Step)new Withdraw(which)),
            (2, from which in Gen.Choose(0, 100) select (Step)new Close(which))
        );
        Check.One(Config.QuickThrowOnFailure.WithMaxTest(500), Prop.ForAll(Arb.From(Gen.ListOf(step)), steps => Holds([.. steps])));
    }

    private static bool Holds(IReadOnlyList<Step> steps)
    {
        var (now, number) = (Noon, 0);
        var open = new Dictionary<int, OpenDigest?>();
        var owner = new Dictionary<string, int>();
        var items = new List<(string Digest, Notification Member, int Person)>();
        var told = new List<(string Digest, string Member)>();
        var ends = new Dictionary<string, List<object>>();

        void CloseDigest(string digest)
        {
            var closing = DigestDecider.Close(
                digest,
                [.. items.Where(i => i.Digest == digest).Select(i => new DigestMember(i.Member, true))],
                now
            );
            Assert.All(items.Where(i => i.Digest == digest), i => Assert.Equal(owner[digest], i.Person));
            items.RemoveAll(i => i.Digest == digest);
            told.AddRange(closing.Told.Select(m => (digest, m.Notification.Key)));
            foreach (var (key, @event) in closing.Events)
                ends[key].Add(@event);
            if (open[owner[digest]]?.Key == digest)
                open[owner[digest]] = null;
            owner.Remove(digest);
        }

        foreach (var step in steps)
        {
            now = now.AddMinutes(1);
            switch (step)
            {
                case Add add:
                    var member = Waiting(
                        $"e-{number++}",
                        expiresAt: add.ExpiresIn == 0 ? null : now.AddMinutes(add.ExpiresIn)
                    ).Notification;
                    var (digest, isNew) = DigestDecider.Join(
                        open.GetValueOrDefault(add.Person),
                        Hourly,
                        () => $"n/c_shop:digest={member.Key}",
                        now
                    );
                    open[add.Person] = digest;
                    if (isNew)
                        owner.Add(digest.Key, add.Person);
                    items.Add((digest.Key, member, add.Person));
                    ends[member.Key] = [];
                    break;
                case Withdraw w when items.Count > 0:
                    var item = items[w.Which % items.Count];
                    items.Remove(item);
                    ends[item.Member.Key].Add(new NotificationCancelled([], "c", now));
                    break;
                case Close c when owner.Count > 0:
                    CloseDigest(owner.Keys.Order(StringComparer.Ordinal).ElementAt(c.Which % owner.Count));
                    break;
            }
        }

        foreach (var digest in owner.Keys.ToList())
            CloseDigest(digest);
        Assert.Empty(items);
        Assert.All(ends, e => Assert.Equal(Assert.Single(e.Value) is NotificationDigested ? 1 : 0, told.Count(t => t.Member == e.Key)));
        return true;
    }

    private static DigestMember Waiting(
        string eventId,
        Priority priority = Priority.Normal,
        DateTimeOffset? expiresAt = null,
        bool isReadable = true
    ) =>
        new(
            Notify.Domain.Notifications.Notification.Fold(
                $"n/c_shop:{eventId}",
                [
                    Requested(priority: priority, expiresAt: expiresAt) with
                    {
                        EventId = eventId,
                    },
                    new NotificationCollected("digest=1", Noon.AddHours(1), "rule", Noon),
                ]
            )!,
            isReadable
        );

    private static NotificationStatus StatusOf(params object[] since) =>
        NotificationStatusRule.Of(Notify.Domain.Notifications.Notification.Fold(Key, [Requested(), .. since])!);
}
