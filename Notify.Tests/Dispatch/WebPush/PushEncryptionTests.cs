namespace Notify.Tests.Dispatch.WebPush;

using System.Buffers.Text;
using System.Security.Cryptography;
using Notify.Dispatch.Providers.WebPush;
using Notify.Sandbox.WebPush;

public sealed class PushEncryptionTests
{
    [Fact]
    public void The_example_of_RFC_8188_comes_out_byte_for_byte()
    {
        var body = Aes128Gcm.Seal("I am the walrus"u8, Bytes("yqdlZ-tYemfogSmv7Ws5PQ"), Bytes("I1BsxtFttlv3u_Oo94xnmw"), []);
        Assert.Equal("I1BsxtFttlv3u_Oo94xnmwAAEAAA-NAVub2qFgBEuQKRapoZu-IxkIva3MEB1PD-ly8Thjg", Base64Url.EncodeToString(body));
    }

    [Fact]
    public void The_example_of_RFC_8291_comes_out_byte_for_byte()
    {
        using var sender = KeyPair(
            "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8",
            "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
        );
        var body = PushEncryption.Seal(
            "When I grow up, I want to be a watermelon"u8,
            Bytes("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"),
            Bytes("BTBZMqHH6r4Tts7J_aSIgg"),
            sender,
            Bytes("DGv6ra1nlYgDCS1FRnbzlw")
        );
        Assert.Equal(
            "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN",
            Base64Url.EncodeToString(body)
        );
    }

    [Fact]
    public void Encrypted_push_is_decrypted_by_its_browser_only()
    {
        var browser = new Subscriptions().Create(null, null);
        var text = "Unterwegs 🚚 배송 중"u8.ToArray();
        Assert.Equal(text, PushDecryption.Open(PushEncryption.Seal(text, browser.PublicKey, browser.Authentication)!, browser));
        Assert.Null(
            PushDecryption.Open(
                PushEncryption.Seal(text, browser.PublicKey, browser.Authentication)!,
                new Subscriptions().Create(null, null)
            )
        );
    }

    [Fact]
    public void The_longest_text_fills_the_largest_body()
    {
        var browser = new Subscriptions().Create(null, null);
        Assert.Equal(3993, PushEncryption.MaxText);
        var body = PushEncryption.Seal(new byte[PushEncryption.MaxText], browser.PublicKey, browser.Authentication)!;
        Assert.Equal(PushEncryption.MaxBody, body.Length);
        Assert.Equal(PushEncryption.MaxText, PushDecryption.Open(body, browser)!.Length);
    }

    [Fact]
    public void Each_message_has_a_salt_and_a_key_of_its_own()
    {
        var browser = new Subscriptions().Create(null, null);
        var bodies = Enumerable.Range(0, 20).Select(_ => PushEncryption.Seal("x"u8, browser.PublicKey, browser.Authentication)!).ToList();
        Assert.Equal(20, bodies.Select(b => Convert.ToHexString(b[..16])).Distinct().Count());
        Assert.Equal(20, bodies.Select(b => Convert.ToHexString(b[21..86])).Distinct().Count());
    }

    [Fact]
    public void A_touched_byte_is_noticed_wherever_it_is()
    {
        var browser = new Subscriptions().Create(null, null);
        var body = PushEncryption.Seal("Your code is 123456"u8, browser.PublicKey, browser.Authentication)!;
        var record = (Start: 16, End: 20); // its size is not authenticated, and says only what is at most in a record
        foreach (var i in Enumerable.Range(0, body.Length).Where(i => i < record.Start || i >= record.End))
        {
            var touched = body.ToArray();
            touched[i] ^= 1;
            Assert.Null(PushDecryption.Open(touched, browser));
        }

        Assert.Null(PushDecryption.Open(body[..^1], browser));
        Assert.Null(PushDecryption.Open([], browser));
    }

    public static readonly TheoryData<string, byte[]> NoKeys = new()
    {
        { "zeros", new byte[65] },
        { "not on the curve", [4, .. Enumerable.Repeat((byte)1, 64)] },
        { "too short", [4, .. new byte[63]] },
        { "compressed", [2, .. new byte[32]] },
    };

    [Theory, MemberData(nameof(NoKeys))]
    public void A_key_that_is_none_is_told(string kind, byte[] key) =>
        Assert.True(PushEncryption.Seal("x"u8, key, new byte[16]) is null, kind);

    private static ECDiffieHellman KeyPair(string publicKey, string privateKey)
    {
        var point = Bytes(publicKey);
        return ECDiffieHellman.Create(
            new ECParameters
            {
                Curve = ECCurve.NamedCurves.nistP256,
                Q = new ECPoint { X = point[1..33], Y = point[33..] },
                D = Bytes(privateKey),
            }
        );
    }

    private static byte[] Bytes(string text) => Base64Url.DecodeFromChars(text);
}
