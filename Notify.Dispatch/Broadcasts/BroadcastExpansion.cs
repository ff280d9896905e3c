using Marten;
using Notify.Domain.Broadcasts;
using Notify.Domain.Notifications;
using Notify.Domain.Recipients;
using Notify.Projections;
using Notify.Projections.Broadcasts;
using Notify.Projections.Hosting;
using Notify.Projections.OpenDeliveries;
using Notify.Projections.Payloads;
using Notify.Projections.Planning;
using Notify.Projections.Privacy;
using Notify.Projections.QueueBacklog;
using Npgsql;
using Wolverine.Marten;

namespace Notify.Dispatch.Broadcasts;

/// <summary>
/// Turns broadcasts into notifications, a chunk of users at a time: the chunk's notifications, their queue messages and the
/// checkpoint are one transaction, which holds the broadcast's row. So a host that dies takes its chunk with it, and whoever
/// comes next makes it again, whole. Of those that were withdrawn it takes back what waits. Runs on every host; a broadcast
/// that one host holds, the others pass over.
/// </summary>
public sealed class BroadcastExpansion(
    IDocumentStore store, SubjectKeys keys, AudienceDetails details, NotificationIntake intake, IServiceScopeFactory scopes, QueueActivity activity, BroadcastPace pace, TimeProvider clock,
    ILogger<BroadcastExpansion> log) : BackgroundService
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan AfterFault = TimeSpan.FromSeconds(10);

    /// <summary>What one look came to.</summary>
    private enum Step { Nothing, Waited, Worked }

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            var step = Step.Nothing;
            try
            {
                step = await StepAsync(stoppingToken);
            }
            catch (Exception e)
            {
                if (stoppingToken.IsCancellationRequested) return;
                log.LogWarning("Broadcasts could not be looked at ({Reason}); it is tried again.", e.Message.Split('\n')[0]);
                await Task.Delay(TimeSpan.FromSeconds(1), clock, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }

            if (step != Step.Worked) await Task.Delay(Interval, clock, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task<Step> StepAsync(CancellationToken cancellation)
    {
        var now = clock.GetUtcNow();
        await using var session = store.LightweightSession();
        await session.BeginTransactionAsync(cancellation);
        await NotificationStreams.LimitLockWaitsAsync(session.Connection!, cancellation);
        if (await BroadcastTable.DueAsync(session.Connection!, now, cancellation) is not { } broadcast) return Step.Nothing;
        try
        {
            return await ExpandAsync(session, broadcast, now, cancellation);
        }
        catch (Exception e) when ((!DatabaseFaults.IsPassing(e) || DatabaseFaults.IsTimeOut(e)) && !cancellation.IsCancellationRequested)
        {
            // It must not stand before the others for ever; nothing of it is lost.
            log.LogError(e, "A chunk of the broadcast {Broadcast} could not be made; it is tried again.", broadcast.Key);
            await session.DisposeAsync();
            await using var later = store.LightweightSession();
            await later.BeginTransactionAsync(cancellation);
            await BroadcastTable.PostponeAsync(later.Connection!, broadcast.Key, clock.GetUtcNow() + AfterFault, cancellation);
            await CommitAsync(later, cancellation);
            return Step.Waited;
        }
    }

    private async Task<Step> ExpandAsync(IDocumentSession session, Broadcast broadcast, DateTimeOffset now, CancellationToken cancellation)
    {
        var connection = session.Connection!;
        var request = (await session.Events.FetchStreamAsync(broadcast.Key, version: 1, token: cancellation)).Select(e => e.Data).OfType<BroadcastRequested>().Single();
        var chunk = pace.ChunkOf(request.Payload.Size);
        if (broadcast.State == BroadcastState.Cancelled)
        {
            var again = await BroadcastWithdrawal.TakeBackAsync(session, broadcast, chunk, now, cancellation);
            await BroadcastTable.PutAsync(connection, broadcast with { DueAt = again }, cancellation);
            await CommitAsync(session, cancellation);
            return again == now ? Step.Worked : Step.Waited;
        }

        if (broadcast.ExpiresAt <= now)
        {
            var (expired, ended) = broadcast.Expire(now);
            session.Events.Append(broadcast.Key, ended);
            await BroadcastTable.PutAsync(connection, expired, cancellation);
            await CommitAsync(session, cancellation);
            return Step.Worked;
        }

        if (await BroadcastDeliveries.AreFullAsync(connection, request.ClientId, [.. Broadcast.QueuesOf(request)], pace.MostWaiting, cancellation))
        {
            await BroadcastTable.PutAsync(connection, broadcast with { DueAt = now + Interval }, cancellation);
            await CommitAsync(session, cancellation);
            return Step.Waited;
        }

        if (broadcast.State == BroadcastState.Scheduled)
        {
            (broadcast, var started) = broadcast.Start(await AudienceReader.CountAsync(connection, request.Audience, cancellation), now);
            session.Events.Append(broadcast.Key, started);
        }

        var (users, last, isLast) = await AudienceReader.NextAsync(connection, request.Audience, broadcast.AfterUser, chunk, cancellation);
        users = await details.OfAsync(session, connection, request.Audience, users, cancellation);
        var incoming = await IncomingAsync(connection, broadcast, request, users, now, cancellation);
        var queued = await intake.StartAsync(session, incoming, now, cancellation);

        var (next, completed) = broadcast.Expand(last, incoming.Count, isLast, now);
        if (completed is not null) session.Events.Append(broadcast.Key, completed);
        await BroadcastTable.PutAsync(connection, next, cancellation);
        await using var scope = scopes.CreateAsyncScope();
        await scope.ServiceProvider.GetRequiredService<IMartenOutbox>().CarryAsync(session, queued);
        await CommitAsync(session, cancellation);

        Telemetry.Accepted.Add(incoming.Count);
        Telemetry.Commits.Add(1, new KeyValuePair<string, object?>("kind", "broadcast"));
        foreach (var queue in queued.GroupBy(d => d.Queue)) activity.Enqueued(queue.Key, queue.Count());
        return Step.Worked;
    }

    private async Task<List<IncomingNotification>> IncomingAsync(
        NpgsqlConnection connection, Broadcast broadcast, BroadcastRequested request, List<string> users, DateTimeOffset now, CancellationToken cancellation)
    {
        if (users.Count == 0) return [];
        var opened = await keys.ForAsync(connection, [request.Payload.Key], cancellation);
        var ciphers = await PayloadTable.ReadAsync(connection, [(broadcast.Key, request.Payload)], cancellation);
        var payload = ciphers.TryGetValue(broadcast.Key, out var cipher)
            ? opened.OpenPayload(request.Payload, cipher, Domain.Privacy.SealedPlace.OfPayload(broadcast.Key)) : null;
        if (payload is null) throw new InvalidOperationException(
            $"The payload of {broadcast.Key} cannot be read: its key or its row is missing.");
        var all = users.Select(u =>
        {
            var eventId = Broadcast.EventIdOf(request.BroadcastId, u);
            return new IncomingNotification(
                NotificationKey.Of(request.ClientId, eventId),
                new NotificationRequested(
                    request.ClientId, eventId, u, Recipient.KeyOf(u), request.Mode, request.Category, request.Priority, request.Channels, request.Payload, null, request.ExpiresAt,
                    request.RequestHash, request.TraceParent, now, request.Template, OptOutsHold: request.OptOutsHold),
                payload);
        }).ToList();
        // The checkpoint says that none of them was made before; that nobody gets it twice rests on this alone.
        var taken = await NotificationIntake.ClaimAsync(connection, all.ToDictionary(i => i.Key, _ => request.RequestHash, StringComparer.Ordinal), cancellation);
        return [.. all.Where(i => !taken.ContainsKey(i.Key))];
    }

    private static Task CommitAsync(IDocumentSession session, CancellationToken cancellation)
    {
        session.QueueSqlCommand("select 1"); // a session without changes would not commit
        return session.SaveChangesAsync(cancellation);
    }
}
