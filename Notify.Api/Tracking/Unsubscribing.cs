namespace Notify.Api.Tracking;

using Marten;
using Notify.Delivery.EventStore;
using Notify.Delivery.Privacy;
using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Domain.Recipients;
using Npgsql;

/// <summary>The scope of an unsubscribe link.</summary>
/// <param name="Category">The kind of emails.</param>
/// <param name="IsRequired">Whether the category has become required since the email was sent: it passes what the person says, which is
/// noted all the same.</param>
public sealed record UnsubscribeScope(string Category, bool IsRequired = false);

/// <summary>
/// Unsubscribes a person who follows the link in an email: no more emails of its category. For people who are not registered this is
/// recorded at their address, and applies to that category alone. A repeated request changes nothing.
/// </summary>
public sealed class Unsubscribing(IDocumentStore store, SubjectKeys keys, TimeProvider clock)
{
    /// <summary>The author of a choice that came through a link: the recipient of the email.</summary>
    public const string Recipient = "recipient";

    /// <summary>Reads the scope of the link in a delivery; <c>null</c> where there is no such delivery.</summary>
    public async Task<UnsubscribeScope?> ScopeAsync(Guid deliveryId, CancellationToken cancellation)
    {
        await using var session = store.LightweightSession();
        await session.BeginTransactionAsync(cancellation);
        return await FindAsync(session, deliveryId, cancellation) is { } found ? await ScopeOfAsync(session, found, cancellation) : null;
    }

    /// <summary>Opts the recipient out of the category on email, and notes in the notification's stream that they said so here.</summary>
    /// <param name="source">One of <see cref="UnsubscribeSources"/>.</param>
    /// <returns>The scope that was opted out of; <c>null</c> where there is no such delivery.</returns>
    public async Task<UnsubscribeScope?> UnsubscribeAsync(Guid deliveryId, string source, CancellationToken cancellation)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return await TryUnsubscribeAsync(deliveryId, source, cancellation);
            }
            catch (Exception e) when (attempt < 5 && Contract.StreamChanges.IsRace(e))
            {
                await Task.Delay(TimeSpan.FromMilliseconds(10 * attempt), clock, cancellation);
            }
        }
    }

    private async Task<UnsubscribeScope?> TryUnsubscribeAsync(Guid deliveryId, string source, CancellationToken cancellation)
    {
        await using var session = store.LightweightSession();
        await session.BeginTransactionAsync(cancellation);
        if (await FindAsync(session, deliveryId, cancellation) is not { } found)
            return null;
        var (key, category) = (found.Key, found.Request.Category);
        var user = found.Request.UserRef is { } id ? Domain.Recipients.Recipient.KeyOf(id) : null;
        await NotificationStreams.LockAsync(session, user is null ? [key] : [key, user], cancellation);

        var now = clock.GetUtcNow();
        var notification = (await NotificationStreams.LoadAsync(session, key, cancellation))!;
        var isNews = notification.Deliveries.TryGetValue(deliveryId, out var delivery) && delivery.UnsubscribedAt is null;
        if (isNews)
            session.Events.Append(key, new Unsubscribed(deliveryId, source, now));
        var recipient = user is null ? null : await session.LoadAsync<Recipient>(user, cancellation);
        var isLive = found.Request.Mode == ClientMode.Live; // a test tries the page out and binds nobody
        var isWanted = isLive && recipient is { IsErased: false } && recipient.Said(Channel.Email, category)?.OptedIn != false;
        if (isWanted)
            session.Events.Append(user!, new OptedOut(Channel.Email, category, Recipient, source, now));
        if (user is null && isLive && await AddressAsync(session, notification, delivery, cancellation) is { } fingerprint)
            await OptOutAsync(session, fingerprint, category, source, now, cancellation);
        session.QueueSqlCommand("select 1"); // a session without events would not commit
        var scope = await ScopeOfAsync(session, found, cancellation);
        await session.SaveChangesAsync(cancellation);
        return scope;
    }

    private async Task<string?> AddressAsync(
        IDocumentSession session,
        Notification notification,
        Delivery? delivery,
        CancellationToken cancellation
    )
    {
        if (delivery?.Contact is not { } contact)
            return null;
        var opened = await keys.ForAsync(session.Connection!, [contact], cancellation);
        return (await opened.FingerprintsAsync(session.Connection!, [(notification, delivery)], cancellation)).GetValueOrDefault(
            delivery.Id
        );
    }

    private static async Task OptOutAsync(
        IDocumentSession session,
        string fingerprint,
        string category,
        string source,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        var key = AddressChoices.KeyOf(Channel.Email, fingerprint);
        await NotificationStreams.LockAsync(session, [key], cancellation);
        if ((await session.LoadAsync<AddressChoices>(key, cancellation))?.OptedOut.Contains(category) == true)
            return;
        session.Events.Append(key, new AddressOptedOut(Channel.Email, fingerprint, category, Recipient, source, now));
    }

    private static async Task<UnsubscribeScope> ScopeOfAsync(IQuerySession session, Notification n, CancellationToken cancellation) =>
        new(n.Request.Category, (await session.LoadAsync<Category>(Category.KeyOf(n.Request.Category), cancellation))?.Required == true);

    private static async Task<Notification?> FindAsync(IDocumentSession session, Guid deliveryId, CancellationToken cancellation)
    {
        await using var command = new NpgsqlCommand(
            "select notification from notify.delivery_streams where delivery_id = $1",
            session.Connection
        );
        command.Parameters.Add(new NpgsqlParameter { Value = deliveryId });
        return
            await command.ExecuteScalarAsync(cancellation) is string key
            && await NotificationStreams.LoadAsync(session, key, cancellation) is { } notification
            && notification.Deliveries.ContainsKey(deliveryId)
            ? notification
            : null;
    }
}
