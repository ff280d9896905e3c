namespace Notify.Tests.Simulation;

using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.Receipts;
using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;
using Notify.Domain.Suppressions;

/// <summary>A row of <c>notify.open_deliveries</c> with the columns that only statements see.</summary>
internal sealed class SimulatedRow(OpenDelivery data)
{
    public OpenDelivery Data { get; set; } = data;

    public Guid? Owner { get; set; }

    public Guid? Claim { get; set; }

    public bool HasEnded { get; set; }
}

/// <summary>A notification's stream with its fold.</summary>
internal sealed class SimulatedStream(string key)
{
    public string Key => key;

    public List<object> Events { get; } = [];

    public Notification? State { get; set; }

    /// <summary>When each delivery last ended, in simulated time; absent: it is open.</summary>
    public Dictionary<Guid, TimeSpan> EndedAt { get; } = [];
}

/// <summary>
/// Stands for the database: the reads and writes of the product's statements, each under the statement's name. A transaction is one
/// step of the simulation, so transactions are serial; their failures and lost answers are simulated by the caller.
/// </summary>
internal sealed class SimulatedStore(SimulatedTime time, SimulatedClock clock)
{
    public Dictionary<Guid, SimulatedRow> Open { get; } = [];

    public Dictionary<string, SimulatedStream> Streams { get; } = new(StringComparer.Ordinal);

    public Dictionary<string, Recipient> Recipients { get; } = new(StringComparer.Ordinal);

    public Dictionary<string, Suppression> Suppressions { get; } = new(StringComparer.Ordinal);

    public Dictionary<string, Category> Categories { get; } = new(StringComparer.Ordinal);

    /// <summary><c>notify.dispatchers</c>: hosts and their last signs of life.</summary>
    public Dictionary<Guid, DateTimeOffset> Dispatchers { get; } = [];

    /// <summary><c>notify.subject_keys</c>: the keys that were erased, and when in simulated time.</summary>
    public Dictionary<long, TimeSpan> ErasedKeys { get; } = [];

    /// <summary>When each person last opted out of a channel, in simulated time; absent: they have not, or opted in again.</summary>
    public Dictionary<(string Recipient, Channel Channel), TimeSpan> OptedOut { get; } = [];

    /// <summary>When each address was suppressed, in simulated time.</summary>
    public Dictionary<string, TimeSpan> SuppressedAt { get; } = new(StringComparer.Ordinal);

    /// <summary><c>notify.receipts</c>.</summary>
    public Dictionary<(string Provider, string EventId), ReceiptRow> Receipts { get; } = [];

    /// <summary><c>notify.delivery_streams</c>.</summary>
    public Dictionary<Guid, string> DeliveryStreams { get; } = [];

    /// <summary>Notifications that the present transaction has changed.</summary>
    public HashSet<string> Touched { get; } = new(StringComparer.Ordinal);

    private readonly Dictionary<(string Provider, string MessageId), (Guid Delivery, string Notification, bool IsShared)> messages = [];
    private readonly Dictionary<CapKey, CapCount> counts = [];

    /// <summary>The database's time of day: the installation's clock goes by it.</summary>
    public DateTimeOffset Now => clock.GetUtcNow();

    public ReachRules Rules => new(Categories, Suppressions);

    /// <summary>Appends an event, as a Marten session does.</summary>
    public void Append(string key, object @event)
    {
        if (!Streams.TryGetValue(key, out var stream))
            Streams[key] = stream = new SimulatedStream(key);
        stream.Events.Add(@event);
        stream.State = Notification.Evolve(stream.State, key, @event);
        foreach (var d in stream.State!.Deliveries.Values)
        {
            if (!d.IsTerminal)
                stream.EndedAt.Remove(d.Id);
            else
                stream.EndedAt.TryAdd(d.Id, time.Now);
        }

        Touched.Add(key);
    }

    public Notification? Load(string key) => Streams.GetValueOrDefault(key)?.State;

    public Recipient? RecipientOf(NotificationRequested request) =>
        request.UserRef is { } user ? Recipients.GetValueOrDefault(Recipient.KeyOf(user)) : null;

    /// <summary>Opens an encrypted text; <c>null</c> where its key was erased.</summary>
    public string? OpenText(Sealed? text) => text is { } t && !ErasedKeys.ContainsKey(t.KeyId) ? t.Text[(t.Text.IndexOf('.') + 1)..] : null;

    /// <summary><c>OpenDeliveryTable.AddAsync</c>.</summary>
    public void Add(IEnumerable<OpenDelivery> rows)
    {
        foreach (var row in rows)
        {
            if (Open.TryAdd(row.Id, new SimulatedRow(row)))
                Touched.Add(row.Notification);
        }
    }

