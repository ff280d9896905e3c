namespace Notify.Tests.Dispatch;

using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Time.Testing;
using Notify.Dispatch.Providers.Apns;

public sealed class ApnsTokenTests : IDisposable
{
    private readonly ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private readonly FakeTimeProvider clock = new(new DateTimeOffset(2026, 5, 4, 12, 10, 0, TimeSpan.Zero));

    public void Dispose() => key.Dispose();

    [Fact]
    public void The_token_is_an_es256_jwt_of_the_team_under_the_key_s_id()
    {
        var header = Token().Header();
        Assert.StartsWith("bearer ", header, StringComparison.Ordinal);
        var parts = header["bearer ".Length..].Split('.');
        Assert.Equal(3, parts.Length);
        Assert.Equal(
            ("ES256", "KEYID67890"),
            (Json(parts[0]).GetProperty("alg").GetString(), Json(parts[0]).GetProperty("kid").GetString())
        );
        Assert.Equal(["iat", "iss"], Json(parts[1]).EnumerateObject().Select(p => p.Name).Order());
        Assert.Equal("TEAMID1234", Json(parts[1]).GetProperty("iss").GetString());
    }

    [Fact]
    public void The_signature_is_right()
    {
        var parts = Token().Header()["bearer ".Length..].Split('.');
        using var known = ECDsa.Create(key.ExportParameters(includePrivateParameters: false));
        var signed = Encoding.ASCII.GetBytes($"{parts[0]}.{parts[1]}");
        Assert.True(
            known.VerifyData(
                signed,
                Base64Url.DecodeFromChars(parts[2]),
                HashAlgorithmName.SHA256,
                DSASignatureFormat.IeeeP1363FixedFieldConcatenation
            )
        );
    }

    [Fact]
    public void The_time_of_issue_lies_on_a_grid_of_half_hours()
    {
        Assert.Equal(At(12, 0), IssuedAt(Token().Header()));
        clock.SetUtcNow(At(12, 59));
        Assert.Equal(At(12, 30), IssuedAt(Token().Header()));
    }

    [Fact]
    public void Two_hosts_agree_without_talking()
    {
        var (one, other) = (Token(), Token());
        for (var minute = 0; minute < 120; minute++)
        {
            Assert.Equal(one.Header(), other.Header());
            clock.Advance(TimeSpan.FromMinutes(1));
        }
    }

    [Fact]
    public void Two_hosts_that_renew_in_one_minute_agree()
    {
        var (one, other) = (Token(), Token());
        var expired = one.Header();
        Assert.Equal(expired, other.Header());
        var renewed = one.Renew(expired);
        clock.Advance(TimeSpan.FromSeconds(20));
        Assert.Equal(renewed, other.Renew(expired));
    }

    // RFC 6979, A.2.5: P-256, SHA-256.
    [Theory]
    [InlineData(
        "sample",
        "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716",
        "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"
    )]
    [InlineData(
        "test",
        "F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367",
        "019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083"
    )]
    public void Signature_is_that_of_RFC_6979(string text, string r, string s)
    {
        using var known = ECDsa.Create(
            new ECParameters
            {
                Curve = ECCurve.NamedCurves.nistP256,
                D = Convert.FromHexString("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721"),
                Q = new ECPoint
                {
                    X = Convert.FromHexString("60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6"),
                    Y = Convert.FromHexString("7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299"),
                },
            }
        );
        Assert.Equal(r + s, Convert.ToHexString(Es256.Sign(known, Encoding.ASCII.GetBytes(text))));
    }

    [Fact]
    public void A_token_is_signed_once_and_shared()
    {
        var token = Token();
        var first = token.Header();
        Assert.Same(first, token.Header());
        var concurrently = new string[64];
        Parallel.For(0, concurrently.Length, i => concurrently[i] = token.Header());
        Assert.All(concurrently, header => Assert.Same(first, header));
    }

    [Fact]
    public void A_token_is_renewed_no_sooner_than_after_20_minutes_and_is_never_an_hour_old()
    {
        var token = Token();
        var (last, renewed) = (IssuedAt(token.Header()), new List<TimeSpan>());
        for (var minute = 0; minute < 600; minute++)
        {
            clock.Advance(TimeSpan.FromMinutes(1));
            var issued = IssuedAt(token.Header());
            Assert.True(clock.GetUtcNow() - issued < TimeSpan.FromHours(1));
            if (issued == last)
                continue;
            renewed.Add(issued - last);
            last = issued;
        }

        Assert.All(renewed, gap => Assert.InRange(gap, TimeSpan.FromMinutes(20), TimeSpan.FromMinutes(60)));
    }

    [Fact]
    public void Token_that_Apple_reports_expired_is_renewed_with_the_current_time()
    {
        var token = Token();
        var expired = token.Header();
        var renewed = token.Renew(expired);
        Assert.NotEqual(expired, renewed);
        Assert.Equal(At(12, 10), IssuedAt(renewed));
        Assert.Same(renewed, token.Header());
    }

    [Fact]
    public void Many_calls_that_met_the_expired_token_renew_it_once()
    {
        var token = Token();
        var expired = token.Header();
        var renewed = new string[64];
        Parallel.For(0, renewed.Length, i => renewed[i] = token.Renew(expired));
        Assert.Single(renewed.Distinct());
    }

    [Theory]
    [InlineData(12, 10)]
    [InlineData(12, 29)]
    [InlineData(12, 31)]
    public void A_renewed_token_too_is_kept_for_20_minutes(int hour, int minute)
    {
        clock.SetUtcNow(At(hour, minute));
        var token = Token();
        var last = IssuedAt(token.Renew(token.Header()));
        for (var i = 0; i < 180; i++)
        {
            clock.Advance(TimeSpan.FromMinutes(1));
            var issued = IssuedAt(token.Header());
            Assert.True(clock.GetUtcNow() - issued < TimeSpan.FromHours(1));
            if (issued != last)
                Assert.True(
                    issued - last >= TimeSpan.FromMinutes(20) && clock.GetUtcNow() - last >= TimeSpan.FromMinutes(20),
                    $"{last:t} → {issued:t}"
                );
            last = issued;
        }
    }

    private ApnsToken Token() => new(key, "TEAMID1234", "KEYID67890", clock);

    private static DateTimeOffset At(int hour, int minute) => new(2026, 5, 4, hour, minute, 0, TimeSpan.Zero);

    private static DateTimeOffset IssuedAt(string header) =>
        DateTimeOffset.FromUnixTimeSeconds(Json(header["bearer ".Length..].Split('.')[1]).GetProperty("iat").GetInt64());

    private static JsonElement Json(string part) => JsonDocument.Parse(Base64Url.DecodeFromChars(part)).RootElement;
}
