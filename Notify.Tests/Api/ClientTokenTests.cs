namespace Notify.Tests.Api;

using System.Text;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Time.Testing;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;
using Notify.Api.Access;
using Notify.Api.Notifications;
using Notify.Delivery.Privacy;
using Notify.Domain.Clients;

/// <summary>Client tokens: issue, validation and rejection.</summary>
public sealed class ClientTokenTests
{
    private static readonly DateTimeOffset Now = new(2026, 5, 4, 12, 0, 0, TimeSpan.Zero);
    private static readonly ClientToken Some = new("c_shop", ClientMode.Live, "u-42", ["devices", "send:otp"]);
    private readonly FakeTimeProvider clock = new(Now);

    [Fact]
    public async Task A_token_says_what_it_was_made_to_say()
    {
        var read = await Keys().ReadAsync(Keys().Make(Some, Now, Now.AddMinutes(5)));

        Assert.Equal((Some.ClientId, Some.Mode, Some.UserRef), (read!.ClientId, read.Mode, read.UserRef));
        Assert.Equal(Some.Allow, read.Allow);
    }

    [Theory]
    [InlineData("s_h7k2m9qa")]
    [InlineData(null)]
    public async Task Token_names_the_secret_that_it_was_made_with(string? secret)
    {
        var read = await Keys().ReadAsync(Keys().Make(Some with { SecretId = secret }, Now, Now.AddMinutes(5)));
        Assert.Equal(secret, read!.SecretId);
    }

    [Fact]
    public async Task No_two_tokens_are_the_same()
    {
        Assert.NotEqual(Keys().Make(Some, Now, Now.AddMinutes(5)), Keys().Make(Some, Now, Now.AddMinutes(5)));
        Assert.NotNull(await Keys().ReadAsync(Keys().Make(Some, Now, Now.AddMinutes(5))));
    }

    [Theory]
    [InlineData(-61, false)]
    [InlineData(-59, true)]
    [InlineData(0, true)]
    [InlineData(359, true)]
    [InlineData(360, false)]
    public async Task It_counts_from_its_making_to_its_end_and_a_minute_for_clocks_that_differ(int seconds, bool counts)
    {
        var token = Keys().Make(Some, Now, Now.AddMinutes(5));
        var there = new FakeTimeProvider(Now.AddSeconds(seconds));

        Assert.Equal(counts, await new TokenKeys(Ring("1"), there).ReadAsync(token) is not null);
    }

    [Fact]
    public async Task A_token_in_which_any_letter_was_changed_is_none()
    {
        var token = Keys().Make(Some, Now, Now.AddMinutes(5));
        for (var i = 0; i < token.Length; i += 3)
        {
            // The last letter of a part has bits that say nothing.
            if (token[i] == '.' || i == token.Length - 1 || token[i + 1] == '.')
                continue;
            Assert.Null(await Keys().ReadAsync($"{token[..i]}{(token[i] == 'A' ? 'B' : 'A')}{token[(i + 1)..]}"));
        }
    }

    [Fact]
    public async Task Token_with_wrong_signature_or_type_is_rejected()
    {
        var parts = Keys().Make(Some, Now, Now.AddMinutes(5)).Split('.');
        Assert.Null(
            await Keys().ReadAsync($"{Base64UrlEncoder.Encode("""{"alg":"none","typ":"notify-client+jwt","kid":"1"}""")}.{parts[1]}.")
        );
        Assert.Null(await Keys().ReadAsync($"{parts[0]}.{parts[1]}."));
        Assert.Null(await Keys().ReadAsync($"{parts[0]}.{parts[1]}"));
        Assert.Null(await Keys().ReadAsync(""));
        Assert.Null(await Keys().ReadAsync(new string('a', 10_000)));

        // The right key, another kind of token; and another key.
        Assert.Null(await Keys().ReadAsync(Signed(Ring("1").Derive("1", "client-token"), "at+jwt", "notify-api")));
        Assert.Null(await Keys().ReadAsync(Signed(Ring("1").Derive("1", "client-token"), "notify-client+jwt", "others")));
        Assert.Null(await Keys().ReadAsync(Signed(Encoding.UTF8.GetBytes(new string('k', 32)), "notify-client+jwt", "notify-api")));
        Assert.NotNull(await Keys().ReadAsync(Signed(Ring("1").Derive("1", "client-token"), "notify-client+jwt", "notify-api")));
    }

    [Fact]
    public async Task When_the_master_key_is_replaced_its_tokens_count_until_it_is_taken_out()
    {
        var token = Keys().Make(Some, Now, Now.AddMinutes(5));

        Assert.NotNull(await new TokenKeys(Ring("1", "2"), clock).ReadAsync(token));
        Assert.Null(await new TokenKeys(Ring("2"), clock).ReadAsync(token));
    }

    [Theory]
    [InlineData("u-42", "app:1", "otp", null)]
    [InlineData("u-43", "app:1", "otp", "its own user only")]
    [InlineData(null, "app:1", "otp", "its own user only")]
    [InlineData("u-42", "order-1", "otp", "begins with app:")]
    [InlineData("u-42", "app:1", "offers", "lacks \"send:offers\"")]
    [InlineData("u-42", "app:1", null, "names its category")]
    public void An_app_sends_to_its_own_user_in_categories_that_are_allowed(
        string? userId,
        string eventId,
        string? category,
        string? hindrance
    )
    {
        var said = Some.HindranceToSend(
            new RequestNotification
            {
                UserId = userId,
                EventId = eventId,
                Category = category,
            },
            userId
        );

        if (hindrance is null)
            Assert.Null(said);
        else
            Assert.Contains(hindrance, said, StringComparison.Ordinal);
    }

    private static string Signed(byte[] key, string type, string audience) =>
        new JsonWebTokenHandler { SetDefaultTimesOnTokenCreation = false }.CreateToken(
            new SecurityTokenDescriptor
            {
                TokenType = type,
                Issuer = "notify",
                Audience = audience,
                NotBefore = Now.UtcDateTime,
                Expires = Now.AddMinutes(5).UtcDateTime,
                Claims = new Dictionary<string, object>
                {
                    ["sub"] = "u-42",
                    ["client_id"] = "c_shop",
                    ["mode"] = "Live",
                    ["scope"] = "devices",
                },
                SigningCredentials = new SigningCredentials(new SymmetricSecurityKey(key) { KeyId = "1" }, SecurityAlgorithms.HmacSha256),
            }
        );

    private TokenKeys Keys() => new(Ring("1"), clock);

    private static MasterKeyRing Ring(params string[] ids)
    {
        var settings = ids.ToDictionary(
            id => $"Notify:MasterKeys:{id}",
            string? (id) => Convert.ToBase64String(Encoding.UTF8.GetBytes(id.PadLeft(32, 'x')))
        );
        settings["Notify:Pepper"] = Convert.ToBase64String(Encoding.UTF8.GetBytes("a pepper for tests"));
        settings["Notify:MasterKey"] = ids[^1];
        return MasterKeyRing.Read(new ConfigurationBuilder().AddInMemoryCollection(settings).Build(), [])!;
    }
}
