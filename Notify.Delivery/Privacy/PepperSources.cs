namespace Notify.Delivery.Privacy;

using System.Text.Json;
using Notify.Delivery.EventStore;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;
using Notify.Domain.Suppressions;
using Notify.Infrastructure.Json;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>Reads, page by page, the encrypted texts that hashes were made of: with them hashes can be made anew.</summary>
internal sealed class PepperSources(SubjectKeys subjectKeys, int page)
{
    // Payloads may have files of megabytes: a page of them is so many times smaller.
    private const int LargestPayloads = 20;

    /// <summary>A page's texts, and the row after which the next page begins; <c>null</c>: there is none.</summary>
    public readonly record struct Page(IReadOnlyList<HashedText> Texts, string? Next);

    /// <summary>All sources.</summary>
    public IReadOnlyList<Func<NpgsqlConnection, string, CancellationToken, Task<Page>>> All =>
        [UsersAsync, SuppressionsAsync, PayloadsAsync];

    /// <summary>Reads the IDs by which callers know users, with the references by which they are known here.</summary>
    /// <param name="after">The ID of the key after which the page begins.</param>
    /// <returns>The users, and the key after which the next page begins; <c>null</c>: there is none.</returns>
    public async Task<(IReadOnlyList<(string UserRef, string UserId)> Users, long? Next)> UserIdsAsync(
        NpgsqlConnection connection,
        long after,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            """
            select id, subject, wrapped, master_key, sealed_user_id from notify.subject_keys
            where id > $1 and sealed_user_id is not null and wrapped is not null order by id limit $2
            """,
            after,
            page
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var users = new List<(string UserRef, string UserId)>();
        long? next = null;
        while (await reader.ReadAsync(cancellation))
        {
            next = reader.GetInt64(0);
            var subject = reader.GetString(1);
            var cipher = reader.GetFieldValue<byte[]>(4);
            if (
                UserRef.IsOfSubject(subject)
                && subjectKeys.OpenUserId(subject, reader.GetFieldValue<byte[]>(2), reader.GetString(3), cipher) is { } userId
            )
                users.Add((subject[Recipient.KeyOf("").Length..], userId));
        }

        return (users, next);
    }

    private async Task<Page> UsersAsync(NpgsqlConnection connection, string after, CancellationToken cancellation)
    {
        var users = new List<Recipient>();
        string? next = null;
        await using (
            var command = SqlCommands.Create(
                connection,
                $"select id, data from {EventSchema.Name}.mt_doc_recipient where id > $1 order by id limit $2",
                after,
                page
            )
        )
        await using (var reader = await command.ExecuteReaderAsync(cancellation))
        {
            while (await reader.ReadAsync(cancellation))
            {
                next = reader.GetString(0);
                users.Add(JsonSerializer.Deserialize<Recipient>(reader.GetString(1), NotifyJson.Options)!);
            }
        }

        users.RemoveAll(u => u.IsErased);
        var keys = await subjectKeys.ForAsync(
            connection,
            users.SelectMany(u => u.Devices.Select(d => d.Token).Concat(u.Details is { } details ? [details] : [])),
            cancellation
        );
        var texts = new List<HashedText>();
        foreach (var user in users)
        {
            if (user.Details is { } sealedDetails && keys.Has(sealedDetails) && keys.DetailsOf(user) is { } details)
                texts.AddRange(HashedText.Of(Channel.Email, details.Email).Concat(HashedText.Of(Channel.Sms, details.Phone)));
            texts.AddRange(
                user.Devices.Where(d => keys.Has(d.Token))
                    .Select(d => (d.Platform, Address: keys.OpenText(d.Token, SealedPlace.OfToken(user.Id, d.Id))))
                    .Where(d => d.Address is not null)
                    .Select(d => HashedText.OfKeptDevice(d.Platform, d.Address!))
            );
        }

        return new Page(texts, next);
    }

    private async Task<Page> SuppressionsAsync(NpgsqlConnection connection, string after, CancellationToken cancellation)
    {
        var rows = new List<(string Id, Channel Channel, string Fingerprint, Sealed Address)>();
        await using (
            var command = SqlCommands.Create(
                connection,
                """
                select id, channel, fingerprint, address from notify.suppressions
                where id > $1 and address is not null order by id limit $2
                """,
                after,
                page
            )
        )
        await using (var reader = await command.ExecuteReaderAsync(cancellation))
        {
            while (await reader.ReadAsync(cancellation))
                rows.Add((reader.GetString(0), (Channel)reader.GetInt16(1), reader.GetString(2), new Sealed(reader.GetString(3))));
        }

        var keys = await subjectKeys.ForAsync(connection, rows.Select(r => r.Address), cancellation);
        return new Page(
            [
                .. rows.Where(r => keys.Has(r.Address))
                    .SelectMany(r =>
                        HashedText.Of(
                            r.Channel,
                            keys.OpenText(r.Address, SealedPlace.OfSuppressed(Suppression.KeyOf(r.Channel, r.Fingerprint)))
                        )
                    ),
            ],
            rows.Count == 0 ? null : rows[^1].Id
        );
    }

    // Of people who are not registered: one payload a key is enough, if it is theirs.
    private async Task<Page> PayloadsAsync(NpgsqlConnection connection, string after, CancellationToken cancellation)
    {
        var rows = new List<(string Stream, long KeyId, byte[] Cipher)>();
        await using (
            var command = SqlCommands.Create(
                connection,
                """
                select p.stream, p.key_id, p.sealed from notify.payloads p join notify.subject_keys k on k.id = p.key_id
                where p.stream > $1 and p.stream like 'n/%' and k.subject like 'a/%' and k.wrapped is not null order by p.stream limit $2
                """,
                after,
                Math.Max(1, page / LargestPayloads)
            )
        )
        await using (var reader = await command.ExecuteReaderAsync(cancellation))
        {
            while (await reader.ReadAsync(cancellation))
                rows.Add((reader.GetString(0), reader.GetInt64(1), reader.GetFieldValue<byte[]>(2)));
        }

        var keys = await subjectKeys.ForAsync(connection, rows.Select(r => new SealedPayload(r.KeyId, default, 0, null).Key), cancellation);
        return new Page([.. rows.SelectMany(r => HashedText.Of(Open(r)?.To))], rows.Count == 0 ? null : rows[^1].Stream);

        NotificationPayload? Open((string Stream, long KeyId, byte[] Cipher) row)
        {
            if (!keys.Has(new SealedPayload(row.KeyId, default, 0, null).Key))
                return null;
            var place = SealedPlace.OfPayload(row.Stream);
            return new[] { SealedVersions.Place, SealedVersions.Subject }
                .Select(v =>
                    keys.OpenPayload(new SealedPayload(row.KeyId, default, row.Cipher.Length, null, Version: v), row.Cipher, place)
                )
                .FirstOrDefault(p => p is not null);
        }
    }
}
