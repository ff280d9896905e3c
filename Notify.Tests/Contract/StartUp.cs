namespace Notify.Tests.Contract;

using System.Net;
using System.Net.Sockets;
using Notify.Tests.Support;

/// <summary>A host that cannot start says why, one line for each fault, and ends.</summary>
public sealed class StartUp
{
    private static Dictionary<string, string> Good =>
        new(TestRun.Secrets)
        {
            ["ConnectionStrings__notify"] = "Host=127.0.0.1;Port=1;Database=notify;Username=notify;Timeout=3",
            ["ASPNETCORE_URLS"] = $"http://127.0.0.1:{HostProcess.FreePort()}",
            ["Providers__Apns__TeamId"] = "T",
            ["Providers__Apns__KeyId"] = "K",
            ["Providers__Apns__Topic"] = "t",
            ["Providers__Apns__PrivateKeyPath"] = $"{TestRun.SandboxHome}/apns-auth-key.p8",
            ["Providers__Fcm__ServiceAccountPath"] = $"{TestRun.SandboxHome}/fcm-service-account.json",
            ["Providers__Twilio__AccountSid"] = "AC",
            ["Providers__Twilio__AuthToken"] = "x",
            ["Providers__Twilio__From"] = "+15005550006",
            ["Providers__SendGrid__ApiKey"] = "SG.x",
            ["Providers__SendGrid__From"] = "hello@example.com",
            ["Providers__WebPush__Subject"] = "mailto:ops@example.com",
            // The example key pair of RFC 8291.
            ["Providers__WebPush__PublicKey"] = "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8",
            ["Providers__WebPush__PrivateKey"] = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw",
        };

