namespace Notify.Tests.Projections;

using System.Security.Cryptography;
using Microsoft.Extensions.Configuration;
using Notify.Delivery.Privacy;

public class MasterKeyRingTests
{
    private static readonly string KeyA = Convert.ToBase64String(RandomNumberGenerator.GetBytes(32)),
        KeyB = Convert.ToBase64String(RandomNumberGenerator.GetBytes(32)),
        Pepper = Convert.ToBase64String(RandomNumberGenerator.GetBytes(32));

    [Fact]
    public void Wrapped_key_is_unwrapped()
    {
        var (ring, key) = (Ring(), RandomNumberGenerator.GetBytes(32));
        Assert.Equal(key, ring.Unwrap(ring.Wrap(Of(key), "u/1"), "1", "u/1")!.Value.Bytes);
    }

    [Fact]
    public void The_same_key_is_never_wrapped_the_same_way_twice()
    {
        var (ring, key) = (Ring(), RandomNumberGenerator.GetBytes(32));
        Assert.NotEqual(ring.Wrap(Of(key), "u/1"), ring.Wrap(Of(key), "u/1"));
    }

    [Fact]
    public void A_wrapped_key_holds_nothing_of_the_key()
    {
        var (ring, key) = (Ring(), RandomNumberGenerator.GetBytes(32));
        Assert.Equal(-1, ring.Wrap(Of(key), "u/1").AsSpan().IndexOf(key.AsSpan(0, 8)));
    }

    [Fact]
    public void A_key_moved_to_another_subject_s_row_does_not_open()
    {
        var ring = Ring();
        Assert.Null(ring.Unwrap(ring.Wrap(Of(new byte[32]), "u/1"), "1", "u/2"));
    }

    [Fact]
    public void Whichever_bit_is_tampered_with_it_does_not_open()
    {
        var ring = Ring();
        var wrapped = ring.Wrap(Of(new byte[32]), "u/1");
        for (var i = 0; i < wrapped.Length * 8; i++)
        {
            var tampered = wrapped.ToArray();
            tampered[i / 8] ^= (byte)(1 << (i % 8));
            Assert.Null(ring.Unwrap(tampered, "1", "u/1"));
        }
    }

    [Fact]
    public void Key_for_places_stays_one_and_a_key_of_an_earlier_version_does_not_become_one()
    {
        var (ring, key) = (Ring(), RandomNumberGenerator.GetBytes(32));
        var (before, now) = (ring.Wrap(new SubjectKey(key, false), "u/1"), ring.Wrap(new SubjectKey(key, true), "u/1"));

        Assert.Equal((60, false), (before.Length, ring.Unwrap(before, "1", "u/1")!.Value.IsForPlaces)); // 60: as it was stored before
        Assert.True(ring.Unwrap(now, "1", "u/1")!.Value.IsForPlaces);
        Assert.Null(ring.Unwrap(now.AsSpan(1), "1", "u/1"));
        Assert.Null(ring.Unwrap([2, .. before], "1", "u/1"));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(12)]
    [InlineData(27)]
    [InlineData(28)]
    public void Truncated_key_is_not_unwrapped(int length)
    {
        var ring = Ring();
        Assert.Null(ring.Unwrap(ring.Wrap(Of(new byte[32]), "u/1").AsSpan(0, length), "1", "u/1"));
    }

    [Fact]
    public void Another_installation_s_key_does_not_open() =>
        Assert.Null(Ring(("1", KeyB)).Unwrap(Ring(("1", KeyA)).Wrap(Of(new byte[32]), "u/1"), "1", "u/1"));

    [Fact]
    public void A_master_key_is_replaced_while_the_old_one_still_opens()
    {
        var old = Ring(("1", KeyA)).Wrap(Of(new byte[32]), "u/1");
        var ring = Ring(("1", KeyA), ("2", KeyB));
        Assert.Equal("2", ring.CurrentId);
        Assert.NotNull(ring.Unwrap(old, "1", "u/1"));
        Assert.NotNull(ring.Unwrap(ring.Wrap(Of(new byte[32]), "u/1"), "2", "u/1"));
        Assert.Null(Ring(("2", KeyB)).Unwrap(old, "1", "u/1"));
    }

    [Fact]
    public void The_current_master_key_can_be_named() => Assert.Equal("1", Ring(current: "1", ("1", KeyA), ("2", KeyB)).CurrentId);

    // One AES object is not safe under threads: shared, it once stored keys that nobody could ever open again.
    [Fact]
    public void Many_threads_wrap_and_unwrap_at_once()
    {
        var ring = Ring();
        Parallel.For(
            0,
            20_000,
            i =>
            {
                var key = BitConverter.GetBytes(i);
                Assert.Equal(key, ring.Unwrap(ring.Wrap(Of(key), "u/1"), "1", "u/1")!.Value.Bytes);
            }
        );
    }

