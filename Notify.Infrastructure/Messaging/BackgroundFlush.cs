namespace Notify.Infrastructure.Messaging;

using Marten;
using Marten.Services;
using Wolverine.Marten;

/// <summary>
/// Sends the messages of an outbox after its transaction has been committed, in the background: a broker, or a queue's table, that
/// does not answer is waited for by no caller.
/// </summary>
/// <remarks>
/// Wolverine 6.62 sends within <c>SaveChangesAsync</c>, and its sending agent waits for each message's sender. A message that is not
/// sent stays in the outbox, where <see cref="OutboxSweep"/> finds it.
/// </remarks>
public sealed class BackgroundFlush : DocumentSessionListenerBase
{
    /// <summary>Commits whose messages may be sent at once; those of more stay in the outbox.</summary>
    private const int MaxUnderWay = 64;

    private static int underWay;
    private readonly IDocumentSessionListener flush;

    private BackgroundFlush(IDocumentSessionListener flush) => this.flush = flush;

    /// <summary>Enrolls a session in an outbox whose messages are sent in the background.</summary>
    public static void Enroll(IMartenOutbox outbox, IDocumentSession session)
    {
        var before = session.Listeners.Count;
        outbox.Enroll(session);
        for (var i = before; i < session.Listeners.Count; i++)
            session.Listeners[i] = new BackgroundFlush(session.Listeners[i]);
    }

    /// <inheritdoc />
    public override Task BeforeSaveChangesAsync(IDocumentSession session, CancellationToken token) =>
        flush.BeforeSaveChangesAsync(session, token);

    /// <inheritdoc />
    public override Task AfterCommitAsync(IDocumentSession session, IChangeSet commit, CancellationToken token)
    {
        if (Interlocked.Increment(ref underWay) > MaxUnderWay)
            Interlocked.Decrement(ref underWay);
        else
            _ = Task.Run(() => SendAsync(session, commit), CancellationToken.None);
        return Task.CompletedTask;
    }

    private async Task SendAsync(IDocumentSession session, IChangeSet commit)
    {
        try
        {
            await flush.AfterCommitAsync(session, commit, CancellationToken.None);
        }
#pragma warning disable CA1031 // The messages stay in the outbox, and are sent from there.
        catch
#pragma warning restore CA1031
        { }
        finally
        {
            Interlocked.Decrement(ref underWay);
        }
    }
}
