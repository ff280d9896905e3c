namespace Notify.Tests.Projections.Erasures;

using Microsoft.Extensions.Logging.Abstractions;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.Erasures;
using Notify.Delivery.EventStore;
using Notify.Delivery.Payloads;
using Notify.Delivery.Planning;
using Notify.Delivery.Privacy;
using Notify.Delivery.Receipts;
using Notify.Delivery.Snapshots;
using Notify.Dispatch.Receipts;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;
using Notify.Infrastructure.Json;
using Notify.Tests.Projections.Analytics;
using Notify.Tests.Support;

/// <summary>Erasing people, registered or not, over a real store.</summary>
public sealed class ErasureTests : IClassFixture<AnalyticsDatabase>, IDisposable
{
    private readonly AnalyticsDatabase database;
    private readonly SubjectKeys keys;
    private readonly PersonFinder finder;
    private readonly string folder = Directory.CreateTempSubdirectory("notify-erasures-").FullName;
    private readonly ErasureLog log;
    private readonly PersonEraser eraser;

    public ErasureTests(AnalyticsDatabase database)
    {
        this.database = database;
        keys = new SubjectKeys(database.Ring, TimeProvider.System);
        finder = new PersonFinder(keys, database.Ring);
        log = new ErasureLog(Path.Combine(folder, "erasures.log"), TimeProvider.System);
        eraser = new PersonEraser(database.Store, log, TimeProvider.System);
    }

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public async Task Person_known_by_a_number_is_erased_by_the_email_address_too()
    {
        var (phone, email) = (Person.NewPhone(), Person.NewEmail());
        var both = await AcceptAsync(new UnregisteredRecipient(email, phone, null));
        var other = await AcceptAsync(new UnregisteredRecipient(null, Person.NewPhone(), null));
        Assert.NotNull(await PayloadAsync(both));

        Assert.Equal(new ErasureResult(0, 1), await EraseAsync(Channel.Email, email.ToUpperInvariant()));

        Assert.Null(await PayloadAsync(both));
        Assert.NotNull(await PayloadAsync(other));
        Assert.Equal(new ErasureResult(0, 0), await EraseAsync(Channel.Email, email));
        Assert.Equal(new ErasureResult(0, 0), await EraseAsync(Channel.Sms, phone));
    }

    [Fact]
    public async Task Email_address_is_one_person_however_it_is_written()
    {
        var email = Person.NewEmail();
        var upper = await AcceptAsync(new UnregisteredRecipient(email.ToUpperInvariant(), null, null));
        var lower = await AcceptAsync(new UnregisteredRecipient(email, null, null));
        Assert.Equal(upper.Request.Subject, lower.Request.Subject);

        Assert.Equal(1, (await EraseAsync(Channel.Email, email)).Keys);

        Assert.Null(await PayloadAsync(upper));
        Assert.Null(await PayloadAsync(lower));
    }

    [Fact]
    public async Task Reply_and_receipt_of_somebody_not_registered_are_erased_with_the_number()
    {
        var phone = Person.NewPhone();
        var judgement = new ReceiptJudgement(
            keys,
            new StreamFaults(database.Ring, NullLogger<StreamFaults>.Instance),
            NullLogger<ReceiptJudgement>.Instance
        );
        await using (
            var intake = new ReceiptIntake(
                database.Store,
                database.Source,
                judgement,
                database.Ring,
                TimeProvider.System,
                NullLogger<ReceiptIntake>.Instance
            )
        )
        {
            Assert.True(
                await intake.KeepAllAsync([
                    Received(new Receipt($"{phone}-in", ReportKind.Inbound, "my words"u8.ToArray(), Address: phone)),
                    Received(
                        new Receipt(
                            $"{phone}-unknown",
                            ReportKind.Delivered,
                            "to a number"u8.ToArray(),
                            MessageId: $"SM{phone}",
                            Address: phone
                        )
                    ),
                ])
            );
        }

        var kept = await TextsAsync(phone);
        Assert.Equal(["my words", "to a number"], (await OpenAsync(kept)).Order());

        Assert.Equal(1, (await EraseAsync(Channel.Sms, phone)).Keys);

        Assert.All(await OpenAsync(kept), Assert.Null);
        Assert.Equal(1, (await TextsAsync(phone)).Count(t => t.Raw == Sealed.None)); // the waiting one is dropped, too

        static ReceivedReceipt Received(Receipt receipt) => new("twilio", receipt, ReceiptModes.Live);
    }

