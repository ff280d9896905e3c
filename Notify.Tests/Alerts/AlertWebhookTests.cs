namespace Notify.Tests.Alerts;

using Microsoft.Extensions.Configuration;
using Notify.Delivery.Monitoring;

public class AlertWebhookTests
{
    private const string Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    [Fact] // computed by another program
    public void The_signature_covers_id_time_and_body() =>
        Assert.Equal(
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            AlertWebhook.Sign(
                new AlertRules { WebhookSecret = Secret }.WebhookKey(),
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                "1614265330",
                """{"test": 2432232314}"""
            )
        );

    [Fact]
    public void Pauses_grow_to_the_longest_and_are_never_nothing()
    {
        var longest = TimeSpan.FromMinutes(15);
        for (var attempt = 1; attempt < 200; attempt++)
        {
            var (least, most) = (AlertWebhook.Pause(attempt, longest, 0), AlertWebhook.Pause(attempt, longest, 0.999));
            Assert.InRange(least, TimeSpan.FromSeconds(2), longest / 2);
            Assert.InRange(most, least, longest);
        }

        Assert.Equal(longest / 2, AlertWebhook.Pause(60, longest, 0));
    }

    [Theory]
    [InlineData("https://example.com/hook", Secret, null, 0)]
    [InlineData("http://example.com/hook", Secret, null, 1)] // plain
    [InlineData("http://127.0.0.1:9/hook", Secret, "true", 0)]
    [InlineData("ftp://example.com/hook", Secret, "true", 1)]
    [InlineData("https://user:word@example.com/hook", Secret, null, 1)]
    [InlineData("hook", Secret, null, 1)]
    [InlineData("https://example.com/hook", null, null, 1)]
    [InlineData("https://example.com/hook", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", null, 1)]
    [InlineData("https://example.com/hook", "whsec_c2hvcnQ=", null, 1)]
    [InlineData("https://example.com/hook", "whsec_not base64", null, 1)]
    [InlineData(null, Secret, null, 1)] // a secret and nobody to tell
    [InlineData("http://example.com/hook", "x", "maybe", 3)]
    public void Wrong_settings_are_all_named(string? url, string? secret, string? allow, int faults)
    {
        var configuration = new ConfigurationBuilder()
            .AddInMemoryCollection(
                new Dictionary<string, string?>
                {
                    ["Notify:Alerts:WebhookUrl"] = url,
                    ["Notify:Alerts:WebhookSecret"] = secret,
                    ["Notify:Alerts:AllowPrivateNetworks"] = allow,
                }.Where(s => s.Value is not null)
            )
            .Build();
        var found = new List<string>();
        AlertRules.Read(configuration, found);
        Assert.True(found.Count == faults, string.Join('\n', found));
        Assert.All(found, f => Assert.StartsWith("Notify:Alerts:", f, StringComparison.Ordinal));
        if (secret is { Length: > 6 })
            Assert.All(found, f => Assert.DoesNotContain(secret[6..], f, StringComparison.Ordinal));
    }
}
