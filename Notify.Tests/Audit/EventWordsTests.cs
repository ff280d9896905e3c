namespace Notify.Tests.Audit;

using System.Reflection;
using Notify.Delivery.EventStore;
using Notify.Domain.Broadcasts;
using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Descriptions;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;
using Notify.Domain.Routing;
using Notify.Domain.Topics;
using Notify.Tests.Support;

/// <summary>Each event in a sentence.</summary>
public sealed class EventWordsTests
{
    private static readonly DateTimeOffset At = new(2026, 12, 1, 9, 0, 0, TimeSpan.Zero);
    private static readonly Guid Sms = Guid.Parse("00000000-0000-8000-8000-000000000001"),
        Push = Guid.Parse("00000000-0000-8000-8000-000000000002");

    private static readonly object[] Stream =
    [
        new NotificationRequested(
            "c_shop",
            "order-1",
            "u-42",
            "u/u-42",
            ClientMode.Test,
            "shipping",
            Priority.Critical,
            [Channel.Sms, Channel.Push],
            new Sealed("1.x"),
            At.AddHours(1),
            At.AddHours(2),
            "h",
            null,
            At
        ),
        new DeliveriesPlanned(
            [new PlannedDelivery(Sms, Lane.Sms, null, new Sealed("1.y")), new PlannedDelivery(Push, Lane.Apns, "d_1", new Sealed("1.z"))],
            [new LeftOutDelivery(Guid.NewGuid(), Channel.Email, null, Reasons.OptedOut, "channel email")],
            7,
            At
        ),
    ];

