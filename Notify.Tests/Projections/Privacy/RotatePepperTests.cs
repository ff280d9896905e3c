namespace Notify.Tests.Projections.Privacy;

using Marten;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging.Abstractions;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Notifications;
using Notify.Api.Recipients;
using Notify.Delivery.Erasures;
using Notify.Delivery.Privacy;
using Notify.Delivery.Suppressions;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;
using Notify.Domain.Suppressions;
using Notify.Projections.Verification;
using Notify.Tests.Projections.Analytics;

/// <summary>A pepper is replaced in an installation that has people, over a real database.</summary>
public sealed class RotatePepperTests(AnalyticsDatabase database) : IClassFixture<AnalyticsDatabase>
{
    private const string Known = "+12025550101",
        Stopped = "+12025550102",
        Capped = "+12025550103",
        Unregistered = "+12025550104",
        Fresh = "+12025550109";
    private const string Mail = "kim@example.com",
        Bare = "bare@example.com",
        Further = "further@example.com",
        UserId = "u-pepper";
    private static readonly string Master = NewValue();
    private static readonly Dictionary<string, string> Values = new()
    {
        ["0"] = NewValue(),
        ["1"] = NewValue(),
        ["2"] = NewValue(),
    };
    private static readonly UnregisteredRecipient Person = new(Further, Unregistered, null);
    private static readonly RegisterDevice Phone = new() { Platform = Platform.Ios, Token = new string('a', 64) };
    private static readonly DateTimeOffset Now = TimeProvider.System.GetUtcNow();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Everything_known_by_a_former_pepper_is_found_under_the_new_one_and_the_former_one_can_go()
    {
        await CleanAsync();
        var first = Host("0", "0");
        Assert.Null(await first.Keys.JoinAsync(Cancellation));
        await FillAsync(first.Ring);
        var before = await HashesAsync(first.Ring);
        var user = first.Ring.UserRefOf(UserId);
        var token = new Notify.Delivery.Tracking.DeliveryTokens(first.Ring).Make("unsubscribe", Guid.NewGuid());

        // While one live host has not the new pepper, the former one stays current.
        var second = Host("1", "0", "1");
        Assert.Null(await second.Keys.JoinAsync(Cancellation));
        Assert.Equal("0", second.Ring.Peppers.CurrentId);
        Assert.Equal(1, (await RotateAsync(second)).Code);
        await first.Keys.LeaveAsync(Cancellation);
        await second.Keys.BeatAsync(Cancellation);
        Assert.Equal(("0", 2), (second.Ring.Peppers.CurrentId, second.Ring.Peppers.InUse.Count)); // looked up under, not yet current
        await second.Keys.BeatAsync(Cancellation);
        Assert.Equal("1", second.Ring.Peppers.CurrentId);
        Assert.Contains("lacks \"1\"", await Host("0", "0").Keys.JoinAsync(Cancellation), StringComparison.Ordinal);

        // Known before anything was carried over, and nothing else is.
        Assert.Equal(before, await HashesAsync(second.Ring, notes: false));
        Assert.StartsWith("1.", await HashAsync(second.Ring, Fresh), StringComparison.Ordinal);
        Assert.NotNull(new Notify.Delivery.Tracking.DeliveryTokens(second.Ring).Read("unsubscribe", token));

        var (code, output) = await RotateAsync(second);
        Assert.Equal(0, code);
        Assert.Contains("1 suppressions: these addresses are sent to again", output, StringComparison.Ordinal); // its address is not kept
        Assert.Contains("1 counts of caps", output, StringComparison.Ordinal);
        Assert.Contains("1 address preferences", output, StringComparison.Ordinal);
        Assert.DoesNotContain("users:", output, StringComparison.Ordinal);
        Assert.DoesNotContain("further addresses", output, StringComparison.Ordinal);
        Assert.DoesNotContain("devices:", output, StringComparison.Ordinal);
        Assert.DoesNotContain("users' addresses", output, StringComparison.Ordinal);
        Assert.DoesNotContain("people who are not registered:", output, StringComparison.Ordinal);
        Assert.Contains("1 secrets of clients", output, StringComparison.Ordinal);
        var refused = await RotateAsync(second, drop: "0");
        Assert.Equal((1, true), (refused.Code, refused.Output.Contains("\"0\" stays in use: 1 suppressions", StringComparison.Ordinal)));

        // Use carries over.
        Assert.Equal(before, await HashesAsync(second.Ring));
        await LogInAsync(second.Ring);
        var dropped = await RotateAsync(second, drop: "0");
        Assert.True(dropped.Code == 0, dropped.Output);
        Assert.Contains("take Notify__Peppers__0 out", dropped.Output, StringComparison.Ordinal);

        var third = Host("1", "1");
        Assert.Null(await third.Keys.JoinAsync(Cancellation));
        Assert.Equal(before, await HashesAsync(third.Ring));
        Assert.Equal(user, await ReferenceAsync(third.Ring, UserId));
        Assert.NotEqual(user, await ReferenceAsync(third.Ring, "another"));
        await FindsForErasureAsync(third.Ring, Recipient.KeyOf(user), before);
        await LogInAsync(third.Ring);
        Assert.Null(new Notify.Delivery.Tracking.DeliveryTokens(third.Ring).Read("unsubscribe", token)); // as the command said
        await using var session = database.Store.QuerySession();
        var events = (await session.Events.FetchStreamAsync(PepperCarriedOver.Key, token: Cancellation)).Select(e => e.Data).ToList();
        Assert.Equal(("ops", "0"), events.OfType<PepperDropped>().Select(e => (e.By, e.Pepper)).Single());
        Assert.Equal(
            2,
            events.OfType<PepperCarriedOver>().First().Left["suppressions"]
                + events.OfType<PepperCarriedOver>().First().Left["address preferences"]
        );
        var verified = await new Verifier(database.Store, database.Source, TimeProvider.System, new VerificationLimits()).VerifyAsync(
            new VerificationScope(),
            Cancellation
        );
        Assert.DoesNotContain(
            verified.Faults,
            f => f.Stream.StartsWith("s/", StringComparison.Ordinal) || f.Stream.StartsWith("w/", StringComparison.Ordinal)
        );
    }