    /// <summary><c>OpenDeliveryTable.ClaimAsync</c>.</summary>
    public List<OpenDelivery> ClaimNamed(Guid[] ids, Guid owner, Guid claim) =>
        Claim(
            ids.Order()
                .Select(id => Open.GetValueOrDefault(id))
                .OfType<SimulatedRow>()
                .Where(r => IsReady(r) || (r.Data.State == OpenState.InFlight && r.Claim == claim)),
            owner,
            claim
        );

    /// <summary><c>FairPick.ClaimAsync</c> with one client.</summary>
    public List<OpenDelivery> ClaimOldest(DeliveryQueue queue, int places, Guid owner, Guid claim) =>
        Claim(
            Open.Values.Where(r => r.Data.Queue == queue && IsReady(r)).OrderBy(r => r.Data.EnqueuedAt).ThenBy(r => r.Data.Id).Take(places),
            owner,
            claim
        );

    /// <summary><c>FairPick.ClaimedAsync</c>.</summary>
    public List<OpenDelivery> ClaimedBy(DeliveryQueue queue, Guid owner, Guid claim) =>
        [
            .. Open
                .Values.Where(r => r.Data.Queue == queue && r.Data.State == OpenState.InFlight && r.Owner == owner && r.Claim == claim)
                .Select(r => r.Data)
                .OrderBy(r => r.Id),
        ];

    /// <summary><c>ReadyDeliveries.CountAsync</c>.</summary>
    public int CountReady(DeliveryQueue queue, DateTimeOffset before, DateTimeOffset now) =>
        Open.Values.Count(r => r.Data.Queue == queue && IsReady(r) && (r.Data.EnqueuedAt <= before || r.Data.EnqueuedAt > now));

    /// <summary><c>OpenDeliveryTable.RemoveAsync</c>.</summary>
    public void Remove(params IEnumerable<Guid> ids)
    {
        foreach (var id in ids)
        {
            if (Open.Remove(id, out var row))
                Touched.Add(row.Data.Notification);
        }
    }

    /// <summary><c>OpenDeliveryTable.EndInFlightAsync</c>.</summary>
    public void EndInFlight(params IEnumerable<Guid> ids)
    {
        foreach (var id in ids)
        {
            if (Open.TryGetValue(id, out var row) && row.Data.State == OpenState.InFlight)
                row.HasEnded = true;
        }
    }

    /// <summary><c>OpenDeliveryTable.PutAsync</c>: keeps the columns that its conflict clause does not name.</summary>
    public void Put(params IEnumerable<OpenDelivery> rows)
    {
        foreach (var row in rows)
        {
            var before = Open.GetValueOrDefault(row.Id)?.Data ?? row;
            Open[row.Id] = new SimulatedRow(
                before with
                {
                    State = row.State,
                    Attempts = row.Attempts,
                    DueAt = row.DueAt,
                    Reason = row.Reason,
                }
            );
            Touched.Add(row.Notification);
        }
    }

    /// <summary><c>OpenDeliveryTable.TakeWaitingAsync</c>.</summary>
    public List<Guid> TakeWaiting(string notification)
    {
        var ids = Open
            .Values.Where(r =>
                r.Data.Notification == notification && r.Data.State is OpenState.Queued or OpenState.Deferred or OpenState.Scheduled
            )
            .Select(r => r.Data.Id)
            .Order()
            .ToList();
        Remove(ids);
        return ids;
    }

    /// <summary><c>OpenDeliveryTable.DueAsync</c>.</summary>
    public List<OpenDelivery> Due(DateTimeOffset now, int limit) =>
        [.. Open.Values.Where(r => r.Data.DueAt <= now).Select(r => r.Data).OrderBy(r => r.DueAt).ThenBy(r => r.Id).Take(limit)];

    /// <summary><c>OpenDeliveryTable.PostponeAsync</c>.</summary>
    public void Postpone(IEnumerable<Guid> ids, DateTimeOffset? until)
    {
        foreach (var id in ids)
            Open[id].Data = Open[id].Data with { DueAt = until };
    }

    /// <summary><c>OpenDeliveryTable.PullInAsync</c>.</summary>
    public void PullIn(DateTimeOffset now, IReadOnlyCollection<(OpenState State, string? Reason, TimeSpan Longest)> limits)
    {
        foreach (var row in Open.Values)
        {
            if (
                limits.Any(l =>
                    row.Data.State == l.State && (l.Reason is null || row.Data.Reason == l.Reason) && row.Data.DueAt > now + l.Longest
                )
            )
                row.Data = row.Data with { DueAt = now };
        }
    }

