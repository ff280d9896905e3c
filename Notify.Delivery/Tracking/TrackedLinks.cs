namespace Notify.Delivery.Tracking;

using System.Buffers.Text;
using System.Globalization;
using System.Text;
using Microsoft.Extensions.Configuration;
using Notify.Delivery.Monitoring;
using Notify.Delivery.Privacy;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>A link of a delivery, as it is kept.</summary>
/// <param name="Number">Which of the delivery's links, from 0.</param>
/// <param name="Destination">Its destination, encrypted under the recipient's key: an erased person's links lead nowhere.</param>
/// <param name="RequestedAt">When its notification was requested; the same at every attempt.</param>
public sealed record TrackedLink(
    string Token,
    Guid DeliveryId,
    string Notification,
    int Number,
    Sealed Destination,
    DateTimeOffset RequestedAt
);

/// <summary>
/// The addresses by which a delivery's links and its opening are noticed: <c>{Notify:PublicUrl}/t/{token}</c>, short enough for
/// an SMS, and <c>/o/{token}</c>. Tokens are keyed hashes: nobody can make one, and none contains an address.
/// </summary>
public sealed class TrackedLinks(DeliveryTokens tokens, MasterKeyRing ring, IConfiguration configuration, SmsLimits sms)
{
    /// <summary>The length of a link's token: base64url of 12 bytes of an HMAC-SHA-256 under the pepper.</summary>
    public const int TokenLength = LinkRewriter.TokenLength;

    private readonly string start = configuration.PublicUrl().AbsoluteUri.TrimEnd('/');

    /// <summary>A link's token; the same at every attempt under one pepper.</summary>
    public string TokenOf(Guid deliveryId, int number) =>
        Base64Url.EncodeToString(
            ring.Peppers.Mac(
                ring.Peppers.CurrentId,
                "tracked-link",
                Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{deliveryId:N} {number}"))
            )
        )[..TokenLength];

    /// <summary>A delivery's content with tracked links, if it asks for them.</summary>
    public TrackedContent Of(Guid deliveryId, Channel channel, NotificationContent content) =>
        LinkRewriter.Rewrite(
            content,
            channel,
            number => $"{start}/t/{TokenOf(deliveryId, number)}",
            $"{start}/o/{tokens.Make(DeliveryTokens.Open, deliveryId)}",
            $"{start}/",
            sms
        );

    /// <summary>Keeps where links lead, before anybody can follow them.</summary>
    public static async Task NoteAsync(NpgsqlConnection connection, IEnumerable<TrackedLink> links, CancellationToken cancellation)
    {
        var rows = links.OrderBy(l => l.Token, StringComparer.Ordinal).ToList();
        if (rows.Count == 0)
            return;
        await using var command = new NpgsqlCommand(
            """
            insert into notify.links (token, delivery_id, notification, number, destination, requested_at)
            select * from unnest($1, $2, $3, $4, $5, $6) on conflict (token, requested_at) do nothing
            """,
            connection
        );
        foreach (
            var column in new object[]
            {
                rows.Select(r => r.Token).ToArray(),
                rows.Select(r => r.DeliveryId).ToArray(),
                rows.Select(r => r.Notification).ToArray(),
                rows.Select(r => r.Number).ToArray(),
                rows.Select(r => r.Destination.Text).ToArray(),
                rows.Select(r => r.RequestedAt).ToArray(),
            }
        )
            command.Parameters.Add(new NpgsqlParameter { Value = column });
        await command.ExecuteNonQueryAsync(cancellation);
    }

    /// <summary>The link of a token; <c>null</c>: there is none.</summary>
    public static async Task<TrackedLink?> FindAsync(NpgsqlConnection connection, string token, CancellationToken cancellation)
    {
        if (token.Length != TokenLength)
            return null;
        // notify.tracked_links contains the links of earlier versions.
        await using var command = SqlCommands.Create(
            connection,
            """
            select delivery_id, notification, number, destination, requested_at from notify.links where token = $1
            union all select delivery_id, notification, number, destination, null from notify.tracked_links where token = $1 limit 1
            """,
            token
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        return await reader.ReadAsync(cancellation)
            ? new TrackedLink(
                token,
                reader.GetGuid(0),
                reader.GetString(1),
                reader.GetInt32(2),
                new Sealed(reader.GetString(3)),
                reader.IsDBNull(4) ? default : reader.GetFieldValue<DateTimeOffset>(4)
            )
            : null;
    }
}
