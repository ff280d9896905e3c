namespace Notify.Tests.Projections.Payloads;

using System.Text.Json;
using Notify.Delivery.EventStore;
using Notify.Delivery.Payloads;
using Notify.Delivery.Planning;
using Notify.Delivery.Privacy;
using Notify.Delivery.Snapshots;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;
using Notify.Infrastructure.Json;
using Notify.Projections.Verification;
using Notify.Tests.Domain;
using Notify.Tests.Projections.Analytics;

public sealed class PayloadTableTests(AnalyticsDatabase database) : IClassFixture<AnalyticsDatabase>
{
    private static readonly DateTimeOffset Now = Some.Noon.AddTicks(1_234_567); // finer than PostgreSQL keeps
    private readonly SubjectKeys keys = new(database.Ring, TimeProvider.System);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Accepted_payload_stands_outside_its_stream_and_is_read_by_reference()
    {
        var body = new string('x', 200_000);
        var n = await AcceptAsync(body);
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        var stored = await database.RowsAsync(
            $"select sum(pg_column_size(data)) < 4000 as small from events.mt_events where stream_id = '{n.Key}'"
        );
        Assert.Equal(["{\"small\": true}"], stored); // with the payload inside: 270,000 bytes
        // The waiting weight still counts all of it.
        Assert.InRange((await NotificationStreams.WeighAsync(connection, [n.Key], Cancellation))[n.Key], 200_000, 210_000);

        Assert.Equal(body, (await OpenAsync(n))!.Content.Body);
        var faults = await FaultsAsync(n);
        Assert.Empty(faults);
    }

    [Fact]
    public async Task Payload_of_an_erased_person_and_one_that_is_no_longer_kept_do_not_open()
    {
        var (erased, dropped) = (await AcceptAsync("erased"), await AcceptAsync("dropped"));
        await using (var connection = await database.Source.OpenConnectionAsync(Cancellation))
            await keys.EraseAsync(connection, erased.Request.Subject, Cancellation);
        await database.ExecuteAsync($"delete from notify.payloads where stream = '{dropped.Key}'");

        Assert.Null(await OpenAsync(erased));
        Assert.Null(await OpenAsync(dropped));
        Assert.Contains(await FaultsAsync(dropped), f => f.Kind == VerificationFaultKind.PayloadMissing);
        Assert.Empty(await FaultsAsync(erased));
    }

    [Fact]
    public async Task Payloads_swapped_between_two_notifications_of_one_person_do_not_open_and_are_reported()
    {
        var user = $"u-{Guid.NewGuid():N}";
        var (one, other) = (await AcceptAsync("balance 12.00", user), await AcceptAsync("balance 99.00", user));
        await database.ExecuteAsync(
            $"""
            update notify.payloads p set sealed = o.sealed from notify.payloads o
            where (p.stream, o.stream) in (('{one.Key}', '{other.Key}'), ('{other.Key}', '{one.Key}'))
            """
        );

        Assert.Null(await OpenAsync(one));
        Assert.Null(await OpenAsync(other));
        Assert.Contains(await FaultsAsync(one), f => f.Kind == VerificationFaultKind.PayloadMissing);
        Assert.Contains(await FaultsAsync(other), f => f.Kind == VerificationFaultKind.PayloadMissing);

        // With the references in the events as well.
        await database.ExecuteAsync(
            $"""
            update events.mt_events p set data = jsonb_set(p.data, array['payload'], o.data -> 'payload') from events.mt_events o
            where p.version = 1 and o.version = 1
              and (p.stream_id, o.stream_id) in (('{one.Key}', '{other.Key}'), ('{other.Key}', '{one.Key}'))
            """
        );
        await using var session = database.Store.QuerySession();
        Assert.Null(await OpenAsync((await NotificationStreams.LoadAsync(session, one.Key, Cancellation))!));
    }

    [Fact]
    public async Task Payload_of_an_earlier_version_opens_as_its_reference_says()
    {
        database.Ring.Format.Follow(lowestLive: 2, minReader: 2);
        var earlier = await AcceptAsync("earlier");
        database.Ring.Format.Follow(lowestLive: 3, minReader: 3);

        Assert.Equal((SealedVersions.Subject, "earlier"), (earlier.Request.Payload.Version, (await OpenAsync(earlier))!.Content.Body));
        Assert.Equal(
            ["{\"v\": null}"],
            await database.RowsAsync($"select data -> 'payload' -> 'version' as v from events.mt_events where stream_id = '{earlier.Key}'")
        );
        var now = await AcceptAsync("now");
        Assert.Equal((SealedVersions.Place, "now"), (now.Request.Payload.Version, (await OpenAsync(now))!.Content.Body));
    }

