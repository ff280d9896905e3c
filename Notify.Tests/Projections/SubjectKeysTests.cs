namespace Notify.Tests.Projections;

using System.Security.Cryptography;
using Microsoft.Extensions.Configuration;
using Notify.Delivery.Privacy;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;
using Npgsql;

public sealed class SubjectKeysTests(EmptyDatabase database) : IClassFixture<EmptyDatabase>
{
    private static readonly string KeyA = NewKey(),
        KeyB = NewKey(),
        Pepper = NewKey();
    private static readonly SealedPlace Place = SealedPlace.OfPayload("n/c_shop:e-1");
    private readonly string subject = $"u/{Guid.NewGuid():N}";
    private readonly SubjectKeys keys = Keys("1", ("1", KeyA));

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Encrypted_value_is_decrypted()
    {
        var details = new ContactDetails("kim@example.com", "+821012345678");
        var text = (await CurrentAsync(subject)).SealJson(subject, Place, details);
        Assert.Equal(details, (await ForAsync(text)).OpenJson<ContactDetails>(text, Place));
    }

    [Fact]
    public async Task A_sealed_text_shows_nothing_and_is_never_the_same_twice()
    {
        var set = await CurrentAsync(subject);
        var (one, two) = (set.Seal(subject, Place, "kim@example.com"), set.Seal(subject, Place, "kim@example.com"));
        Assert.NotEqual(one, two);
        Assert.DoesNotContain("kim", one.Text, StringComparison.Ordinal);
        Assert.DoesNotContain(Convert.ToBase64String("kim@example.com"u8).TrimEnd('='), one.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task One_s_text_does_not_open_under_another_s_key()
    {
        var other = $"u/{Guid.NewGuid():N}";
        var set = await CurrentAsync(subject, other);
        var (mine, theirs) = (set.Seal(subject, Place, "mine"), set.Seal(other, Place, "theirs"));
        Assert.Null(set.OpenText(new Sealed($"{theirs.KeyId}.2.{mine.GetCipher()}"), Place));
        Assert.Equal("mine", set.OpenText(mine, Place));
    }

    [Fact]
    public async Task A_text_that_was_tampered_with_does_not_open()
    {
        var set = await CurrentAsync(subject);
        var text = set.Seal(subject, Place, "+821012345678").Text;
        foreach (var i in Enumerable.Range(text.IndexOf('.', StringComparison.Ordinal) + 1, 30))
            Assert.Null(set.OpenText(new Sealed(string.Concat(text.AsSpan(0, i), text[i] == 'A' ? "B" : "A", text.AsSpan(i + 1))), Place));
    }

    [Fact]
    public async Task Text_moved_to_another_stream_or_field_of_the_same_person_does_not_open()
    {
        var set = await CurrentAsync(subject);
        var id = Guid.NewGuid();
        SealedPlace[] places =
        [
            SealedPlace.OfPayload("n/c:1"),
            SealedPlace.OfPayload("n/c:2"),
            SealedPlace.OfDigest("n/c:1"),
            SealedPlace.OfAddress("n/c:1", subject, id, null),
            SealedPlace.OfAddress("n/c:1", subject, Guid.NewGuid(), null),
            SealedPlace.OfAddress("n/c:1", subject, id, "d_1"),
            SealedPlace.OfToken(subject, "d_2"),
            SealedPlace.OfDetails(subject),
            SealedPlace.OfLink("n/c:1", id, 0),
            SealedPlace.OfLink("n/c:1", id, 1),
            SealedPlace.OfSuppressed("s/sms:print"),
            SealedPlace.OfReceipt("twilio", "SM1:sent"),
            SealedPlace.OfReceipt("twilio", "SM1:delivered"),
        ];
        var texts = places.Select(p => set.Seal(subject, p, "mine")).ToList();

        foreach (var (text, i) in texts.Select((t, i) => (t, i)))
            Assert.Equal([i], Enumerable.Range(0, places.Length).Where(p => set.OpenText(text, places[p]) is not null));
        Assert.Equal(SealedPlace.OfToken(subject, "d_1"), places[5]); // the device's token as the user's stream has it
    }

    [Fact]
    public async Task Text_is_moved_under_its_key_and_opens_at_its_new_place_alone()
    {
        var set = await CurrentAsync(subject);
        var (from, to) = (SealedPlace.OfAddress("n/c:1", subject, Guid.NewGuid(), null), SealedPlace.OfSuppressed("s/sms:print"));
        var text = set.Seal(subject, from, "+12025550123");
        var moved = set.Move(text, from, to)!.Value;

        Assert.Equal((text.KeyId, "+12025550123", null), (moved.KeyId, set.OpenText(moved, to), set.OpenText(moved, from)));
        Assert.Null(set.Move(text, to, from));
    }

    [Fact]
    public async Task Text_of_an_earlier_version_opens_under_its_key_and_one_made_up_under_a_new_key_does_not()
    {
        var ring = Ring("1", ("1", KeyA));
        ring.Format.Follow(lowestLive: 2, minReader: 2);
        var earlier = new SubjectKeys(ring, TimeProvider.System);
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        var text = (await earlier.CurrentAsync(connection, [subject], Cancellation)).Seal(subject, Place, "kept");
        Assert.Equal(SealedVersions.Subject, text.Version);
        Assert.DoesNotContain(".2.", text.Text, StringComparison.Ordinal); // as every text was before

        var now = await CurrentAsync(subject);
        Assert.Equal("kept", now.OpenText(text, Place));
        Assert.Equal(SealedVersions.Place, now.Seal(subject, Place, "new").Version); // and what is new is for its place

        // The earlier form under a new key: no version has written it, though a holder of the key could.
        var other = $"u/{Guid.NewGuid():N}";
        var made = (await CurrentAsync(other)).Seal(other, Place, "new");
        var key = Ring("1", ("1", KeyA)).Unwrap(await WrappedAsync(other), "1", other)!.Value;
        Assert.True(key.IsForPlaces);
        var forged = new Sealed($"{made.KeyId}.{System.Buffers.Text.Base64Url.EncodeToString(EarlierForm(key.Bytes, "forged", other))}");
        Assert.Null((await ForAsync(forged)).OpenText(forged, Place));
        var mine = Ring("1", ("1", KeyA)).Unwrap(await WrappedAsync(subject), "1", subject)!.Value;
        Assert.False(mine.IsForPlaces);
        var old = new Sealed($"{text.KeyId}.{System.Buffers.Text.Base64Url.EncodeToString(EarlierForm(mine.Bytes, "old", subject))}");
        Assert.Equal("old", (await ForAsync(old)).OpenText(old, Place)); // the same bytes open where such texts were written
    }

    [Fact]
    public async Task A_subject_keeps_its_key()
    {
        var first = (await CurrentAsync(subject)).Seal(subject, Place, "x");
        Assert.Equal(first.KeyId, (await CurrentAsync(subject)).Seal(subject, Place, "x").KeyId);
    }

    [Fact]
    public async Task Racing_callers_agree_on_one_key()
    {
        var subjects = Enumerable.Range(0, 20).Select(i => $"{subject}-{i}").ToArray();
        var ids = await Task.WhenAll(
            Enumerable
                .Range(0, 8)
                .Select(async n =>
                {
                    var set = await CurrentAsync([.. n % 2 == 0 ? subjects : subjects.Reverse()]);
                    return string.Join(',', subjects.Select(s => set.Seal(s, Place, "x").KeyId));
                })
        );
        Assert.Single(ids.Distinct());
    }

    [Fact]
    public async Task An_erased_key_opens_nothing_ever_again()
    {
        var old = (await CurrentAsync(subject)).Seal(subject, Place, "before");
        Assert.True(await EraseAsync());
        Assert.False(await EraseAsync());
        Assert.Null((await ForAsync(old)).OpenText(old, Place));

        var @new = (await CurrentAsync(subject)).Seal(subject, Place, "after");
        var set = await ForAsync(old, @new);
        Assert.Equal((null, "after"), (set.OpenText(old, Place), set.OpenText(@new, Place)));
        Assert.NotEqual(old.KeyId, @new.KeyId);
    }

    [Fact]
    public async Task Nothing_of_an_erased_key_is_left()
    {
        await CurrentAsync(subject);
        await EraseAsync();
        await using var command = database.Source.CreateCommand(
            "select count(*) from notify.subject_keys where subject = $1 and wrapped is not null"
        );
        command.Parameters.Add(new NpgsqlParameter { Value = subject });
        Assert.Equal(0L, await command.ExecuteScalarAsync(Cancellation));
    }

    [Fact]
    public async Task Erasing_someone_who_has_no_key_says_so() => Assert.False(await EraseAsync());

    [Fact]
    public async Task After_rewrapping_the_old_master_key_can_go()
    {
        var text = (await CurrentAsync(subject)).Seal(subject, Place, "kept");
        var rotating = Keys("2", ("1", KeyA), ("2", KeyB));
        Assert.InRange(await rotating.RewrapAsync(database.Source, Cancellation), 1, int.MaxValue);
        Assert.Equal(0, await rotating.RewrapAsync(database.Source, Cancellation));
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        Assert.Equal("kept", (await Keys("2", ("2", KeyB)).ForAsync(connection, [text], Cancellation)).OpenText(text, Place));
        var without = await Keys("1", ("1", KeyA)).ForAsync(connection, [text], Cancellation);
        Assert.Equal((false, true, "2"), (without.Has(text), without.IsLocked(text), without.MasterKeyOf(text)));
        Assert.Throws<KeyNotHeldException>(() => without.OpenText(text, Place));
        await Keys("1", ("1", KeyA), ("2", KeyB)).RewrapAsync(database.Source, Cancellation); // as the other tests of this class expect
    }

    [Fact]
    public async Task Host_with_another_value_of_the_master_key_finds_text_locked_and_makes_no_second_key()
    {
        var text = (await CurrentAsync(subject)).Seal(subject, Place, "kept");
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        var other = Keys("1", ("1", KeyB));
        Assert.True((await other.ForAsync(connection, [text], Cancellation)).IsLocked(text));
        var current = await other.CurrentAsync(connection, [subject], Cancellation);
        Assert.Equal((false, true), (current.HasCurrent(subject), current.IsLocked(subject)));
        Assert.Throws<KeyNotHeldException>(() => current.Seal(subject, Place, "more"));
        Assert.Equal("kept", (await ForAsync(text)).OpenText(text, Place));
    }

    [Fact]
    public async Task Erased_text_is_not_locked()
    {
        var text = (await CurrentAsync(subject)).Seal(subject, Place, "gone");
        await EraseAsync();
        var set = await ForAsync(text);
        Assert.Equal((false, false, null), (set.Has(text), set.IsLocked(text), set.OpenText(text, Place)));
    }

    [Fact]
    public async Task A_transaction_that_fails_leaves_no_key()
    {
        await using (var connection = await database.Source.OpenConnectionAsync(Cancellation))
        {
            await using var transaction = await connection.BeginTransactionAsync(Cancellation);
            Assert.True((await keys.CurrentAsync(connection, [subject], Cancellation)).HasCurrent(subject));
        }

        Assert.False(await EraseAsync());
    }

    private async Task<KeySet> CurrentAsync(params string[] subjects)
    {
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        return await keys.CurrentAsync(connection, subjects, Cancellation);
    }

    private async Task<KeySet> ForAsync(params Sealed[] texts)
    {
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        return await keys.ForAsync(connection, texts, Cancellation);
    }

    private async Task<bool> EraseAsync()
    {
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        return await keys.EraseAsync(connection, subject, Cancellation);
    }

    private async Task<byte[]> WrappedAsync(string of)
    {
        await using var command = database.Source.CreateCommand(
            "select wrapped from notify.subject_keys where subject = $1 and erased_at is null"
        );
        command.Parameters.Add(new NpgsqlParameter { Value = of });
        return (byte[])(await command.ExecuteScalarAsync(Cancellation))!;
    }

    // AES-256-GCM over nonce, ciphertext and tag, with the subject alone beside it.
    private static byte[] EarlierForm(byte[] key, string text, string subject)
    {
        var plain = System.Text.Encoding.UTF8.GetBytes(text);
        var sealedText = new byte[12 + plain.Length + 16];
        using var aes = new AesGcm(key, 16);
        aes.Encrypt(
            sealedText.AsSpan(0, 12),
            plain,
            sealedText.AsSpan(12, plain.Length),
            sealedText.AsSpan(12 + plain.Length),
            System.Text.Encoding.UTF8.GetBytes(subject)
        );
        return sealedText;
    }

    private static SubjectKeys Keys(string current, params (string Id, string Key)[] masters) =>
        new(Ring(current, masters), TimeProvider.System);

    private static MasterKeyRing Ring(string current, params (string Id, string Key)[] masters) =>
        MasterKeyRing.Read(
            new ConfigurationBuilder()
                .AddInMemoryCollection(
                    masters
                        .Select(m => KeyValuePair.Create<string, string?>($"Notify:MasterKeys:{m.Id}", m.Key))
                        .Append(new("Notify:Pepper", Pepper))
                        .Append(new("Notify:MasterKey", current))
                )
                .Build(),
            []
        )!;

    private static string NewKey() => Convert.ToBase64String(RandomNumberGenerator.GetBytes(32));
}