    [Fact]
    public async Task Things_keep_their_first_hash_when_the_pepper_is_replaced_twice()
    {
        await CleanAsync();
        var first = Host("0", "0");
        Assert.Null(await first.Keys.JoinAsync(Cancellation));
        await FillAsync(first.Ring);
        var before = await HashesAsync(first.Ring);
        await first.Keys.LeaveAsync(Cancellation);
        foreach (var (former, next) in new[] { ("0", "1"), ("1", "2") })
        {
            var host = Host(next, former, next);
            Assert.Null(await host.Keys.JoinAsync(Cancellation));
            Assert.Equal(next, host.Ring.Peppers.CurrentId);
            Assert.Equal(before, await HashesAsync(host.Ring));
            await LogInAsync(host.Ring);
            var dropped = await RotateAsync(host, drop: former);
            Assert.True(dropped.Code == 0, dropped.Output);
            await host.Keys.LeaveAsync(Cancellation);
        }

        var last = Host("2", "2");
        Assert.Null(await last.Keys.JoinAsync(Cancellation));
        Assert.Equal(before, await HashesAsync(last.Ring));
        Assert.Equal(first.Ring.UserRefOf(UserId), await ReferenceAsync(last.Ring, UserId));
    }

    [Fact]
    public async Task New_user_gets_one_reference_while_hosts_differ_in_the_current_pepper()
    {
        await CleanAsync();
        var (former, late, early) = (Host("0", "0"), Host("1", "0", "1"), Host("1", "0", "1"));
        foreach (var host in new[] { former, late, early })
            Assert.Null(await host.Keys.JoinAsync(Cancellation));
        var known = await ReferenceAsync(former.Ring, "known");
        await database.ExecuteAsync($"insert into events.mt_streams (id, version) values ('{Recipient.KeyOf(known)}', 1)");
        await former.Keys.LeaveAsync(Cancellation);
        for (var i = 0; i < 3; i++)
            await early.Keys.BeatAsync(Cancellation);
        Assert.Equal("0", early.Ring.Peppers.CurrentId); // the other one does not look up under the new pepper yet
        await late.Keys.BeatAsync(Cancellation);
        await late.Keys.BeatAsync(Cancellation);
        await early.Keys.BeatAsync(Cancellation);
        late.Ring.Peppers.Follow(["0", "1"], false); // as it is until its next beat
        Assert.Equal(("0", "1"), (late.Ring.Peppers.CurrentId, early.Ring.Peppers.CurrentId));

        string[] users = [.. Enumerable.Range(0, 100).Select(n => $"new-{n}")];
        var found = await Task.WhenAll(
            new[] { late, early, late, early }.Select(
                async (host, n) =>
                {
                    var references = new UserReferences(host.Ring, database.Source);
                    if (n < 2)
                        return await Task.WhenAll(users.Select(u => references.FindAsync(u, Cancellation).AsTask()));
                    await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
                    await using var transaction = await connection.BeginTransactionAsync(Cancellation);
                    var refs = await references.FindAsync(connection, users.Reverse(), Cancellation);
                    await transaction.CommitAsync(Cancellation);
                    return [.. users.Select(u => refs[u])];
                }
            )
        );
        Assert.All(found, f => Assert.Equal(found[0], f));
        Assert.Equal((known, known), (await ReferenceAsync(late.Ring, "known"), await ReferenceAsync(early.Ring, "known")));
    }

