namespace Notify.Tests.Dispatch.Routing;

using Microsoft.Extensions.Configuration;
using Notify.Dispatch;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Routing;
using Notify.Domain.Channels;
using Notify.Domain.Clients;

public class RouteSettingsTests
{
    public static readonly TheoryData<string> Ordered = new(
        "vonage, twilio",
        "Vonage > Twilio",
        "VONAGE twilio",
        "vonage,twilio",
        " vonage ;twilio ",
        "[]vonage|twilio",
        "[]vonage, twilio"
    );

    public static readonly TheoryData<string> Weighted = new(
        "vonage=30, twilio=70",
        "vonage:30 twilio:70",
        "Vonage = 30, Twilio : 70",
        "vonage=30%,twilio=70%",
        "{}vonage=30|twilio=70",
        "[]vonage=30|twilio=70"
    );

    [Theory]
    [MemberData(nameof(Ordered))]
    public void An_order_may_be_written_in_many_ways(string written)
    {
        var (route, faults) = Sms(written);
        Assert.Empty(faults);
        Assert.Equal(["vonage", "twilio"], route.Members.Select(m => m.Provider.Name));
        Assert.False(route.IsWeighted);
    }

    [Theory]
    [MemberData(nameof(Weighted))]
    public void And_so_may_weights(string written)
    {
        var (route, faults) = Sms(written);
        Assert.Empty(faults);
        Assert.Equal([("twilio", 70d), ("vonage", 30d)], route.Members.Select(m => (m.Provider.Name, m.Weight!.Value)).Order());
    }

    [Fact]
    public void Without_a_setting_every_provider_that_is_configured_carries_its_lane_in_the_adapters_order() =>
        Assert.Equal(["twilio", "vonage"], Sms("").Route.Members.Select(m => m.Provider.Name));

    [Fact]
    public void A_lane_may_be_written_with_an_underscore()
    {
        var faults = new List<string>();
        var section = new ConfigurationBuilder().AddInMemoryCollection([new("Routing:push_ios", "apns")]).Build().GetSection("Routing");
        Assert.Equal([Lane.Apns], RouteSettings.Read(section, faults).Keys);
        Assert.Empty(faults);
    }

    [Fact]
    public void Unrouted_provider_gets_no_deliveries_and_still_answers_for_earlier_messages()
    {
        var (providers, faults) = Providers(new() { ["Routing:sms"] = "vonage" });
        using var _ = providers;
        Assert.Empty(faults);
        Assert.Equal(["vonage"], providers.RouteOf(Lane.Sms, ClientMode.Live)!.Members.Select(m => m.Provider.Name));
        Assert.NotNull(providers.Named("twilio", ClientMode.Live));
    }

    [Fact]
    public void Test_clients_get_the_same_order_of_what_there_is_for_them()
    {
        var settings = new Dictionary<string, string?> { ["Routing:sms"] = "vonage, twilio", ["Routing:email"] = "mailchimp" };
        foreach (
            var (key, value) in Configured.Where(c =>
                c.Key.Contains("Twilio", StringComparison.Ordinal) || c.Key.Contains("SendGrid", StringComparison.Ordinal)
            )
        )
            settings[$"Test{key}"] = value;
        settings["Providers:Mailchimp:ApiKey"] = "md-x";
        settings["Providers:Mailchimp:From"] = "hello@example.com";
        var (providers, faults) = Providers(settings);
        using var _ = providers;
        Assert.Empty(faults);
        Assert.Equal(["twilio"], providers.RouteOf(Lane.Sms, ClientMode.Test)!.Members.Select(m => m.Provider.Name));
        Assert.Equal(["sendgrid"], providers.RouteOf(Lane.Email, ClientMode.Test)!.Members.Select(m => m.Provider.Name));
        Assert.Equal(["mailchimp"], providers.RouteOf(Lane.Email, ClientMode.Live)!.Members.Select(m => m.Provider.Name));
    }