    /// <summary><c>OpenDeliveryTable.ClaimsOfAsync</c>.</summary>
    public List<Guid> ClaimsOf(Guid owner) =>
        [.. Open.Values.Where(r => r.Data.State == OpenState.InFlight && r.Owner == owner).Select(r => r.Claim!.Value).Distinct()];

    /// <summary><c>OpenDeliveryTable.AbandonedAsync</c>.</summary>
    public List<OpenDelivery> Abandoned(
        IReadOnlyCollection<Guid> givenUp,
        IReadOnlyCollection<(Guid Host, DateTimeOffset LastSign)> gone
    ) =>
        [
            .. Open
                .Values.Where(r =>
                    r.Data.State == OpenState.InFlight
                    && (
                        givenUp.Contains(r.Claim!.Value)
                        || !Dispatchers.TryGetValue(r.Owner!.Value, out var sign)
                        || gone.Contains((r.Owner.Value, sign))
                    )
                )
                .Select(r => r.Data)
                .OrderBy(r => r.Id),
        ];

    /// <summary><c>LastCheck.IsUnchangedAsync</c> for one delivery.</summary>
    public bool IsUnchanged(Guid claim, Guid delivery, LastCheckBasis basis, DateTimeOffset now) =>
        Open.TryGetValue(delivery, out var row)
        && row.Data.State == OpenState.InFlight
        && row.Claim == claim
        && !row.HasEnded
        && (basis.Recipient is null || basis.RecipientVersion == (Recipients.GetValueOrDefault(basis.Recipient)?.Version ?? 0))
        && basis.CategoryVersion == (Categories.GetValueOrDefault(basis.Category)?.Version ?? 0)
        && !ErasedKeys.ContainsKey(basis.Key)
        && !(basis.Suppression is { } id && Suppressions.TryGetValue(id, out var found) && found.StandsAt(now));

    /// <summary><c>ProviderMessages.NoteAsync</c> for one message.</summary>
    /// <returns>Whether it belongs to another delivery.</returns>
    public bool NoteMessage(string provider, string messageId, Guid delivery, string notification)
    {
        if (messages.TryAdd((provider, messageId), (delivery, notification, false)))
            return false;
        var owner = messages[(provider, messageId)];
        if (owner.Delivery == delivery)
            return false;
        messages[(provider, messageId)] = owner with { IsShared = true };
        return true;
    }

    /// <summary><c>ProviderMessages.FirstFreeAsync</c>.</summary>
    public string? FirstFree(string provider, IReadOnlyList<string> messageIds, Guid delivery) =>
        messageIds.FirstOrDefault(m => !messages.TryGetValue((provider, m), out var owner) || owner.Delivery == delivery);

    /// <summary><c>DeliveryStreams.FindAsync</c> for one receipt.</summary>
    public (Guid Delivery, string Notification)? Find(ReceiptRow receipt)
    {
        if (receipt.DeliveryId is { } id && DeliveryStreams.TryGetValue(id, out var notification))
            return (id, notification);
        return receipt.MessageId is { } m && messages.TryGetValue((receipt.Provider, m), out var owner) && !owner.IsShared
            ? (owner.Delivery, owner.Notification)
            : null;
    }

    /// <summary><c>CapTable.LockAsync</c>.</summary>
    public Dictionary<CapKey, CapCount> CountsOf(IEnumerable<CapKey> keys, DateTimeOffset now) =>
        keys.Distinct().ToDictionary(k => k, k => (counts.GetValueOrDefault(k) ?? CapCount.None(k.Per, now)).From(now));

    /// <summary><c>CapTable.WriteAsync</c>.</summary>
    public void Write(Dictionary<CapKey, CapCount> taken)
    {
        foreach (var (key, count) in taken)
            counts[key] = count;
    }

    /// <summary><c>SuppressionTable.SuppressAsync</c>.</summary>
    public void Suppress(AddressToSuppress wanted, DateTimeOffset now)
    {
        if (Suppression.Suppress(Suppressions.GetValueOrDefault(wanted.Id), wanted, now) is not { } @event)
            return;
        Suppressions[wanted.Id] = Suppression.Evolve(Suppressions.GetValueOrDefault(wanted.Id), @event)!;
        SuppressedAt.TryAdd(wanted.Id, time.Now);
    }

    private static bool IsReady(SimulatedRow row) => row.Data.State is OpenState.Queued or OpenState.Asking;

    private List<OpenDelivery> Claim(IEnumerable<SimulatedRow> rows, Guid owner, Guid claim)
    {
        var claimed = new List<OpenDelivery>();
        foreach (var row in rows.ToList())
        {
            row.Data = row.Data with { State = OpenState.InFlight };
            (row.Owner, row.Claim) = (owner, claim);
            Touched.Add(row.Data.Notification);
            claimed.Add(row.Data);
        }

        return claimed;
    }
}