    [Fact]
    public async Task Host_with_another_value_of_a_former_pepper_is_refused()
    {
        await CleanAsync();
        Assert.Null(await Host("0", "0").Keys.JoinAsync(Cancellation));
        await database.ExecuteAsync("truncate notify.host_keys");
        Assert.Null(await Host("1", "0", "1").Keys.JoinAsync(Cancellation));
        Assert.StartsWith(
            "Notify:Peppers:0 has another value",
            await Host("1", [("0", NewValue()), ("1", Values["1"])]).Keys.JoinAsync(Cancellation),
            StringComparison.Ordinal
        );
        Assert.StartsWith(
            "Notify:Peppers:1 has another value",
            await Host("1", [("0", Values["0"]), ("1", NewValue())]).Keys.JoinAsync(Cancellation),
            StringComparison.Ordinal
        );
        Assert.Contains("lacks \"0\"", await Host("1", "1").Keys.JoinAsync(Cancellation), StringComparison.Ordinal);
        // One that was never current may be mistyped once.
        for (var i = 0; i < 2; i++)
        {
            var typed = Host("1", [("0", Values["0"]), ("1", Values["1"]), ("9", NewValue())]);
            Assert.Null(await typed.Keys.CheckAsync(records: true, Cancellation));
        }
    }

    [Fact]
    public async Task Former_pepper_never_becomes_current_again()
    {
        await CleanAsync();
        Assert.Null(await Host("0", "0").Keys.JoinAsync(Cancellation));
        await database.ExecuteAsync("truncate notify.host_keys");
        var (one, back) = (Host("1", "0", "1"), Host("0", "0", "1"));
        Assert.Null(await one.Keys.JoinAsync(Cancellation));
        Assert.Null(await back.Keys.JoinAsync(Cancellation));
        await back.Keys.BeatAsync(Cancellation);
        await one.Keys.BeatAsync(Cancellation);
        Assert.Equal(("1", "1"), (one.Ring.Peppers.CurrentId, back.Ring.Peppers.CurrentId));
    }

    [Fact]
    public async Task Request_is_the_same_under_a_former_pepper()
    {
        await CleanAsync();
        var (before, after) = (Host("0", "0").Ring, Host("1", "0", "1").Ring);
        after.Peppers.Follow(["1", "0"], false);
        await using var first = AcceptanceOf(before);
        await using var second = AcceptanceOf(after);
        using var one = System.Text.Json.JsonDocument.Parse("""{"eventId":"e","userId":"u"}""");
        using var other = System.Text.Json.JsonDocument.Parse("""{"eventId":"e","userId":"v"}""");
        var kept = first.ReceivedOf(one.RootElement).Hash;
        Assert.True(second.ReceivedOf(one.RootElement).IsThatOf(kept));
        Assert.False(second.ReceivedOf(other.RootElement).IsThatOf(kept));
        Assert.StartsWith("1.", second.ReceivedOf(one.RootElement).Hash, StringComparison.Ordinal);
        Assert.Empty(first.ReceivedOf(one.RootElement).Formers);

        var answers = new KeptAnswers(after, TimeProvider.System);
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        Assert.True((await new KeptAnswers(before, TimeProvider.System).TakeAsync(connection, "c", "key", "hash", Cancellation)).IsNew);
        Assert.False((await answers.TakeAsync(connection, "c", "key", "hash", Cancellation)).IsNew);
        Assert.True((await answers.TakeAsync(connection, "c", "key-2", "hash", Cancellation)).IsNew);
    }

    [Theory]
    [InlineData("--by kim", "kim", null, false)]
    [InlineData("--by kim --drop 0 --forget", "kim", "0", true)]
    public void Words_are_read(string words, string by, string? drop, bool forgets) =>
        Assert.Equal(new RotatePepperOptions(by, drop, forgets), RotatePepperOptions.Parse(words.Split(' ')).Options);

    private static Acceptance AcceptanceOf(MasterKeyRing ring) =>
        new(null!, null!, ring, null!, null!, null!, new AcceptOptions(), TimeProvider.System, NullLogger<Acceptance>.Instance);

    private static string NewValue() => Convert.ToBase64String(System.Security.Cryptography.RandomNumberGenerator.GetBytes(32));

