namespace Notify.Dispatch.Receipts;

using System.Text;
using Marten;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.EventStore;
using Notify.Delivery.Privacy;
using Notify.Delivery.Receipts;
using Notify.Delivery.Suppressions;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Domain.Suppressions;
using Npgsql;

/// <summary>A receipt to be judged, with its raw text, opened for as long as that takes.</summary>
/// <param name="Subject">The subject whose key encrypts it where it has no notification; <c>null</c>: the installation's.</param>
public sealed record JudgedReceipt(ReceiptRow Row, byte[] Raw, string? Subject = null);

/// <summary>
/// Finds the deliveries that receipts are about, decides what follows, and writes all of it in the caller's transaction.
/// Locks: open deliveries, notifications' streams, addresses' suppressions.
/// </summary>
public sealed class ReceiptJudgement(SubjectKeys keys, StreamFaults faults, ILogger<ReceiptJudgement> log)
{
    /// <summary>The subject whose key encrypts receipts without a known notification.</summary>
    public const string InstallationSubject = "i/receipts";

    /// <summary>For so long a receipt waits for its delivery.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromDays(30);

    /// <summary>Judges and writes.</summary>
    /// <param name="isNew">Whether they came just now: those that are kept already are then passed over.</param>
    /// <returns>The receipts as they were written.</returns>
    public async Task<IReadOnlyList<ReceiptRow>> JudgeAsync(
        NpgsqlConnection connection,
        IDocumentSession session,
        IReadOnlyList<JudgedReceipt> receipts,
        bool isNew,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        var found = await DeliveryStreams.FindAsync(
            connection,
            [.. receipts.Select(r => new ReceiptAddress(r.Row.Provider, r.Row.DeliveryId, r.Row.MessageId))],
            cancellation
        );
        var matched = receipts.Select((r, i) => (Receipt: r, Found: found[i])).ToList();
        var open = (
            await OpenDeliveryTable.LockAsync(
                connection,
                [.. found.OfType<(Guid Delivery, string)>().Select(f => f.Delivery).Distinct()],
                cancellation
            )
        ).ToDictionary(r => r.Id);
        await NoteMessagesAsync(connection, matched, open, cancellation);
        var streams = found.OfType<(Guid, string Notification)>().Select(f => f.Notification).Distinct(StringComparer.Ordinal).ToList();
        if (streams.Count > 0)
            await NotificationStreams.LockAsync(session, streams, cancellation);
        if (isNew)
        {
            var known = await ReceiptTable.KnownAsync(connection, [.. receipts.Select(r => (r.Row.Provider, r.Row.EventId))], cancellation);
            matched.RemoveAll(m => known.Contains((m.Receipt.Row.Provider, m.Receipt.Row.EventId)));
        }

        // A receipt of a stream that cannot be read here waits, as one does that came before its delivery.
        var loaded = await NotificationStreams.LoadAsync(session, streams, cancellation, withTexts: false);
        await faults.NoteAsync(connection, loaded, now, cancellation);
        await LeaveLockedAsync(connection, loaded.States, cancellation);
        var verdicts = new Verdicts(loaded.States, open, now);
        foreach (var (receipt, place) in matched)
            verdicts.Add(receipt, place, MayTouch);
        var judged = await AddressesAsync(connection, verdicts, now, cancellation);

        await OpenDeliveryTable.RemoveAsync(connection, [.. verdicts.Removed], cancellation);
        await OpenDeliveryTable.EndInFlightAsync(connection, [.. verdicts.EndedInFlight], cancellation);
        foreach (var stream in verdicts.Events.GroupBy(e => e.Key))
            session.Events.Append(stream.Key, stream.Select(e => e.Event));
        var rows = await SealAsync(connection, verdicts, cancellation);
        await ReceiptTable.PutAsync(connection, rows, cancellation);
        await SuppressionTable.SuppressAsync(session, [.. judged.Select(j => j.Suppress).OfType<AddressToSuppress>()], now, cancellation);
        foreach (var lift in judged.Select(j => j.Lift).OfType<string>().Distinct().Order(StringComparer.Ordinal))
            await SuppressionTable.LiftAsync(
                session,
                keys,
                lift,
                LiftReasons.OptedInAtProvider,
                "reply",
                now,
                cancellation,
                SuppressionReasons.LiftedByReply
            );
        await session.SaveChangesAsync(cancellation);
        return rows;
    }

    // A message that a receipt names for a delivery whose own answer was lost belongs to it, and to no other one that asks.
    private static async Task NoteMessagesAsync(
        NpgsqlConnection connection,
        List<(JudgedReceipt Receipt, (Guid Delivery, string Notification)? Found)> matched,
        Dictionary<Guid, OpenDelivery> open,
        CancellationToken cancellation
    )
    {
        var messages = matched
            .Where(m =>
                m is { Found: not null, Receipt.Row: { MessageId: not null, DeliveryId: not null } }
                && open.TryGetValue(m.Found.Value.Delivery, out var row)
                && row.State != OpenState.InFlight
            )
            .Select(m => (m.Receipt.Row.Provider, m.Receipt.Row.MessageId!, m.Found!.Value.Delivery, m.Found.Value.Notification))
            .Distinct()
            .ToList();
        await ProviderMessages.NoteAsync(connection, messages, cancellation);
    }

