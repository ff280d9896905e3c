namespace Notify.Api.Recipients;

using Marten;
using Notify.Api.Contract;
using Notify.Domain.Recipients;

/// <summary>Changes a user's stream; see <see cref="StreamChanges"/>.</summary>
public static class RecipientChanges
{
    /// <summary>Runs a decision on a user and appends what it returns.</summary>
    /// <param name="first">Takes the locks that come before any stream; returns the reference of another user whose
    /// stream the decision appends to.</param>
    public static Task RunAsync(
        IDocumentStore store,
        string userRef,
        TimeProvider clock,
        StreamChanges.Decision<Recipient> decide,
        CancellationToken cancellation,
        Func<IDocumentSession, Task<string>>? first = null
    ) =>
        StreamChanges.RunAsync(
            store,
            Recipient.KeyOf(userRef),
            clock,
            decide,
            cancellation,
            first is null ? null : async session => Recipient.KeyOf(await first(session))
        );
}