    private (HostKeys Keys, MasterKeyRing Ring) Host(string named, params string[] peppers) =>
        Host(named, [.. peppers.Select(p => (p, Values[p]))]);

    private (HostKeys Keys, MasterKeyRing Ring) Host(string named, (string Id, string Value)[] peppers)
    {
        var settings = new Dictionary<string, string?> { ["Notify:MasterKeys:1"] = Master };
        if (peppers is [("0", var only)])
            settings["Notify:Pepper"] = only; // as before there were several
        else
        {
            settings["Notify:Pepper"] = named;
            foreach (var (id, value) in peppers)
                settings[$"Notify:Peppers:{id}"] = value;
        }

        var configuration = new ConfigurationBuilder().AddInMemoryCollection(settings).Build();
        var faults = new List<string>();
        var ring = MasterKeyRing.Read(configuration, faults);
        Assert.True(ring is not null, string.Join("; ", faults));
        return (
            new HostKeys(
                database.Source,
                ring,
                new HostName("notify-api"),
                configuration,
                TimeProvider.System,
                NullLogger<HostKeys>.Instance
            ),
            ring
        );
    }

    private async Task<(int Code, string Output)> RotateAsync((HostKeys Keys, MasterKeyRing Ring) host, string? drop = null)
    {
        await host.Keys.BeatAsync(Cancellation);
        await using var output = new StringWriter();
        var code = await new RotatePepper(
            database.Store,
            database.Source,
            host.Ring,
            new SubjectKeys(host.Ring, TimeProvider.System),
            host.Keys,
            TimeProvider.System,
            output,
            pageSize: 2
        ).RunAsync(new RotatePepperOptions("ops", drop, Forgets: false), Cancellation);
        return (code, output.ToString());
    }

    // The things that an installation knows by hashes: suppressions with and without an address, an opt-out at an address, a user with a
    // device, somebody who is not registered, and a count of a cap.
    private async Task FillAsync(MasterKeyRing ring)
    {
        var keys = new SubjectKeys(ring, TimeProvider.System);
        await using var session = database.Store.LightweightSession();
        await session.BeginTransactionAsync(Cancellation);
        var connection = session.Connection!;
        var (known, person) = (Suppression.KeyOf(Channel.Sms, ring.OfPhone(Known)), $"a/{ring.Fingerprint("subject", Unregistered)}");
        var (user, alias) = (Recipient.KeyOf(ring.UserRefOf(UserId)), $"a/{ring.Fingerprint("subject", Further)}");
        var userIds = new Dictionary<string, string> { [user] = UserId };
        var set = await keys.CurrentAsync(connection, [known, user, person], Cancellation, userIds, [(alias, person)]);
        await SuppressionTable.SuppressAsync(
            session,
            [
                new(
                    Channel.Sms,
                    ring.OfPhone(Known),
                    SuppressionReasons.ByRequest,
                    "api",
                    "c_1",
                    null,
                    set.Seal(known, SealedPlace.OfSuppressed(known), Known)
                ),
                new(Channel.Sms, ring.OfPhone(Stopped), SuppressionReasons.OptedOutAtProvider, "twilio", "twilio"),
            ],
            Now,
            Cancellation
        );
        var bare = ring.OfEmail(Bare);
        session.Events.Append(
            AddressChoices.KeyOf(Channel.Email, bare),
            new AddressOptedOut(Channel.Email, bare, "offers", "recipient", "page", Now)
        );
        var (details, device) = (new ContactDetails(Mail, null), Devices.IdOf(ring, Phone));
        session.Events.Append(
            user,
            Users.Given(set.SealJson(user, SealedPlace.OfDetails(user), details), details, ring, "c_1", Now),
            new DeviceRegistered(device, Platform.Ios, set.Seal(user, SealedPlace.OfToken(user, device), Phone.Token!), "c_1", Now)
        );
        session.Events.Append(
            Client.KeyOf("c_1"),
            new ClientRegistered("c_1", "shop", ClientMode.Live, ["send"], "setup", Now),
            new SecretIssued("s_1", Callers.Hash(ring, "c_1", "s_1", "secret"), "setup", Now)
        );
        await session.SaveChangesAsync(Cancellation);

        var payload = System.Text.Json.JsonSerializer.SerializeToUtf8Bytes(
            new NotificationPayload(new NotificationContent(), Person),
            Notify.Infrastructure.Json.NotifyJson.Options
        );
        var (keyId, cipher, _) = set.SealBytes(person, SealedPlace.OfPayload("n/c_1:p"), payload);
        await using var fill = database.Source.CreateCommand(
            "insert into notify.payloads (stream, stored_at, key_id, sealed) values ('n/c_1:p', now(), $1, $2)"
        );
        fill.Parameters.Add(new Npgsql.NpgsqlParameter { Value = keyId });
        fill.Parameters.Add(new Npgsql.NpgsqlParameter { Value = cipher });
        await fill.ExecuteNonQueryAsync(Cancellation);
        await database.ExecuteAsync($"insert into notify.devices (device_id, user_id) values ('{device}', '{user[2..]}')");
        await database.ExecuteAsync(
            "insert into notify.cap_counts (person, category, channel, per, first_window, taken, ends_at) "
                + $"values ('a/{ring.OfPhone(Capped)}', 'offers', 1, 0, 1, '{{1}}', now() + interval '1 hour')"
        );
    }