    // Nor is one judged here whose notification this host has not the key of: whether the person was erased is not known.
    private async Task LeaveLockedAsync(
        NpgsqlConnection connection,
        Dictionary<string, Notification> notifications,
        CancellationToken cancellation
    )
    {
        var texts = notifications
            .Values.SelectMany(n =>
                n.Deliveries.Values.Select(d => d.Contact).OfType<Sealed>().Prepend(n.Request.Payload.Key).Select(t => (n.Key, Text: t))
            )
            .ToList();
        var opened = await keys.ForAsync(connection, texts.Select(t => t.Text), cancellation);
        foreach (var (key, text) in texts)
        {
            if (opened.IsLocked(text))
                notifications.Remove(key);
        }
    }

    private bool MayTouch(ReceiptRow row, Notification notification)
    {
        var needed = notification.Request.Mode == ClientMode.Live ? ReceiptModes.Live : ReceiptModes.Test;
        if (row.Modes.HasFlag(needed))
            return true;
        log.LogWarning(
            "A receipt of {Provider} that only {Section} verifies names a {Mode} notification; it is kept, and nothing follows from it.",
            row.Provider,
            needed == ReceiptModes.Live ? "TestProviders" : "Providers",
            notification.Request.Mode
        );
        return false;
    }

    // By the address of the delivery; by the one that the receipt names only where there is no delivery. Receipts of test clients'
    // messages, and those verified for test clients alone, change no suppression.
    private async Task<List<(AddressToSuppress? Suppress, string? Lift)>> AddressesAsync(
        NpgsqlConnection connection,
        Verdicts verdicts,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        var judged = new List<(AddressToSuppress?, string?)>();
        var about = verdicts.All.Where(v => v.Row.Facts is { Suppress: not null } or { Lift: not null }).ToList();
        if (about.Count == 0)
            return judged;
        var opened = await keys.ForAsync(
            connection,
            about.Where(v => v.Delivery?.Contact is not null).Select(v => v.Delivery!.Contact!.Value),
            cancellation
        );
        var addressed = await opened.FingerprintsAsync(
            connection,
            about
                .Where(v => v is { Notification: not null, Delivery: not null, Row.What: not ReportKind.Inbound })
                .Select(v => (v.Notification!, v.Delivery!)),
            cancellation
        );
        foreach (var v in about)
        {
            var facts = v.Row.Facts;
            if (v.Row.What == ReportKind.Inbound)
            {
                if (v.Row.Modes.HasFlag(ReceiptModes.Live) && facts.Fingerprint is { } writer)
                    judged.Add(
                        facts.Suppress is { } no
                            ? (ToSuppress(v, Channel.Sms, writer, no, null), null)
                            : (null, Suppression.IdOf(Channel.Sms, writer))
                    );
                continue;
            }

            if (v is not { Notification.Request.Mode: ClientMode.Live, Delivery: { } delivery, MayTouch: true } || facts.Suppress is null)
                continue;
            if ((addressed.GetValueOrDefault(delivery.Id) ?? facts.Fingerprint) is { } fingerprint)
            {
                var address = opened.SuppressedAddressOf(v.Notification, delivery, fingerprint);
                judged.Add((ToSuppress(v, delivery.Channel, fingerprint, facts.Suppress, address), null));
            }
        }

        // Of a STOP and a START in one group, the later one counts.
        var last = judged
            .GroupBy(j => j.Item2 ?? j.Item1!.Id, StringComparer.Ordinal)
            .ToDictionary(g => g.Key, g => g.Last().Item2 is not null, StringComparer.Ordinal);
        judged.RemoveAll(j => last[j.Item2 ?? j.Item1!.Id] != j.Item2 is not null);
        return judged;

        AddressToSuppress ToSuppress(Verdict v, Channel channel, string address, string reason, Sealed? contact) =>
            new(channel, address, reason, v.Row.Provider, v.Row.Provider, Suppression.ExpiryOf(reason, now), contact);
    }

    private async Task<List<ReceiptRow>> SealAsync(NpgsqlConnection connection, Verdicts verdicts, CancellationToken cancellation)
    {
        // Nothing is written under a new key of an erased person: their receipts are kept without their contents.
        var payloads = verdicts
            .All.Where(v => v.Notification is not null)
            .Select(v => v.Notification!.Request.Payload.Key)
            .Distinct()
            .ToList();
        var alive = await keys.ForAsync(connection, payloads, cancellation);
        var subjects = verdicts.All.Select(v => (Verdict: v, Subject: SubjectOf(v, alive))).ToList();
        var current = await keys.CurrentAsync(connection, subjects.Select(s => s.Subject).OfType<string>(), cancellation);
        return
        [
            .. subjects.Select(s =>
                s.Verdict.Row with
                {
                    Raw = s is { Subject: { } subject, Verdict: { Raw.Length: > 0, Row: var row } }
                        ? current.Seal(subject, SealedPlace.OfReceipt(row.Provider, row.EventId), s.Verdict.Raw)
                        : Sealed.None,
                }
            ),
        ];

        // A receipt without a delivery after the whole waiting time concerns no person here.
        static string? SubjectOf(Verdict v, KeySet alive) =>
            v switch
            {
                { Notification: { } n, MayTouch: true } => alive.Has(n.Request.Payload.Key) ? n.Request.Subject : null,
                { WasGivenUp: true } => null,
                _ => v.Subject ?? InstallationSubject,
            };
    }
}
