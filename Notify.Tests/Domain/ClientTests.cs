using Notify.Domain.Clients;
using static Notify.Tests.Domain.Some;

namespace Notify.Tests.Domain;

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
        Assert.Equal(["h2"], Fold(new SecretIssued("s1", "h1", "ops", Noon), new SecretIssued("s2", "h2", "ops", Noon), new SecretRevoked("s1", "ops", Noon)).Secrets.Select(s => s.Hash));
    }

    [Fact]
    public void A_disabled_client_is_disabled() => Assert.True(Fold(new ClientDisabled("ops", Noon)).IsDisabled);

    private static Client Fold(params object[] since) => new object[] { new ClientRegistered("c_shop", "Shop", ClientMode.Live, [Scopes.Send, Scopes.Read], "ops", Noon) }
        .Concat(since).Aggregate((Client?)null, (c, e) => Client.Evolve(c, "c/c_shop", e))!;
}
