namespace Notify.Dispatch.Receipts;

using Marten;
using Notify.Delivery.Planning;
using Notify.Delivery.Privacy;
using Notify.Delivery.Receipts;
using Notify.Delivery.Telemetry;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Infrastructure.Postgres;
using Npgsql;
using SessionOptions = Marten.Services.SessionOptions;

/// <summary>A receipt that came, and for whose notifications it may speak.</summary>
public sealed record ReceivedReceipt(string Provider, Receipt Receipt, ReceiptModes Modes);

/// <summary>
/// Stores receipts, many in one transaction: the receipt as received, the events that follow from it, and the delivery's row
/// together. A post is answered after that commit.
/// </summary>
public sealed class ReceiptIntake : IAsyncDisposable
{
    /// <summary>Receipts that may wait for their commit at once; more are turned away, and come again.</summary>
    public const int MostWaiting = 20_000;

    private const long MaxGroupBytes = 4 * 1024 * 1024;

    // Less than providers wait for an answer; they post it again.
    private static readonly TimeSpan MaxWait = TimeSpan.FromSeconds(10),
        CommitTimeout = TimeSpan.FromSeconds(10);

    private readonly IDocumentStore store;
    private readonly NpgsqlDataSource database;
    private readonly ReceiptJudgement judgement;
    private readonly MasterKeyRing ring;
    private readonly TimeProvider clock;
    private readonly ILogger<ReceiptIntake> log;
    private readonly GroupCommit<ReceivedReceipt, bool> group;
    private int waiting;

