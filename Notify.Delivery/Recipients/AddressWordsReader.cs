namespace Notify.Delivery.Recipients;

using System.Text.Json;
using Notify.Delivery.EventStore;
using Notify.Domain.Channels;
using Notify.Domain.Recipients;
using Notify.Infrastructure.Json;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>Reads what was said about addresses, set-based and as it is now.</summary>
public static class AddressWordsReader
{
    /// <summary>The index of users by address, which a numbered migration makes; Marten leaves it alone.</summary>
    public const string EmailIndex = "recipients_by_email",
        PhoneIndex = "recipients_by_phone";

    /// <summary>Reads what was said at addresses, and by the registered users who have them and opted out of something.</summary>
    /// <remarks>Thousands may share an address; those who said no to nothing are in no index and are not read.</remarks>
    /// <param name="addresses">Channels and keyed hashes; each once or more often.</param>
    /// <returns>The preferences; <c>null</c>: no address was given.</returns>
    public static async Task<AddressWords?> LoadAsync(
        NpgsqlConnection connection,
        IEnumerable<(Channel Channel, string Fingerprint)> addresses,
        CancellationToken cancellation
    )
    {
        var asked = addresses.Where(a => a.Channel is Channel.Sms or Channel.Email).Distinct().ToList();
        if (asked.Count == 0)
            return null;
        var (there, users) = (new Dictionary<string, AddressChoices>(StringComparer.Ordinal), new List<ChoicesAtAddress>());
        await using var command = SqlCommands.Create(
            connection,
            $"""
            select 0::smallint, id, data from {EventSchema.Name}.mt_doc_addresschoices where id = any($1)
            union all
            select distinct 1::smallint, data ->> 'emailFingerprint', data -> 'choices' from {EventSchema.Name}.mt_doc_recipient
            where data ->> 'emailFingerprint' = any($2) and data -> 'choices' @? '$.* ? (@ == false)'
            union all
            select distinct 2::smallint, data ->> 'phoneFingerprint', data -> 'choices' from {EventSchema.Name}.mt_doc_recipient
            where data ->> 'phoneFingerprint' = any($3) and data -> 'choices' @? '$.* ? (@ == false)'
            """,
            asked.Select(a => AddressChoices.KeyOf(a.Channel, a.Fingerprint)).ToArray(),
            Of(Channel.Email),
            Of(Channel.Sms)
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        while (await reader.ReadAsync(cancellation))
        {
            var (kind, key, data) = (reader.GetInt16(0), reader.GetString(1), reader.GetString(2));
            if (kind == 0)
                there[key] = JsonSerializer.Deserialize<AddressChoices>(data, NotifyJson.Options)!;
            else
                users.Add(
                    new ChoicesAtAddress(
                        kind == 1 ? Channel.Email : Channel.Sms,
                        key,
                        JsonSerializer.Deserialize<Dictionary<string, bool>>(data, NotifyJson.Options)!
                    )
                );
        }

        return new AddressWords(there, users);

        string[] Of(Channel channel) => [.. asked.Where(a => a.Channel == channel).Select(a => a.Fingerprint)];
    }
}