    public static TheoryData<object, string> Sentences =>
        new()
        {
            {
                Stream[0],
                "Client c_shop asked for a notification to user u-42: category shipping, priority critical, by SMS and push, "
                    + "at 2026-12-01 10:00:00.000Z, worth nothing after 2026-12-01 11:00:00.000Z, in test mode: to the sandbox only."
            },
            {
                new NotificationRequested(
                    "c_shop",
                    "app:1",
                    "u-42",
                    "u/u-42",
                    ClientMode.Live,
                    "otp",
                    Priority.Critical,
                    [Channel.Sms],
                    new Sealed("1.x"),
                    null,
                    null,
                    "h",
                    null,
                    At,
                    null,
                    "app:c_shop"
                ),
                "The user's app, with a token of client c_shop, asked for a notification to user u-42: category otp, priority "
                    + "critical, by SMS."
            },
            {
                Stream[1],
                "Planned: SMS and push to d_1 (apns). Left out: email, because opted out (rule: channel email). Decided on "
                    + "version 7 of the user."
            },
            {
                new DeliveriesPlanned(
                    [
                        new PlannedDelivery(
                            Sms,
                            Lane.Sms,
                            null,
                            new Sealed("1.y"),
                            "category security is required, version 2; passes channel sms"
                        ),
                    ],
                    [],
                    7,
                    At,
                    2
                ),
                "Planned: SMS (rule: category security is required, version 2; passes channel sms). Decided on version 7 of "
                    + "the user and version 2 of the category."
            },
            { new DeliveriesPlanned([], [], 0, At, 2), "Planned: nothing to send. Decided on version 2 of the category." },
            {
                new DeliveryDeferred(Sms, At, Reasons.ResentByPolicy, 1, "twilio", null, At),
                "The SMS waits until 2026-12-01 09:00:00.000Z after attempt 1: resent by policy (twilio)."
            },
            {
                ((NotificationRequested)Stream[0]) with
                {
                    Template = new PinnedTemplate("order-shipped", 3, "ko", [Channel.Sms], []),
                },
                "Client c_shop asked for a notification to user u-42: category shipping, priority critical, by SMS and push, "
                    + "with version 3 of the template order-shipped, at 2026-12-01 10:00:00.000Z, worth nothing after 2026-12-01 "
                    + "11:00:00.000Z, in test mode: to the sandbox only."
            },
            {
                new DeliveriesPlanned([new PlannedDelivery(Sms, Lane.Sms, null, new Sealed("1.y"))], [], 0, At, Locale: "ko-KR"),
                "Planned: SMS. The template speaks ko-KR, where it can."
            },
            {
                new DeliveryDeferred(Sms, At.AddDays(1), Reasons.CapExceeded, 0, null, null, At, "3 per day"),
                "The SMS waits until 2026-12-02 09:00:00.000Z: cap exceeded (rule: 3 per day)."
            },
            {
                new DeliveryDeferred(Sms, At.AddSeconds(5), Reasons.ProviderAskedToWait, 1, "twilio", "429", At),
                "The SMS waits until 2026-12-01 09:00:05.000Z after attempt 1: provider asked to wait (twilio: 429)."
            },
            {
                new DeliveryDeferred(Sms, At, Reasons.QuietHours, 0, null, null, At, "quiet hours 22:00 to 08:00 in Asia/Seoul, version 4"),
                "The SMS waits until 2026-12-01 09:00:00.000Z: quiet hours (rule: quiet hours 22:00 to 08:00 in Asia/Seoul, version 4)."
            },
            {
                new DeliveryReaddressed(Sms, new Sealed("1.y"), 9, At),
                "The SMS goes to the user's new number: theirs changed since it was planned (version 9 of the user)."
            },
            {
                new CapPlaceMoved(Sms, "caps of category shipping on sms, version 2; planned for 2026-12-01 08:55Z", At),
                "The SMS leaves later than planned, and counts where it leaves (rule: caps of category shipping on sms, "
                    + "version 2; planned for 2026-12-01 08:55Z)."
            },
            { new DispatchAttempted(Sms, 2, "twilio", At), "The SMS: attempt 2 at twilio is about to be made." },
            {
                new NotificationDispatched(Push, 1, "apns", "A-1", 131, "h", At),
                "The push to d_1 was accepted by apns at attempt 1, after 131 ms (their ID A-1)."
            },
            {
                new NotificationDispatched(Sms, 1, "twilio", null, 131, "h", At, Segments: 2),
                "The SMS was accepted by twilio at attempt 1, after 131 ms, in 2 segments."
            },
            {
                new NotificationDispatched(Sms, 1, "vonage", "0A01", 131, "h", At, Segments: 2, RefusedParts: 1),
                "The SMS was accepted by vonage at attempt 1, after 131 ms, in 2 segments, of which 1 were refused (their ID 0A01)."
            },
            {
                new DuplicateDispatchDetected(Sms, 2, "twilio", "SM2", At),
                "The SMS was accepted by twilio a second time, at attempt 2 (their ID SM2)."
            },
            {
                new NotificationFailed(Sms, 1, Reasons.BadAddress, "twilio", "21211", At),
                "The SMS failed for good at attempt 1: bad address (twilio: 21211)."
            },
            {
                new DispatchOutcomeUnknown(Sms, 1, "twilio", Reasons.TimedOut, At.AddMinutes(15), At),
                "The SMS: whether twilio accepted attempt 1 is not known (timed out). Nothing is repeated; it is decided by "
                    + "2026-12-01 09:15:00.000Z."
            },
            {
                new DeliverySuppressed(Push, Reasons.DeviceRemoved, "devices", At),
                "The push to d_1 was left out at the last check: device removed (rule: devices)."
            },
            {
                new DeliveryDeadLettered(Sms, 12, Reasons.AttemptsExhausted, "twilio", "503", At),
                "The SMS used up its 12 attempts and is a dead letter: attempts exhausted (twilio: 503)."
            },
            { new DeliveryRedriven(Sms, "Mended.", "c_ops", At), "c_ops sent the SMS on its way again: Mended." },
            { new NotificationCancelled([Sms, Push], "c_shop", At), "c_shop withdrew the SMS and the push to d_1." },
            { new NotificationCancelled([], "c_shop", At), "c_shop withdrew the notification before it was planned." },
            { new NotificationRescheduled(At, "c_shop", At), "c_shop moved it to 2026-12-01 09:00:00.000Z." },
            { new NotificationExpired([Sms], At), "Its time had passed before the SMS could be made." },
            { new NotificationDelivered(Sms, "twilio", At), "The SMS reached the device, says twilio." },
            {
                new CircuitOpened("twilio", "5 failures in a row: Retry 503", At, At),
                "twilio is left alone until 2026-12-01 09:00:00.000Z: 5 failures in a row: Retry 503."
            },
            {
                new CircuitHalfOpened("twilio", "tried again after 10 s", At),
                "twilio is tried with one delivery at a time: tried again after 10 s."
            },
            { new CircuitClosed("twilio", "3 calls succeeded", At), "twilio is sent to as before: 3 calls succeeded." },
            {
                new ProviderWeightChanged("twilio", 1, 0.25, "40% of 50 calls failed", At),
                "twilio gets 25% of its weight instead of 100%: 40% of 50 calls failed."
            },
            {
                new NotificationDispatched(Sms, 1, "twilio", "SM1", 0, null, At, "SM1:sent"),
                "The SMS was accepted by twilio, says a receipt (their ID SM1)."
            },
            {
                new NotificationFailed(Sms, 1, Reasons.Undelivered, "twilio", "30003", At, "SM1:undelivered:30003"),
                "The SMS failed for good, says a receipt: undelivered (twilio: 30003)."
            },
            {
                new NotificationCollected("digest=1", At.AddHours(1), "digest of category shipping, version 2", At),
                "It waits in the digest digest=1 until 2026-12-01 10:00:00.000Z (rule: digest of category shipping, version 2)."
            },
            { new NotificationDigested("digest=1", At), "The digest digest=1 tells it, and what becomes of it." },
            {
                new DigestOpened("u/u-42", new DigestRule(3600, null, null, 50), 2, At),
                "A digest was opened: for 3600 s it takes what comes of the category, by version 2 of it."
            },
            {
                new DigestClosed(
                    ["a", "b"],
                    [new DigestLeftOut("c", Reasons.Expired)],
                    Priority.Normal,
                    null,
                    new PinnedTemplate("told", 3, null, [Channel.Sms], []),
                    null,
                    new Sealed("1.x"),
                    null,
                    At
                ),
                "The digest closed and tells 2: a and b, with version 3 of the template told. Left out: c, because expired."
            },
            {
                new DigestClosed(["a"], [], Priority.Normal, null, null, null, new Sealed("1.x"), "sms.text 1:4", At),
                "The digest closed and tells 1: a, in plain words, since its template failed (sms.text 1:4)."
            },
            {
                new DigestClosed([], [], Priority.Bulk, null, null, null, null, null, At),
                "The digest closed with nothing in it: everything was withdrawn. Nothing is sent."
            },
            { new Complained(Sms, "sendgrid", At), "The person called the SMS unwanted, says sendgrid." },
            { new LinkClicked(Sms, 0, "link", At), "The person followed link 1 of the SMS for the first time." },
            { new Unsubscribed(Sms, "sendgrid", At), "The person unsubscribed through the SMS, says sendgrid." },
            { new TopicDefined("club-news", "News of the club", "c_shop", At), "c_shop named the topic club-news: News of the club." },
            { new TopicJoined("club-news", "c_shop", At), "c_shop let the user follow the topic club-news." },
            { new TopicLeft("club-news", "c_shop", At), "c_shop let the user follow the topic club-news no more." },
            {
                new BroadcastRequested(
                    "c_shop",
                    "b-1",
                    ClientMode.Live,
                    Audience.Of("club-news"),
                    "news",
                    Priority.Bulk,
                    null,
                    new Sealed("1.x"),
                    At,
                    null,
                    "h",
                    null,
                    At
                ),
                "Client c_shop asked for a broadcast: category news, priority bulk, at 2026-12-01 09:00:00.000Z."
            },
            { new BroadcastStarted(20000, At), "Its notifications are being made, for 20000 users." },
            { new BroadcastPaused(500, "c_shop", At), "c_shop held it after 500 notifications." },
            { new BroadcastResumed("c_shop", At), "c_shop let it go on." },
            { new BroadcastCancelled(500, "c_shop", At), "c_shop withdrew it after 500 notifications." },
            { new BroadcastExpired(500, At), "Its time had passed after 500 notifications." },
            { new BroadcastCompleted(20000, At), "All of its 20000 notifications are made." },
            { new NotificationOpened(Push, "app", At), "The person opened the push to d_1 for the first time, says app." },
            {
                new Unsubscribed(Sms, UnsubscribeSources.OneClick, At),
                "The person unsubscribed by the SMS (one-click): no more emails of category shipping."
            },
        };

