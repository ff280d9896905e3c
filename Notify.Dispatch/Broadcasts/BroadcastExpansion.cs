namespace Notify.Dispatch.Broadcasts;

using Marten;
using Notify.Delivery.Broadcasts;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.EventStore;
using Notify.Delivery.Messaging;
using Notify.Delivery.Monitoring;
using Notify.Delivery.Payloads;
using Notify.Delivery.Planning;
using Notify.Delivery.Privacy;
using Notify.Delivery.Telemetry;
using Notify.Domain.Broadcasts;
using Notify.Domain.Notifications;
using Notify.Domain.Recipients;
using Notify.Infrastructure.Hosting;
using Notify.Infrastructure.Postgres;
using Npgsql;
using Wolverine.Marten;

/// <summary>
/// Turns broadcasts into notifications, a chunk of users at a time: the chunk's notifications, their queue messages and the
/// checkpoint are one transaction, which has locked the broadcast's row. So the chunk of a failed host is rolled back, and another
/// host makes it again, whole. It also cancels the waiting deliveries of cancelled broadcasts. Runs on every host; a broadcast
/// that one host has locked is skipped by the others.
/// </summary>
/// <remarks>
/// A chunk that fails for a lock or for data is cut in halves until the user whose row it is stands alone. That user is set aside
/// (<see cref="BroadcastRetryTable"/>), and the checkpoint moves on.
/// </remarks>
public sealed class BroadcastExpansion(
    IDocumentStore store,
    SubjectKeys keys,
    AudienceDetails details,
    NotificationIntake intake,
    IServiceScopeFactory scopes,
    QueueActivity activity,
    BroadcastPace pace,
    TimeProvider clock,
    ILogger<BroadcastExpansion> log
) : BackgroundService
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan AfterFault = TimeSpan.FromSeconds(10),
        ReviveEvery = TimeSpan.FromSeconds(10);
    private readonly BroadcastChunkSizes sizes = new();
    private long? revivedAt;

    /// <summary>The result of one poll.</summary>
    private enum Step
    {
        Nothing,
        Waited,
        Worked,
    }

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
                if (stoppingToken.IsCancellationRequested)
                    return;
                log.LogWarning("Broadcasts could not be looked at ({Reason}); it is tried again.", e.Message.Split('\n')[0]);
                await Task.Delay(TimeSpan.FromSeconds(1), clock, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }

            if (step != Step.Worked)
                await Task.Delay(Interval, clock, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task<Step> StepAsync(CancellationToken cancellation)
    {
        var now = clock.GetUtcNow();
        await using var session = store.LightweightSession();
        await session.BeginTransactionAsync(cancellation);
        await NotificationStreams.LimitLockWaitsAsync(session.Connection!, cancellation);
        if (await BroadcastTable.DueAsync(session.Connection!, now, cancellation) is not { } broadcast)
            return await ReviveAsync(session, now, cancellation);
        var tried = new List<BroadcastChunk>(1);
        try
        {
            return await ExpandAsync(session, broadcast, tried, now, cancellation);
        }
        catch (Exception e) when (DatabaseFaults.MayBeOfOneRow(e) && !cancellation.IsCancellationRequested)
        {
            await session.DisposeAsync();
            return await IsolateAsync(broadcast, tried.FirstOrDefault(), e, cancellation);
        }
    }

    private async Task<Step> ReviveAsync(IDocumentSession session, DateTimeOffset now, CancellationToken cancellation)
    {
        if (revivedAt is { } last && clock.GetElapsedTime(last) < ReviveEvery)
            return Step.Nothing;
        revivedAt = clock.GetTimestamp();
        await BroadcastRetryTable.ReviveAsync(session.Connection!, now, cancellation);
        await CommitAsync(session, cancellation);
        return Step.Nothing;
    }

    // Nothing of the chunk was made. It is cut, or its only user set aside; a broadcast that fails without a user waits as a whole.
    private async Task<Step> IsolateAsync(Broadcast broadcast, BroadcastChunk? chunk, Exception fault, CancellationToken cancellation)
    {
        var isOfUser = DatabaseFaults.IsLocked(fault) || !DatabaseFaults.IsTimeOut(fault); // else the database is slow with everything
        if (chunk is { Users.Count: > 1 })
        {
            sizes.Failed(broadcast.Key, chunk);
            if (isOfUser)
                return Step.Worked;
        }

        await using var session = store.LightweightSession();
        await session.BeginTransactionAsync(cancellation);
        await NotificationStreams.LimitLockWaitsAsync(session.Connection!, cancellation);
        if (isOfUser && chunk is { Users: [var user] } && await SetAsideAsync(session, broadcast, chunk, user, fault, cancellation))
            return Step.Worked;
        log.LogError(fault, "A chunk of the broadcast {Broadcast} could not be made; it is tried again.", broadcast.Key);
        await BroadcastTable.PostponeAsync(session.Connection!, broadcast.Key, clock.GetUtcNow() + AfterFault, cancellation);
        await CommitAsync(session, cancellation);
        return Step.Waited;
    }

    // Whether the user is set aside, or somebody else has worked on the broadcast meanwhile.
    private async Task<bool> SetAsideAsync(
        IDocumentSession session,
        Broadcast broadcast,
        BroadcastChunk chunk,
        string user,
        Exception fault,
        CancellationToken cancellation
    )
    {
        var (connection, now) = (session.Connection!, clock.GetUtcNow());
        var held = await BroadcastTable.HoldAsync(connection, broadcast.Key, cancellation);
        if (
            held is null
            || held.State is not (BroadcastState.Expanding or BroadcastState.Scheduled or BroadcastState.Completed)
            || held.AfterUser != broadcast.AfterUser
        )
            return true;
        var isLocked = DatabaseFaults.IsLocked(fault);
        if (
            !await BroadcastRetryTable.SetAsideAsync(
                connection,
                broadcast.Key,
                user,
                now,
                since => isLocked ? LoadedStreams.LockWaitOf(since, now) : LoadedStreams.WaitOf(since, now),
                cancellation
            )
        )
            return false;
        await BroadcastTable.PutAsync(connection, held with { AfterUser = chunk.Last, DueAt = now }, cancellation);
        await CommitAsync(session, cancellation);
        sizes.NoteTurn(broadcast.Key, chunk.IsRetry);
        log.LogWarning(
            "A user of the broadcast {Broadcast} is set aside ({Fault}) and tried again later; the others go on.",
            broadcast.Key,
            DatabaseFaults.Describe(fault)
        );
        return true;
    }

    private async Task<Step> ExpandAsync(
        IDocumentSession session,
        Broadcast broadcast,
        List<BroadcastChunk> tried,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        var connection = session.Connection!;
        var request = (await session.Events.FetchStreamAsync(broadcast.Key, version: 1, token: cancellation))
            .Select(e => e.Data)
            .OfType<BroadcastRequested>()
            .Single();
        var usual = pace.ChunkOf(request.Payload.Size);
        if (broadcast.State == BroadcastState.Cancelled)
        {
            await BroadcastRetryTable.RemoveAllAsync(connection, broadcast.Key, cancellation);
            var again = await BroadcastWithdrawal.TakeBackAsync(session, broadcast, usual, now, cancellation);
            await BroadcastTable.PutAsync(connection, broadcast with { DueAt = again }, cancellation);
            await CommitAsync(session, cancellation);
            return again == now ? Step.Worked : Step.Waited;
        }

        if (broadcast.ExpiresAt <= now)
        {
            await BroadcastRetryTable.RemoveAllAsync(connection, broadcast.Key, cancellation);
            var (expired, ended) = broadcast.Expire(now);
            session.Events.Append(broadcast.Key, ended);
            await BroadcastTable.PutAsync(connection, expired, cancellation);
            await CommitAsync(session, cancellation);
            return Step.Worked;
        }

        if (
            await BroadcastDeliveries.AreFullAsync(
                connection,
                request.ClientId,
                [.. Broadcast.QueuesOf(request)],
                pace.MostWaiting,
                cancellation
            )
        )
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

        var chunk = await NextAsync(connection, broadcast, request.Audience, usual, now, cancellation);
        tried.Add(chunk);
        if (chunk.Limit < usual)
            await NotificationStreams.LimitLockWaitsAsync(connection, cancellation, isPart: true);
        var users = chunk.IsRetry
            ? await AudienceReader.AmongAsync(connection, request.Audience, chunk.Users, cancellation)
            : [.. chunk.Users];
        users = await details.OfAsync(session, connection, request.Audience, users, cancellation);
        var incoming = await IncomingAsync(connection, broadcast, request, users, now, cancellation);
        var queued = await intake.StartAsync(session, incoming, now, cancellation);

        if (chunk.IsRetry)
            await BroadcastRetryTable.RemoveAsync(connection, broadcast.Key, chunk.Users, cancellation);
        var retryAt = chunk.IsLast ? await BroadcastRetryTable.NextAsync(connection, broadcast.Key, cancellation) : null;
        var (next, completed) = broadcast.Expand(chunk.Last, incoming.Count, chunk.IsLast, now, retryAt);
        if (completed is not null)
            session.Events.Append(broadcast.Key, completed);
        await BroadcastTable.PutAsync(connection, next, cancellation);
        await using var scope = scopes.CreateAsyncScope();
        await scope.ServiceProvider.GetRequiredService<IMartenOutbox>().CarryAsync(session, queued);
        await CommitAsync(session, cancellation);

        sizes.Made(broadcast.Key, chunk, usual);
        Telemetry.Accepted.Add(incoming.Count);
        Telemetry.Commits.Add(1, new KeyValuePair<string, object?>("kind", "broadcast"));
        foreach (var queue in queued.GroupBy(d => d.Queue))
            activity.Enqueued(queue.Key, queue.Count());
        return next.DueAt > now ? Step.Waited : Step.Worked;
    }

    // Those that were set aside and are due again, or the next of the audience.
    private async Task<BroadcastChunk> NextAsync(
        NpgsqlConnection connection,
        Broadcast broadcast,
        Audience audience,
        int usual,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        if (sizes.MayRetry(broadcast.Key))
        {
            var most = sizes.LimitOf(broadcast.Key, isRetry: true, usual);
            var again = await BroadcastRetryTable.DueAsync(connection, broadcast.Key, now, most, cancellation);
            if (again.Count > 0)
                return new BroadcastChunk(most, again, broadcast.AfterUser, IsLast: false, IsRetry: true);
        }

        var limit = sizes.LimitOf(broadcast.Key, isRetry: false, usual);
        if (broadcast.State == BroadcastState.Completed)
            return new BroadcastChunk(limit, [], broadcast.AfterUser, IsLast: true, IsRetry: false);
        var (users, last, isLast) = await AudienceReader.NextAsync(connection, audience, broadcast.AfterUser, limit, cancellation);
        return new BroadcastChunk(limit, users, last, isLast, IsRetry: false);
    }

    private async Task<List<IncomingNotification>> IncomingAsync(
        NpgsqlConnection connection,
        Broadcast broadcast,
        BroadcastRequested request,
        List<string> users,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        if (users.Count == 0)
            return [];
        var opened = await keys.ForAsync(connection, [request.Payload.Key], cancellation);
        var ciphers = await PayloadTable.ReadAsync(connection, [(broadcast.Key, request.Payload)], cancellation);
        var payload = ciphers.TryGetValue(broadcast.Key, out var cipher)
            ? opened.OpenPayload(request.Payload, cipher, Domain.Privacy.SealedPlace.OfPayload(broadcast.Key))
            : null;
        if (payload is null)
            throw new InvalidOperationException($"The payload of {broadcast.Key} cannot be read: its key or its row is missing.");
        var all = users
            .Select(u =>
            {
                var eventId = Broadcast.EventIdOf(request.BroadcastId, u);
                return new IncomingNotification(
                    NotificationKey.Of(request.ClientId, eventId),
                    new NotificationRequested(
                        request.ClientId,
                        eventId,
                        u,
                        Recipient.KeyOf(u),
                        request.Mode,
                        request.Category,
                        request.Priority,
                        request.Channels,
                        request.Payload,
                        null,
                        request.ExpiresAt,
                        request.RequestHash,
                        request.TraceParent,
                        now,
                        request.Template,
                        OptOutsHold: request.OptOutsHold
                    ),
                    payload
                );
            })
            .ToList();
        // The checkpoint says that none of them was made before; that nobody gets it twice rests on this alone.
        var taken = await NotificationIntake.ClaimAsync(
            connection,
            all.ToDictionary(i => i.Key, _ => request.RequestHash, StringComparer.Ordinal),
            cancellation
        );
        return [.. all.Where(i => !taken.ContainsKey(i.Key))];
    }

    private static Task CommitAsync(IDocumentSession session, CancellationToken cancellation)
    {
        session.QueueSqlCommand("select 1"); // a session without changes would not commit
        return session.SaveChangesAsync(cancellation);
    }
}
