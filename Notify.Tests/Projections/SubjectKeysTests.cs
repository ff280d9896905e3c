using System.Security.Cryptography;
using Microsoft.Extensions.Configuration;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;
using Notify.Projections.Privacy;
using Npgsql;

namespace Notify.Tests.Projections;

public sealed class SubjectKeysTests(EmptyDatabase database) : IClassFixture<EmptyDatabase>
{
    private static readonly string KeyA = NewKey(), KeyB = NewKey(), Pepper = NewKey();
    private readonly string subject = $"u/{Guid.NewGuid():N}";
    private readonly SubjectKeys keys = Keys("1", ("1", KeyA));

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task What_was_sealed_is_opened()
    {
        var details = new ContactDetails("kim@example.com", "+821012345678");
        var text = (await CurrentAsync(subject)).SealJson(subject, details);
        Assert.Equal(details, (await ForAsync(text)).OpenJson<ContactDetails>(text));
    }

    [Fact]
    public async Task A_sealed_text_shows_nothing_and_is_never_the_same_twice()
    {
        var set = await CurrentAsync(subject);
        var (one, two) = (set.Seal(subject, "kim@example.com"), set.Seal(subject, "kim@example.com"));
        Assert.NotEqual(one, two);
        Assert.DoesNotContain("kim", one.Text, StringComparison.Ordinal);
        Assert.DoesNotContain(Convert.ToBase64String("kim@example.com"u8).TrimEnd('='), one.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task One_s_text_does_not_open_under_another_s_key()
    {
        var other = $"u/{Guid.NewGuid():N}";
        var set = await CurrentAsync(subject, other);
        var (mine, theirs) = (set.Seal(subject, "mine"), set.Seal(other, "theirs"));
        Assert.Null(set.OpenText(new Sealed($"{theirs.KeyId}.{mine.Text.Split('.')[1]}")));
        Assert.Equal("mine", set.OpenText(mine));
    }

    [Fact]
    public async Task A_text_that_was_tampered_with_does_not_open()
    {
        var set = await CurrentAsync(subject);
        var text = set.Seal(subject, "+821012345678").Text;
        foreach (var i in Enumerable.Range(text.IndexOf('.', StringComparison.Ordinal) + 1, 30))
            Assert.Null(set.OpenText(new Sealed(string.Concat(text.AsSpan(0, i), text[i] == 'A' ? "B" : "A", text.AsSpan(i + 1)))));
    }

    [Fact]
    public async Task A_subject_keeps_its_key()
    {
        var first = (await CurrentAsync(subject)).Seal(subject, "x");
        Assert.Equal(first.KeyId, (await CurrentAsync(subject)).Seal(subject, "x").KeyId);
    }

    [Fact]
    public async Task Racing_callers_agree_on_one_key()
    {
        var subjects = Enumerable.Range(0, 20).Select(i => $"{subject}-{i}").ToArray();
        var ids = await Task.WhenAll(Enumerable.Range(0, 8).Select(async n =>
        {
            var set = await CurrentAsync([.. n % 2 == 0 ? subjects : subjects.Reverse()]);
            return string.Join(',', subjects.Select(s => set.Seal(s, "x").KeyId));
        }));
        Assert.Single(ids.Distinct());
    }

    [Fact]
    public async Task An_erased_key_opens_nothing_ever_again()
    {
        var old = (await CurrentAsync(subject)).Seal(subject, "before");
        Assert.True(await EraseAsync());
        Assert.False(await EraseAsync());
        Assert.Null((await ForAsync(old)).OpenText(old));

        var @new = (await CurrentAsync(subject)).Seal(subject, "after");
        var set = await ForAsync(old, @new);
        Assert.Equal((null, "after"), (set.OpenText(old), set.OpenText(@new)));
        Assert.NotEqual(old.KeyId, @new.KeyId);
    }

    [Fact]
    public async Task Nothing_of_an_erased_key_is_left()
    {
        await CurrentAsync(subject);
        await EraseAsync();
        await using var command = database.Source.CreateCommand("select count(*) from notify.subject_keys where subject = $1 and wrapped is not null");
        command.Parameters.Add(new NpgsqlParameter { Value = subject });
        Assert.Equal(0L, await command.ExecuteScalarAsync(Cancellation));
    }

    [Fact]
    public async Task Erasing_someone_who_has_no_key_says_so() => Assert.False(await EraseAsync());

    [Fact]
    public async Task After_rewrapping_the_old_master_key_can_go()
    {
        var text = (await CurrentAsync(subject)).Seal(subject, "kept");
        var rotating = Keys("2", ("1", KeyA), ("2", KeyB));
        Assert.InRange(await rotating.RewrapAsync(database.Source, Cancellation), 1, int.MaxValue);
        Assert.Equal(0, await rotating.RewrapAsync(database.Source, Cancellation));
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        Assert.Equal("kept", (await Keys("2", ("2", KeyB)).ForAsync(connection, [text], Cancellation)).OpenText(text));
        var without = await Keys("1", ("1", KeyA)).ForAsync(connection, [text], Cancellation);
        Assert.Equal((false, true, "2"), (without.Has(text), without.IsLocked(text), without.MasterKeyOf(text)));
        Assert.Throws<KeyNotHeldException>(() => without.OpenText(text));
        await Keys("1", ("1", KeyA), ("2", KeyB)).RewrapAsync(database.Source, Cancellation); // as the other tests of this class expect
    }

    [Fact]
    public async Task Host_with_another_value_of_the_master_key_finds_text_locked_and_makes_no_second_key()
    {
        var text = (await CurrentAsync(subject)).Seal(subject, "kept");
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        var other = Keys("1", ("1", KeyB));
        Assert.True((await other.ForAsync(connection, [text], Cancellation)).IsLocked(text));
        var current = await other.CurrentAsync(connection, [subject], Cancellation);
        Assert.Equal((false, true), (current.HasCurrent(subject), current.IsLocked(subject)));
        Assert.Throws<KeyNotHeldException>(() => current.Seal(subject, "more"));
        Assert.Equal("kept", (await ForAsync(text)).OpenText(text));
    }

    [Fact]
    public async Task Erased_text_is_not_locked()
    {
        var text = (await CurrentAsync(subject)).Seal(subject, "gone");
        await EraseAsync();
        var set = await ForAsync(text);
        Assert.Equal((false, false, null), (set.Has(text), set.IsLocked(text), set.OpenText(text)));
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

    private static SubjectKeys Keys(string current, params (string Id, string Key)[] masters) => new(
        MasterKeyRing.Read(new ConfigurationBuilder().AddInMemoryCollection(
            masters.Select(m => KeyValuePair.Create<string, string?>($"Notify:MasterKeys:{m.Id}", m.Key)).Append(new("Notify:Pepper", Pepper)).Append(new("Notify:MasterKey", current))).Build(), [])!,
        TimeProvider.System);

    private static string NewKey() => Convert.ToBase64String(RandomNumberGenerator.GetBytes(32));
}
