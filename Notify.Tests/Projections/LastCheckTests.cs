namespace Notify.Tests.Projections;

using Notify.Delivery.DeliveryQueue;
using Notify.Domain.Channels;
using Notify.Domain.Recipients;
using Notify.Tests.Domain;
using Notify.Tests.Projections.Analytics;

/// <summary>The look that a call takes when it had to wait before it could leave.</summary>
public sealed class LastCheckTests(AnalyticsDatabase database) : IClassFixture<AnalyticsDatabase>
{
    private static readonly DateTimeOffset Now = Some.Noon;
    private readonly string user = $"u/{Guid.NewGuid():N}",
        category = $"k/{Guid.NewGuid():N}",
        suppression = $"sms_{Guid.NewGuid():N}";
    private readonly Guid claim = Guid.NewGuid(),
        delivery = Guid.NewGuid();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("nothing", true)]
    [InlineData("another address is suppressed", true)]
    [InlineData("the suppression has expired", true)]
    [InlineData("the user opts out", false)]
    [InlineData("the category is defined", false)]
    [InlineData("the address is suppressed", false)]
    [InlineData("the key is erased", false)]
    [InlineData("the claim is another's", false)]
    [InlineData("a receipt has ended it", false)]
    public async Task Check_counts_until_something_that_it_saw_changes(string change, bool expected)
    {
        await database.AppendAsync(user, new ContactDetailsGiven(Some.Sealed("x"), true, true, null, null, "c", Now));
        await database.ExecuteAsync(
            $"insert into notify.subject_keys (subject, wrapped, master_key, created_at) values ('{user}', 'x', '1', now())"
        );
        var made = Assert.Single(await database.RowsAsync($"select id from notify.subject_keys where subject = '{user}'"));
        var key = System.Text.Json.Nodes.JsonNode.Parse(made)!["id"]!.GetValue<long>();
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        await OpenDeliveryTable.AddAsync(
            connection,
            [new OpenDelivery(delivery, "n/c_shop:check", new DeliveryQueue(Lane.Sms, Priority.Normal), OpenState.Queued, 0, Now, Now)],
            Cancellation
        );
        await OpenDeliveryTable.ClaimAsync(connection, [delivery], Guid.NewGuid(), claim, Cancellation);
        var basis = new LastCheckBasis(user, 1, category, 0, suppression, key, null, 0);
        var unregistered = basis with { Recipient = null, RecipientVersion = 0, Suppression = null };

        await ChangeAsync(change);

        Assert.Equal(expected, await LastCheck.IsUnchangedAsync(database.Source, claim, [(delivery, basis)], Now, Cancellation));
        if (expected)
            Assert.True(await LastCheck.IsUnchangedAsync(database.Source, claim, [(delivery, unregistered)], Now, Cancellation));
    }

    private Task ChangeAsync(string change) =>
        change switch
        {
            "the user opts out" => database.AppendAsync(user, new OptedOut(Channel.Sms, null, "c", "api", Now)),
            "the category is defined" => database.AppendAsync(
                category,
                new ContactDetailsGiven(Some.Sealed("x"), true, true, null, null, "c", Now)
            ),
            "the address is suppressed" => SuppressAsync(suppression, "null"),
            "the suppression has expired" => SuppressAsync(suppression, $"timestamptz '{Now.AddSeconds(-1):O}'"),
            "another address is suppressed" => SuppressAsync($"{suppression}-2", "null"),
            "the key is erased" => database.ExecuteAsync(
                $"update notify.subject_keys set erased_at = now(), wrapped = null where subject = '{user}'"
            ),
            "the claim is another's" => database.ExecuteAsync(
                $"update notify.open_deliveries set claim = '{Guid.NewGuid()}' where delivery_id = '{delivery}'"
            ),
            "a receipt has ended it" => database.ExecuteAsync(
                $"update notify.open_deliveries set has_ended = true where delivery_id = '{delivery}'"
            ),
            _ => Task.CompletedTask,
        };

    private Task SuppressAsync(string id, string expires) =>
        database.ExecuteAsync(
            $"""
            insert into notify.suppressions (id, channel, fingerprint, reason, source, suppressed_by, since, expires_at)
            values ('{id}', 1, '{id}', 'r', 's', 'b', now(), {expires})
            """
        );
}
