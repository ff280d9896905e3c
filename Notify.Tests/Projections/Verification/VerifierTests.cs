namespace Notify.Tests.Projections.Verification;

using System.Globalization;
using Notify.Delivery.Suppressions;
using Notify.Domain.Broadcasts;
using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Domain.Recipients;
using Notify.Domain.Suppressions;
using Notify.Projections.Verification;
using Notify.Tests.Domain;
using Notify.Tests.Projections.Analytics;

/// <summary>Each fault is made by hand in a database, and found.</summary>
public sealed class VerifierTests(AnalyticsDatabase database) : IClassFixture<AnalyticsDatabase>
{
    private readonly StoreBuilder builder = new(database);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Verification_finds_no_fault_in_a_sound_notification()
    {
        var n = builder.New("sound");
        await builder.AcceptAsync(n);
        await builder.QueueAsync(n);

        Assert.Empty(await FaultsAsync(n.Key));
    }

    [Fact]
    public async Task Verification_finds_an_event_id_without_a_stream()
    {
        var n = builder.New("nostream");
        await database.ExecuteAsync($"insert into notify.event_ids values ('{n.Key}', 'h')");

        await FindsAsync(n.Key, VerificationFaultKind.StreamMissing, "accepted, but has no stream");
    }

    [Fact]
    public async Task Verification_finds_a_stream_without_an_event_id()
    {
        var n = builder.New("noid");
        await builder.AcceptAsync(n, NotificationCancelled());
        await database.ExecuteAsync($"delete from notify.event_ids where key = '{n.Key}'");

        await FindsAsync(n.Key, VerificationFaultKind.EventIdMissing, "its event ID is not kept");
    }

    [Fact]
    public async Task Unreadable_stream_is_one_fault_and_its_neighbours_are_checked()
    {
        var (bad, lost) = (builder.New("unreadable"), builder.New("unreadable-neighbour"));
        await builder.AcceptAsync(bad);
        await builder.AcceptAsync(lost);
        await database.ExecuteAsync($"update events.mt_events set data = '[5]' where stream_id = '{bad.Key}' and version = 1");

        var fault = Assert.Single(await FaultsAsync(bad.Key), f => f.Kind == VerificationFaultKind.Unreadable);
        Assert.Contains(
            "cannot be read: event 1 (NotificationRequested), its data cannot be read",
            fault.ToString(),
            StringComparison.Ordinal
        );
        await FindsAsync(lost.Key, VerificationFaultKind.NotPlanned, "nothing will plan it");
        await database.ExecuteAsync($"delete from events.mt_events where stream_id = '{bad.Key}'");
    }

    [Fact]
    public async Task Verification_finds_a_lost_delivery_a_row_that_differs_and_a_row_without_a_stream()
    {
        var (lost, differs, orphan) = (builder.New("lost"), builder.New("differs"), builder.New("orphan"));
        foreach (var n in new[] { lost, differs })
        {
            await builder.AcceptAsync(n, n.Plan());
            await builder.QueueAsync(n);
        }

        await database.ExecuteAsync($"delete from notify.open_deliveries where delivery_id = '{lost.Sms}'");
        await database.ExecuteAsync($"update notify.open_deliveries set state = 3, due_at = now() where delivery_id = '{differs.Sms}'");
        await builder.QueueAsync(orphan);

        await FindsAsync(lost.Key, VerificationFaultKind.DeliveryLost, $"{lost.Sms}: Queued, and nothing will go on with it");
        await FindsAsync(differs.Key, VerificationFaultKind.RowDiffers, $"{differs.Sms}: Queued, but open as Unknown");
        await FindsAsync(orphan.Key, VerificationFaultKind.RowWithoutStream, "open as Scheduled, but no stream knows it");
    }

