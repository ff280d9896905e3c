namespace Notify.Api.Tracking;

using Marten;
using Notify.Api.Contract;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.EventStore;
using Notify.Delivery.Privacy;
using Notify.Delivery.Tracking;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>Notes that a person followed a link or opened an email: the first time is an event, every time is counted.</summary>
public sealed class Engaging : IAsyncDisposable
{
    // A person who follows a link waits no longer for the note of it.
    private static readonly TimeSpan VisitorWait = TimeSpan.FromSeconds(1),
        MaxWait = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan CommitTimeout = TimeSpan.FromSeconds(10);
    private readonly IDocumentStore store;
    private readonly NpgsqlDataSource database;
    private readonly SubjectKeys keys;
    private readonly TimeProvider clock;
    private readonly ILogger<Engaging> log;
    private readonly GroupCommit<Hit, bool> hits;

    /// <summary>Starts the committers.</summary>
    public Engaging(IDocumentStore store, NpgsqlDataSource database, SubjectKeys keys, TimeProvider clock, ILogger<Engaging> log)
    {
        (this.store, this.database, this.keys, this.clock, this.log) = (store, database, keys, clock, log);
        hits = new GroupCommit<Hit, bool>(
            CommitAsync,
            new GroupCommitOptions<Hit>
            {
                MaxItems = 1,
                Committers = 4,
                KeyOf = h => h.Notification,
                MaxWaiting = 5_000,
                MaxWait = MaxWait,
                MaxTries = 5,
                CommitTimeout = CommitTimeout,
            },
            clock
        );
    }

    /// <summary>The source of a click.</summary>
    public const string Link = "link";

    /// <summary>The source of an opening.</summary>
    public const string Pixel = "pixel";

    /// <summary>Records a click.</summary>
    /// <returns>Where the link leads; <c>null</c>: it is none of ours, or its recipient was erased.</returns>
    public async Task<string?> ClickAsync(string token, bool isMachine, CancellationToken cancellation)
    {
        TrackedLink? link;
        string? destination;
        await using (var connection = await database.OpenConnectionAsync(cancellation))
        {
            link = await TrackedLinks.FindAsync(connection, token, cancellation);
            if (link is null)
                return null;
            destination = (await keys.ForAsync(connection, [link.Destination], cancellation)).OpenText(
                link.Destination,
                SealedPlace.OfLink(link.Notification, link.DeliveryId, link.Number)
            );
        }

        if (destination is null)
            return null;
        try
        {
            if (!await CountAgainAsync(link.DeliveryId, link.Number, isMachine, cancellation))
                await NoteAsync(link.DeliveryId, link.Notification, link.Number, isMachine, cancellation);
        }
        catch (Exception e)
            when (e is CommitBusyException or CommitWaitException or UnreadableStreamException || DatabaseFaults.IsPassing(e))
        {
            log.LogWarning("A click could not be noted ({Reason}).", e.Message.Split('\n')[0]); // the person is led on all the same
        }

        return destination;
    }

    /// <summary>Notes an opening; one of a delivery that is not there is none.</summary>
    public async Task OpenAsync(Guid deliveryId, bool isMachine, CancellationToken cancellation)
    {
        if (await CountAgainAsync(deliveryId, TrackedHits.Opening, isMachine, cancellation))
            return;
        await using var command = database.CreateCommand("select notification from notify.delivery_streams where delivery_id = $1");
        command.Parameters.Add(new NpgsqlParameter { Value = deliveryId });
        if (await command.ExecuteScalarAsync(cancellation) is string notification)
            await NoteAsync(deliveryId, notification, TrackedHits.Opening, isMachine, cancellation);
    }

