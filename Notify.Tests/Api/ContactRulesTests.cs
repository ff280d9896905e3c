namespace Notify.Tests.Api;

using System.Buffers.Text;
using System.Text.Json;
using Notify.Api.Contract;
using Notify.Api.Notifications;
using Notify.Api.Recipients;
using Notify.Domain.Channels;
using Notify.Infrastructure.Json;

public class ContactRulesTests
{
    [Theory]
    [InlineData("Asia/Seoul", true)]
    [InlineData("America/Argentina/Buenos_Aires", true)]
    [InlineData("UTC", true)]
    [InlineData("asia/seoul", false)]
    [InlineData("UTC+09:00", false)]
    [InlineData("Korea Standard Time", false)]
    [InlineData("", false)]
    public void A_time_zone_is_one_of_IANA_s_whatever_the_machine_knows(string text, bool isOne) =>
        Assert.Equal(isOne, ContactRules.IsTimeZone(text));

    [Theory]
    [InlineData("+821012345678", "+821012345678")]
    [InlineData("+82 10-1234-5678", "+821012345678")]
    [InlineData(" +82 (0)10 1234 5678 ", "+821012345678")]
    [InlineData("+1 (650) 253-0000", "+16502530000")]
    [InlineData("+44 20 7031 3000", "+442070313000")]
    [InlineData("+15005550006", "+15005550006")]
    [InlineData("\u202A+1 650-253-0000\u202C", "+16502530000")] // as phones copy it from their contacts: Unicode, category Cf
    [InlineData("\u200E\uFEFF+1\u2060650\u200B2530000", "+16502530000")]
    [InlineData("\uFE0F\u3164\u115F\u2800\u034F+16502530000", "+16502530000")] // fillers and selectors, which show nothing either
    [InlineData("\U000E0001+16502530000", "+16502530000")]
    [InlineData("\uFF0B1 650 253 0000", "+16502530000")]
    [InlineData("+39 06 6982", "+39066982")] // a leading zero that belongs to it
    [InlineData("+1 555 0123", null)] // no area code: only a neighbour could dial it
    [InlineData("+44 7031 3000", null)]
    [InlineData("+1 650 253 0000 ext. 45", null)] // no SMS goes to an extension
    [InlineData("+1 650 253 0000;ext=45", null)]
    [InlineData("+16502530000x45", null)]
    [InlineData("010-1234-5678", null)]
    [InlineData("821012345678", null)]
    [InlineData("+", null)]
    [InlineData("+82", null)]
    [InlineData("+999123456789", null)]
    [InlineData("+8210", null)]
    [InlineData("+82101234567890123", null)]
    [InlineData("", null)]
    [InlineData("call me", null)]
    [InlineData("+82 10-1234-5678; drop table", null)]
    [InlineData("+82\r\nTo: +1", null)]
    public void A_phone_number_becomes_e164_or_nothing(string text, string? e164) => Assert.Equal(e164, ContactRules.ToE164(text));

    [Fact]
    public void An_endless_number_is_none() => Assert.Null(ContactRules.ToE164("+82" + new string('1', 100_000)));