    [Theory]
    [InlineData("Api", "ConnectionStrings__notify", "", "ConnectionStrings:notify")]
    [InlineData("Api", "ConnectionStrings__notify", "Hoast=x", "ConnectionStrings:notify")]
    [InlineData("Api", "ConnectionStrings__notify", "Port=many;Host=x", "ConnectionStrings:notify")]
    [InlineData("Api", "Notify__MasterKeys__1", "c2hvcnQ=", "Notify:MasterKeys:1")]
    [InlineData("Api", "Notify__MasterKeys__1", "not base64!", "Notify:MasterKeys:1")]
    [InlineData("Api", "Notify__MasterKeys__1", null, "Notify:MasterKeys")]
    [InlineData("Api", "Notify__MasterKey", "2", "Notify:MasterKey")]
    [InlineData("Api", "Notify__Pepper", null, "Notify:Pepper")]
    [InlineData("Dispatch", "Notify__MasterKeys__1", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "Notify:MasterKeys:1 is the same")]
    [InlineData("Api", "Notify__Pepper", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "Notify:Pepper is the same byte")]
    [InlineData("Api", "Notify__Transport", "Pigeon", "Notify:Transport")]
    [InlineData("Api", "Notify__SettingsPath", "/nowhere/settings", "Notify:SettingsPath")]
    [InlineData("Api", "Notify__Transport", "1", "Notify:Transport")]
    [InlineData("Dispatch", "Notify__Transport", "RabbitMq", "ConnectionStrings:rabbitmq is missing")]
    [InlineData("Dispatch", "ConnectionStrings__redis", "127.0.0.1:6379,ssl=perhaps", "ConnectionStrings:redis")]
    [InlineData("Api", "Notify__Cache__Megabytes", "-1", "Notify:Cache:Megabytes")]
    [InlineData("Api", "Notify__Cache__Expiry", "soon", "Notify:Cache:Expiry")]
    [InlineData("Projections", "Notify__Takeover", "soon", "Notify:Takeover")]
    [InlineData("Projections", "Notify__Takeover", "-00:00:01", "Notify:Takeover")]
    [InlineData("Dispatch", "Providers__Apns__TeamId", null, "Providers:Apns:TeamId")]
    [InlineData("Dispatch", "Providers__Apns__PrivateKeyPath", "/nowhere/key.p8", "Providers:Apns:PrivateKeyPath")]
    [InlineData("Dispatch", "Providers__Apns__PrivateKey", "no PEM", "Providers:Apns")]
    [InlineData("Dispatch", "Providers__Apns__TrustedCaPath", "/nowhere/ca.pem", "Providers:Apns:TrustedCaPath")]
    [InlineData("Dispatch", "Providers__Apns__BaseUrl", "not an address", "Providers:Apns")]
    [InlineData("Dispatch", "Providers__Apns__Concurrency", "many", "Providers:Apns")]
    [InlineData("Dispatch", "Providers__Apns__Concurrency", "0", "Providers:Apns")]
    [InlineData("Dispatch", "Providers__Apns__Timeout", "-00:00:01", "Providers:Apns")]
    [InlineData("Dispatch", "Providers__Fcm__ServiceAccountPath", "/nowhere/account.json", "Providers:Fcm:ServiceAccountPath")]
    [InlineData("Dispatch", "Providers__Fcm__ServiceAccountJson", "{}", "Providers:Fcm")]
    [InlineData("Dispatch", "Providers__Fcm__Timeout", "long", "Providers:Fcm:Timeout")]
    [InlineData("Dispatch", "Providers__Twilio__ConnectTimeout", "00:00:00", "Providers:Twilio:ConnectTimeout")]
    [InlineData("Dispatch", "Providers__Twilio__TotalTimeout", "soon", "Providers:Twilio:TotalTimeout")]
    [InlineData("Api", "Notify__AcceptLimit__PerSecond", "-1", "Notify:AcceptLimit:PerSecond")]
    [InlineData("Api", "Notify__AcceptLimit__Burst", "many", "Notify:AcceptLimit:Burst")]
    [InlineData("Api", "Notify__Sms__MaxSegments", "0", "Notify:Sms:MaxSegments")]
    [InlineData("Api", "Notify__AppOrigins", "https://app.example.com, *", "Notify:AppOrigins")]
    [InlineData("Api", "Notify__AppOrigins", "https://app.example.com/", "Notify:AppOrigins")]
    [InlineData("Dispatch", "Notify__DefaultTimeZone", "Mars/Base", "Notify:DefaultTimeZone")]
    [InlineData("Dispatch", "Notify__Broadcasts__Chunk", "0", "Notify:Broadcasts:Chunk")]
    [InlineData("Dispatch", "Providers__Twilio__Senders__KR", "much too long a name", "Providers:Twilio:Senders:KR")]
    [InlineData("Dispatch", "Providers__Apns__Connections", "0", "Providers:Apns:Connections")]
    [InlineData("Dispatch", "Providers__Twilio__AuthToken", null, "Providers:Twilio:AuthToken")]
    [InlineData("Dispatch", "Providers__Twilio__From", null, "Providers:Twilio:From")]
    [InlineData("Dispatch", "Providers__Twilio__BaseUrl", "twilio", "Providers:Twilio")]
    [InlineData("Dispatch", "Providers__Twilio__BaseUrl", "http://sandbox:5090", "Providers:Twilio:BaseUrl is http://sandbox:5090")]
    [InlineData("Dispatch", "Providers__SendGrid__From", "nobody", "Providers:SendGrid:From")]
    [InlineData("Dispatch", "Providers__WebPush__Subject", "ops@example.com", "Providers:WebPush:Subject")]
    [InlineData(
        "Dispatch",
        "Providers__WebPush__PrivateKey",
        "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "Providers:WebPush:PrivateKey"
    )]
    [InlineData("Dispatch", "Providers__WebPush__AllowPrivateNetworks", "perhaps", "Providers:WebPush:AllowPrivateNetworks")]
    [InlineData("Dispatch", "Providers__WebPush__AllowPrivateNetworks", "true", "Providers:WebPush:AllowPrivateNetworks is true")]
    [InlineData("Api", "Providers__WebPush__AllowPrivateNetworks", "true", "Providers:WebPush:AllowPrivateNetworks is true")]
    [InlineData("Dispatch", "Providers__Pigeon__BaseUrl", "https://example.com", "Providers:Pigeon")]
    [InlineData("Dispatch", "TestProviders__Pigeon__BaseUrl", "https://example.com", "TestProviders:Pigeon")]
    [InlineData("Dispatch", "Notify__Retry__MaxAttempts", "0", "Notify:Retry")]
    [InlineData("Dispatch", "Notify__Retry__MaxAttempts", "several", "Notify:Retry")]
    [InlineData("Dispatch", "Notify__Retry__BaseDelay", "a while", "Notify:Retry")]
    [InlineData("Dispatch", "Notify__Retry__UnknownDeadline", "-00:00:01", "Notify:Retry")]
    [InlineData("Dispatch", "Routing__sms", "twilio, vonage", "Routing:sms names vonage, which is not configured")]
    [InlineData("Dispatch", "Providers__Twilio__RatePerSecond", "-1", "Providers:Twilio:RatePerSecond")]
    [InlineData("Dispatch", "Notify__Alerts__Window", "00:00:00", "Notify:Alerts:Window")]
    [InlineData("Dispatch", "Notify__Alerts__WebhookUrl", "https://example.com/hook", "Notify:Alerts:WebhookSecret")]
    [InlineData("Projections", "Notify__Alerts__OpenRatio", "half", "Notify:Alerts:OpenRatio")]
    [InlineData("Projections", "Notify__PublicUrl", "notify", "Notify:PublicUrl")]
    public async Task A_wrong_setting_is_named_in_one_line(string host, string setting, string? value, string named)
    {
        await TestRun.Accounts; // the keys that the settings name
        var environment = Good;
        if (value is null)
            environment.Remove(setting);
        else
            environment[setting] = value;

        var (exitCode, output, errors) = await RunAsync(host, environment);

        Assert.True(exitCode == 78, $"ended with {exitCode}: {output}");
        Assert.Contains(named, Assert.Single(errors), StringComparison.Ordinal);
        Assert.StartsWith($"notify-{host.ToLowerInvariant()}: configuration: ", errors[0], StringComparison.Ordinal);
        Assert.Equal(output.Trim(), errors[0]); // and nothing else is said
    }