    [Fact]
    public void A_fingerprint_is_the_same_for_the_same_text_alone()
    {
        var ring = Ring();
        Assert.Equal(ring.Fingerprint("phone", "+82"), Ring().Fingerprint("phone", "+82"));
        Assert.NotEqual(ring.Fingerprint("phone", "+82"), ring.Fingerprint("phone", "+83"));
        Assert.NotEqual(ring.Fingerprint("phone", "+82"), ring.Fingerprint("email", "+82"));
        Assert.NotEqual(ring.Fingerprint("a", "bc"), ring.Fingerprint("ab", "c"));
        Assert.Matches("^[A-Za-z0-9_-]{43}$", ring.Fingerprint("phone", "+82"));
    }

    [Fact]
    public void Another_pepper_gives_other_fingerprints() =>
        Assert.NotEqual(
            Ring().Fingerprint("phone", "+82"),
            MasterKeyRing.Read(Configuration([("1", KeyA)], pepper: KeyB), [])!.Fingerprint("phone", "+82")
        );

    [Fact]
    public void Without_secrets_every_fault_is_told_with_its_remedy()
    {
        var faults = new List<string>();
        Assert.Null(MasterKeyRing.Read(Configuration([], pepper: null), faults));
        Assert.Equal(2, faults.Count);
        Assert.All(faults, f => Assert.Contains("openssl rand -base64 32", f));
        Assert.Contains(faults, f => f.Contains("Notify__MasterKeys__1"));
        Assert.Contains(faults, f => f.Contains("Notify:Pepper"));
    }

    [Theory]
    [InlineData("")]
    [InlineData("not base64!")]
    [InlineData("c2hvcnQ=")]
    public void A_wrong_key_is_named_and_never_shown(string key)
    {
        var faults = new List<string>();
        Assert.Null(MasterKeyRing.Read(Configuration([("1", KeyA), ("2", key)], Pepper), faults));
        var fault = Assert.Single(faults);
        Assert.Contains("Notify:MasterKeys:2", fault);
        if (key.Length > 0)
            Assert.DoesNotContain(key, fault);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(0xFF)]
    public void Keys_of_one_byte_over_and_over_are_refused_and_told(byte value)
    {
        var (faults, uniform) = (new List<string>(), Convert.ToBase64String([.. Enumerable.Repeat(value, 32)]));
        Assert.Null(MasterKeyRing.Read(Configuration([("1", uniform)], uniform), faults));
        foreach (var setting in new[] { "Notify:MasterKeys:1", "Notify:Pepper" })
            Assert.Contains(faults, f => f.StartsWith($"{setting} is the same byte", StringComparison.Ordinal) && f.Contains("openssl"));
    }

    [Theory]
    [InlineData("c2hvcnQ=")]
    [InlineData("not base64!")]
    [InlineData(null)]
    public void A_wrong_pepper_is_told(string? pepper)
    {
        var faults = new List<string>();
        Assert.Null(MasterKeyRing.Read(Configuration([("1", KeyA)], pepper), faults));
        Assert.Contains("Notify:Pepper", Assert.Single(faults));
    }

    [Fact]
    public void A_current_key_that_does_not_exist_is_told()
    {
        var faults = new List<string>();
        Assert.Null(MasterKeyRing.Read(Configuration([("1", KeyA)], Pepper, current: "7"), faults));
        Assert.Contains("\"7\"", Assert.Single(faults));
    }

    [Fact]
    public void Several_master_keys_without_a_name_are_a_fault()
    {
        var faults = new List<string>();
        Assert.Null(MasterKeyRing.Read(Configuration([("1", KeyA), ("2", KeyB)], Pepper), faults));
        Assert.Contains("Notify:MasterKey is missing, and there are several master keys (1, 2)", Assert.Single(faults));
    }

    [Fact]
    public void Check_value_tells_keys_apart_by_their_value()
    {
        Assert.Equal(Ring(("1", KeyA)).CheckValueOf("1"), Ring(("7", KeyA)).CheckValueOf("7"));
        Assert.NotEqual(Ring(("1", KeyA)).CheckValueOf("1"), Ring(("1", KeyB)).CheckValueOf("1"));
    }

    internal static MasterKeyRing Ring(params (string Id, string Key)[] keys) => Ring(keys.Length > 1 ? keys[^1].Id : null, keys);

    private static SubjectKey Of(byte[] key) => new(key, IsForPlaces: false);

    private static MasterKeyRing Ring(string? current, params (string Id, string Key)[] keys) =>
        MasterKeyRing.Read(Configuration(keys.Length > 0 ? keys : [("1", KeyA)], Pepper, current), [])!;

    private static IConfiguration Configuration((string Id, string Key)[] keys, string? pepper, string? current = null) =>
        new ConfigurationBuilder()
            .AddInMemoryCollection(
                keys.Select(k => KeyValuePair.Create<string, string?>($"Notify:MasterKeys:{k.Id}", k.Key))
                    .Append(new("Notify:Pepper", pepper))
                    .Append(new("Notify:MasterKey", current))
                    .Where(p => p.Value is not null)
            )
            .Build();
}
