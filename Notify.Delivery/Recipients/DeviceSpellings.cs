namespace Notify.Delivery.Recipients;

using Marten;
using Notify.Delivery.EventStore;
using Notify.Delivery.Privacy;
using Notify.Domain.Channels;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;
using Notify.Infrastructure.Postgres;
using Npgsql;
using SessionOptions = Marten.Services.SessionOptions;

/// <summary>
/// Removes devices that earlier versions stored twice, by APNs tokens that differ in letter case alone: of one user, who got two pushes,
/// or of two, of whom the former one still got them. The one that was registered last stays.
/// </summary>
/// <remarks>Runs once, at <c>migrate</c>, beside traffic. A run that was broken off goes on where it ended.</remarks>
public sealed class DeviceSpellings(
    IDocumentStore store,
    NpgsqlDataSource database,
    SubjectKeys keys,
    MasterKeyRing ring,
    TimeProvider clock
)
{
    /// <summary>Its name in <c>notify.maintenance</c>.</summary>
    public const string Name = "spellings of devices";

    private const string By = "migrate";
    private const int Page = 500;

    /// <summary>Looks through all users.</summary>
    /// <returns>How many devices were removed.</returns>
    public async Task<int> RunAsync(CancellationToken cancellation)
    {
        var removed = 0;
        await using var connection = await database.OpenConnectionAsync(cancellation);
        var (position, isDone) = await PositionAsync(connection, cancellation);
        while (!isDone)
        {
            var (ids, users) = await UsersAsync(position, cancellation);
            foreach (var twins in await TwinsAsync(connection, users, cancellation))
                removed += await ResolveAsync(twins, cancellation);
            isDone = ids.Count < Page;
            position = ids.LastOrDefault() ?? position;
            await using var note = SqlCommands.Create(
                connection,
                """
                insert into notify.maintenance (name, position, done_at) values ($1, $2, $3)
                on conflict (name) do update set position = excluded.position, done_at = excluded.done_at
                """,
                Name,
                position,
                isDone ? clock.GetUtcNow() : DBNull.Value
            );
            note.Parameters[2].NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.TimestampTz;
            await note.ExecuteNonQueryAsync(cancellation);
        }

        return removed;
    }

    private static async Task<(string Position, bool IsDone)> PositionAsync(NpgsqlConnection connection, CancellationToken cancellation)
    {
        await using var command = SqlCommands.Create(
            connection,
            "select position, done_at is not null from notify.maintenance where name = $1",
            Name
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        return await reader.ReadAsync(cancellation) ? (reader.GetString(0), reader.GetBoolean(1)) : ("", false);
    }

    private async Task<(IReadOnlyList<string> Ids, IReadOnlyList<Recipient> Users)> UsersAsync(string after, CancellationToken cancellation)
    {
        await using var session = store.QuerySession();
        var ids = await session.AdvancedSql.QueryAsync<string>(
            $"select id from {EventSchema.Name}.mt_doc_recipient where id > ? order by id limit {Page}",
            cancellation,
            [after]
        );
        return (ids, await session.LoadManyAsync<Recipient>(cancellation, ids));
    }

    // Devices whose token was stored in another spelling than the usual one, each with the others of the same token that there are.
    private async Task<List<string[]>> TwinsAsync(
        NpgsqlConnection connection,
        IReadOnlyList<Recipient> users,
        CancellationToken cancellation
    )
    {
        var devices = users.SelectMany(u => u.Devices.Where(d => d.Platform == Platform.Ios).Select(d => (User: u.Id, Device: d))).ToList();
        var opened = await keys.ForAsync(connection, devices.Select(d => d.Device.Token), cancellation);
        var tokens = devices
            .Where(d => !opened.IsLocked(d.Device.Token))
            .Select(d => opened.OpenText(d.Device.Token, SealedPlace.OfToken(d.User, d.Device.Id)))
            .OfType<string>();
        var texts = tokens.SelectMany(t => DeviceIds.EarlierSpellings(t).Append(DeviceIds.Spelled(Platform.Ios, t)));
        var prints = await ring.ReadAsync(connection, texts.Select(t => HashedText.OfDevice(Platform.Ios, t)), cancellation);
        var groups = new List<string[]>();
        foreach (var (user, device) in devices)
        {
            if (opened.OpenText(device.Token, SealedPlace.OfToken(user, device.Id)) is not { } token)
                continue;
            var usual = DeviceIds.Of(prints, Platform.Ios, DeviceIds.Spelled(Platform.Ios, token));
            if (usual != device.Id)
                groups.Add([.. DeviceIds.EarlierOf(prints, token).Append(usual).Append(device.Id).Distinct()]);
        }

        if (groups.Count == 0)
            return [];
        await using var command = SqlCommands.Create(
            connection,
            "select device_id from notify.devices where device_id = any($1)",
            (object)groups.SelectMany(g => g).Distinct().ToArray()
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var known = new HashSet<string>(StringComparer.Ordinal);
        while (await reader.ReadAsync(cancellation))
            known.Add(reader.GetString(0));
        return [.. groups.Select(g => g.Where(known.Contains).ToArray()).Where(g => g.Length > 1)];
    }

    // Rows of devices before streams, both in their order, as everywhere.
    private async Task<int> ResolveAsync(string[] twins, CancellationToken cancellation)
    {
        await using var connection = await database.OpenConnectionAsync(cancellation);
        await using var transaction = await connection.BeginTransactionAsync(cancellation);
        var held = new Dictionary<string, (string User, DateTimeOffset? At)>(StringComparer.Ordinal);
        await using (
            var command = SqlCommands.Create(
                connection,
                "select device_id, user_id, registered_at from notify.devices where device_id = any($1) order by device_id for update",
                (object)twins
            )
        )
        {
            await using var reader = await command.ExecuteReaderAsync(cancellation);
            while (await reader.ReadAsync(cancellation))
                held[reader.GetString(0)] = (reader.GetString(1), reader.IsDBNull(2) ? null : reader.GetFieldValue<DateTimeOffset>(2));
        }

        await using var session = store.LightweightSession(SessionOptions.ForTransaction(transaction));
        var streams = held.Values.Select(h => Recipient.KeyOf(h.User)).Distinct().ToArray();
        await NotificationStreams.LockAsync(session, streams, cancellation);
        var users = (await session.LoadManyAsync<Recipient>(cancellation, streams)).ToDictionary(r => r.Id, StringComparer.Ordinal);
        var living = held.Select(h =>
                (
                    Id: h.Key,
                    User: Recipient.KeyOf(h.Value.User),
                    h.Value.At,
                    Device: users.GetValueOrDefault(Recipient.KeyOf(h.Value.User))?.Devices.Find(d => d.Id == h.Key)
                )
            )
            .Where(h => h.Device is not null)
            .OrderByDescending(h => h.At > h.Device!.RegisteredAt ? h.At : h.Device!.RegisteredAt)
            .ToList();
        if (living.Count < 2)
            return 0;
        var now = clock.GetUtcNow();
        foreach (var former in living.Skip(1))
            session.Events.Append(former.User, new DeviceRemoved(former.Id, DeviceRemovalReasons.OtherSpelling, By, now));
        await using (
            var forget = SqlCommands.Create(
                connection,
                "delete from notify.devices where device_id = any($1)",
                (object)living.Skip(1).Select(f => f.Id).ToArray()
            )
        )
            await forget.ExecuteNonQueryAsync(cancellation);
        await session.SaveChangesAsync(cancellation);
        await transaction.CommitAsync(cancellation);
        return living.Count - 1;
    }
}
