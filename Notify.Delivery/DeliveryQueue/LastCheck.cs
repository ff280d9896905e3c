namespace Notify.Delivery.DeliveryQueue;

using Notify.Delivery.EventStore;
using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Domain.Recipients;
using Notify.Domain.Suppressions;
using Notify.Infrastructure.Postgres;
using Npgsql;
using NpgsqlTypes;

/// <summary>The state that a delivery's last check was decided on.</summary>
/// <param name="Recipient">The user's stream; <c>null</c> for the unregistered.</param>
/// <param name="Suppression">The ID that a suppression of the address would have; <c>null</c> for devices.</param>
/// <param name="Key">The key that encrypts the request.</param>
/// <param name="Address">The stream of the preferences at an unregistered person's address; <c>null</c> for others.</param>
public sealed record LastCheckBasis(
    string? Recipient,
    long RecipientVersion,
    string Category,
    long CategoryVersion,
    string? Suppression,
    long Key,
    string? Address,
    long AddressVersion
)
{
    /// <summary>The basis of a check.</summary>
    /// <param name="fingerprint">Keyed hash of the number or address; <c>null</c> for devices.</param>
    public static LastCheckBasis Of(Notification notification, Channel channel, Recipient? recipient, ReachRules rules, string? fingerprint)
    {
        var address = notification.Request.UserRef is null && fingerprint is not null ? AddressChoices.KeyOf(channel, fingerprint) : null;
        return new(
            notification.Request.UserRef is { } user ? Domain.Recipients.Recipient.KeyOf(user) : null,
            recipient?.Version ?? 0,
            Domain.Categories.Category.KeyOf(notification.Request.Category),
            rules.Of(notification.Request).Version,
            fingerprint is null ? null : Domain.Suppressions.Suppression.IdOf(channel, fingerprint),
            notification.Request.Payload.KeyId,
            address,
            address is null ? 0 : rules.Said?.There.GetValueOrDefault(address)?.Version ?? 0
        );
    }
}

/// <summary>Looks whether last checks would come out the same now, for calls that had to wait before they could leave.</summary>
public static class LastCheck
{
    /// <summary>
    /// Whether the claim is still this host's for all of these deliveries, and nothing has changed that their checks were
    /// decided on.
    /// </summary>
    public static async Task<bool> IsUnchangedAsync(
        NpgsqlDataSource database,
        Guid claim,
        IReadOnlyList<(Guid Delivery, LastCheckBasis Basis)> checks,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        await using var connection = await database.OpenConnectionAsync(cancellation);
        await using var command = SqlCommands.Create(
            connection,
            $"""
            select count(*)
            from unnest($1, $2, $3, $4, $5, $6, $7, $10, $11)
                as c(delivery, recipient, recipient_version, category, category_version, suppression, key, address, address_version)
            join notify.open_deliveries d on d.delivery_id = c.delivery and d.state = 1 and d.claim = $8 and not d.has_ended
            where (c.recipient is null
                or c.recipient_version = coalesce((select version from {EventSchema.Name}.mt_streams where id = c.recipient), 0))
              and c.category_version = coalesce((select version from {EventSchema.Name}.mt_streams where id = c.category), 0)
              and (c.address is null
                or c.address_version = coalesce((select version from {EventSchema.Name}.mt_streams where id = c.address), 0))
              and exists (select from notify.subject_keys k where k.id = c.key and k.wrapped is not null)
              and not exists (
                select from notify.suppressions s
                where s.id = c.suppression and s.lifted_at is null and (s.expires_at is null or s.expires_at > $9))
            """,
            checks.Select(c => c.Delivery).ToArray(),
            Texts(checks.Select(c => c.Basis.Recipient)),
            checks.Select(c => c.Basis.RecipientVersion).ToArray(),
            checks.Select(c => c.Basis.Category).ToArray(),
            checks.Select(c => c.Basis.CategoryVersion).ToArray(),
            Texts(checks.Select(c => c.Basis.Suppression)),
            checks.Select(c => c.Basis.Key).ToArray(),
            claim,
            now,
            Texts(checks.Select(c => c.Basis.Address)),
            checks.Select(c => c.Basis.AddressVersion).ToArray()
        );
        return (long)(await command.ExecuteScalarAsync(cancellation))! == checks.Count;
    }

    private static NpgsqlParameter Texts(IEnumerable<string?> texts) =>
        new() { Value = texts.ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text };
}