    /// <summary>Starts the committer.</summary>
    public ReceiptIntake(
        IDocumentStore store,
        NpgsqlDataSource database,
        ReceiptJudgement judgement,
        MasterKeyRing ring,
        TimeProvider clock,
        ILogger<ReceiptIntake> log
    )
    {
        (this.store, this.database, this.judgement, this.ring, this.clock, this.log) = (store, database, judgement, ring, clock, log);
        group = new GroupCommit<ReceivedReceipt, bool>(
            KeepAsync,
            new GroupCommitOptions<ReceivedReceipt>
            {
                MaxItems = 500,
                MaxBytes = MaxGroupBytes,
                Pace = TimeSpan.FromMilliseconds(10),
                KeyOf = KeyOf,
                BytesOf = r => r.Receipt.Raw.Length,
                MaxTries = 4,
                MaxWait = MaxWait,
                CommitTimeout = CommitTimeout,
                OnIsolated = (receipts, fault) =>
                    log.LogWarning(
                        "{Count} receipts are kept apart from the others ({Reason}).",
                        receipts.Count,
                        fault.GetBaseException().Message.Split('\n')[0]
                    ),
            },
            clock
        );
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
            await Task.WhenAll(receipts.Select(r => group.AddAsync(r)));
            return true;
        }
        catch (Exception e) when (e is not (OperationCanceledException or CommitWaitException) && !DatabaseFaults.IsPassing(e))
        {
            throw new ReceiptsNotKeptException(e);
        }
        finally
        {
            Interlocked.Add(ref waiting, -receipts.Count);
        }
    }

    /// <inheritdoc />
    public ValueTask DisposeAsync() => group.DisposeAsync();

    // A person's STOP and START are kept in their order; so are the receipts of one message.
    private static string KeyOf(ReceivedReceipt received) =>
        received.Receipt is { What: ReportKind.Inbound, Address: { } writer }
            ? writer
            : received.Receipt.MessageId ?? received.Receipt.DeliveryId?.ToString("N") ?? received.Receipt.EventId;

    private async Task<IReadOnlyList<bool>> KeepAsync(IReadOnlyList<ReceivedReceipt> all, CommitLimits limits, CancellationToken stopping)
    {
        await CommitAsync(all, limits, stopping);
        return [.. all.Select(_ => true)];
    }

    private async Task CommitAsync(IReadOnlyList<ReceivedReceipt> all, CommitLimits limits, CancellationToken cancellation)
    {
        var now = clock.GetUtcNow();
        await using var connection = await database.OpenConnectionAsync(cancellation);
        await using var transaction = await connection.BeginTransactionAsync(cancellation);
        await using var session = store.LightweightSession(SessionOptions.ForTransaction(transaction));
        await limits.ApplyAsync(connection, cancellation);
        var prints = await ring.ReadAsync(connection, all.SelectMany(r => HashedTextsOf(r.Receipt)), cancellation);
        var rows = all.DistinctBy(r => (r.Provider, r.Receipt.EventId)).Select(r => (Row: RowOf(r, prints, now), r.Receipt)).ToList();
        var kept = await judgement.JudgeAsync(
            connection,
            session,
            [.. rows.Select(r => new JudgedReceipt(r.Row, r.Receipt.Raw, WriterOf(r.Receipt, prints)))],
            isNew: true,
            now,
            cancellation
        );
        await transaction.CommitAsync(cancellation);

        Telemetry.Commits.Add(1, new KeyValuePair<string, object?>("kind", "receipts"));
        foreach (var what in kept.GroupBy(k => (k.Provider, k.What)))
            Telemetry.Receipts.Add(what.Count(), new("provider", what.Key.Provider), new("what", what.Key.What.ToString()));
        var news = kept.Select(k => k.EventId).ToHashSet(StringComparer.Ordinal);
        foreach (var (row, receipt) in rows)
        {
            if (receipt.At is { } at && news.Contains(row.EventId))
                Telemetry.ReceiptLag.Record(
                    Math.Max(0, (now - at).TotalSeconds),
                    new KeyValuePair<string, object?>("provider", row.Provider)
                );
        }
    }

    private static ReceiptRow RowOf(ReceivedReceipt received, IFingerprints prints, DateTimeOffset now)
    {
        var r = received.Receipt;
        // A provider's clock may be ahead of ours; nothing has happened in the future.
        var at = r.At is { } said && said < now ? said : now;
        return new ReceiptRow(
            received.Provider,
            r.EventId,
            now,
            received.Modes,
            r.What,
            r.MessageId,
            r.DeliveryId,
            null,
            new ReceiptFacts(at, r.Reason, r.Code, r.Suppress, r.Lift, Fingerprint(r, prints)),
            Domain.Privacy.Sealed.None,
            null
        );
    }

    // A reply, and a receipt of a message that is not known here, is encrypted under the key of the person who has the number or address.
    private static string? WriterOf(Receipt r, IFingerprints prints) =>
        WriterIn(r) is { } writer ? NotificationPlanning.SubjectOf(writer, prints) : null;

    private static UnregisteredRecipient? WriterIn(Receipt r) =>
        ChannelOf(r.Address) is Channel.Email ? new UnregisteredRecipient(r.Address, null, null)
        : ChannelOf(r.Address) is Channel.Sms || r is { What: ReportKind.Inbound, Address.Length: > 0 }
            ? new UnregisteredRecipient(null, r.Address, null)
        : null;

    private static string? Fingerprint(Receipt r, IFingerprints prints) =>
        ChannelOf(r.Address) is { } channel ? prints.Of(channel, r.Address) : null;

    private static IEnumerable<HashedText> HashedTextsOf(Receipt r) =>
        HashedText.Of(WriterIn(r)).Concat(ChannelOf(r.Address) is { } channel ? HashedText.Of(channel, r.Address) : []);

    private static Channel? ChannelOf(string? address) =>
        address is not { Length: > 0 } ? null
        : address.Contains('@', StringComparison.Ordinal) ? Channel.Email
        : address[0] == '+' ? Channel.Sms
        : null;
}

/// <summary>A receipt could not be kept, by a fault that will not pass by itself.</summary>
public sealed class ReceiptsNotKeptException(Exception inner) : Exception("A receipt could not be kept.", inner);
