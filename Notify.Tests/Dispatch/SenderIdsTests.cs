namespace Notify.Tests.Dispatch;

using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.Configuration;
using Notify.Dispatch.Providers;
using Notify.Dispatch.Providers.Sms;
using Notify.Dispatch.Providers.Sms.Twilio;
using Notify.Dispatch.Providers.Sms.Vonage;
using Notify.Domain.Channels;
using Notify.Domain.Content;

public class SenderIdsTests
{
    private const string Service = "MG0123456789abcdef0123456789abcdef";

    [Theory]
    [InlineData("+821012345678", "KRSHOP")] // by country
    [InlineData("+12025550123", "+15005550006")] // by calling code
    [InlineData("+14165550123", "CASHOP")] // the country before its calling code
    [InlineData("+447911123456", "Usual")] // neither
    [InlineData("not a number", "Usual")]
    public void The_country_chooses_the_sender(string number, string sender)
    {
        var faults = new List<string>();
        var senders = SenderIds.Read(
            "s",
            "Usual",
            new Dictionary<string, string>
            {
                ["kr"] = "KRSHOP",
                ["+1"] = "+15005550006",
                ["CA"] = "CASHOP",
            },
            services: true,
            faults
        );
        Assert.Empty(faults);
        Assert.Equal(sender, senders.For(number));
    }

    [Theory]
    [InlineData("+15005550006", true)]
    [InlineData("15005550006", true)]
    [InlineData("12345", true)]
    [InlineData("Notify", true)]
    [InlineData("Notify Shop", true)]
    [InlineData("A1", true)]
    [InlineData(Service, true)]
    [InlineData("Notify Shops", false)] // twelve
    [InlineData("12", false)]
    [InlineData("+1500555000612345", false)]
    [InlineData("Grüße", false)]
    [InlineData("a\nb", false)]
    [InlineData("Shop\n", false)]
    [InlineData(" Shop", false)]
    [InlineData("MG0123", true)] // a name
    [InlineData("MG0123456789", false)]
    [InlineData("----", false)]
    public void A_sender_has_one_of_the_forms_that_there_are(string sender, bool isOne)
    {
        var faults = new List<string>();
        SenderIds.Read("Providers:Twilio", sender, new Dictionary<string, string> { ["KR"] = sender }, services: true, faults);
        Assert.Equal(isOne ? [] : ["Providers:Twilio:From", "Providers:Twilio:Senders:KR"], faults.Select(f => f.Split(' ')[0]));
    }

    [Theory]
    [InlineData("XX")]
    [InlineData("Korea")]
    [InlineData("999")]
    [InlineData("+0")]
    [InlineData("0082")]
    public void Unknown_country_is_reported(string place)
    {
        var faults = new List<string>();
        SenderIds.Read("Providers:Vonage", "Shop", new Dictionary<string, string> { [place] = "Shop" }, services: false, faults);
        Assert.StartsWith($"Providers:Vonage:Senders:{place} ", Assert.Single(faults), StringComparison.Ordinal);
    }

    [Fact]
    public void A_messaging_service_is_Twilio_s_alone()
    {
        var faults = new List<string>();
        SenderIds.Read("Providers:Vonage", Service, new Dictionary<string, string>(), services: false, faults);
        Assert.Single(faults);
    }

    [Theory]
    [InlineData("+821012345678", "From", "KRSHOP")]
    [InlineData("+12025550123", "MessagingServiceSid", Service)]
    [InlineData("+447911123456", "From", "+15005550006")]
    public async Task Twilio_is_told_the_country_s_sender(string number, string field, string sender)
    {
        await using var server = await ScriptedServer.Http1Async(ScriptedServer.Answer(201, """{"sid":"SM1"}"""));
        var provider = Make(
            TwilioProvider.Create,
            new()
            {
                ["AccountSid"] = "AC1",
                ["AuthToken"] = "t",
                ["From"] = "+15005550006",
                ["BaseUrl"] = server.Url.ToString(),
                ["Senders:KR"] = "KRSHOP",
                ["Senders:1"] = Service,
            }
        );
        await provider.SendAsync(Message(number), TestContext.Current.CancellationToken);
        var form = QueryHelpers.ParseQuery(server.Received[0].Body);
        Assert.Equal(sender, form[field].ToString());
        Assert.False(form.ContainsKey(field == "From" ? "MessagingServiceSid" : "From"));
    }

    [Theory]
    [InlineData("+821012345678", "82212345678")] // without its plus
    [InlineData("+12025550123", "Shop")]
    public async Task Vonage_is_told_the_country_s_sender(string number, string sender)
    {
        await using var server = await ScriptedServer.Http1Async(
            ScriptedServer.Answer(200, """{"messages":[{"status":"0","message-id":"A"}]}""")
        );
        var provider = Make(
            VonageProvider.Create,
            new()
            {
                ["ApiKey"] = "k",
                ["ApiSecret"] = "s",
                ["From"] = "Shop",
                ["BaseUrl"] = server.Url.ToString(),
                ["Senders:KR"] = "+82212345678",
            }
        );
        await provider.SendAsync(Message(number), TestContext.Current.CancellationToken);
        Assert.Equal(sender, QueryHelpers.ParseQuery(server.Received[0].Body)["from"].ToString());
    }

    private static IDeliveryProvider Make(Notify.Dispatch.Adapter create, Dictionary<string, string?> settings)
    {
        var faults = new List<string>();
        var made = create(
            new ConfigurationBuilder()
                .AddInMemoryCollection(settings.ToDictionary(s => $"P:{s.Key}", s => s.Value))
                .Build()
                .GetSection("P"),
            TimeProvider.System,
            faults
        );
        Assert.Empty(faults);
        return made!;
    }

    private static OutboundMessage Message(string number) =>
        new(Guid.NewGuid(), number, new NotificationContent(Body: "b"), Priority.Normal, null);
}
