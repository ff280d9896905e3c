namespace Notify.Delivery.Planning;

using Marten;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.Digests;
using Notify.Delivery.Payloads;
using Notify.Delivery.Privacy;
using Notify.Delivery.Snapshots;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Npgsql;

/// <summary>A notification that is about to be accepted.</summary>
/// <param name="Key">The stream key.</param>
/// <param name="Request">Its first event; the payload is encrypted when it is written.</param>
/// <param name="Payload">The open payload.</param>
/// <param name="UserId">The ID by which the caller knows the user; <c>null</c> for those who are not registered, and where the user is
/// known by their reference alone.</param>
public sealed record IncomingNotification(string Key, NotificationRequested Request, NotificationPayload Payload, string? UserId = null)
{
    /// <summary>Whether it waits for its <c>sendAt</c>.</summary>
    public bool IsLater => Request.SendAt > Request.At;
}

/// <summary>
/// Takes notifications in, many in the caller's transaction, set-based: their IDs are claimed, recipients and rules loaded,
/// deliveries planned or left to a digest, streams started. Both what clients request one by one and what broadcasts make come in here.
/// </summary>
public sealed class NotificationIntake(Snapshots snapshots, SubjectKeys subjectKeys, MasterKeyRing ring, SmsLimits sms, TimeZones zones)
{
    /// <summary>Inserts the keys that are free, in order. Concurrent requests with the same key wait here.</summary>
    /// <param name="hashes">By stream key: the keyed hash of the request.</param>
    /// <returns>The hashes of those that were taken before.</returns>
    public static async Task<Dictionary<string, string>> ClaimAsync(
        NpgsqlConnection connection,
        IReadOnlyDictionary<string, string> hashes,
        CancellationToken cancellation
    )
    {
        var keys = hashes.Keys.Order(StringComparer.Ordinal).ToArray();
        var claimed = new HashSet<string>(StringComparer.Ordinal);
        await using (
            var insert = new NpgsqlCommand(
                "insert into notify.event_ids (key, request_hash) select k, h from unnest($1, $2) as t(k, h) on conflict do "
                    + "nothing returning key",
                connection
            )
        )
        {
            insert.Parameters.Add(new NpgsqlParameter { Value = keys });
            insert.Parameters.Add(new NpgsqlParameter { Value = keys.Select(k => hashes[k]).ToArray() });
            await using var reader = await insert.ExecuteReaderAsync(cancellation);
            while (await reader.ReadAsync(cancellation))
                claimed.Add(reader.GetString(0));
        }

        var taken = new Dictionary<string, string>(StringComparer.Ordinal);
        if (claimed.Count == keys.Length)
            return taken;
        await using var select = new NpgsqlCommand("select key, request_hash from notify.event_ids where key = any($1)", connection);
        select.Parameters.Add(new NpgsqlParameter { Value = keys.Where(k => !claimed.Contains(k)).ToArray() });
        await using var rows = await select.ExecuteReaderAsync(cancellation);
        while (await rows.ReadAsync(cancellation))
            taken[rows.GetString(0)] = rows.GetString(1);
        return taken;
    }

    /// <summary>Starts the streams of notifications whose keys were claimed.</summary>
    /// <returns>The deliveries that are to be carried to their queues.</returns>
    public async Task<IReadOnlyList<OpenDelivery>> StartAsync(
        IDocumentSession session,
        IReadOnlyList<IncomingNotification> incoming,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        var connection = session.Connection!;
        var prints = await ring.ReadAsync(connection, incoming.SelectMany(i => HashedText.Of(i.Payload.To)), cancellation);
        var (recipients, categories) = await snapshots.OfAsync(
            connection,
            [.. incoming.Where(i => !i.IsLater).Select(i => i.Request)],
            cancellation
        );
        var rules = await ReachRulesReader.LoadAsync(
            categories,
            connection,
            incoming
                .Where(i => !i.IsLater)
                .SelectMany(i => ReachRulesReader.OfPlanning(i.Payload, recipients.GetValueOrDefault(i.Request.Subject), prints)),
            incoming.Where(i => !i.IsLater).SelectMany(i => ReachRulesReader.Unregistered(i.Payload, prints)),
            now,
            cancellation
        );
        var userIds = incoming
            .Where(i => i.UserId is not null)
            .DistinctBy(i => i.Request.Subject)
            .ToDictionary(i => i.Request.Subject, i => i.UserId!, StringComparer.Ordinal);
        var keys = await subjectKeys.CurrentAsync(
            connection,
            incoming.Select(i => i.Request.Subject),
            cancellation,
            userIds,
            AliasesOf(incoming, prints)
        );

        var digests = await DigestCollecting.CollectAsync(
            session,
            incoming.Where(i => !i.IsLater && !(i.Request.ExpiresAt <= now)).Select(i => new DueNotification(i.Key, i.Request, i.Payload)),
            rules,
            keys,
            prints,
            now,
            cancellation
        );

        var (open, payloads) = (new List<OpenDelivery>(incoming.Count), new PayloadBatch(now));
        open.AddRange(digests.Opened);
        var plans = new List<NotificationPlan>(incoming.Count);
        foreach (var i in incoming)
        {
            var requested = i.Request with { Payload = payloads.Seal(keys, i.Request.Subject, SealedPlace.OfPayload(i.Key), i.Payload) };
            if (i.IsLater)
            {
                session.Events.StartStream(i.Key, requested);
                open.Add(OpenDelivery.Planning(i.Key, requested.Priority, now, requested.SendAt!.Value));
            }
            else if (requested.ExpiresAt <= now)
            {
                session.Events.StartStream(i.Key, requested, new NotificationExpired([], now));
            }
            else if (digests.Collected.TryGetValue(i.Key, out var collected))
            {
                session.Events.StartStream(i.Key, requested, collected);
            }
            else
            {
                var recipient = requested.UserRef is null ? null : recipients.GetValueOrDefault(requested.Subject);
                plans.Add(
                    new NotificationPlan(
                        i.Key,
                        requested,
                        i.Payload,
                        NotificationPlanning.Plan(i.Key, requested, i.Payload, recipient, rules, keys, prints, now, sms)
                    )
                    {
                        Quiet = NotificationPlanning.QuietOf(requested, recipient, rules, keys, zones),
                    }
                );
            }
        }

        foreach (var plan in await CapPlanning.HoldAsync(connection, plans, rules, prints, now, cancellation))
        {
            session.Events.StartStream(plan.Key, [plan.Request, .. plan.Events]);
            open.AddRange(plan.Open(now));
        }

        await PayloadTable.AddAsync(connection, payloads.Rows, cancellation);
        await OpenDeliveryTable.AddAsync(connection, open, cancellation);
        return [.. open.Where(o => o.State == OpenState.Queued)];
    }

    private static List<(string Alias, string Subject)> AliasesOf(IEnumerable<IncomingNotification> incoming, IFingerprints prints) =>
        [
            .. incoming
                .Where(i => i.Request.UserRef is null)
                .Select(i => (Alias: NotificationPlanning.AliasOf(i.Payload.To, prints), i.Request.Subject))
                .Where(a => a.Alias is not null)
                .Select(a => (a.Alias!, a.Subject))
                .Distinct(),
        ];
}