    [Theory]
    [InlineData("http://notify:hidden@127.0.0.1/x")]
    [InlineData("notify:hidden")]
    [InlineData("amqp://notify:hidden@:many/x")]
    public async Task A_broker_s_address_that_cannot_be_read_is_named_without_its_password(string address)
    {
        var environment = Good;
        (environment["Notify__Transport"], environment["ConnectionStrings__rabbitmq"]) = ("RabbitMq", address);

        var (exitCode, output, errors) = await RunAsync("Api", environment);

        Assert.True(exitCode == 78, output);
        Assert.Contains("ConnectionStrings:rabbitmq cannot be read", Assert.Single(errors), StringComparison.Ordinal);
        Assert.DoesNotContain("hidden", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Every_fault_is_told_at_once()
    {
        await TestRun.Accounts;
        var (exitCode, output, errors) = await RunAsync(
            "Dispatch",
            new()
            {
                ["Notify__Takeover"] = "x",
                ["Notify__Retry__MaxAttempts"] = "0",
                ["Providers__Apns__BaseUrl"] = "https://example.com",
                ["Providers__Twilio__BaseUrl"] = "https://example.com",
            }
        );

        Assert.True(exitCode == 78, output);
        foreach (
            var named in new[]
            {
                "ConnectionStrings:notify",
                "Notify:MasterKeys",
                "Notify:Pepper",
                "Notify:Takeover",
                "Notify:Retry",
                "Apns:TeamId",
                "Apns:KeyId",
                "Apns:Topic",
                "Apns:PrivateKeyPath",
                "Twilio:AccountSid",
                "Twilio:AuthToken",
                "Twilio:From",
            }
        )
            Assert.Single(errors, e => e.Contains(named, StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_dispatch_without_any_provider_does_not_start()
    {
        await TestRun.Accounts;
        var environment = Good;
        foreach (var setting in Good.Keys.Where(k => k.StartsWith("Providers", StringComparison.Ordinal)))
            environment.Remove(setting);

        var (exitCode, output, errors) = await RunAsync("Dispatch", environment);

        Assert.True(exitCode == 78, output);
        Assert.Contains("no provider is configured", Assert.Single(errors), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Api")]
    [InlineData("Dispatch")]
    [InlineData("Projections")]
    public async Task An_unknown_command_is_named(string host)
    {
        await TestRun.Accounts;
        var (exitCode, output, errors) = await RunAsync(host, Good, "dance");

        Assert.True(exitCode == 78, output);
        Assert.Contains("\"dance\" is not a command", Assert.Single(errors), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Api")]
    [InlineData("Dispatch")]
    [InlineData("Projections")]
    public async Task PostgreSQL_that_does_not_answer_is_told_in_one_line(string host)
    {
        await TestRun.Accounts;
        var (exitCode, output, errors) = await RunAsync(host, Good);

        Assert.True(exitCode == 1, $"ended with {exitCode}: {output}");
        Assert.Contains("PostgreSQL does not answer", Assert.Single(errors), StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Api")]
    [InlineData("Dispatch")]
    [InlineData("Projections")]
    public async Task A_database_that_was_not_migrated_is_told_in_one_line(string host)
    {
        await TestRun.Accounts;
        var cluster = await TestRun.Cluster;
        var environment = Good;
        environment["ConnectionStrings__notify"] = cluster.ConnectionString("postgres") + ";Pooling=false";

        var (exitCode, output, errors) = await RunAsync(host, environment);

        Assert.True(exitCode == 1, $"ended with {exitCode}: {output}");
        Assert.Contains("migrat", Assert.Single(errors), StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Api")]
    [InlineData("Dispatch")]
    [InlineData("Projections")]
    public async Task A_taken_port_is_told_in_one_line(string host)
    {
        await TestRun.Accounts;
        var (cluster, database) = await TestRun.NewDatabaseAsync();
        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        var port = ((IPEndPoint)taken.LocalEndpoint).Port;
        var environment = Good;
        environment["ConnectionStrings__notify"] = cluster.ConnectionString(database) + ";Maximum Pool Size=10";
        environment["ASPNETCORE_URLS"] = $"http://127.0.0.1:{port}";

        var (exitCode, output, errors) = await RunAsync(host, environment);

        Assert.True(exitCode == 1, $"ended with {exitCode}: {output}");
        Assert.Contains($"{port}", Assert.Single(errors), StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", output, StringComparison.Ordinal);
        await cluster.DropDatabaseAsync(database);
    }

    [Theory]
    [InlineData("Dispatch", null)]
    [InlineData("Api", null)]
    [InlineData("Api", "create-client")]
    [InlineData("Projections", "migrate")]
    public async Task Another_pepper_than_the_database_s_is_told_in_one_line(string host, string? command)
    {
        await TestRun.Accounts;
        var (cluster, database) = await TestRun.NewDatabaseAsync();
        var environment = Good;
        environment["ConnectionStrings__notify"] = cluster.ConnectionString(database) + ";Maximum Pool Size=10";
        environment["Notify__Pepper"] = Convert.ToBase64String(System.Security.Cryptography.RandomNumberGenerator.GetBytes(32));

        var (exitCode, output, errors) = await RunAsync(host, environment, command is null ? [] : [command]);

        Assert.True(exitCode == 78, $"ended with {exitCode}: {output}");
        Assert.Contains("set Notify__Pepper as the other hosts have it", Assert.Single(errors), StringComparison.Ordinal);
        await cluster.DropDatabaseAsync(database);
    }

    private static Task<(int ExitCode, string Output, IReadOnlyList<string> Errors)> RunAsync(
        string host,
        Dictionary<string, string> environment,
        params string[] arguments
    ) =>
        HostProcess.RunAsync(
            host,
            Repository.Program($"Notify.{host}"),
            arguments,
            environment,
            TestRun.Log($"start-{host}-{Guid.NewGuid():N}")
        );
}
