namespace Notify.Tests.Domain;

using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using static Notify.Tests.Domain.Some;

public class ClientTests
{
    [Fact]
    public void A_registered_client_has_its_scopes_and_no_secret()
    {
        var c = Fold();
        Assert.Equal(["send", "read"], c.Scopes);
        Assert.Empty(c.Secrets);
        Assert.False(c.IsDisabled);
    }

    [Fact]
    public void Two_secrets_count_until_one_is_revoked()
    {
        var c = Fold(new SecretIssued("s1", "h1", "ops", Noon), new SecretIssued("s2", "h2", "ops", Noon));
        Assert.Equal(["h1", "h2"], c.Secrets.Select(s => s.Hash));
        Assert.Equal(
            ["h2"],
            Fold(new SecretIssued("s1", "h1", "ops", Noon), new SecretIssued("s2", "h2", "ops", Noon), new SecretRevoked("s1", "ops", Noon))
                .Secrets.Select(s => s.Hash)
        );
    }

    [Fact]
    public void A_disabled_client_is_disabled() => Assert.True(Fold(new ClientDisabled("ops", Noon)).IsDisabled);

    [Theory]
    [InlineData("send read", false)]
    [InlineData("send operate", true)]
    [InlineData("send admin", true)]
    public void Opt_outs_and_everybody_are_for_those_who_may_define_categories_or_were_granted_it(string scopes, bool passes)
    {
        var ordinary = Fold(new ClientPowersChanged(scopes.Split(' '), null, "ops", Noon)).Sending;
        var granted = Fold(new ClientPowersChanged(["send"], new SendGrant(Required: true), "ops", Noon)).Sending;

        Assert.Equal((passes, passes), (ordinary.Required, ordinary.BroadcastToAll));
        Assert.Equal((true, false), (granted.Required, granted.BroadcastToAll));
    }

    [Fact]
    public void Change_of_powers_replaces_all_of_them()
    {
        var limited = Fold(new ClientPowersChanged(["send"], new SendGrant(["otp"], [Channel.Sms]), "ops", Noon));
        Assert.Equal(["send"], limited.Scopes);
        Assert.True(limited.Sending.Covers("otp"));
        Assert.False(limited.Sending.Covers("shipping"));
        Assert.Equal(Channel.Email, limited.Sending.FirstNotGranted([Channel.Sms, Channel.Email]));
        Assert.Null(limited.Sending.FirstNotGranted(null));
        Assert.True(SendGrant.AreSame(limited.Send, new SendGrant(["otp"], [Channel.Sms])));
        Assert.False(SendGrant.AreSame(limited.Send, null));
    }

    [Theory]
    [InlineData("", false, null, "b", false)] // neither was ever used: the newest may be a lost answer's
    [InlineData("a:0", false, null, "b", false)]
    [InlineData("b:0", false, null, "a", false)]
    [InlineData("a:0 b:1", false, null, null, true)]
    [InlineData("a:0 b:1", true, null, "a", false)]
    [InlineData("a:0 b:1", false, "b", "b", false)]
    [InlineData("a:48 b:30", false, null, "a", false)]
    [InlineData("a:30 b:48", false, null, "b", false)]
    [InlineData("a:0 b:25", true, null, "b", false)]
    public void Third_secret_revokes_one_that_was_not_used_within_a_day(
        string used,
        bool force,
        string? named,
        string? revoked,
        bool isRefused
    )
    {
        var c = Fold(new SecretIssued("a", "h1", "ops", Noon.AddDays(-9)), new SecretIssued("b", "h2", "ops", Noon.AddDays(-3)));
        var usedAt = used.Split(' ', StringSplitOptions.RemoveEmptyEntries)
            .Select(u => u.Split(':'))
            .ToDictionary(u => u[0], u => Noon.AddHours(-int.Parse(u[1])));
        Assert.Equal(new SecretChoice(revoked, isRefused), SecretRotation.Choose(c, usedAt, Noon.AddDays(-30), named, force, Noon));
    }

    [Fact]
    public void Old_secrets_count_as_used_for_a_day_after_uses_are_first_noted()
    {
        var c = Fold(new SecretIssued("a", "h1", "ops", Noon.AddDays(-9)), new SecretIssued("b", "h2", "ops", Noon.AddHours(-1)));
        Assert.Equal("b", SecretRotation.Choose(c, new Dictionary<string, DateTimeOffset>(), Noon.AddHours(-2), null, false, Noon).Revoke);
        var old = Fold(new SecretIssued("a", "h1", "ops", Noon.AddDays(-9)), new SecretIssued("b", "h2", "ops", Noon.AddDays(-8)));
        Assert.True(SecretRotation.Choose(old, new Dictionary<string, DateTimeOffset>(), Noon.AddHours(-2), null, false, Noon).IsRefused);
    }

    [Fact]
    public void Second_secret_revokes_none() =>
        Assert.Equal(
            new SecretChoice(null, false),
            SecretRotation.Choose(
                Fold(new SecretIssued("a", "h1", "ops", Noon)),
                new Dictionary<string, DateTimeOffset>(),
                Noon,
                null,
                false,
                Noon
            )
        );

    private static Client Fold(params object[] since) =>
        new object[] { new ClientRegistered("c_shop", "Shop", ClientMode.Live, [Scopes.Send, Scopes.Read], "ops", Noon) }
            .Concat(since)
            .Aggregate((Client?)null, (c, e) => Client.Evolve(c, "c/c_shop", e))!;
}
