namespace Notify.Tests.Dispatch;

using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;
using Notify.Dispatch.Providers.Email.Mailchimp;
using Notify.Dispatch.Providers.Email.SendGrid;
using Notify.Dispatch.Providers.Sms.Twilio;
using Notify.Dispatch.Providers.Sms.Vonage;
using Notify.Dispatch.Receipts;

/// <summary>Verification of receipt signatures. The signatures in this file were made by the providers' own libraries.</summary>
public sealed class ReceiptSignatureTests
{
    private const string TwilioUrl = "https://notify.example.com/receipts/twilio?client=a%20b";
    private const string TwilioForm =
        "MessageSid=SM0123456789abcdef0123456789abcdef&MessageStatus=delivered&To=%2B821012345678&From=%2B15005550006&Body=%C3%A9+%26+%C3%BC%3D1+%2B+2";
    private const string TwilioSignatureOfForm = "hU0k/0yo4cuH68PQv2z+XF8VHJQ=";
    private const string SendGridKey =
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEiZVOdFa9aaVwAkVum8IkwO8ZK6dPFIV2NjXOMBXW94yGEWO57y0TSYxOtleQtQ4BhmBjGGGpOWdQmI8sfZ55Q==";
    private const string SendGridBody = "[{\"event\":\"delivered\",\"sg_event_id\":\"é\"}]\r\n";
    private const string SendGridSignatureOfBody =
        "MEUCIQDpOalj3sQoiyQm0NZp9IES0Mx+/zoG+Ij6Pgx4W+e2MwIgNAT+qSf3mZWQDDAx3Rh8ysS8kV98r2ACDPTiy1XxyOc=";
    private const string Base64UrlAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    private const string SignedAt = "1760000000";
    private static readonly DateTimeOffset Then = DateTimeOffset.FromUnixTimeSeconds(1_760_000_000);
    private static readonly KeyValuePair<string, string>[] VonageFields =
    [
        new("timestamp", SignedAt),
        new("messageId", "0A&1=2"),
        new("msisdn", "821012345678"),
        new("status", "delivered"),
    ];

    [Fact]
    public void Twilio_signs_the_address_and_the_sorted_form() => Assert.True(Twilio(TwilioUrl, TwilioForm, TwilioSignatureOfForm));

    [Theory]
    [InlineData("https://notify.example.com:443/receipts/twilio?client=a%20b", "N8AqJtZRJu+wetSOhxrd5Fwj7dw=")]
    [InlineData("https://notify.example.com/receipts/twilio?client=a%20b", "N8AqJtZRJu+wetSOhxrd5Fwj7dw=")]
    [InlineData("https://notify.example.com:443/receipts/twilio?client=a%20b", TwilioSignatureOfForm)]
    public void Twilio_may_or_may_not_name_the_default_port(string url, string signature) =>
        Assert.True(Twilio(url, TwilioForm, signature));

    [Fact]
    public void Twilio_signs_repeated_values_once() =>
        Assert.True(Twilio(TwilioUrl, "MediaUrl=b&MediaUrl=a&MediaUrl=b&To=x", "x78e98MHoJEM+VBXVoCy6BY1xzw="));

    [Theory]
    [InlineData("""{"a":1}""", true)]
    [InlineData("""{"a":2}""", false)]
    public void Twilio_signs_another_body_than_a_form_by_its_hash(string body, bool valid) =>
        Assert.Equal(
            valid,
            TwilioSignature.IsValid(
                "12345",
                new Uri(TwilioUrl + "&bodySHA256=015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"),
                isForm: false,
                Encoding.UTF8.GetBytes(body),
                "ann8fwt1eWg1VprEV9X6gFqXQNQ="
            )
        );

    [Theory]
    [InlineData("https://notify.example.com/receipts/twilio?client=c", TwilioForm)]
    [InlineData("http://notify.example.com/receipts/twilio?client=a%20b", TwilioForm)]
    [InlineData(TwilioUrl, "MessageStatus=failed")]
    [InlineData(TwilioUrl, "")]
    public void Another_address_or_form_has_another_Twilio_signature(string url, string form) =>
        Assert.False(Twilio(url, form, TwilioSignatureOfForm));

