using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Time.Testing;
using Notify.Dispatch.Apns;

namespace Notify.Tests.Dispatch;

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
        Assert.Equal(("ES256", "KEYID67890"), (Json(parts[0]).GetProperty("alg").GetString(), Json(parts[0]).GetProperty("kid").GetString()));
        Assert.Equal(["iat", "iss"], Json(parts[1]).EnumerateObject().Select(p => p.Name).Order());
        Assert.Equal("TEAMID1234", Json(parts[1]).GetProperty("iss").GetString());
    }

    [Fact]
    public void The_signature_is_right()
    {
        var parts = Token().Header()["bearer ".Length..].Split('.');
        using var known = ECDsa.Create(key.ExportParameters(includePrivateParameters: false));
        var signed = Encoding.ASCII.GetBytes($"{parts[0]}.{parts[1]}");
        Assert.True(known.VerifyData(signed, Base64Url.DecodeFromChars(parts[2]), HashAlgorithmName.SHA256, DSASignatureFormat.IeeeP1363FixedFieldConcatenation));
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
            Assert.Equal(IssuedAt(one.Header()), IssuedAt(other.Header()));
            clock.Advance(TimeSpan.FromMinutes(1));
        }
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
            if (issued == last) continue;
            renewed.Add(issued - last);
            last = issued;
        }

        Assert.All(renewed, gap => Assert.InRange(gap, TimeSpan.FromMinutes(20), TimeSpan.FromMinutes(60)));
    }

    [Fact]
    public void What_Apple_calls_expired_is_signed_anew_with_the_time_of_now()
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
            if (issued != last) Assert.True(issued - last >= TimeSpan.FromMinutes(20) && clock.GetUtcNow() - last >= TimeSpan.FromMinutes(20), $"{last:t} → {issued:t}");
            last = issued;
        }
    }

    private ApnsToken Token() => new(key, "TEAMID1234", "KEYID67890", clock);

    private static DateTimeOffset At(int hour, int minute) => new(2026, 5, 4, hour, minute, 0, TimeSpan.Zero);

    private static DateTimeOffset IssuedAt(string header) =>
        DateTimeOffset.FromUnixTimeSeconds(Json(header["bearer ".Length..].Split('.')[1]).GetProperty("iat").GetInt64());

    private static JsonElement Json(string part) => JsonDocument.Parse(Base64Url.DecodeFromChars(part)).RootElement;
}
