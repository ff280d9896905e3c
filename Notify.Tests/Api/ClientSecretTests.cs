namespace Notify.Tests.Api;

using Microsoft.Extensions.Configuration;
using Notify.Api.Access;
using Notify.Api.Clients;
using Notify.Delivery.Privacy;
using Notify.Domain.Clients;
using Notify.Tests.Support;

public sealed class ClientSecretTests
{
    private static readonly DateTimeOffset Noon = new(2026, 12, 1, 12, 0, 0, TimeSpan.Zero);

    [Fact]
    public void Hash_counts_for_its_own_client_and_secret_id_alone()
    {
        var ring = Ring();
        var (issued, secret) = ClientEndpoints.NewSecret(ring, "c_reader", "operator", Noon);
        var kept = new ClientSecret(issued.SecretId, issued.Hash, Noon);

        Assert.True(Callers.Matches(ring, "c_reader", kept, secret));
        Assert.False(Callers.Matches(ring, "c_reader", kept, secret + "x"));
        Assert.False(Callers.Matches(ring, "c_admin", kept, secret)); // copied to another client in the database
        Assert.False(Callers.Matches(ring, "c_reader", kept with { Id = "s_other" }, secret));
    }

    [Fact]
    public void Hash_of_an_earlier_version_counts_and_is_written_while_a_host_of_that_version_lives()
    {
        var ring = Ring();
        ring.Format.Follow(lowestLive: 2, minReader: 2);
        var (issued, secret) = ClientEndpoints.NewSecret(ring, "c_shop", "operator", Noon);
        Assert.Equal(ring.Fingerprint("client-secret", secret), issued.Hash); // as that host reads it

        ring.Format.Follow(lowestLive: 3, minReader: 3);
        Assert.True(Callers.Matches(ring, "c_shop", new ClientSecret(issued.SecretId, issued.Hash, Noon), secret));
        Assert.StartsWith("2.", ClientEndpoints.NewSecret(ring, "c_shop", "operator", Noon).Issued.Hash, StringComparison.Ordinal);
    }

    [Fact]
    public void Hash_of_an_earlier_version_with_the_mark_of_a_newer_one_does_not_count()
    {
        var ring = Ring();
        var secret = "an old secret";
        var kept = new ClientSecret("s_1", "2." + ring.Fingerprint("client-secret", secret), Noon);

        Assert.False(Callers.Matches(ring, "c_shop", kept, secret));
    }

    private static MasterKeyRing Ring() =>
        MasterKeyRing.Read(
            new ConfigurationBuilder()
                .AddInMemoryCollection(
                    TestRun.Secrets.Select(s => new KeyValuePair<string, string?>(
                        s.Key.Replace("__", ":", StringComparison.Ordinal),
                        s.Value
                    ))
                )
                .Build(),
            []
        )!;
}