    [Theory]
    [MemberData(nameof(Sentences), DisableDiscoveryEnumeration = true)]
    public void An_event_is_told_in_a_sentence(object @event, string sentence) =>
        Assert.Equal(sentence, EventDescriptions.Of(Notification.Fold("n/c_shop:order-1", Stream), @event));

    [Fact]
    public void Every_event_of_a_notification_has_words_of_its_own()
    {
        var told = Sentences.Select(s => s.Data.Item1.GetType()).ToHashSet();
        var untold = EventTypes
            .All.Where(t => t.Namespace == typeof(NotificationRequested).Namespace && !told.Contains(t))
            .Select(t => t.Name);
        Assert.True(!untold.Any(), $"EventDescriptions and this test do not tell of: {string.Join(", ", untold)}");
    }

    [Fact]
    public void Every_event_and_each_of_its_fields_is_in_the_page_that_explains_them()
    {
        var page = File.ReadAllText(Path.Combine(Repository.Root, "docs", "events.md"));
        var sections = page.Split("\n### ").Skip(1).ToDictionary(s => s.Split('\n')[0].Trim().Trim('`'), s => s, StringComparer.Ordinal);
        var missing = EventTypes
            .All.Where(t => !sections.ContainsKey(t.Name))
            .Select(t => $"### `{t.Name}`")
            .Concat(
                EventTypes
                    .All.Where(t => sections.ContainsKey(t.Name))
                    .SelectMany(t =>
                        FieldsOf(t).Where(f => !sections[t.Name].Contains($"`{f}`", StringComparison.Ordinal)).Select(f => $"{t.Name}.{f}")
                    )
            )
            .Concat(sections.Keys.Where(s => EventTypes.All.All(t => t.Name != s)).Select(s => $"{s} is explained, but is no event"))
            .Concat(
                EventTypes
                    .All.Where(t => sections.TryGetValue(t.Name, out var text) && !text.Contains("Then:", StringComparison.Ordinal))
                    .Select(t => $"{t.Name}: \"Then:\", what follows")
            );
        Assert.True(!missing.Any(), $"docs/events.md lacks:\n{string.Join("\n", missing)}");
    }

    [Fact]
    public void Every_reason_is_in_the_page_that_explains_them()
    {
        var page = File.ReadAllText(Path.Combine(Repository.Root, "docs", "events.md"));
        var missing = typeof(Reasons)
            .GetFields(BindingFlags.Public | BindingFlags.Static)
            .Select(f => (string)f.GetRawConstantValue()!)
            .Where(r => !page.Contains($"| `{r}` |", StringComparison.Ordinal));
        Assert.True(!missing.Any(), $"docs/events.md does not explain the reasons {string.Join(", ", missing)}");
    }

    private static IEnumerable<string> FieldsOf(Type type) =>
        type.GetProperties(BindingFlags.Public | BindingFlags.Instance)
            .Where(p => p.Name is not ("At" or "By" or "DeliveryId"))
            .Select(p =>
                p.GetCustomAttribute<System.Text.Json.Serialization.JsonPropertyNameAttribute>()?.Name
                ?? System.Text.Json.JsonNamingPolicy.CamelCase.ConvertName(p.Name)
            );
}
