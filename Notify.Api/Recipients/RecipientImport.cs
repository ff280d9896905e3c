namespace Notify.Api.Recipients;

using Marten;
using Notify.Api.Contract;
using Notify.Delivery.EventStore;
using Notify.Delivery.Privacy;
using Notify.Delivery.Recipients;
using Notify.Domain.Channels;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;

/// <summary>Imports many users at a time: known data is read as a set, and changes are one commit.</summary>
public sealed class RecipientImport(
    IDocumentStore store,
    UserReferences references,
    SubjectKeys keys,
    MasterKeyRing ring,
    TimeProvider clock
)
{
    /// <summary>Imports users, in order; the last line of a user counts.</summary>
    /// <returns>How many of them brought something new.</returns>
    public async Task<int> CommitAsync(IReadOnlyList<ImportUser> users, string by, CancellationToken cancellation)
    {
        var changed = 0;
        await StreamChanges.RepeatAsync(clock, async () => changed = await TryCommitAsync(users, by, cancellation), cancellation);
        var prints = await ring.ReadAsync(store, users.SelectMany(u => u.Devices ?? []).SelectMany(Devices.HashedTextsOf), cancellation);
        string[] spelled = [.. users.SelectMany(u => u.Devices ?? []).SelectMany(d => Devices.EarlierIdsOf(prints, d)).Distinct()];
        foreach (var (earlier, holder) in await Devices.HoldersAsync(store, spelled, cancellation))
            await Devices.RemoveEarlierAsync(store, holder, earlier, by, clock, cancellation);
        return changed;
    }

    private async Task<int> TryCommitAsync(IReadOnlyList<ImportUser> users, string by, CancellationToken cancellation)
    {
        await using var session = store.LightweightSession();
        await session.BeginTransactionAsync(cancellation);
        var connection = session.Connection!;
        var refs = await references.FindAsync(connection, users.Select(u => u.UserId!), cancellation);
        var prints = await ring.ReadAsync(
            connection,
            users.SelectMany(u => (u.Devices ?? []).SelectMany(Devices.HashedTextsOf).Concat(Users.HashedTextsOf(DetailsOf(u)))),
            cancellation
        );
        var lines = users
            .Select(u =>
                (User: u, Ref: refs[u.UserId!], Devices: (u.Devices ?? []).Select(d => (Id: Devices.IdOf(prints, d), Device: d)).ToList())
            )
            .ToList();
        // As when a device is registered: its row first, then the streams of whom it leaves and whom it joins.
        var owners = await OwnersAsync(
            session,
            [.. lines.SelectMany(l => l.Devices.Select(d => (d.Id, l.Ref))).DistinctBy(d => d.Id)],
            cancellation
        );
        var streams = refs.Values.Concat(owners.Values).Distinct().Select(Recipient.KeyOf).Order(StringComparer.Ordinal).ToArray();
        var states = await LockAsync(session, streams, cancellation);

        var sealedBefore = states
            .Values.Where(r => r is { IsErased: false, Details: not null })
            .ToDictionary(r => r.Id, r => r.Details!.Value, StringComparer.Ordinal);
        // A browser keeps its endpoint when its keys change; any other device's ID follows from all of its address.
        var named = lines
            .SelectMany(l => l.Devices)
            .Where(d => d.Device.Platform == Platform.Web)
            .Select(d => d.Id)
            .ToHashSet(StringComparer.Ordinal);
        var browsers = states
            .Values.SelectMany(r => r.Devices.Where(d => named.Contains(d.Id)).Select(d => (User: r.Id, d.Id, d.Token)))
            .ToList();
        var opened = await keys.ForAsync(connection, sealedBefore.Values.Concat(browsers.Select(b => b.Token)), cancellation);
        var subscriptions = browsers.ToDictionary(b => (b.User, b.Id), b => opened.OpenText(b.Token, SealedPlace.OfToken(b.User, b.Id)));
        var known = sealedBefore.Keys.ToDictionary(k => k, k => opened.DetailsOf(states[k]), StringComparer.Ordinal);
        var registered = new Dictionary<string, DateTimeOffset>(StringComparer.Ordinal);
        foreach (var user in lines.GroupBy(l => Recipient.KeyOf(l.Ref)))
        {
            foreach (
                var (id, at) in await Devices.CrowdAsync(
                    connection,
                    states.GetValueOrDefault(user.Key),
                    user.Sum(l => l.Devices.Count),
                    cancellation
                )
            )
                registered[id] = at;
        }

        var userIds = refs.ToDictionary(r => Recipient.KeyOf(r.Value), r => r.Key, StringComparer.Ordinal);
        var current = await keys.CurrentAsync(connection, userIds.Keys, cancellation, userIds);

        var now = clock.GetUtcNow();
        var news = new Dictionary<string, List<object>>(StringComparer.Ordinal);
        var moved = new Dictionary<string, string>(StringComparer.Ordinal);
        var changed = 0;
        foreach (var (user, userRef, devices) in lines)
        {
            var (key, isNews) = (Recipient.KeyOf(userRef), false);
            var details = DetailsOf(user);
            if (known.GetValueOrDefault(key) != details)
            {
                Happened(key, Users.Given(current.SealJson(key, SealedPlace.OfDetails(key), details), details, prints, by, now));
                (known[key], isNews) = (details, true);
            }

            foreach (var (id, device) in devices)
            {
                var owner = moved.GetValueOrDefault(id, owners[id]);
                var address = DeviceAddresses.Of(device.Platform!.Value, device.Token, device.Subscription);
                var app = DeviceApp.Of(device.App, device.Environment);
                var before = states.GetValueOrDefault(key)?.Devices.Find(d => d.Id == id)?.App;
                if (
                    owner == userRef
                    && Has(key, id)
                    && (app is null || app == before)
                    && (!named.Contains(id) || subscriptions.GetValueOrDefault((key, id)) == address)
                )
                    continue;
                if (owner != userRef && Has(Recipient.KeyOf(owner), id))
                    Happened(Recipient.KeyOf(owner), new DeviceRemoved(id, DeviceRemovalReasons.MovedToAnotherUser, by, now));
                if (states.TryGetValue(key, out var has))
                {
                    foreach (var oldest in Devices.TooMany(has, id, registered))
                        Happened(key, new DeviceRemoved(oldest, DeviceRemovalReasons.TooMany, by, now));
                }

                Happened(
                    key,
                    new DeviceRegistered(
                        id,
                        device.Platform!.Value,
                        current.Seal(key, SealedPlace.OfToken(key, id), address),
                        by,
                        now,
                        app ?? before
                    )
                );
                if (named.Contains(id))
                    subscriptions[(key, id)] = address;
                (moved[id], isNews) = (userRef, true);
            }

            if (isNews)
                changed++;
        }

        if (changed == 0)
            return 0;
        if (moved.Count > 0)
            await DeviceTable.MoveAsync(connection, [.. moved.Keys], [.. moved.Values], cancellation);
        foreach (var (key, events) in news)
            session.Events.Append(key, events);
        await session.SaveChangesAsync(cancellation);
        return changed;

        bool Has(string key, string deviceId) =>
            states.TryGetValue(key, out var recipient) && recipient.Devices.Exists(d => d.Id == deviceId);

        void Happened(string key, object @event)
        {
            states[key] = Recipient.Evolve(states.GetValueOrDefault(key), key, @event);
            if (news.TryGetValue(key, out var events))
                events.Add(@event);
            else
                news[key] = [@event];
        }
    }

    private static ContactDetails DetailsOf(ImportUser user) =>
        new(user.Email, user.Phone is null ? null : ContactRules.ToE164(user.Phone), user.Locale, user.TimeZone);

    private static async Task<Dictionary<string, Recipient>> LockAsync(
        IDocumentSession session,
        string[] streams,
        CancellationToken cancellation
    )
    {
        await NotificationStreams.LockAsync(session, streams, cancellation);
        var states = await LoadAsync();
        var absent = streams.Where(s => !states.ContainsKey(s)).ToArray();
        if (absent.Length == 0)
            return states;
        await NotificationStreams.WaitForTurnAsync(session, absent, cancellation);
        await NotificationStreams.LockAsync(session, streams, cancellation);
        return await LoadAsync();

        async Task<Dictionary<string, Recipient>> LoadAsync() =>
            (await session.LoadManyAsync<Recipient>(cancellation, streams)).ToDictionary(r => r.Id, StringComparer.Ordinal);
    }

    private static async Task<Dictionary<string, string>> OwnersAsync(
        IDocumentSession session,
        IReadOnlyList<(string Device, string User)> devices,
        CancellationToken cancellation
    )
    {
        var owners = new Dictionary<string, string>(StringComparer.Ordinal);
        if (devices.Count == 0)
            return owners;
        var ids = devices.Select(d => d.Device).ToArray();
        await DeviceTable.TakeAsync(session.Connection!, ids, [.. devices.Select(d => d.User)], cancellation);
        foreach (var (device, user) in await DeviceTable.HoldersAsync(session, ids, cancellation))
            owners[device] = user;
        return owners;
    }
}