    [Fact]
    public async Task Batch_larger_than_a_statement_is_stored_whole()
    {
        var rows = Enumerable.Range(0, 5).Select(i => new StoredPayload($"n/c:large-{i}", Now, 7, new byte[7 * 1024 * 1024])).ToList();
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        await PayloadTable.AddAsync(connection, rows, Cancellation);
        var read = await PayloadTable.ReadAsync(connection, rows.Take(2).Select(r => (r.Stream, r.Reference)), Cancellation);
        Assert.Equal(
            [("n/c:large-0", 7 * 1024 * 1024), ("n/c:large-1", 7 * 1024 * 1024)],
            read.Select(r => (r.Key, r.Value.Length)).Order()
        );
        Assert.Equal(["{\"n\": 5}"], await database.RowsAsync("select count(*) as n from notify.payloads where stream like 'n/c:large-%'"));
    }

    [Fact]
    public void Payload_inside_an_event_of_an_earlier_version_is_read_and_written_as_it_was()
    {
        var inline = JsonSerializer.Deserialize<SealedPayload>("\"7.abcd\"", NotifyJson.Options);
        Assert.Equal((7, "7.abcd", false), (inline.KeyId, inline.Inline, inline.IsNone));
        Assert.Equal("\"7.abcd\"", JsonSerializer.Serialize(inline, NotifyJson.Options));
        Assert.Equal("\"\"", JsonSerializer.Serialize(SealedPayload.None, NotifyJson.Options));
        Assert.True(JsonSerializer.Deserialize<SealedPayload>("\"\"", NotifyJson.Options).IsNone);
        var reference = new SealedPayload(9, Now, 120, "hash");
        Assert.DoesNotContain("version", JsonSerializer.Serialize(reference, NotifyJson.Options), StringComparison.Ordinal);
        reference = reference with { Version = SealedVersions.Place };
        Assert.Equal(
            reference,
            JsonSerializer.Deserialize<SealedPayload>(JsonSerializer.Serialize(reference, NotifyJson.Options), NotifyJson.Options)
        );
    }

    private async Task<List<VerificationFault>> FaultsAsync(Notification n)
    {
        var verifier = new Verifier(database.Store, database.Source, TimeProvider.System, new VerificationLimits());
        return [.. (await verifier.VerifyAsync(new VerificationScope(), Cancellation)).Faults.Where(f => f.Stream == n.Key)];
    }

    private async Task<NotificationPayload?> OpenAsync(Notification n)
    {
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        var opened = await keys.ForAsync(connection, [n.Request.Payload.Key], Cancellation);
        return (await PayloadTable.OpenAsync(connection, [n], opened, Cancellation))[n.Key];
    }

    // As Api and broadcasts do.
    private async Task<Notification> AcceptAsync(string body, string? userId = null)
    {
        var user = userId ?? $"u-{Guid.NewGuid():N}";
        var key = NotificationKey.Of("c_shop", $"e-{Guid.NewGuid():N}");
        var requested = new NotificationRequested(
            "c_shop",
            NotificationKey.Parse(key)!.Value.EventId,
            user,
            Recipient.KeyOf(user),
            ClientMode.Live,
            "shipping",
            Priority.Normal,
            null,
            SealedPayload.None,
            Now.AddYears(1),
            null,
            "hash",
            null,
            Now
        );
        var intake = new NotificationIntake(
            new Snapshots(database.Store, null!, new CacheSettings { Megabytes = 0 }),
            keys,
            database.Ring,
            new SmsLimits(),
            new TimeZones(NodaTime.DateTimeZone.Utc)
        );
        await using var session = database.Store.LightweightSession();
        await session.BeginTransactionAsync(Cancellation);
        await NotificationIntake.ClaimAsync(session.Connection!, new Dictionary<string, string> { [key] = "hash" }, Cancellation);
        await intake.StartAsync(
            session,
            [new IncomingNotification(key, requested, new NotificationPayload(new NotificationContent(Body: body)))],
            Now,
            Cancellation
        );
        await session.SaveChangesAsync(Cancellation);
        await using var reading = database.Store.QuerySession();
        return (await NotificationStreams.LoadAsync(reading, key, Cancellation))!;
    }
}
