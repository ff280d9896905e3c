namespace Notify.Tests.Dispatch;

using System.Security.Cryptography;
using Notify.Dispatch.Providers.Fcm;

public sealed class FcmOptionsTests
{
    private static readonly Uri TokenUri = new("https://oauth2.example/token");

    [Fact]
    public void A_right_key_is_read_from_the_settings_or_a_file()
    {
        var (faults, json) = (new List<string>(), FcmStandIn.Json(TokenUri));
        using var account = new FcmOptions { ServiceAccountJson = json, ServiceAccountPath = "/nowhere.json" }.LoadAccount(
            "Providers:Fcm",
            faults
        );
        Assert.Equal(
            ("my-project", "sender@my-project.iam.gserviceaccount.com", "key-1", TokenUri),
            (account!.ProjectId, account.Email, account.KeyId, account.TokenUri)
        );

        var path = Path.GetTempFileName();
        try
        {
            File.WriteAllText(path, json);
            using var other = new FcmOptions { ServiceAccountPath = path }.LoadAccount("Providers:Fcm", faults);
            Assert.Equal("my-project", other!.ProjectId);
        }
        finally
        {
            File.Delete(path);
        }

        Assert.Empty(faults);
    }

    [Fact]
    public void A_wrong_configuration_names_every_fault()
    {
        var faults = new List<string>();
        Assert.Null(
            new FcmOptions
            {
                BaseUrl = new Uri("fcm", UriKind.Relative),
                Concurrency = 0,
                Timeout = TimeSpan.Zero,
            }.LoadAccount("Providers:Fcm", faults)
        );
        Assert.Equal(4, faults.Count);
        Assert.All(
            new[] { "BaseUrl", "Concurrency", "Timeout", "ServiceAccountPath" },
            name => Assert.Contains(faults, f => f.StartsWith($"Providers:Fcm:{name}", StringComparison.Ordinal))
        );
    }

    [Fact]
    public void Everything_that_a_key_lacks_is_told()
    {
        var faults = Faults("""{"type":"service_account"}""");
        Assert.Equal(4, faults.Count);
        Assert.All(
            new[] { "project_id", "client_email", "private_key", "token_uri" },
            name => Assert.Contains(faults, f => f.EndsWith($"has no {name}", StringComparison.Ordinal))
        );
    }

    [Theory]
    [InlineData("not json", "is not JSON")]
    [InlineData("", "is not JSON")]
    [InlineData("[]", "not a JSON object")]
    [InlineData("""{"type":"authorized_user"}""", "service_account")]
    [InlineData("{}", "service_account")]
    public void Invalid_service_account_is_reported_in_one_line(string json, string expected) => AssertOne(Faults(json), expected);

    [Theory]
    [InlineData("not a key", "cannot be read")]
    [InlineData("public", "private_key")]
    [InlineData("elliptic", "cannot be read")]
    public void A_wrong_key_is_told_in_one_line_and_not_shown(string kind, string expected)
    {
        using var rsa = RSA.Create(2048);
        using var elliptic = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var pem = kind switch
        {
            "public" => rsa.ExportSubjectPublicKeyInfoPem(),
            "elliptic" => elliptic.ExportPkcs8PrivateKeyPem(),
            _ => kind,
        };
        var faults = Faults(FcmStandIn.Json(TokenUri, json => json["private_key"] = pem));
        AssertOne(faults, expected);
        Assert.DoesNotContain(pem, faults[0], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("oauth2.example")]
    [InlineData("ftp://oauth2.example/token")]
    [InlineData("/token")]
    public void A_wrong_token_uri_is_told(string address) =>
        AssertOne(Faults(FcmStandIn.Json(TokenUri, json => json["token_uri"] = address)), "token_uri");

    private static void AssertOne(List<string> faults, string expected)
    {
        Assert.Contains(expected, Assert.Single(faults), StringComparison.Ordinal);
        Assert.StartsWith("Providers:Fcm", faults[0], StringComparison.Ordinal);
        Assert.DoesNotContain('\n', faults[0]);
    }

    private static List<string> Faults(string json)
    {
        var faults = new List<string>();
        Assert.Null(new FcmOptions { ServiceAccountJson = json }.LoadAccount("Providers:Fcm", faults));
        return faults;
    }
}
