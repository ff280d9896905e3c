namespace Notify.Tests.Dispatch.WebPush;

using System.Buffers.Text;
using System.Security.Cryptography;
using Notify.Dispatch.Providers.WebPush;

public sealed class WebPushOptionsTests
{
    [Fact]
    public void A_right_pair_is_loaded()
    {
        var faults = new List<string>();
        using var key = Options().LoadKey("Providers:WebPush", faults);
        Assert.Empty(faults);
        Assert.NotNull(key);
    }

    [Fact]
    public void Every_fault_is_told()
    {
        var faults = new List<string>();
        Assert.Null(
            new WebPushOptions
            {
                TrustedCaPath = "/nowhere.pem",
                Concurrency = 0,
                Timeout = TimeSpan.Zero,
            }.LoadKey("Providers:WebPush", faults)
        );
        Assert.Equal(6, faults.Count);
        Assert.All(
            new[] { "Subject", "PublicKey", "PrivateKey", "TrustedCaPath", "Concurrency", "Timeout" },
            name => Assert.Single(faults, f => f.StartsWith($"Providers:WebPush:{name} "))
        );
        Assert.All(faults, f => Assert.DoesNotContain('\n', f));
    }

    /// <summary>RFC 8292, section 2.1; Apple, Sending web push notifications: BadJwtToken where the subject is no such address.</summary>
    [Theory]
    [InlineData("ops@example.com")]
    [InlineData("http://example.com")]
    [InlineData("tel:+12025550123")]
    [InlineData("mailto:")]
    [InlineData("mailto: ops@example.com")]
    [InlineData("mailto:ops@example.com ")]
    [InlineData("mailto:ops")]
    [InlineData("mailto:Ops <ops@example.com>")]
    [InlineData("https://example.com/a b")]
    public void The_subject_is_a_mailto_or_https_address(string subject)
    {
        var faults = new List<string>();
        Assert.Null((Options() with { Subject = subject }).LoadKey("s", faults));
        Assert.Contains("s:Subject", Assert.Single(faults));
    }

    [Fact]
    public void The_keys_of_two_pairs_do_not_match()
    {
        var faults = new List<string>();
        Assert.Null((Options() with { PrivateKey = Options().PrivateKey }).LoadKey("s", faults));
        Assert.Contains("does not belong", Assert.Single(faults));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void Invalid_key_is_reported_and_not_shown(int kind)
    {
        var good = Options();
        var bad = kind switch
        {
            0 => good with { PublicKey = Base64Url.EncodeToString([4, .. Enumerable.Repeat((byte)7, 64)]) },
            1 => good with { PrivateKey = "not base64url!" },
            _ => good with { PrivateKey = Base64Url.EncodeToString(new byte[32]) },
        };
        var faults = new List<string>();
        Assert.Null(bad.LoadKey("s", faults));
        Assert.DoesNotContain(bad.PrivateKey, Assert.Single(faults));
    }

    internal static WebPushOptions Options()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var parameters = key.ExportParameters(includePrivateParameters: true);
        return new WebPushOptions
        {
            Subject = "mailto:ops@example.com",
            PublicKey = Base64Url.EncodeToString([4, .. parameters.Q.X!, .. parameters.Q.Y!]),
            PrivateKey = Base64Url.EncodeToString(parameters.D!),
        };
    }
}
