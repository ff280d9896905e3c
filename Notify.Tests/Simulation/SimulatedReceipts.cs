namespace Notify.Tests.Simulation;

using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.Receipts;
using Notify.Dispatch.Receipts;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Domain.Suppressions;

/// <summary>Receipts: providers post them early, late, twice and shuffled, until they are kept.</summary>
internal sealed class SimulatedReceipts(Simulation simulation)
{
    private readonly SimulatedStore store = simulation.Store;
    private readonly SeededRandom random = simulation.Random;

    /// <summary>Receipts that their provider has not been able to post yet.</summary>
    public int Pending { get; private set; }

    /// <summary>A provider took a message: its receipts will come.</summary>
    public void Follow(SimulatedProvider provider, SimulatedMessage message)
    {
        if (Lanes.RepeatReplacesItself(provider.Lane))
        {
            if (random.Chance(0.3))
                simulation.Time.In(random.Seconds(0.1, 30), () => simulation.Api.Acknowledge(message.Delivery));
            return;
        }

        if (random.Chance(0.3))
            return;
        var (reason, suppress) = random.Below(3) switch
        {
            0 => (Reasons.Undelivered, (string?)null),
            1 when provider.Lane == Lane.Email => (Reasons.HardBounced, SuppressionReasons.HardBounced),
            _ => (Reasons.Undelivered, null),
        };
        var brings = random.Chance(0.6); // the provider brings our ID back
        List<ReportKind> kinds = [ReportKind.Accepted, random.Chance(0.8) ? ReportKind.Delivered : ReportKind.Failed];
        if (random.Chance(0.3))
            kinds.Add(ReportKind.Opened);
        foreach (var what in kinds)
        {
            if (random.Chance(0.15))
                continue;
            var isFailure = what == ReportKind.Failed;
            var facts = new ReceiptFacts(
                SimulatedTime.Start + simulation.Time.Now,
                isFailure ? reason : null,
                null,
                isFailure ? suppress : null,
                Fingerprint: SimulatedPlanning.PrintOf(message.Address)
            );
            var row = new ReceiptRow(
                provider.Name,
                $"{message.Id}:{what}",
                default,
                ReceiptModes.Live,
                what,
                message.Id,
                brings ? message.Delivery : null,
                null,
                facts,
                Sealed.None,
                null
            );
            for (var times = random.Chance(0.2) ? 2 : 1; times > 0; times--)
            {
                Pending++;
                simulation.Time.In(random.Chance(0.4) ? random.Seconds(0, 0.3) : random.Seconds(0.3, 150), () => Post(row));
            }
        }
    }

    /// <summary>Judges receipts as <c>WaitingReceipts.JudgeAsync</c> does.</summary>
    public void JudgeWaiting(DateTimeOffset now) => Judge([.. store.Receipts.Values.Where(r => r.DueAt <= now)], isNew: false, now);

    // Whichever host answers; where none does, or the answer is lost, the provider posts again.
    private void Post(ReceiptRow row)
    {
        var now = store.Now;
        var fate = simulation.Database.Fate();
        if (fate != CommitFate.Failed)
            simulation.Commit($"receipt {row.EventId}", () => Judge([row with { ReceivedAt = now }], isNew: true, now));
        if (fate == CommitFate.Committed)
            Pending--;
        else
            simulation.Time.In(random.Seconds(1, 20), () => Post(row));
    }

    // ReceiptJudgement.JudgeAsync.
    private void Judge(IReadOnlyList<ReceiptRow> rows, bool isNew, DateTimeOffset now)
    {
        var found = rows.Select(r => (Row: r, Place: store.Find(r))).ToList();
        var open = found
            .Select(f => f.Place?.Delivery)
            .OfType<Guid>()
            .Distinct()
            .Select(id => store.Open.GetValueOrDefault(id))
            .OfType<SimulatedRow>()
            .ToDictionary(r => r.Data.Id, r => r.Data);
        foreach (var (row, place) in found)
        {
            if (
                place is { } p
                && row is { MessageId: { } message, DeliveryId: not null }
                && open.TryGetValue(p.Delivery, out var o)
                && o.State != OpenState.InFlight
            )
                store.NoteMessage(row.Provider, message, p.Delivery, p.Notification);
        }

        if (isNew)
            found.RemoveAll(f => store.Receipts.ContainsKey((f.Row.Provider, f.Row.EventId)));
        var notifications = found.Select(f => f.Place?.Notification).OfType<string>().Distinct().ToDictionary(k => k, k => store.Load(k)!);
        var verdicts = new Verdicts(notifications, open, now);
        foreach (var (row, place) in found)
            verdicts.Add(new JudgedReceipt(row, []), place, (_, _) => true);
        store.Remove(verdicts.Removed);
        store.EndInFlight(verdicts.EndedInFlight);
        foreach (var (key, @event) in verdicts.Events)
            store.Append(key, @event);
        foreach (var v in verdicts.All)
        {
            store.Receipts[(v.Row.Provider, v.Row.EventId)] = v.Row;
            if (v is { Delivery: { } d, Row.Facts: { Suppress: { } reason, Fingerprint: { } print } })
                store.Suppress(new AddressToSuppress(d.Channel, print, reason, v.Row.Provider, v.Row.Provider), now);
        }
    }
}