    [Theory]
    [InlineData("name@example.com", true)]
    [InlineData("first.last+tag@sub.example.co.kr", true)]
    [InlineData("o'brien@example.com", true)]
    [InlineData("kim@localhost", false)]
    [InlineData("name", false)]
    [InlineData("@example.com", false)]
    [InlineData("name@", false)]
    [InlineData("a@b@example.com", false)]
    [InlineData("Kim <kim@example.com>", false)]
    [InlineData("kim@example.com, lee@example.com", false)]
    [InlineData("kim@example.com\r\nBcc: x@example.com", false)]
    [InlineData("kim\0@example.com", false)]
    [InlineData("kim @example.com", false)]
    [InlineData("kim@münchen.example", true)]
    [InlineData("kim@xn--mnchen-3ya.example", true)]
    [InlineData("민수@예시.한국", true)]
    [InlineData("kim@example.com\n", false)]
    [InlineData("\"kim\"@example.com", false)]
    [InlineData("\"a@b\"@example.com", false)]
    [InlineData("\"a,b\"@example.com", false)]
    [InlineData("kim@[127.0.0.1]", false)]
    [InlineData("kim@127.0.0.1", false)]
    [InlineData("kim@-example.com", false)]
    [InlineData("kim@exam_ple.com", false)]
    [InlineData("kim@exam/ple.com", false)]
    [InlineData("kim@example.com.", false)]
    [InlineData("kim@example..com", false)]
    [InlineData("kim.@example.com", false)]
    [InlineData(".kim@example.com", false)]
    [InlineData("kim;lee@example.com", false)]
    [InlineData("kim\u200b@example.com", false)]
    [InlineData("kim\u202e@example.com", false)]
    [InlineData("kim\u2028@example.com", false)]
    [InlineData("kim\u3164@example.com", false)]
    [InlineData("kim\u2800@example.com", false)]
    [InlineData("kim\uFE0F@example.com", false)]
    [InlineData("kim\u034F@example.com", false)]
    [InlineData("kim\u200D@example.com", false)]
    [InlineData("", false)]
    public void An_email_address_is_one_address_and_nothing_else(string text, bool holds) =>
        Assert.Equal(holds, ContactRules.IsEmail(text));

    [Fact]
    public void An_email_address_has_up_to_254_characters()
    {
        Assert.True(ContactRules.IsEmail(new string('a', 60) + "@" + Domain(193)));
        Assert.False(ContactRules.IsEmail(new string('a', 60) + "@" + Domain(194)));
        Assert.True(ContactRules.IsEmail(new string('a', 64) + "@example.com"));
        Assert.False(ContactRules.IsEmail(new string('a', 65) + "@example.com"));
        Assert.True(ContactRules.IsEmail(new string('ü', 32) + "@example.com"));
        Assert.False(ContactRules.IsEmail(new string('ü', 33) + "@example.com")); // RFC 5321, 4.5.3.1.1: octets

        static string Domain(int length) =>
            string.Concat(Enumerable.Repeat("abcdefghi.", 20))[..(length - 3)].TrimEnd('.').PadRight(length - 3, 'x') + ".kr";
    }