    private async Task<IReadOnlyList<string>> HashesAsync(MasterKeyRing ring, bool notes = true)
    {
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        var prints = await ring.ReadAsync(
            connection,
            [
                HashedText.OfPhone(Known),
                HashedText.OfPhone(Stopped),
                HashedText.OfPhone(Capped),
                HashedText.OfEmail(Mail.ToUpperInvariant()),
                HashedText.OfEmail(Bare),
                .. HashedText.Of(Person),
                HashedText.OfDevice(Platform.Ios, Phone.Token!),
            ],
            Cancellation,
            notes
        );
        string[] hashes =
        [
            prints.OfPhone(Known),
            prints.OfPhone(Stopped),
            prints.OfPhone(Capped),
            prints.OfEmail(Mail),
            prints.OfEmail(Bare),
            Notify.Delivery.Planning.NotificationPlanning.SubjectOf(Person, prints),
            Notify.Delivery.Planning.NotificationPlanning.AliasOf(Person, prints)!,
            Devices.IdOf(prints, Phone),
        ];
        Assert.Equal(
            2,
            (
                await SuppressionTable.StandingAsync(
                    connection,
                    [.. hashes.Take(2).Select(h => Suppression.IdOf(Channel.Sms, h))],
                    Now,
                    Cancellation
                )
            ).Count
        );
        return hashes;
    }

    private async Task<string> ReferenceAsync(MasterKeyRing ring, string userId) =>
        await new UserReferences(ring, database.Source).FindAsync(userId, Cancellation);

    private async Task FindsForErasureAsync(MasterKeyRing ring, string user, IReadOnlyList<string> hashes)
    {
        var finder = new PersonFinder(new SubjectKeys(ring, TimeProvider.System), ring);
        await using var session = database.Store.QuerySession();
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        var owner = (await finder.OfAddressAsync(session, connection, Channel.Email, Mail, Cancellation))!;
        Assert.Equal((user, true), (owner.User, owner.Fingerprints.Contains(hashes[3])));
        foreach (var (channel, address) in new[] { (Channel.Sms, Unregistered), (Channel.Email, Further) })
            Assert.Contains(hashes[5], (await finder.OfAddressAsync(session, connection, channel, address, Cancellation))!.Subjects);
    }

    private async Task<string> HashAsync(MasterKeyRing ring, string number)
    {
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        return (await ring.ReadAsync(connection, [HashedText.OfPhone(number)], Cancellation)).OfPhone(number);
    }

    // As Api does: the secret counts, and its hash is made anew.
    private async Task LogInAsync(MasterKeyRing ring)
    {
        await using var session = database.Store.QuerySession();
        var secret = Assert.Single((await session.LoadAsync<Client>(Client.KeyOf("c_1"), Cancellation))!.Secrets);
        Assert.True(Callers.Matches(ring, "c_1", secret, "secret"));
        Assert.False(Callers.Matches(ring, "c_1", secret, "other"));
        using var hashes = new SecretHashes(database.Store, ring, TimeProvider.System, NullLogger<SecretHashes>.Instance);
        await hashes.RehashAsync("c_1", "s_1", "secret", Cancellation);
        await using var after = database.Store.QuerySession();
        Assert.False(Callers.IsOutdated(ring, Assert.Single((await after.LoadAsync<Client>(Client.KeyOf("c_1"), Cancellation))!.Secrets)));
    }

    private Task CleanAsync() =>
        database.ExecuteAsync(
            """
            truncate notify.master_keys, notify.host_keys, notify.subject_keys, notify.secret_checks, notify.suppressions, notify.peppers,
                notify.hash_references, notify.devices, notify.cap_counts, notify.payloads, notify.idempotency_keys, notify.subject_aliases,
                events.mt_events, events.mt_streams, events.mt_doc_client, events.mt_doc_recipient, events.mt_doc_addresschoices
            """
        );
}
