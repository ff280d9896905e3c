namespace Notify.Projections.Replay;

using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;
using Marten;
using Marten.Exceptions;
using Notify.Delivery.EventStore;
using Notify.Delivery.Hosting;
using Notify.Delivery.Payloads;
using Notify.Delivery.Privacy;
using Notify.Domain.Clients;
using Notify.Domain.Descriptions;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Infrastructure.Json;
using Npgsql;

/// <summary>
/// Shows an auditor the history of a notification, from the event store alone: no other host needs to run. Addresses and
/// content stay encrypted unless they are requested.
/// </summary>
public sealed class Replayer(
    IDocumentStore store,
    NpgsqlDataSource database,
    SubjectKeys keys,
    UserReferences users,
    TimeProvider clock,
    TextWriter output
)
{
    /// <summary>Replays and prints.</summary>
    /// <returns>The exit code: 0 when the notification was shown.</returns>
    public async Task<int> RunAsync(string host, ReplayOptions options, CancellationToken cancellation = default)
    {
        await using var session = store.QuerySession();
        options = options with { EventId = await users.FindEventIdAsync(options.EventId, cancellation) };
        var (key, fault) = await FindAsync(session, options, cancellation);
        if (key is null)
            return NotifyHost.Fail(host, fault!);
        var all = await StoredEvents.OfStreamsAsync(session, [key], cancellation);
        if (options.AsOfVersion > all.Count)
            return NotifyHost.Fail(
                host,
                $"the stream has {Number(all.Count)} events so far; --as-of {Number(options.AsOfVersion.Value)} is beyond its end"
            );
        List<StoredEvent> events =
        [
            .. all.Where(e => (options.AsOfVersion is not { } v || e.Version <= v) && (options.AsOf is not { } t || e.Timestamp <= t)),
        ];
        if (events.Count == 0)
            return NotifyHost.Fail(
                host,
                $"nothing had happened yet: the first event of {options.EventId} is of {EventDescriptions.Time(all[0].Timestamp)}"
            );

        var recorded = RecordedEvent.Of(key, events);
        if (options.NdJson)
            foreach (var e in recorded)
                await output.WriteLineAsync(JsonSerializer.Serialize(e, NotifyJson.Options));
        else
            await TellAsync(key, recorded, all.Count);
        if (options.Reveal is not { } revealing)
            return 0;
        if (await RecordAsync(key, revealing, cancellation) is { } obstacle)
            return NotifyHost.Fail(host, obstacle);
        await RevealAsync(events, options.NdJson, cancellation);
        return 0;
    }

    // Nothing is opened that could not be recorded.
    private async Task<string?> RecordAsync(string key, Revealing revealing, CancellationToken cancellation)
    {
        var id = NotificationKey.Parse(key);
        try
        {
            await using var session = store.LightweightSession();
            session.Events.StartStream(
                AccessRecorded.KeyOf(RandomNumberGenerator.GetHexString(24, lowercase: true)),
                new AccessRecorded(
                    revealing.By,
                    Environment.MachineName,
                    "replay --reveal",
                    id?.EventId,
                    id?.ClientId,
                    200,
                    revealing.Reason,
                    clock.GetUtcNow()
                )
            );
            await session.SaveChangesAsync(cancellation);
            return null;
        }
        catch (Exception e) when (e is MartenException or NpgsqlException)
        {
            return $"nothing is revealed, since that could not be recorded: {e.GetBaseException().Message}. Mend that, and ask again";
        }
    }

    private async Task TellAsync(string key, IReadOnlyList<RecordedEvent> events, int total)
    {
        var first = events[0].Timestamp;
        await output.WriteLineAsync($"{key}: {Number(events.Count)} of {Number(total)} events");
        foreach (var e in events)
            await output.WriteLineAsync(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"{e.Version, 3}  {EventDescriptions.Time(e.Timestamp)} {Since(e.Timestamp - first), 10}  {e.Type}: {e.Text}"
                )
            );

        await output.WriteLineAsync();
        if (Notification.Fold(key, events.Select(e => e.Data)) is not { } state)
        {
            await output.WriteLineAsync("State: not known, since its first event cannot be read.");
            return;
        }

        await output.WriteLineAsync(
            $"{(events.Count == total ? "State" : $"State after event {Number(events.Count)}, {EventDescriptions.Time(events[^1].Timestamp)}")}: {EventDescriptions.Words(NotificationStatusRule.Of(state).ToString())}{(state.IsPlanned ? "" : $", not planned{(state.SendAt is { } at ? $", to be sent at {EventDescriptions.Time(at)}" : "")}")}"
        );
        foreach (var d in state.Deliveries.Values.OrderBy(d => d.Channel).ThenBy(d => d.Id))
        {
            string?[] facts =
            [
                d.Reason is null ? null : EventDescriptions.Words(d.Reason),
                d.Provider,
                d.ProviderCode is null ? null : $"code {d.ProviderCode}",
                d.Attempts == 0 ? null : $"{Number(d.Attempts)} attempt{(d.Attempts == 1 ? "" : "s")}",
                d.ProviderMessageId,
                d.DeferredUntil is { } until ? $"until {EventDescriptions.Time(until)}" : null,
            ];
            await output.WriteLineAsync(
                $"  {EventDescriptions.Name(state, d.Id)[4..]} ({d.Id}): {EventDescriptions.Words(d.Status.ToString())}{string.Concat(facts.Where(f => f is not null).Select(f => $", {f}"))}"
            );
        }
    }

    private async Task RevealAsync(List<StoredEvent> events, bool ndjson, CancellationToken cancellation)
    {
        var request = events.Select(e => e.Data).OfType<NotificationRequested>().FirstOrDefault();
        var digest = events.Select(e => e.Data).OfType<DigestClosed>().Select(c => c.Payload).LastOrDefault();
        var payload = digest ?? request?.Payload ?? SealedPayload.None;
        var addresses = events.Select(e => e.Data).OfType<DeliveriesPlanned>().SelectMany(p => p.Deliveries).ToList();
        await using var connection = await database.OpenConnectionAsync(cancellation);
        var (key, subject) = (events[0].Stream, request?.Subject ?? "");
        var place = digest is null ? SealedPlace.OfPayload(key) : SealedPlace.OfDigest(key);
        var open = await keys.ForAsync(connection, [payload.Key, .. addresses.Select(a => a.Address)], cancellation);
        if (addresses.Select(a => a.Address).Prepend(payload.Key).Select(open.MasterKeyOf).FirstOrDefault(k => k is not null) is { } master)
        {
            var reason = $"Not revealed: set the master key \"{master}\" under Notify:MasterKeys.";
            await output.WriteLineAsync(ndjson ? JsonSerializer.Serialize(new { notRevealed = reason }, NotifyJson.Options) : reason);
            return;
        }

        var ciphers = await PayloadTable.ReadAsync(connection, [(key, payload)], cancellation);
        var userIds = await keys.UserIdsAsync(connection, [request?.UserRef], cancellation);
        var revealed = new
        {
            UserId = request?.UserRef is { } user ? userIds.GetValueOrDefault(user) : null,
            Payload = ciphers.TryGetValue(key, out var cipher) ? open.OpenPayload(payload, cipher, place) : null,
            Addresses = addresses.ToDictionary(
                a => a.Id,
                a => open.OpenText(a.Address, SealedPlace.OfAddress(key, subject, a.Id, a.DeviceId))
            ),
        };
        if (ndjson)
        {
            await output.WriteLineAsync(JsonSerializer.Serialize(new { revealed }, NotifyJson.Options));
            return;
        }

        await output.WriteLineAsync();
        await output.WriteLineAsync(
            revealed.Payload is null
                ? ciphers.Count == 0
                    ? "Revealed: nothing; the payload is no longer kept."
                    : "Revealed: nothing; the person was erased."
                : $"Revealed (personal): {JsonSerializer.Serialize(revealed, NotifyJson.Options)}"
        );
    }

    // Event IDs belong to clients; without a client, the one client that has the ID is meant.
    private async Task<(string? Key, string? Fault)> FindAsync(IQuerySession session, ReplayOptions options, CancellationToken cancellation)
    {
        var clients = (await session.Query<Client>().OrderBy(c => c.Name).ToListAsync(cancellation))
            .Where(c => options.Client is null || c.ClientId == options.Client)
            .ToList();
        if (clients.Count == 0)
            return (
                null,
                options.Client is null
                    ? "there are no clients yet, and so no notifications"
                    : $"there is no client {options.Client}; GET /v1/clients lists them, or leave --client away"
            );
        await using var connection = await database.OpenConnectionAsync(cancellation);
        var keys = clients.Select(c => NotificationKey.Of(c.ClientId, options.EventId)).ToArray();
        var found = await KeysAsync(connection, "select key from notify.event_ids where key = any($1) order by key", keys, cancellation);
        if (found.Count == 1)
            return (found[0], null);
        if (found.Count > 1)
            return (
                null,
                $"several clients have used the event ID {options.EventId}: say which with --client {string.Join(" or ", found.Select(k => NotificationKey.Parse(k)!.Value.ClientId))}"
            );

        var near = new List<string>();
        foreach (var key in keys)
        {
            near.AddRange(
                await KeysAsync(connection, "(select key from notify.event_ids where key > $1 order by key limit 3)", key, cancellation)
            );
            near.AddRange(
                await KeysAsync(
                    connection,
                    "(select key from notify.event_ids where key < $1 order by key desc limit 3)",
                    key,
                    cancellation
                )
            );
        }

        var similar = near.Where(k => clients.Any(c => k.StartsWith(NotificationKey.Of(c.ClientId, ""), StringComparison.Ordinal)))
            .Select(k => NotificationKey.Parse(k)!.Value.EventId)
            .Where(id => Shared(id, options.EventId) >= Math.Max(3, options.EventId.Length / 2))
            .Distinct()
            .Order(StringComparer.Ordinal)
            .Take(5)
            .ToList();
        return (
            null,
            $"no notification has the event ID {options.EventId}{(options.Client is null ? "" : $" at client {options.Client}")}; "
                + (similar.Count > 0 ? $"similar ones are {string.Join(", ", similar)}" : "GET /v1/notifications lists what there is")
        );
    }

    private static async Task<List<string>> KeysAsync(
        NpgsqlConnection connection,
        string sql,
        object parameter,
        CancellationToken cancellation
    )
    {
        await using var command = new NpgsqlCommand(sql, connection);
        command.Parameters.Add(new NpgsqlParameter { Value = parameter });
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var keys = new List<string>();
        while (await reader.ReadAsync(cancellation))
            keys.Add(reader.GetString(0));
        return keys;
    }

    private static int Shared(string a, string b) => a.Zip(b).TakeWhile(p => p.First == p.Second).Count();

    private static string Since(TimeSpan span) => string.Create(CultureInfo.InvariantCulture, $"+{span.TotalSeconds:0.000} s");

    private static string Number(long number) => number.ToString(CultureInfo.InvariantCulture);
}
