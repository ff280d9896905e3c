namespace Notify.Tests.Support;

using Microsoft.Extensions.Configuration;
using Notify.Delivery.Privacy;
using Notify.Domain.Recipients;

/// <summary>The references by which the systems of a run know users, for tests that read the database.</summary>
public static class UserRefs
{
    /// <summary>The secrets of the run's systems.</summary>
    public static MasterKeyRing Ring { get; } = NewRing();

    /// <summary>The same with a store format of its own.</summary>
    public static MasterKeyRing NewRing() =>
        MasterKeyRing.Read(
            new ConfigurationBuilder()
                .AddInMemoryCollection(
                    TestRun.Secrets.ToDictionary(s => s.Key.Replace("__", ":", StringComparison.Ordinal), string? (s) => s.Value)
                )
                .Build(),
            []
        )!;

    /// <summary>The reference of a user.</summary>
    public static string Of(string userId) => Ring.UserRefOf(userId);

    /// <summary>The stream key of a user.</summary>
    public static string KeyOf(string userId) => Recipient.KeyOf(Of(userId));

    /// <summary>A user whose reference comes in a wanted place.</summary>
    /// <param name="prefix">How the user's ID begins.</param>
    public static string IdWhere(string prefix, Predicate<string> isWanted) =>
        Enumerable.Range(0, 10_000_000).Select(n => $"{prefix}-{n}").First(id => isWanted(Of(id)));
}