    [Theory]
    [InlineData(Platform.Ios, "5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f", null)]
    [InlineData(Platform.Ios, "5E0F5E0F5E0F5E0F5E0F5E0F5E0F5E0F", null)]
    [InlineData(Platform.Ios, "xyz", "hexadecimal")]
    [InlineData(Platform.Ios, "5e0f", "hexadecimal")]
    [InlineData(Platform.Ios, "5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0g", "hexadecimal")]
    [InlineData(Platform.Ios, "../../../../../../../../../../../../etc", "hexadecimal")]
    [InlineData(Platform.Ios, "", "token")]
    [InlineData(Platform.Ios, null, "token")]
    [InlineData(Platform.Android, "fcm:APA91b-_x", null)]
    [InlineData(Platform.Android, "with blank", "ASCII")]
    [InlineData(Platform.Android, "line\nbreak", "ASCII")]
    [InlineData(Platform.Android, "토큰", "ASCII")]
    [InlineData(Platform.Android, "   ", "token")]
    [InlineData(null, "x", "ios, android or web")]
    public void A_token_looks_as_its_platform_s_do(Platform? platform, string? token, string? fault)
    {
        var faults = ContactRules.CheckDevice(platform, token, null).ToList();
        if (fault is null)
            Assert.Empty(faults);
        else
            Assert.Contains(fault, Assert.Single(faults).Fault, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(Platform.Ios, "com.example.app-2", null, null)]
    [InlineData(Platform.Ios, null, PushEnvironment.Sandbox, null)]
    [InlineData(Platform.Android, null, null, null)]
    [InlineData(Platform.Ios, "", null, "bundle ID")]
    [InlineData(Platform.Ios, "com.example\r\napns-priority: 1", null, "bundle ID")]
    [InlineData(Platform.Ios, "com.exämple.app", null, "bundle ID")]
    [InlineData(Platform.Android, "com.example.app", null, "only iOS")]
    [InlineData(Platform.Web, null, PushEnvironment.Sandbox, "only iOS")]
    public void App_of_a_device_is_a_bundle_id(Platform platform, string? app, PushEnvironment? environment, string? fault)
    {
        var faults = AppRules.Check(platform, app, environment, null).ToList();
        if (fault is null)
            Assert.Empty(faults);
        else
            Assert.Contains(fault, Assert.Single(faults).Fault, StringComparison.Ordinal);
        Assert.NotEmpty(AppRules.Check(Platform.Ios, new string('a', 156), null, null));
    }

    [Fact]
    public void A_token_is_not_endless()
    {
        Assert.NotEmpty(ContactRules.CheckDevice(Platform.Android, new string('a', 4097), null));
        Assert.NotEmpty(ContactRules.CheckDevice(Platform.Ios, new string('a', 201), null));
    }

    [Theory]
    [InlineData("null")]
    [InlineData("1767225600000")]
    [InlineData("1767225600000.123")]
    public void A_subscription_is_taken_as_the_browser_writes_it(string expirationTime)
    {
        var browser = JsonSerializer
            .Serialize(new { platform = "web", subscription = Subscription() }, NotifyJson.Options)
            .Replace("\"keys\"", $"\"expirationTime\":{expirationTime},\"keys\"", StringComparison.Ordinal);
        Assert.Contains("expirationTime", browser, StringComparison.Ordinal);

        Assert.Null(Faults(browser, new RegisterDeviceValidator()));
        Assert.Null(Faults($$"""{ "userId": "u", "devices": [{{browser}}] }""", new ImportUserValidator()));
        Assert.Null(
            Faults(
                $$"""{ "eventId": "e", "to": { "device": {{browser}} }, "content": { "title": "t" } }""",
                new RequestNotificationValidator()
            )
        );

        static IDictionary<string, string[]>? Faults<T>(string json, FluentValidation.IValidator<T> validator)
            where T : class => RequestBody.Bind(JsonElement.Parse(json), validator, out _);
    }

    [Fact]
    public void A_browser_has_a_subscription_and_an_app_a_token()
    {
        Assert.Empty(ContactRules.CheckDevice(Platform.Web, null, Subscription()));
        Assert.Equal(["Token"], Fields(Platform.Web, "token", Subscription()));
        Assert.Equal(["Subscription.Endpoint", "Subscription.Keys.P256dh", "Subscription.Keys.Auth"], Fields(Platform.Web, null, null));
        Assert.Equal(["Subscription"], Fields(Platform.Android, "token", Subscription()));
    }

    [Theory]
    [InlineData("http://push.example.com/x", 65, 16, "Subscription.Endpoint")]
    [InlineData("javascript:alert(1)", 65, 16, "Subscription.Endpoint")]
    [InlineData("/relative", 65, 16, "Subscription.Endpoint")]
    [InlineData("https://push.example.com/x", 64, 16, "Subscription.Keys.P256dh")]
    [InlineData("https://push.example.com/x", 65, 15, "Subscription.Keys.Auth")]
    public void A_subscription_is_as_the_standards_have_it(string endpoint, int p256dh, int auth, string field) =>
        Assert.Equal([field], Fields(Platform.Web, null, Subscription(endpoint, p256dh, auth)));

    private static IEnumerable<string> Fields(Platform platform, string? token, WebPushSubscription? subscription) =>
        ContactRules.CheckDevice(platform, token, subscription).Select(f => f.Field);

    private static WebPushSubscription Subscription(string endpoint = "https://push.example.com/x", int p256dh = 65, int auth = 16) =>
        new()
        {
            Endpoint = endpoint,
            Keys = new WebPushKeys { P256dh = Base64Url.EncodeToString(new byte[p256dh]), Auth = Base64Url.EncodeToString(new byte[auth]) },
        };
}
