using Marten;
using Notify.Domain.Notifications;
using Notify.Projections;
using Notify.Projections.Hosting;
using Notify.Projections.Planning;
using Notify.Projections.Privacy;
using Notify.Projections.Receipts;
using Npgsql;
using SessionOptions = Marten.Services.SessionOptions;

namespace Notify.Dispatch.Receipts;

/// <summary>A receipt that came, and for whose notifications it may speak.</summary>
public sealed record ReceivedReceipt(string Provider, Receipt Receipt, ReceiptModes Modes);

/// <summary>
/// Keeps receipts, many in one transaction: the receipt as it came, the events that follow from it, and the delivery's row
/// together. Whoever posted is answered when that has been committed.
/// </summary>
public sealed class ReceiptIntake : IAsyncDisposable
{
    /// <summary>Receipts that may wait for their commit at once; more are turned away, and come again.</summary>
    public const int MostWaiting = 20_000;

    private const int Tries = 4;

    private readonly IDocumentStore store;
    private readonly NpgsqlDataSource database;
    private readonly ReceiptJudgement judgement;
    private readonly MasterKeyRing ring;
    private readonly TimeProvider clock;
    private readonly ILogger<ReceiptIntake> log;
    private readonly GroupCommit<ReceivedReceipt, Exception?> group;
    private int waiting;

    /// <summary>Starts the committer.</summary>
    public ReceiptIntake(IDocumentStore store, NpgsqlDataSource database, ReceiptJudgement judgement, MasterKeyRing ring, TimeProvider clock, ILogger<ReceiptIntake> log)
    {
        (this.store, this.database, this.judgement, this.ring, this.clock, this.log) = (store, database, judgement, ring, clock, log);
        group = new GroupCommit<ReceivedReceipt, Exception?>(KeepAsync, maxGroup: 500, committers: 1, pace: TimeSpan.FromMilliseconds(10), clock);
    }

    /// <summary>Keeps receipts; completes when all have been committed, and throws if one was not.</summary>
    /// <returns>Whether there was room for them.</returns>
    public async Task<bool> KeepAllAsync(IReadOnlyCollection<ReceivedReceipt> receipts)
    {
        // One post alone has room, however many it brings.
        if (Interlocked.Add(ref waiting, receipts.Count) is > MostWaiting and var total && total > receipts.Count)
        {
            Interlocked.Add(ref waiting, -receipts.Count);
            return false;
        }

        try
        {
            var faults = await Task.WhenAll(receipts.Select(group.AddAsync));
            return faults.FirstOrDefault(f => f is not null) is { } fault ? throw new ReceiptsNotKeptException(fault) : true;
        }
        finally
        {
            Interlocked.Add(ref waiting, -receipts.Count);
        }
    }

    /// <inheritdoc />
    public ValueTask DisposeAsync() => group.DisposeAsync();

    private async Task<IReadOnlyList<Exception?>> KeepAsync(IReadOnlyList<ReceivedReceipt> all, CancellationToken stopping)
    {
        for (var tries = 1; ; tries++)
        {
            try
            {
                await CommitAsync(all, stopping);
                return [.. all.Select(_ => (Exception?)null)];
            }
            catch (Exception e) when (DatabaseFaults.IsPassing(e) && tries < Tries && !stopping.IsCancellationRequested)
            {
                // A lost race passes at once; if the database is away, the provider comes again.
                await Task.Delay(TimeSpan.FromMilliseconds(20 << tries), clock, stopping);
            }
            catch (Exception e) when (all.Count > 1 && !DatabaseFaults.IsPassing(e) && !stopping.IsCancellationRequested)
            {
                // One of the group cannot be kept; it must not hold up the others.
                log.LogError(e, "A group of {Count} receipts failed; they are kept one by one.", all.Count);
                var results = new List<Exception?>(all.Count);
                foreach (var one in all) results.AddRange(await KeepAsync([one], stopping));
                return results;
            }
            catch (Exception e) when (all.Count == 1 && !DatabaseFaults.IsPassing(e) && !stopping.IsCancellationRequested)
            {
                return [e];
            }
        }
    }

    private async Task CommitAsync(IReadOnlyList<ReceivedReceipt> all, CancellationToken cancellation)
    {
        var now = clock.GetUtcNow();
        var rows = all.DistinctBy(r => (r.Provider, r.Receipt.EventId)).Select(r => (Row: RowOf(r, now), r.Receipt)).ToList();
        await using var connection = await database.OpenConnectionAsync(cancellation);
        await using var transaction = await connection.BeginTransactionAsync(cancellation);
        await using var session = store.LightweightSession(SessionOptions.ForTransaction(transaction));
        var kept = await judgement.JudgeAsync(connection, session, [.. rows.Select(r => new JudgedReceipt(r.Row, r.Receipt.Raw, WriterOf(r.Receipt)))], isNew: true, now, cancellation);
        await transaction.CommitAsync(cancellation);

        Telemetry.Commits.Add(1, new KeyValuePair<string, object?>("kind", "receipts"));
        foreach (var what in kept.GroupBy(k => (k.Provider, k.What)))
            Telemetry.Receipts.Add(what.Count(), new("provider", what.Key.Provider), new("what", what.Key.What.ToString()));
        var news = kept.Select(k => k.EventId).ToHashSet(StringComparer.Ordinal);
        foreach (var (row, receipt) in rows)
        {
            if (receipt.At is { } at && news.Contains(row.EventId)) Telemetry.ReceiptLag.Record(Math.Max(0, (now - at).TotalSeconds), new KeyValuePair<string, object?>("provider", row.Provider));
        }
    }

    private ReceiptRow RowOf(ReceivedReceipt received, DateTimeOffset now)
    {
        var r = received.Receipt;
        // A provider's clock may be ahead of ours; nothing has happened in the future.
        var at = r.At is { } said && said < now ? said : now;
        return new ReceiptRow(
            received.Provider, r.EventId, now, received.Modes, r.What, r.MessageId, r.DeliveryId, null,
            new ReceiptFacts(at, r.Reason, r.Code, r.Suppress, r.Lift, Fingerprint(r)), Domain.Privacy.Sealed.None, null);
    }

    // What a person wrote is sealed under the key of whoever has the number.
    private string? WriterOf(Receipt r) =>
        r is { What: ReportKind.Inbound, Address: { Length: > 0 } number } ? NotificationPlanning.SubjectOf(new UnregisteredRecipient(null, number, null), ring) : null;

    private string? Fingerprint(Receipt r) => r.Address is not { Length: > 0 } address ? null
        : address.Contains('@', StringComparison.Ordinal) ? ring.OfEmail(address)
        : address[0] == '+' ? ring.OfPhone(address) : null;
}

/// <summary>A receipt could not be kept, by a fault that will not pass by itself.</summary>
public sealed class ReceiptsNotKeptException(Exception inner) : Exception("A receipt could not be kept.", inner);