    [Fact]
    public async Task User_takes_along_what_was_sent_to_former_addresses_except_what_another_user_has_now()
    {
        var (former, now, passedOn) = (Person.NewPhone(), Person.NewPhone(), Person.NewPhone());
        var (user, other) = ($"u-{Guid.NewGuid():N}", $"u-{Guid.NewGuid():N}");
        foreach (var phone in new[] { former, passedOn, now })
            await RegisterAsync(user, phone);
        await RegisterAsync(other, passedOn);
        var toFormer = await AcceptAsync(new UnregisteredRecipient(null, former, null));
        var toNow = await AcceptAsync(new UnregisteredRecipient(null, now, null));
        var toPassedOn = await AcceptAsync(new UnregisteredRecipient(null, passedOn, null));

        var result = await EraseAsync(await FindUserAsync(user), "userId");

        Assert.Equal(new ErasureResult(1, 3), result);
        Assert.Null(await PayloadAsync(toFormer));
        Assert.Null(await PayloadAsync(toNow));
        Assert.NotNull(await PayloadAsync(toPassedOn));
        Assert.True((await RecipientAsync(user))!.IsErased);
        Assert.False((await RecipientAsync(other))!.IsErased);
        Assert.Equal(new ErasureResult(0, 0), await EraseAsync(await FindUserAsync(user), "userId"));
    }

    [Fact]
    public async Task Address_takes_along_the_user_who_has_it_and_names_nobody_where_several_do()
    {
        var (phone, shared) = (Person.NewPhone(), Person.NewPhone());
        var (user, one, two) = ($"u-{Guid.NewGuid():N}", $"u-{Guid.NewGuid():N}", $"u-{Guid.NewGuid():N}");
        await RegisterAsync(user, phone);
        await RegisterAsync(one, shared);
        await RegisterAsync(two, shared);

        Assert.Equal(1, (await EraseAsync(Channel.Sms, phone)).Users);
        Assert.True((await RecipientAsync(user))!.IsErased);
        Assert.Null(await FindAsync(Channel.Sms, shared));
    }

    [Fact]
    public async Task Erasure_is_an_event_and_a_line_of_the_log_that_name_nobody()
    {
        var (phone, email) = (Person.NewPhone(), Person.NewEmail());
        await AcceptAsync(new UnregisteredRecipient(email, phone, null));
        await EraseAsync(Channel.Sms, phone);

        var line = Assert.Single(await File.ReadAllLinesAsync(log.Path!, Cancellation));
        var entry = System.Text.Json.JsonSerializer.Deserialize<ErasureEntry>(line, NotifyJson.Options)!;
        var stored = Assert.Single(
            await database.RowsAsync($"select data from events.mt_events where stream_id = '{PersonErased.KeyOf(entry.Id)}'")
        );
        Assert.Contains("\"by\": \"c_shop\"", stored, StringComparison.Ordinal);
        Assert.All([line, stored], t => Assert.DoesNotContain(phone[1..], t, StringComparison.Ordinal));
        Assert.All([line, stored], t => Assert.DoesNotContain(email, t, StringComparison.OrdinalIgnoreCase));
    }

    [Fact]
    public async Task Erasures_are_replayed_over_a_restored_database_once()
    {
        var (phone, user) = (Person.NewPhone(), $"u-{Guid.NewGuid():N}");
        await RegisterAsync(user, Person.NewPhone());
        var sent = await AcceptAsync(new UnregisteredRecipient(null, phone, null));
        var subjects = $"'{sent.Request.Subject}', '{Recipient.KeyOf(user)}'";
        await database.ExecuteAsync($"create table public.backup as select * from notify.subject_keys where subject in ({subjects})");
        await EraseAsync(Channel.Sms, phone);
        // An erasure that the backup does not know: the user's stream has no event of it.
        string[] unknown = [Recipient.KeyOf(user)];
        await log.AddAsync(new ErasureEntry("1f", TimeProvider.System.GetUtcNow(), unknown, unknown), Cancellation);
        await database.ExecuteAsync(
            "update notify.subject_keys k set wrapped = b.wrapped, erased_at = null from public.backup b where b.id = k.id"
        );
        await database.ExecuteAsync("drop table public.backup");
        Assert.NotNull(await PayloadAsync(sent));
        var command = new ErasuresCommand(database.Store, database.Source, log, "notify-projections", TimeProvider.System);

        await using var output = new StringWriter();
        Assert.Equal(0, await command.RunAsync(["replay"], TextReader.Null, output, TextWriter.Null, Cancellation));
        Assert.Equal(0, await command.RunAsync(["replay"], TextReader.Null, output, TextWriter.Null, Cancellation));

        Assert.Equal(
            "2 erasures replayed: 1 users and 2 keys erased that the database had again.\n"
                + "2 erasures replayed: 0 users and 0 keys erased that the database had again.\n",
            output.ToString()
        );
        Assert.Null(await PayloadAsync(sent));
        Assert.True((await RecipientAsync(user))!.IsErased);
        Assert.Equal(2, (await File.ReadAllLinesAsync(log.Path!, Cancellation)).Length);

        // Without a log, the list comes from the database; a person who came back since is not erased again.
        await using var list = new StringWriter();
        Assert.Equal(0, await command.RunAsync(["export"], TextReader.Null, list, TextWriter.Null, Cancellation));
        Assert.Contains(sent.Request.Subject, list.ToString(), StringComparison.Ordinal);
        await RegisterAsync(user, Person.NewPhone());
        await command.RunAsync(["replay", "-"], new StringReader(list.ToString()), TextWriter.Null, TextWriter.Null, Cancellation);
        Assert.False((await RecipientAsync(user))!.IsErased);
    }