    // Only the first hit of a person is an event. The others are counters, for which no stream is locked or folded.
    private async Task<bool> CountAgainAsync(Guid deliveryId, int number, bool isMachine, CancellationToken cancellation)
    {
        await using var connection = await database.OpenConnectionAsync(cancellation);
        await using var transaction = await connection.BeginTransactionAsync(cancellation);
        var now = clock.GetUtcNow();
        var isOfMachine =
            isMachine
            || (
                number != TrackedHits.Opening
                && await TrackedHits.OtherLinkSinceAsync(connection, deliveryId, number, now - MachineHits.Sweep, cancellation)
            );
        if (!await TrackedHits.CountAgainAsync(connection, deliveryId, number, isOfMachine, now, cancellation))
            return false;
        await transaction.CommitAsync(cancellation);
        return true;
    }

    /// <inheritdoc />
    public ValueTask DisposeAsync() => hits.DisposeAsync();

    private async Task NoteAsync(Guid deliveryId, string key, int number, bool isMachine, CancellationToken cancellation)
    {
        var noting = hits.AddAsync(new Hit(deliveryId, key, number, isMachine), CancellationToken.None);
        try
        {
            await noting.WaitAsync(VisitorWait, clock, cancellation);
        }
        catch (TimeoutException) when (!noting.IsCompleted)
        {
            // Its row is locked, or the database is slow: it is written apart.
            _ = noting.ContinueWith(
                n =>
                    log.LogWarning(
                        "A click or an opening could not be noted ({Reason}).",
                        n.Exception!.GetBaseException().Message.Split('\n')[0]
                    ),
                CancellationToken.None,
                TaskContinuationOptions.OnlyOnFaulted,
                TaskScheduler.Default
            );
        }
    }

    private async Task<IReadOnlyList<bool>> CommitAsync(IReadOnlyList<Hit> all, CommitLimits limits, CancellationToken cancellation)
    {
        foreach (var hit in all)
            await StreamChanges.RepeatAsync(clock, () => CommitAsync(hit, limits, cancellation), cancellation);
        return [.. all.Select(_ => true)];
    }

    private async Task CommitAsync(Hit hit, CommitLimits limits, CancellationToken cancellation)
    {
        var (deliveryId, key, number, isMachine) = hit;
        await using var session = store.LightweightSession();
        await session.BeginTransactionAsync(cancellation);
        var connection = session.Connection!;
        await limits.ApplyAsync(connection, cancellation);
        var open = isMachine ? null : (await OpenDeliveryTable.LockAsync(connection, [deliveryId], cancellation)).FirstOrDefault();
        if (!isMachine)
            await NotificationStreams.LockAsync(session, [key], cancellation);
        if (
            await NotificationStreams.LoadAsync(session, key, cancellation) is not { } notification
            || !notification.Deliveries.TryGetValue(deliveryId, out var delivery)
        )
            return;

        var (now, isOpening) = (clock.GetUtcNow(), number == TrackedHits.Opening);
        var isOfMachine =
            isMachine
            || MachineHits.IsTooSoon(delivery, now)
            || (!isOpening && await TrackedHits.OtherLinkSinceAsync(connection, deliveryId, number, now - MachineHits.Sweep, cancellation));
        var isFirst = !isOfMachine && (isOpening ? delivery.OpenedAt is null : delivery.Clicked?.Contains(number) != true);
        await TrackedHits.CountAsync(connection, notification.Request, delivery, number, isOfMachine, isFirst, now, cancellation);
        if (isFirst && isOpening)
        {
            var isCalling = open?.State == OpenState.InFlight;
            var reported = ReportDecider.Decide(notification, delivery, new DeliveryReport(ReportKind.Opened, Pixel, now), isCalling);
            session.Events.Append(key, reported.Events);
            if (open is not null && reported.Delivery.IsTerminal)
            {
                if (isCalling)
                    await OpenDeliveryTable.EndInFlightAsync(connection, [deliveryId], cancellation);
                else
                    await OpenDeliveryTable.RemoveAsync(connection, [deliveryId], cancellation);
            }
        }
        else if (isFirst)
            session.Events.Append(key, new LinkClicked(deliveryId, number, Link, now));

        session.QueueSqlCommand("select 1"); // a session without changes would not commit
        await session.SaveChangesAsync(cancellation);
    }

    private sealed record Hit(Guid DeliveryId, string Notification, int Number, bool IsMachine);
}