    [Fact]
    public async Task Verification_finds_digests_that_differ_from_their_members()
    {
        var (untold, alone, digest) = (builder.New("untold"), builder.New("alone"), builder.New("digest=1"));
        await builder.AcceptAsync(untold, new NotificationDigested(digest.EventId, Some.Noon));
        await builder.AcceptAsync(alone, new NotificationCollected("digest=none", Some.Noon, "rule", Some.Noon));
        await builder.AcceptAsync(
            digest,
            new DigestOpened("u/u-1", new DigestRule(3600, null, null, 5), 1, Some.Noon),
            new DigestClosed([alone.EventId], [], Priority.Normal, null, null, null, null, null, Some.Noon),
            new DeliveriesPlanned([], [], 0, Some.Noon)
        );

        await FindsAsync(untold.Key, VerificationFaultKind.DigestDiffers, $"told by {digest.EventId}, which does not tell it");
        await FindsAsync(alone.Key, VerificationFaultKind.DigestDiffers, "waits in digest=none, which does not have it");
        await FindsAsync(digest.Key, VerificationFaultKind.DigestDiffers, $"tells {alone.Key}, which was not told by it");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Second_yes_of_a_provider_is_a_fault_unless_a_policy_asked_for_it(bool isByPolicy)
    {
        var n = builder.New($"twice-{isByPolicy}");
        object between = isByPolicy
            ? new DeliveryDeferred(n.Sms, Some.Noon, Reasons.ResentByPolicy, 1, "twilio", null, Some.Noon)
            : new DeliveryDeferred(n.Sms, Some.Noon, Reasons.Retry, 1, "twilio", null, Some.Noon);
        await builder.AcceptAsync(n, n.Plan(), Yes(1, "SM1"), between, Yes(2, "SM2"), new NotificationDelivered(n.Push, "app", Some.Noon));

        var result = await VerifyAsync();
        if (isByPolicy)
            Assert.DoesNotContain(result.Faults, f => f.Stream == n.Key);
        else
            Assert.Contains(
                "accepted by providers 2 times: twilio SM1, twilio SM2",
                Assert.Single(result.Faults, f => f.Stream == n.Key).ToString(),
                StringComparison.Ordinal
            );
        Assert.True(result.Counts.DoubleSends >= 1 && result.Counts.AllowedRepeats >= (isByPolicy ? 1 : 0));

        NotificationDispatched Yes(int attempt, string message) => new(n.Sms, attempt, "twilio", message, 5, null, Some.Noon);
    }

    [Fact]
    public async Task Yes_of_a_provider_for_a_delivery_that_was_sent_already_is_a_double_send()
    {
        var n = builder.New("duplicate");
        await builder.AcceptAsync(
            n,
            n.Plan(),
            new NotificationDispatched(n.Sms, 2, "twilio", "SM1", 5, null, Some.Noon),
            new DuplicateDispatchDetected(n.Sms, 1, "twilio", "SM2", Some.Noon),
            new NotificationDelivered(n.Push, "app", Some.Noon)
        );

        await FindsAsync(n.Key, VerificationFaultKind.DoubleSend, "accepted by providers 2 times: twilio SM1, twilio SM2");
    }

    [Fact]
    public async Task Verification_finds_claims_without_a_living_host_and_unknown_outcomes_that_nobody_looks_after()
    {
        var (dead, alive, unknown) = (builder.New("dead"), builder.New("alive"), builder.New("overdue"));
        var host = Guid.NewGuid();
        await database.ExecuteAsync($"insert into notify.dispatchers values ('{host}', now() + interval '1 hour')");
        foreach (var n in new[] { dead, alive, unknown })
        {
            await builder.AcceptAsync(
                n,
                n.Plan(),
                n == unknown
                    ? new DispatchOutcomeUnknown(n.Sms, 1, "twilio", Reasons.TimedOut, Some.Noon, Some.Noon)
                    : new DispatchAttempted(n.Sms, 1, "twilio", Some.Noon)
            );
            await builder.QueueAsync(n);
        }

        await database.ExecuteAsync(
            $"update notify.open_deliveries set state = 1, owner = gen_random_uuid(), claim = gen_random_uuid() "
                + $"where delivery_id = '{dead.Sms}'"
        );
        await database.ExecuteAsync(
            $"update notify.open_deliveries set state = 1, owner = '{host}', claim = gen_random_uuid() "
                + $"where delivery_id = '{alive.Sms}'"
        );
        await database.ExecuteAsync(
            $"update notify.open_deliveries set state = 3, due_at = now() - interval '6 minutes' " + $"where delivery_id = '{unknown.Sms}'"
        );

        await FindsAsync(dead.Key, VerificationFaultKind.ClaimOverdue, "in flight without a living host");
        await FindsAsync(unknown.Key, VerificationFaultKind.UnknownOverdue, "and nobody looked after it");
        Assert.Empty(await FaultsAsync(alive.Key));
    }

    [Fact]
    public async Task Verification_finds_suppressed_deliveries_whose_cause_never_existed()
    {
        var now = TimeProvider.System.GetUtcNow();
        var (good, bad) = ($"good-{Guid.NewGuid():N}", $"bad-{Guid.NewGuid():N}");
        await database.AppendAsync(
            Recipient.KeyOf(good),
            new ContactDetailsGiven(Some.Sealed("d"), false, false, null, null, "c", now),
            new OptedOut(Channel.Push, null, "c", "api", now)
        );
        await database.AppendAsync(
            Recipient.KeyOf(bad),
            new ContactDetailsGiven(Some.Sealed("d"), true, true, "e-print", "p-print", "c", now)
        );
        var suppressed = Some.Suppression("p-print", reason: SuppressionReasons.HardBounced);
        var skipped = new[] { (Channel.Push, Reasons.OptedOut, "channel push"), (Channel.Sms, Reasons.NoContact, "details") };
        var unexplained = skipped
            .Append((Channel.Sms, Reasons.SuppressedAddress, suppressed.Rule))
            .Append((Channel.Email, Reasons.CapExceeded, "cap"))
            .ToArray();
        var (explained, faulty, unread, expired) = (
            builder.New("explained"),
            builder.New("unexplained"),
            builder.New("unread"),
            builder.New("expired")
        );
        await builder.AcceptAsync(explained with { User = good }, explained.Skipped(2, skipped));
        await builder.AcceptAsync(faulty with { User = bad }, faulty.Skipped(1, unexplained));
        await builder.AcceptAsync(
            unread,
            unread.Plan(),
            new DeliverySuppressed(unread.Sms, Reasons.Unreadable, "key", now),
            new NotificationDelivered(unread.Push, "app", now)
        );
        await builder.AcceptAsync(expired, new NotificationExpired([], now));
        await database.ExecuteAsync(
            "insert into notify.subject_keys (id, subject, wrapped, master_key, created_at) overriding system value "
                + "values (7, 'u/never', 'x', '1', now()) on conflict do nothing"
        );

        Assert.Empty(await FaultsAsync(explained.Key));
        Assert.Equal(unexplained.Length, (await FaultsAsync(faulty.Key)).Count(f => f.Kind == VerificationFaultKind.WithoutCause));
        await FindsAsync(unread.Key, VerificationFaultKind.WithoutCause, "suppressed as Unreadable (key), and no such cause existed");
        await FindsAsync(expired.Key, VerificationFaultKind.WithoutCause, "its expiresAt had not passed");
        await database.ExecuteAsync("update notify.subject_keys set wrapped = null, erased_at = now() where id = 7");
        Assert.Empty(await FaultsAsync(unread.Key));
    }

    [Fact]
    public async Task Verification_finds_suppressions_whose_row_and_stream_differ()
    {
        var (sound, noRow, noEvent) = ($"print-{Guid.NewGuid():N}", $"print-{Guid.NewGuid():N}", $"print-{Guid.NewGuid():N}");
        await using (var session = database.Store.LightweightSession())
        {
            foreach (var print in new[] { sound, noRow })
                await SuppressionTable.SuppressAsync(
                    session,
                    [new AddressToSuppress(Channel.Email, print, SuppressionReasons.HardBounced, "sendgrid", "sendgrid")],
                    Some.Noon,
                    Cancellation
                );
            await session.SaveChangesAsync(Cancellation);
        }

        await database.ExecuteAsync($"delete from notify.suppressions where fingerprint = '{noRow}'");
        await database.ExecuteAsync(
            "insert into notify.suppressions (id, channel, fingerprint, reason, source, suppressed_by, since) "
                + $"select 'email_{noEvent}', channel, '{noEvent}', reason, source, suppressed_by, since "
                + $"from notify.suppressions where fingerprint = '{sound}'"
        );

        Assert.Empty(await FaultsAsync(Suppression.KeyOf(Channel.Email, sound)));
        await FindsAsync(Suppression.KeyOf(Channel.Email, noRow), VerificationFaultKind.SuppressionDiffers, "has no row");
        await FindsAsync(Suppression.KeyOf(Channel.Email, noEvent), VerificationFaultKind.SuppressionDiffers, "no event says so");
    }

    [Fact]
    public async Task Verification_finds_broadcasts_that_nobody_carries_on_and_those_that_made_too_few()
    {
        var (sound, stuck, overdue, few) = ("b-sound", "b-stuck", "b-overdue", "b-few");
        foreach (var id in new[] { sound, stuck, overdue, few })
            await BroadcastAsync(id, hasEnded: id == few);
        await database.ExecuteAsync($"update notify.broadcasts set due_at = now() where key = 'b/c_shop:{sound}'");
        await database.ExecuteAsync($"update notify.broadcasts set due_at = now() - interval '6 minutes' where key = 'b/c_shop:{overdue}'");
        var made = builder.New($"{few}@u-1");
        await builder.AcceptAsync(made with { Client = "c_shop", EventId = $"{few}@u-1" }, NotificationCancelled());

        Assert.Empty(await FaultsAsync($"b/c_shop:{sound}"));
        await FindsAsync($"b/c_shop:{stuck}", VerificationFaultKind.BroadcastLost, "Scheduled, and nothing carries it on");
        await FindsAsync($"b/c_shop:{overdue}", VerificationFaultKind.BroadcastLost, "and nobody carries it on");
        await FindsAsync($"b/c_shop:{few}", VerificationFaultKind.BroadcastIncomplete, "Completed with 2 notifications, of which 1 exist");
    }

    [Fact]
    public async Task Page_holds_no_more_streams_and_bytes_than_its_limits()
    {
        var own = new AnalyticsDatabase();
        await own.InitializeAsync();
        await using var _ = own;
        var mine = new StoreBuilder(own);
        var heavy = Enumerable
            .Range(0, 6)
            .Select(i =>
                mine.New($"heavy-{i}") with
                {
                    Payload = Convert.ToHexString(System.Security.Cryptography.RandomNumberGenerator.GetBytes(30_000)),
                }
            )
            .ToList();
        var light = Enumerable.Range(0, 35).Select(i => mine.New($"light-{i}")).ToList();
        foreach (var n in heavy.Concat(light))
        {
            await mine.AcceptAsync(n);
            await mine.QueueAsync(n);
        }

        var all = await mine.Verifier(new VerificationLimits { Page = 10 }).VerifyAsync(new VerificationScope(), Cancellation);
        Assert.Equal((41, 0), (all.Counts.Notifications, all.Counts.Faults));
        Assert.Equal(10, all.LargestPage);

        var last = (await own.RowsAsync($"select max(seq_id) as at from events.mt_events where stream_id = '{heavy[^1].Key}'"))[0];
        var since = long.Parse(last[(last.IndexOf(':', StringComparison.Ordinal) + 1)..^1], CultureInfo.InvariantCulture);
        var few = await mine.Verifier(new VerificationLimits { Page = 10, Bytes = 1 })
            .VerifyAsync(new VerificationScope(since), Cancellation);
        // Older streams are not checked; a budget of one byte holds one stream at a time.
        Assert.Equal((35, 1), (few.Counts.Notifications, few.LargestPage));
    }

    private static NotificationCancelled NotificationCancelled() => new([], "c_shop", Some.Noon);

    private async Task BroadcastAsync(string id, bool hasEnded)
    {
        var key = Broadcast.KeyOf("c_shop", id);
        var requested = new BroadcastRequested(
            "c_shop",
            id,
            ClientMode.Live,
            Audience.Everybody,
            "c",
            Priority.Bulk,
            null,
            Some.Sealed("x"),
            null,
            null,
            "h",
            null,
            Some.Noon
        );
        await database.AppendAsync(
            key,
            hasEnded ? [requested, new BroadcastStarted(2, Some.Noon), new BroadcastCompleted(2, Some.Noon)] : [requested]
        );
        await database.ExecuteAsync(
            $"""
            insert into notify.broadcasts (key, client, request_hash, requested_at, state, after_user, expanded, ended_at)
            values (
                '{key}', 'c_shop', 'h', now(), {(hasEnded ? 3 : 0)}, '',
                {(hasEnded ? 2 : 0)}, {(hasEnded ? "now() - interval '1 minute'" : "null")})
            """
        );
    }

    private async Task FindsAsync(string stream, VerificationFaultKind kind, string text)
    {
        var fault = Assert.Single(await FaultsAsync(stream), f => f.Kind == kind && f.ToString().Contains(text, StringComparison.Ordinal));
        Assert.Contains(". To do: ", fault.ToString(), StringComparison.Ordinal);
    }

    private async Task<List<VerificationFault>> FaultsAsync(string stream) =>
        [.. (await VerifyAsync()).Faults.Where(f => f.Stream == stream)];

    private Task<VerificationResult> VerifyAsync() => builder.Verifier().VerifyAsync(new VerificationScope(), Cancellation);
}