    [Fact]
    public async Task Hosts_write_the_same_log_without_losing_a_line()
    {
        await Parallel.ForAsync(
            0,
            60,
            Cancellation,
            async (i, cancellation) =>
                await new ErasureLog(log.Path, TimeProvider.System).AddAsync(
                    new ErasureEntry($"{i}", TimeProvider.System.GetUtcNow(), [], [$"a/{i}"]),
                    cancellation
                )
        );
        using var reader = new StreamReader(log.Path!);
        Assert.Equal(60, await ErasureLog.ReadAllAsync(reader).Select(e => e.Id).Distinct().CountAsync(Cancellation));
    }

    private async Task<ErasureResult> EraseAsync(Channel channel, string address) =>
        await EraseAsync((await FindAsync(channel, address))!, channel == Channel.Sms ? "phone" : "email");

    private Task<ErasureResult> EraseAsync(PersonToErase person, string namedBy) =>
        eraser.EraseAsync(person, namedBy, "c_shop", Cancellation);

    private async Task<PersonToErase?> FindAsync(Channel channel, string address)
    {
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        await using var session = database.Store.QuerySession();
        return await finder.OfAddressAsync(session, connection, channel, address, Cancellation);
    }

    private async Task<PersonToErase> FindUserAsync(string user)
    {
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        await using var session = database.Store.QuerySession();
        return await finder.OfUserAsync(session, connection, user, Cancellation);
    }

    private async Task<Recipient?> RecipientAsync(string user)
    {
        await using var session = database.Store.QuerySession();
        return await session.LoadAsync<Recipient>(Recipient.KeyOf(user), Cancellation);
    }

    private async Task RegisterAsync(string user, string phone)
    {
        var key = Recipient.KeyOf(user);
        await using var session = database.Store.LightweightSession();
        await session.BeginTransactionAsync(Cancellation);
        var details = (await keys.CurrentAsync(session.Connection!, [key], Cancellation)).SealJson(
            key,
            SealedPlace.OfDetails(key),
            new ContactDetails(null, phone)
        );
        session.Events.Append(
            key,
            new ContactDetailsGiven(details, false, true, null, database.Ring.OfPhone(phone), "c_shop", TimeProvider.System.GetUtcNow())
        );
        await session.SaveChangesAsync(Cancellation);
    }

    // As Api does.
    private async Task<Notification> AcceptAsync(UnregisteredRecipient to)
    {
        var now = TimeProvider.System.GetUtcNow();
        var key = NotificationKey.Of("c_shop", $"e-{Guid.NewGuid():N}");
        var requested = new NotificationRequested(
            "c_shop",
            NotificationKey.Parse(key)!.Value.EventId,
            null,
            NotificationPlanning.SubjectOf(to, database.Ring),
            ClientMode.Live,
            "shipping",
            Priority.Normal,
            null,
            SealedPayload.None,
            now.AddYears(1),
            null,
            "hash",
            null,
            now
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
            [new IncomingNotification(key, requested, new NotificationPayload(new NotificationContent(Body: "hello"), to))],
            now,
            Cancellation
        );
        await session.SaveChangesAsync(Cancellation);
        await using var reading = database.Store.QuerySession();
        return (await NotificationStreams.LoadAsync(reading, key, Cancellation))!;
    }

    private async Task<NotificationPayload?> PayloadAsync(Notification n)
    {
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        var opened = await keys.ForAsync(connection, [n.Request.Payload.Key], Cancellation);
        return (await PayloadTable.OpenAsync(connection, [n], opened, Cancellation))[n.Key];
    }

    private async Task<List<(string EventId, Sealed Raw)>> TextsAsync(string phone)
    {
        await using var command = database.Source.CreateCommand(
            "select event_id, raw from notify.receipt_texts where event_id like $1 || '-%' order by event_id"
        );
        command.Parameters.Add(new Npgsql.NpgsqlParameter { Value = phone });
        await using var reader = await command.ExecuteReaderAsync(Cancellation);
        var texts = new List<(string, Sealed)>();
        while (await reader.ReadAsync(Cancellation))
            texts.Add((reader.GetString(0), new Sealed(reader.GetString(1))));
        return texts;
    }

    private async Task<List<string?>> OpenAsync(List<(string EventId, Sealed Raw)> texts)
    {
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        var opened = await keys.ForAsync(connection, texts.Select(t => t.Raw), Cancellation);
        return [.. texts.Select(t => opened.OpenText(t.Raw, SealedPlace.OfReceipt("twilio", t.EventId)))];
    }
}
