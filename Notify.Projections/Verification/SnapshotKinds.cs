namespace Notify.Projections.Verification;

using System.Text.Json;
using System.Text.Json.Nodes;
using Marten;
using Notify.Delivery;
using Notify.Delivery.EventStore;
using Notify.Domain.Categories;
using Notify.Domain.Clients;
using Notify.Domain.Recipients;
using Notify.Domain.Templates;
using Notify.Domain.Topics;
using Notify.Infrastructure.Json;

/// <summary>A kind of documents that hosts fold from streams in the transaction of each event.</summary>
/// <param name="Prefix">The beginning of the stream keys, which are the documents' IDs.</param>
/// <param name="Table">The table of the documents.</param>
/// <param name="Fold">Folds a stream's events; <c>null</c>: they make no document.</param>
/// <param name="Read">Reads a stored document and writes it as this version does.</param>
/// <param name="Store">Stores a folded document with the version of its stream.</param>
internal sealed record SnapshotKind(
    string Prefix,
    string Table,
    Func<string, IEnumerable<object>, object?> Fold,
    Func<string, JsonObject?> Read,
    Action<IDocumentSession, object, long> Store
)
{
    /// <summary>Whether there are so many that only those of streams with new events are checked every hour.</summary>
    public bool AreMany => Prefix is "u/" or "x/" or "w/";

    /// <summary>Whether a stream is of the kind.</summary>
    public bool Has(string key) => key.StartsWith(Prefix, StringComparison.Ordinal);

    /// <summary>A folded document as JSON.</summary>
    public static JsonObject JsonOf(object document) =>
        (JsonObject)JsonSerializer.SerializeToNode(document, document.GetType(), NotifyJson.Options)!;
}

/// <summary>Every kind of documents that are folded in the transaction of the event; see <see cref="NotifyStore"/>.</summary>
internal static class SnapshotKinds
{
    /// <summary>All kinds.</summary>
    public static IReadOnlyList<SnapshotKind> All { get; } =
    [
        // The topics that they follow are in their stream, and not in their document.
        Of<Recipient>("u/", "recipient", (state, key, e) => e is TopicJoined or TopicLeft ? state : Recipient.Evolve(state, key, e)),
        Of<Client>("c/", "client", Client.Evolve),
        Of<Access>("x/", "access", Access.Evolve),
        Of<Category>("k/", "category", Category.Evolve),
        Of<Template>("t/", "template", Template.Evolve),
        Of<Layout>("l/", "layout", Layout.Evolve),
        Of<Topic>("o/", "topic", Topic.Evolve),
        Of<AddressChoices>("w/", "addresschoices", AddressChoices.Evolve),
    ];

    /// <summary>The kind of a stream; <c>null</c>: it has no document.</summary>
    public static SnapshotKind? Of(string key) => All.FirstOrDefault(k => k.Has(key));

    private static SnapshotKind Of<T>(string prefix, string name, Func<T?, string, object, T?> evolve)
        where T : class =>
        new(
            prefix,
            $"{EventSchema.Name}.mt_doc_{name}",
            (key, events) => events.Aggregate((T?)null, (state, e) => evolve(state, key, e)),
            json => JsonSerializer.Deserialize<T>(json, NotifyJson.Options) is { } document ? SnapshotKind.JsonOf(document) : null,
            (session, document, version) => session.UpdateRevision((T)document, version)
        );
}