    [Theory]
    [InlineData("Routing:sms", "twillio", "Routing:sms names twillio, which is no provider; there are Apns, Fcm, Twilio,")]
    [InlineData(
        "Routing:email",
        "Mailchimp",
        "Routing:email names Mailchimp, which is not configured; set it up under Providers:Mailchimp, or leave it out"
    )]
    [InlineData("Routing:sms", "twilio, sendgrid", "Routing:sms names sendgrid, which carries email; leave it out")]
    [InlineData("Routing:sms", "twilio, Twilio", "Routing:sms names twilio twice; name each provider once")]
    [InlineData(
        "Routing:sms",
        "twilio=0, vonage=1",
        "Routing:sms has \"twilio=0\"; give a provider and a weight above 0, such as twilio=70"
    )]
    [InlineData("Routing:sms", "twilio=-3, vonage=1", "Routing:sms has \"twilio=-3\"")]
    [InlineData("Routing:sms", "twilio=much, vonage=1", "Routing:sms has \"twilio=much\"")]
    [InlineData("Routing:sms", "=70", "Routing:sms has \"=70\"")]
    [InlineData("Routing:sms", "twilio=70, vonage", "Routing:sms gives some providers a weight and others none")]
    [InlineData("Routing:pigeon", "twilio", "Routing:pigeon is no route; there are push-ios, push-android, push-web, sms, email")]
    [InlineData("Routing", "twilio", "Routing is \"twilio\"; give Routing:sms or another of push-ios")]
    [InlineData("Providers:Twilio:RatePerSecond", "0", "Providers:Twilio:RatePerSecond is 0; give a number above 0")]
    [InlineData("Providers:Twilio:RatePerSecond", "some", "Providers:Twilio:RatePerSecond is \"some\"")]
    [InlineData("Providers:Twilio:RampUp", "-00:00:01", "Providers:Twilio:RampUp is -00:00:01; give a time from 00:00:00 to a day")]
    public void Invalid_setting_is_reported_with_its_fix(string setting, string value, string told)
    {
        var (providers, faults) = Providers(new() { [setting] = value });
        using var _ = providers;
        Assert.StartsWith(told, Assert.Single(faults), StringComparison.Ordinal);
    }

    [Fact]
    public void A_rate_is_the_setting_s_or_else_the_adapter_s()
    {
        Assert.Equal(
            new Pace { RatePerSecond = 5, RampUp = TimeSpan.FromMinutes(1) },
            new Pace { RatePerSecond = 5 }.Or(new Pace { RatePerSecond = 10_000, RampUp = TimeSpan.FromMinutes(1) })
        );
        Assert.Null(Sms("").Route.Members[0].Pace!.RatePerSecond);
        var (providers, _) = Providers(new() { ["Providers:Vonage:RatePerSecond"] = "30" });
        using (providers)
            Assert.Equal(30, providers.RouteOf(Lane.Sms, ClientMode.Live)!.Members[1].Pace!.RatePerSecond);
    }

    private static readonly Dictionary<string, string?> Configured = new()
    {
        ["Providers:Twilio:AccountSid"] = "AC",
        ["Providers:Twilio:AuthToken"] = "x",
        ["Providers:Twilio:From"] = "+15005550006",
        ["Providers:Vonage:ApiKey"] = "abcd1234",
        ["Providers:Vonage:ApiSecret"] = "x",
        ["Providers:Vonage:From"] = "Acme",
        ["Providers:SendGrid:ApiKey"] = "SG.x",
        ["Providers:SendGrid:From"] = "hello@example.com",
    };

    private static (ProviderRoute Route, List<string> Faults) Sms(string written)
    {
        var settings = new Dictionary<string, string?>();
        if (written.StartsWith("[]", StringComparison.Ordinal))
            foreach (var (i, word) in written[2..].Split('|').Index())
                settings[$"Routing:sms:{i}"] = word;
        else if (written.StartsWith("{}", StringComparison.Ordinal))
            foreach (var word in written[2..].Split('|'))
                settings[$"Routing:sms:{word.Split('=')[0]}"] = word.Split('=')[1];
        else if (written.Length > 0)
            settings["Routing:sms"] = written;
        var (providers, faults) = Providers(settings);
        using (providers)
            return (providers.RouteOf(Lane.Sms, ClientMode.Live)!, faults);
    }

    private static (ProviderRegistry Providers, List<string> Faults) Providers(Dictionary<string, string?> settings)
    {
        var faults = new List<string>();
        var all = new Dictionary<string, string?>(Configured);
        foreach (var (key, value) in settings)
            all[key] = value;
        var configuration = new ConfigurationBuilder().AddInMemoryCollection(all).Build();
        var routing = RouteSettings.Read(configuration.GetSection("Routing"), faults);
        var providers = new ProviderRegistry();
        Adapters.AddTo(providers, ClientMode.Live, configuration.GetSection("Providers"), routing, TimeProvider.System, faults);
        Adapters.AddTo(providers, ClientMode.Test, configuration.GetSection("TestProviders"), routing, TimeProvider.System, faults);
        return (providers, faults);
    }
}