    [Theory]
    [InlineData("md5hash", "af87731609e36b9a139a759b7050e38d")]
    [InlineData("md5hash", "AF87731609E36B9A139A759B7050E38D")]
    [InlineData("md5", "67ac18c963b133a1bf6b195f1df749ed")]
    [InlineData("sha1", "7f78f34b6eef3d1ed78ac0ca4e32c578408ed879")]
    [InlineData("sha256", "7a347a2de163a4cc2f63e764d1f1f72c4a048c7687ee18eb31620390a9035cb0")]
    [InlineData("sha256", "7A347A2DE163A4CC2F63E764D1F1F72C4A048C7687EE18EB31620390A9035CB0")]
    [InlineData(
        "sha512",
        "7105818d7dd3d80f36a4358556e82e7de722d2b71c490a67970c6b639da45d6f2bbc5e7e7e2885be927443e52841c19769ff307b82b3fbc6f3302694a57cf957"
    )]
    public void Vonage_signs_the_sorted_fields(string method, string signature) => Assert.True(Vonage(method, signature));

    [Fact]
    public void A_field_may_not_be_slipped_in_beside_a_signed_one()
    {
        KeyValuePair<string, string>[] signed = [.. VonageFields, new("sig", "af87731609e36b9a139a759b7050e38d")];
        Assert.True(VonageSignature.IsValid("topsecret", "md5hash", signed, Then));
        Assert.False(VonageSignature.IsValid("topsecret", "md5hash", [.. signed, new("status", "failed")], Then));
        Assert.False(VonageSignature.IsValid("topsecret", "md5hash", [.. signed, signed[^1]], Then));
        Assert.False(VonageSignature.IsValid("topsecret", "md5hash", VonageFields, Then));
    }

    [Theory]
    [InlineData(-86401, false)]
    [InlineData(-86400, true)]
    [InlineData(0, true)]
    [InlineData(86400, true)]
    [InlineData(86401, false)]
    public async Task A_time_stamp_must_be_fresh(int seconds, bool fresh)
    {
        var now = Then.AddSeconds(seconds);
        Assert.Equal(fresh, Vonage("md5hash", "af87731609e36b9a139a759b7050e38d", now));
        Assert.Equal(fresh, SendGrid(SignedAt, SendGridBody, SendGridSignatureOfBody, now));
        Assert.Equal(
            fresh,
            await VonageSignature.IsValidTokenAsync("topsecret", $"Bearer {Token("{}"u8.ToArray())}", "{}"u8.ToArray(), now)
        );
    }

    [Fact]
    public async Task Vonage_s_token_is_for_this_body_and_from_this_secret()
    {
        var body = """{"message_uuid":"a","status":"delivered"}"""u8.ToArray();
        var token = Token(body);
        Assert.True(await VonageSignature.IsValidTokenAsync("topsecret", $"Bearer {token}", body, Then));
        Assert.False(await VonageSignature.IsValidTokenAsync("topsecret", $"Bearer {token}", "{}"u8.ToArray(), Then));
        Assert.False(await VonageSignature.IsValidTokenAsync("other", $"Bearer {token}", body, Then));
        Assert.False(await VonageSignature.IsValidTokenAsync("topsecret", token, body, Then));
        Assert.False(await VonageSignature.IsValidTokenAsync("topsecret", null, body, Then));
        Assert.False(await VonageSignature.IsValidTokenAsync("topsecret", "Bearer a.b.c", body, Then));
        var unsigned = token.Split('.');
        unsigned[0] = Base64UrlEncoder.Encode("""{"alg":"none","typ":"JWT"}""");
        Assert.False(await VonageSignature.IsValidTokenAsync("topsecret", $"Bearer {unsigned[0]}.{unsigned[1]}.", body, Then));
    }

    [Fact]
    public void SendGrid_signs_the_time_stamp_and_the_raw_body()
    {
        Assert.True(SendGrid(SignedAt, SendGridBody, SendGridSignatureOfBody, Then));
        Assert.False(SendGrid(SignedAt, SendGridBody.TrimEnd(), SendGridSignatureOfBody, Then));
        Assert.False(SendGrid("1760000001", SendGridBody, SendGridSignatureOfBody, Then));
        Assert.False(SendGrid(null, SendGridBody, SendGridSignatureOfBody, Then));
        Assert.False(SendGrid(SignedAt, SendGridBody, null, Then));
    }

    [Theory]
    [InlineData("")]
    [InlineData("not base64")]
    [InlineData("AAAA")]
    public void Invalid_key_is_no_SendGrid_key(string key) => Assert.Null(SendGridSignature.From(key));

