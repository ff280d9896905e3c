namespace Notify.Delivery.Planning;

using System.Collections.Immutable;
using Marten;
using Notify.Delivery.Privacy;
using Notify.Delivery.Recipients;
using Notify.Delivery.Suppressions;
using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Domain.Recipients;
using Notify.Domain.Suppressions;
using Npgsql;

/// <summary>Reads the rules that a group of notifications needs, set-based and as they are now, so that a suppression counts everywhere at
/// once.</summary>
public static class ReachRulesReader
{
    /// <summary>Reads the rules for a group of notifications.</summary>
    /// <param name="unregistered">The addresses of people who are not registered.</param>
    /// <param name="categories">The categories' keys.</param>
    /// <param name="suppressions">The IDs of the addresses' suppressions; see <see cref="OfPlanning"/> and
    /// <see cref="Suppression.IdOf"/>.</param>
    public static async Task<ReachRules> LoadAsync(
        IQuerySession session,
        NpgsqlConnection connection,
        IEnumerable<string> categories,
        IEnumerable<string> suppressions,
        IEnumerable<(Channel Channel, string Fingerprint)> unregistered,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        var keys = categories.Distinct().Select(Category.KeyOf).ToArray();
        var defined = keys.Length == 0 ? [] : await session.LoadManyAsync<Category>(cancellation, keys);
        return await LoadAsync(
            defined.ToImmutableDictionary(c => c.Id, StringComparer.Ordinal),
            connection,
            suppressions,
            unregistered,
            now,
            cancellation
        );
    }

    /// <summary>Reads the rules other than the categories.</summary>
    /// <param name="unregistered">The addresses that people who are not registered are reached at.</param>
    /// <param name="categories">Those that are defined, by stream key; see <see cref="Notify.Delivery.Snapshots.Snapshots"/>.</param>
    /// <param name="suppressions">The IDs of the addresses' suppressions; see <see cref="OfPlanning"/> and
    /// <see cref="Suppression.IdOf"/>.</param>
    public static async Task<ReachRules> LoadAsync(
        IReadOnlyDictionary<string, Category> categories,
        NpgsqlConnection connection,
        IEnumerable<string> suppressions,
        IEnumerable<(Channel Channel, string Fingerprint)> unregistered,
        DateTimeOffset now,
        CancellationToken cancellation
    ) =>
        new(
            categories,
            await SuppressionTable.StandingAsync(connection, [.. suppressions.Distinct()], now, cancellation),
            await AddressWordsReader.LoadAsync(connection, unregistered, cancellation)
        );

    /// <summary>Returns the IDs of the suppressions that may apply to a notification that is about to be planned.</summary>
    /// <param name="payload">Its decrypted payload; it names an unregistered person.</param>
    /// <param name="recipient">The registered user.</param>
    public static IEnumerable<string> OfPlanning(NotificationPayload? payload, Recipient? recipient, IFingerprints ring)
    {
        if ((payload?.To is { } to ? ring.Of(Channel.Sms, to.Phone) : recipient?.PhoneFingerprint) is { } phone)
            yield return Suppression.IdOf(Channel.Sms, phone);
        if ((payload?.To is { } too ? ring.Of(Channel.Email, too.Email) : recipient?.EmailFingerprint) is { } email)
            yield return Suppression.IdOf(Channel.Email, email);
    }

    /// <summary>Returns the addresses that a notification gives for an unregistered person.</summary>
    /// <param name="payload">Its open payload.</param>
    public static IEnumerable<(Channel Channel, string Fingerprint)> Unregistered(NotificationPayload? payload, IFingerprints ring)
    {
        if (ring.Of(Channel.Sms, payload?.To?.Phone) is { } phone)
            yield return (Channel.Sms, phone);
        if (ring.Of(Channel.Email, payload?.To?.Email) is { } email)
            yield return (Channel.Email, email);
    }
}
