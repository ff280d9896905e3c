namespace Notify.Dispatch.Receipts;

using Marten;
using Notify.Delivery.Privacy;
using Notify.Delivery.Receipts;
using Notify.Domain.Privacy;
using Notify.Infrastructure.Hosting;
using Notify.Infrastructure.Postgres;
using Npgsql;
using SessionOptions = Marten.Services.SessionOptions;

/// <summary>Looks again at receipts that came too early to be judged: before their delivery was known, or while its provider was still
/// being called.</summary>
public sealed class WaitingReceipts(
    IDocumentStore store,
    NpgsqlDataSource database,
    SubjectKeys keys,
    ReceiptJudgement judgement,
    TimeProvider clock,
    ILogger<WaitingReceipts> log
) : BackgroundService
{
    private const int Page = 200;
    private static readonly TimeSpan WithoutKey = TimeSpan.FromSeconds(30);

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1), clock);
        while (await timer.NextAsync(stoppingToken))
        {
            try
            {
                while (await JudgeAsync(Page, stoppingToken) == Page) { }
            }
            catch (Exception e) when (!stoppingToken.IsCancellationRequested)
            {
                if (DatabaseFaults.IsPassing(e) && !DatabaseFaults.IsTimeOut(e))
                    log.LogWarning("Waiting receipts could not be looked at ({Reason}); it is tried again.", e.Message.Split('\n')[0]);
                else
                {
                    log.LogError(e, "A page of waiting receipts could not be judged; they are judged one by one.");
                    await JudgeEachAsync(stoppingToken);
                }
            }
            catch (Exception) when (stoppingToken.IsCancellationRequested)
            {
                return;
            }
        }
    }

    // A receipt that cannot be processed must not delay the others: it is processed again much later.
    private async Task JudgeEachAsync(CancellationToken cancellation)
    {
        for (var i = 0; i < Page && !cancellation.IsCancellationRequested; i++)
        {
            try
            {
                if (await JudgeAsync(1, cancellation) == 0)
                    return;
            }
            catch (Exception e) when (!cancellation.IsCancellationRequested && !DatabaseFaults.IsPassing(e))
            {
                log.LogError(e, "A waiting receipt could not be judged; it is looked at again in an hour.");
                await using var connection = await database.OpenConnectionAsync(cancellation);
                await ReceiptTable.PostponeFirstAsync(connection, clock.GetUtcNow(), TimeSpan.FromHours(1), cancellation);
            }
            catch (Exception e) when (!cancellation.IsCancellationRequested)
            {
                log.LogWarning("Waiting receipts could not be looked at ({Reason}); it is tried again.", e.Message.Split('\n')[0]);
                return;
            }
        }
    }

    /// <summary>Judges one page of those that are due.</summary>
    /// <param name="most">How many at once.</param>
    /// <returns>How many there were.</returns>
    public async Task<int> JudgeAsync(int most, CancellationToken cancellation)
    {
        var now = clock.GetUtcNow();
        await using var connection = await database.OpenConnectionAsync(cancellation);
        await using var transaction = await connection.BeginTransactionAsync(cancellation);
        var due = await ReceiptTable.DueAsync(connection, now, most, cancellation);
        if (due.Count == 0)
            return 0;
        await using var session = store.LightweightSession(SessionOptions.ForTransaction(transaction));
        var opened = await keys.ForAsync(connection, due.Where(r => r.Raw != Sealed.None).Select(r => r.Raw), cancellation);
        // Those that this host has not the key of wait for one that has it.
        var locked = due.Where(r => r.Raw != Sealed.None && opened.IsLocked(r.Raw)).ToList();
        await ReceiptTable.PutAsync(connection, locked.Select(r => r with { DueAt = now + WithoutKey }), cancellation);
        await judgement.JudgeAsync(
            connection,
            session,
            [
                .. due.Except(locked)
                    .Select(r => new JudgedReceipt(
                        r,
                        r.Raw == Sealed.None ? [] : opened.Open(r.Raw, SealedPlace.OfReceipt(r.Provider, r.EventId)) ?? [],
                        r.Raw == Sealed.None ? null : opened.SubjectOf(r.Raw)
                    )),
            ],
            isNew: false,
            now,
            cancellation
        );
        await transaction.CommitAsync(cancellation);
        return due.Count;
    }
}