    [Fact]
    public void Mailchimp_signs_the_address_and_the_events()
    {
        var (url, body) = ("https://notify.example.com/receipts/mailchimp", "mandrill_events=%5B%7B%22event%22%3A%22send%22%7D%5D");
        // From the scheme's definition: base64(HMAC-SHA1(key, url + name + value)).
        var signature = Convert.ToBase64String(
            HMACSHA1.HashData("key"u8, Encoding.UTF8.GetBytes(url + "mandrill_events[{\"event\":\"send\"}]"))
        );
        Assert.True(MailchimpSignature.IsValid("key", url, Encoding.UTF8.GetBytes(body), signature));
        Assert.False(MailchimpSignature.IsValid("other", url, Encoding.UTF8.GetBytes(body), signature));
        Assert.False(MailchimpSignature.IsValid("key", url + "/", Encoding.UTF8.GetBytes(body), signature));
        Assert.False(MailchimpSignature.IsValid("key", url, Encoding.UTF8.GetBytes(body), null));
    }

    [Theory]
    [InlineData("mandrill_events=%5B%5D", true)]
    [InlineData("mandrill_events=%5B%7B%22event%22%3A%22send%22%7D%5D", false)]
    public void Mailchimp_s_trial_post_is_known_and_nothing_else_passes_for_it(string body, bool trial)
    {
        var (url, bytes) = ("https://notify.example.com/receipts/mailchimp", Encoding.UTF8.GetBytes(body));
        var signature = Signatures.OverForm("test-webhook", url, Signatures.Form(bytes));
        Assert.Equal(trial, MailchimpSignature.IsTrial(url, bytes, signature));
        Assert.False(MailchimpSignature.IsValid("key", url, bytes, signature));
    }

    [Fact]
    public async Task Ten_thousand_mutated_signatures_are_ten_thousand_refusals()
    {
        var random = new Random(20260504);
        var token = Token("{}"u8.ToArray());
        var accepted = 0;
        for (var i = 0; i < 2500; i++)
        {
            if (Twilio(TwilioUrl, TwilioForm, Mutate(TwilioSignatureOfForm)))
                accepted++;
            if (Vonage("sha256", Mutate("7A347A2DE163A4CC2F63E764D1F1F72C4A048C7687EE18EB31620390A9035CB0", "0123456789ABCDEF")))
                accepted++;
            if (SendGrid(SignedAt, SendGridBody, Mutate(SendGridSignatureOfBody), Then))
                accepted++;
            if (
                await VonageSignature.IsValidTokenAsync(
                    "topsecret",
                    $"Bearer {token[..(token.LastIndexOf('.') + 1)]}{Mutate(token[(token.LastIndexOf('.') + 1)..], Base64UrlAlphabet)}",
                    "{}"u8.ToArray(),
                    Then
                )
            )
                accepted++;
        }

        Assert.Equal(0, accepted);

        // One to three characters are changed, dropped or doubled.
        string Mutate(string signature, string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")
        {
            var text = new StringBuilder(signature);
            for (var n = random.Next(1, 4); n > 0; n--)
            {
                var at = random.Next(text.Length);
                _ = random.Next(4) switch
                {
                    0 => text.Remove(at, 1),
                    1 => text.Insert(at, text[at]),
                    _ => text.Replace(text[at], alphabet[random.Next(alphabet.Length)], at, 1),
                };
            }

            return text.ToString() == signature ? Mutate(signature, alphabet) : text.ToString();
        }
    }

    private static bool Twilio(string url, string form, string? signature) =>
        TwilioSignature.IsValid("12345", new Uri(url), isForm: true, Encoding.UTF8.GetBytes(form), signature);

    private static bool Vonage(string method, string signature, DateTimeOffset? now = null) =>
        VonageSignature.IsValid("topsecret", method, [.. VonageFields, new("sig", signature)], now ?? Then);

    private static bool SendGrid(string? timestamp, string body, string? signature, DateTimeOffset now)
    {
        using var key = SendGridSignature.From(SendGridKey);
        return key!.IsValid(timestamp, Encoding.UTF8.GetBytes(body), signature, now);
    }

    private static string Token(byte[] body)
    {
        var key = new byte[32];
        "topsecret"u8.CopyTo(key);
        return new JsonWebTokenHandler { SetDefaultTimesOnTokenCreation = false }.CreateToken(
            $$"""{"iat":{{SignedAt.ToString(CultureInfo.InvariantCulture)}},"jti":"x","iss":"Vonage","payload_hash":"{{Convert.ToHexStringLower(SHA256.HashData(body))}}"}""",
            new SigningCredentials(new SymmetricSecurityKey(key), SecurityAlgorithms.HmacSha256)
        );
    }
}
