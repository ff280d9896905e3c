namespace Notify.Tests.Projections;

using System.Buffers.Text;
using System.Security.Cryptography;
using Microsoft.Extensions.Configuration;
using Notify.Delivery.Privacy;
using Notify.Delivery.Tracking;
using Notify.Domain.Channels;

public class DeliveryTokensTests
{
    private static readonly string Pepper = Convert.ToBase64String(RandomNumberGenerator.GetBytes(32));
    private readonly DeliveryTokens tokens = Tokens(Pepper);

    [Fact]
    public void A_token_names_its_delivery_and_lasts_whichever_master_key_there_is()
    {
        var id = Guid.NewGuid();
        var token = tokens.Make(DeliveryTokens.Unsubscribe, id);
        Assert.Equal(39, token.Length);
        Assert.True(token.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_'), token);
        Assert.Equal(id, Tokens(Pepper).Read(DeliveryTokens.Unsubscribe, token));
    }

    [Fact]
    public void A_token_is_good_for_one_purpose_and_one_installation() // and is no other's
    {
        var token = tokens.Make(DeliveryTokens.Unsubscribe, Guid.NewGuid());
        Assert.Null(tokens.Read("click", token));
        Assert.Null(Tokens(Convert.ToBase64String(RandomNumberGenerator.GetBytes(32))).Read(DeliveryTokens.Unsubscribe, token));
    }

    [Fact]
    public void Changed_token_is_rejected()
    {
        var token = tokens.Make(DeliveryTokens.Unsubscribe, Guid.NewGuid());
        var bytes = Base64Url.DecodeFromChars(token);
        for (var bit = 0; bit < bytes.Length * 8; bit++)
        {
            var other = bytes.ToArray();
            other[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.Null(tokens.Read(DeliveryTokens.Unsubscribe, Base64Url.EncodeToString(other)));
        }

        for (var i = 0; i < token.Length; i++)
        {
            foreach (var c in "AZaz09-_=+/ %\n\0é")
                if (c != token[i])
                    Assert.Null(tokens.Read(DeliveryTokens.Unsubscribe, token[..i] + c + token[(i + 1)..]));
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("x")]
    [InlineData("AQsffD5Sq40OnEFqfS-Q5RMAAAAAAAAAAAAAAAA")]
    [InlineData("                                       ")]
    public void Foreign_token_is_rejected(string token) => Assert.Null(tokens.Read(DeliveryTokens.Unsubscribe, token));

    [Theory]
    [InlineData(Lane.Email, Priority.Normal, true)]
    [InlineData(Lane.Email, Priority.Bulk, true)]
    [InlineData(Lane.Email, Priority.Critical, false)]
    [InlineData(Lane.Sms, Priority.Normal, false)]
    [InlineData(Lane.Apns, Priority.Bulk, false)]
    public void Emails_have_a_link_unless_they_are_critical(Lane lane, Priority priority, bool has) =>
        Assert.Equal(
            has,
            new UnsubscribeLinks(tokens, Settings("https://notify.example.com")).Of(Guid.NewGuid(), lane, priority) is not null
        );

    [Theory]
    [InlineData("https://notify.example.com", "https://notify.example.com/u/")]
    [InlineData("https://example.com/notify/", "https://example.com/notify/u/")]
    public void A_link_leads_to_where_the_API_is_reached(string? url, string start) =>
        Assert.StartsWith(
            start,
            new UnsubscribeLinks(tokens, Settings(url)).Of(Guid.NewGuid(), Lane.Email, Priority.Normal)!.AbsoluteUri,
            StringComparison.Ordinal
        );

    /// <summary>RFC 8058, section 3.1: the header must have one https address; one of this machine leads no recipient anywhere.</summary>
    [Theory]
    [InlineData(null)]
    [InlineData("http://notify.example.com")]
    [InlineData("https://localhost:5080")]
    [InlineData("https://127.0.0.1")]
    [InlineData("https://[::1]/")]
    [InlineData("https://notify.localhost")]
    [InlineData("https://localhost.")]
    [InlineData("https://0.0.0.0")]
    [InlineData("https://[::]")]
    [InlineData("https://[::ffff:127.0.0.1]")]
    [InlineData("https://127.8.8.8")]
    public void An_address_that_no_mail_program_follows_makes_no_link(string? url)
    {
        var links = new UnsubscribeLinks(tokens, Settings(url));
        Assert.False(links.AreUsable);
        Assert.Null(links.Of(Guid.NewGuid(), Lane.Email, Priority.Normal));
    }

    private static IConfiguration Settings(string? url) =>
        new ConfigurationBuilder().AddInMemoryCollection(new Dictionary<string, string?> { ["Notify:PublicUrl"] = url }).Build();

    private static DeliveryTokens Tokens(string pepper) =>
        new(
            MasterKeyRing.Read(
                new ConfigurationBuilder()
                    .AddInMemoryCollection(
                        new Dictionary<string, string?>
                        {
                            ["Notify:MasterKeys:1"] = Convert.ToBase64String(RandomNumberGenerator.GetBytes(32)),
                            ["Notify:Pepper"] = pepper,
                        }
                    )
                    .Build(),
                []
            )!
        );
}
