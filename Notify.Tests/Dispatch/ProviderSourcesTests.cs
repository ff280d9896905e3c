namespace Notify.Tests.Dispatch;

using Microsoft.Extensions.Configuration;
using Notify.Delivery.Hosting;
using Notify.Dispatch;
using Notify.Dispatch.Providers.Email.Smtp;
using Notify.Dispatch.Providers.Fcm;
using Notify.Infrastructure.Hosting;
using Notify.Tests.Support;

/// <summary>A provider has its settings from one source as a whole, and its secrets go to its own address.</summary>
public sealed class ProviderSourcesTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("notify-settings-").FullName;

    private static readonly Dictionary<string, string?> OfSandbox = new()
    {
        ["TestProviders:Twilio:BaseUrl"] = "http://127.0.0.1:5090",
        ["TestProviders:Twilio:AccountSid"] = "ACsandbox",
        ["TestProviders:Twilio:AuthToken"] = "sandbox",
        ["TestProviders:Twilio:From"] = "+15005550006",
        ["TestProviders:SendGrid:BaseUrl"] = "http://127.0.0.1:5090",
        ["TestProviders:SendGrid:ApiKey"] = "SG.sandbox",
        ["TestProviders:WebPush:PublicKey"] = "sandbox",
    };

    private static readonly Dictionary<string, string?> Own = new()
    {
        ["Providers:Twilio:AccountSid"] = "ACown",
        ["Providers:Twilio:AuthToken"] = "own",
        ["Providers:Twilio:From"] = "+12025550100",
    };

    public void Dispose() => Directory.Delete(folder, recursive: true);

    /// <summary>As docs/operations.md says for Compose: the sandbox writes its settings, and an override file names the account.</summary>
    [Fact]
    public async Task Own_account_beside_the_sandbox_s_settings_keeps_its_own_address()
    {
        await File.WriteAllTextAsync(Path.Combine(folder, "Providers__Twilio__BaseUrl"), "http://127.0.0.1:5090", Cancellation);
        await File.WriteAllTextAsync(Path.Combine(folder, "Routing__sms"), "twilio", Cancellation); // by a former version
        string[] options = ["--home", Path.Combine(folder, "keys"), "--into", folder, "--url", "http://sandbox:5090"];
        Assert.Equal(0, Notify.Sandbox.Keys.SettingsCommand.Run([.. options, "--apns-url", "https://sandbox:5091"]));

        var (configuration, _, faults) = Apply(Own, folder);

        Assert.Empty(faults);
        Assert.Null(configuration["Providers:Twilio:BaseUrl"]); // Twilio's own
        Assert.Equal("http://sandbox:5090", configuration["TestProviders:Twilio:BaseUrl"]);
        Assert.Equal(["Twilio"], configuration.GetSection("Providers").GetChildren().Select(s => s.Key));
        Assert.False(configuration.GetSection("Routing").Exists());
    }

    [Fact]
    public void Live_clients_get_the_sandbox_by_the_switch_alone_and_on_lanes_without_a_provider_of_their_own()
    {
        var (without, none, _) = Apply(OfSandbox.Concat(Own));
        Assert.Empty(none);
        Assert.Equal(["Twilio"], without.GetSection("Providers").GetChildren().Select(s => s.Key));

        var (configuration, played, faults) = Apply(OfSandbox.Concat(Own).Append(new("Notify:LiveToSandbox", "true")));
        Assert.Empty(faults);
        Assert.Equal(["SendGrid", "WebPush"], played.Order());
        Assert.Equal("SG.sandbox", configuration["Providers:SendGrid:ApiKey"]);
        Assert.Equal(("own", null), (configuration["Providers:Twilio:AuthToken"], configuration["Providers:Twilio:BaseUrl"]));
    }

    [Fact]
    public void Sandbox_carries_no_part_of_a_lane_that_another_provider_carries()
    {
        var (configuration, played, _) = Apply(
            OfSandbox.Append(new("Notify:LiveToSandbox", "true")).Append(new("Providers:Vonage:ApiKey", "own"))
        );
        Assert.DoesNotContain("Twilio", played);
        Assert.False(configuration.GetSection("Providers:Twilio").Exists());
    }

    [Theory]
    [InlineData("Providers:Twilio:BaseUrl", "http://sandbox:5090", null, "Providers:Twilio:BaseUrl is http://sandbox:5090")]
    [InlineData("Providers:Twilio:BaseUrl", "http://sandbox:5090", "http://sandbox:5090", "Providers:Twilio:BaseUrl is http://sandbox")]
    [InlineData("Providers:Vonage:ReportsUrl", "HTTP://api.example.com/x", null, "Providers:Vonage:ReportsUrl is http://api.example.com")]
    [InlineData("TestProviders:Twilio:BaseUrl", "http://10.0.0.5:5090", null, "name the sandbox in Notify:SandboxUrl")]
    [InlineData("TestProviders:Twilio:BaseUrl", "http://sandbox:5091", "http://sandbox:5090", "name the sandbox in Notify:SandboxUrl")]
    [InlineData("TestProviders:Twilio:BaseUrl", "http://sandbox:5090/", "http://sandbox:5090", null)]
    [InlineData("Providers:Twilio:BaseUrl", "http://127.0.0.1:5090", null, null)]
    [InlineData("Providers:Twilio:BaseUrl", "http://[::1]:5090", null, null)]
    [InlineData("Providers:Twilio:BaseUrl", "http://localhost:5090", null, null)]
    [InlineData("Providers:Twilio:ReceiptsUrl", "http://notify.example.com", null, null)]
    [InlineData("Providers:WebPush:AllowPrivateNetworks", "true", null, "Providers:WebPush:AllowPrivateNetworks is true")]
    [InlineData("TestProviders:WebPush:AllowPrivateNetworks", "True", "http://sandbox:5090", "WebPush:AllowPrivateNetworks is true")]
    [InlineData("Providers:WebPush:SandboxUrl", "http://10.0.0.1", null, "Providers:WebPush:SandboxUrl is")]
    [InlineData("Notify:LiveToSandbox", "perhaps", null, "Notify:LiveToSandbox is \"perhaps\"")]
    [InlineData("Notify:SandboxUrl", "sandbox", "sandbox", "Notify:SandboxUrl is not an address")]
    public void Address_that_gets_secrets_unencrypted_or_leads_inside_is_refused(
        string setting,
        string value,
        string? sandboxUrl,
        string? told
    )
    {
        var (_, _, faults) = Apply(new Dictionary<string, string?> { ["Notify:SandboxUrl"] = sandboxUrl, [setting] = value });
        if (told is null)
            Assert.Empty(faults);
        else
            Assert.Contains(faults, f => f.Contains(told, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("TestProviders__Twilio__BaseUrl", "TestProviders:Twilio:AuthToken", true)]
    [InlineData("Providers__Twilio__BaseUrl", "Providers:Twilio:AuthToken", true)]
    [InlineData("Providers__Twilio__AuthToken", "Providers:Twilio:BaseUrl", true)]
    [InlineData("Providers__Smtp__Host", "Providers:Smtp:Password", true)]
    [InlineData("Providers__Twilio__AuthToken", "Providers:Twilio:AccountSid", false)] // a secret as a file, without an address
    [InlineData("TestProviders__Twilio__BaseUrl", "Providers:Twilio:AuthToken", false)]
    public void Address_of_one_place_and_secrets_of_another_are_refused(string file, string setting, bool isRefused)
    {
        File.WriteAllText(Path.Combine(folder, file), "https://example.com");
        var (_, _, faults) = Apply([new(setting, "https://example.com")], folder);
        Assert.Equal(isRefused, faults.Any(f => f.Contains("set all of it in one place", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("mail.example.com", true)]
    [InlineData("127.0.0.1", false)]
    [InlineData("localhost", false)]
    public void Mail_server_s_password_leaves_the_machine_only_encrypted(string host, bool isRefused)
    {
        var faults = new List<string>();
        new SmtpOptions
        {
            Host = host,
            Security = SmtpSecurity.None,
            UserName = "u",
            Password = "p",
            From = "a@example.com",
        }.LoadSender("Providers:Smtp", faults);
        Assert.Equal(isRefused, faults.Any(f => f.StartsWith("Providers:Smtp:Security is None", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("http://sandbox:5090/token", "http://sandbox:5090", false)]
    [InlineData("http://other:5090/token", "http://sandbox:5090", true)]
    [InlineData("http://sandbox:5090/token", "https://fcm.googleapis.com", true)]
    public async Task Access_tokens_are_asked_for_unencrypted_only_where_pushes_go_too(string tokenUri, string baseUrl, bool isRefused)
    {
        var faults = new List<string>();
        var json = await TestRun.FcmAccountAsync(new Uri(tokenUri));
        using var account = new FcmOptions { ServiceAccountJson = json, BaseUrl = new Uri(baseUrl) }.LoadAccount("Providers:Fcm", faults);
        Assert.Equal(isRefused, faults.Any(f => f.Contains("token_uri is http://", StringComparison.Ordinal)));
        Assert.Equal(isRefused, account is null);
    }

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    private static (ConfigurationManager Configuration, IReadOnlySet<string> Played, List<string> Faults) Apply(
        IEnumerable<KeyValuePair<string, string?>> settings,
        string? files = null
    )
    {
        var configuration = new ConfigurationManager();
        if (files is not null)
            configuration.AddKeyPerFile(files, optional: false);
        configuration.AddInMemoryCollection(settings);
        var faults = new List<string>();
        var played = ProviderSources.Apply(configuration, SandboxSettings.Read(configuration, faults), faults);
        return (configuration, played, faults);
    }
}
