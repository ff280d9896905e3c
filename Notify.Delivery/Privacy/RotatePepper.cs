namespace Notify.Delivery.Privacy;

using System.Globalization;
using Marten;
using Notify.Domain.Privacy;
using Npgsql;

/// <summary>The options of <c>rotate-pepper</c>.</summary>
/// <param name="By">The person's name, for the event.</param>
/// <param name="Drop">The former pepper that is no longer to be used; <c>null</c>: none.</param>
/// <param name="Forgets">Whether it is dropped although something vital is found by it alone.</param>
public sealed record RotatePepperOptions(string By, string? Drop, bool Forgets)
{
    public const string Usage = "usage: rotate-pepper --by NAME [--drop ID [--forget]]";

    /// <summary>Reads the words after <c>rotate-pepper</c>.</summary>
    /// <returns>The options, or their fault.</returns>
    public static (RotatePepperOptions? Options, string? Fault) Parse(IReadOnlyList<string> words)
    {
        string? by = null,
            drop = null;
        var forgets = false;
        for (var i = 0; i < words.Count; i++)
        {
            switch (words[i])
            {
                case "--by" or "--drop" when i + 1 == words.Count:
                    return (null, $"{words[i]} needs a value; {Usage}");
                case "--by":
                    by = words[++i];
                    break;
                case "--drop":
                    drop = words[++i];
                    break;
                case "--forget":
                    forgets = true;
                    break;
                case var word when !word.StartsWith("--Notify:", StringComparison.Ordinal):
                    return (null, $"\"{word}\" is not known; {Usage}");
            }
        }

        return string.IsNullOrWhiteSpace(by)
            ? (null, $"it is recorded with a name: give --by NAME; {Usage}")
            : (new RotatePepperOptions(by, drop, forgets), null);
    }
}

/// <summary>
/// Carries over to the current pepper all that is known by hashes under former ones, beside traffic, and says what is left; then drops a
/// former pepper.
/// </summary>
/// <remarks>
/// The current pepper is chosen by the hosts; see <see cref="PepperDecider"/>. Carrying over notes the older hash of each address and
/// device whose text is kept: streams and rows keep their hashes. It may be ended and run again at any time.
/// </remarks>
public sealed class RotatePepper(
    IDocumentStore store,
    NpgsqlDataSource database,
    MasterKeyRing ring,
    SubjectKeys keys,
    HostKeys hosts,
    TimeProvider clock,
    TextWriter output,
    int pageSize = 500
)
{
    /// <summary>Runs the command; the caller has announced itself as a host.</summary>
    /// <returns>The exit code.</returns>
    public async Task<int> RunAsync(RotatePepperOptions options, CancellationToken cancellation)
    {
        var peppers = ring.Peppers;
        if (peppers.CurrentId != peppers.NamedId)
            return await FailAsync(
                $"\"{peppers.CurrentId}\" is the current pepper, not \"{peppers.NamedId}\": "
                    + "a live host has not the new one yet, or is of a former version. Restart it with the new settings, and run "
                    + "this again."
            );
        if (await hosts.FindOtherPepperAsync(peppers.CurrentId, cancellation) is { } late)
            return await FailAsync($"{late} still makes hashes under a former pepper. Run this again in a moment.");
        string[] formers = [.. peppers.InUse.Skip(1)];
        if (options.Drop is { } drop && !formers.Contains(drop))
            return await FailAsync($"\"{drop}\" is no former pepper that is in use.");
        if (formers.Length == 0)
        {
            await output.WriteLineAsync($"\"{peppers.CurrentId}\" is the only pepper in use.");
            return 0;
        }

        await CarryOverAsync(cancellation);
        var carried = await CarriedAsync(cancellation);
        var left = await LeftAsync(formers, cancellation);
        await AppendAsync(new PepperCarriedOver(options.By, peppers.CurrentId, carried, Sum(left.Values), clock.GetUtcNow()), cancellation);
        await output.WriteLineAsync(
            $"Carried over to \"{peppers.CurrentId}\": "
                + (carried.Count == 0 ? "nothing." : string.Join(", ", carried.Select(c => $"{c.Value} {c.Key}")) + ".")
        );
        foreach (var former in formers)
            await ReportAsync(former, left[former]);
        return options.Drop is null ? 0 : await DropAsync(options, left[options.Drop], cancellation);
    }

    private async Task CarryOverAsync(CancellationToken cancellation)
    {
        var sources = new PepperSources(keys, pageSize);
        await CarryUsersOverAsync(sources, cancellation);
        foreach (var source in sources.All)
        {
            for (string? next = ""; next is not null; )
            {
                await using var connection = await database.OpenConnectionAsync(cancellation);
                await using var transaction = await connection.BeginTransactionAsync(cancellation);
                (var texts, next) = await source(connection, next, cancellation);
                await ring.ReadAsync(connection, texts, cancellation);
                await transaction.CommitAsync(cancellation);
            }
        }
    }

    private async Task CarryUsersOverAsync(PepperSources sources, CancellationToken cancellation)
    {
        var current = ring.Peppers.CurrentId;
        for (long? next = 0; next is not null; )
        {
            await using var connection = await database.OpenConnectionAsync(cancellation);
            (var users, next) = await sources.UserIdsAsync(connection, next.Value, cancellation);
            var news = users
                .DistinctBy(u => u.UserRef)
                .Select(u =>
                    (Kind: HashReferenceTable.Users, Hash: ring.Peppers.UserHashUnder(current, u.UserId), Reference: u.UserRef[1..])
                )
                .Where(n => n.Hash != n.Reference);
            await HashReferenceTable.NoteAsync(connection, [.. news], current, cancellation);
        }
    }

    private async Task<IReadOnlyDictionary<string, long>> CarriedAsync(CancellationToken cancellation)
    {
        await using var command = database.CreateCommand(
            "select kind, count(*) from notify.hash_references where pepper = $1 and hash <> reference group by kind order by kind"
        );
        command.Parameters.Add(new NpgsqlParameter { Value = ring.Peppers.CurrentId });
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        var counts = new Dictionary<string, long>();
        while (await reader.ReadAsync(cancellation))
            counts[$"{reader.GetString(0)} hashes"] = reader.GetInt64(1);
        return counts;
    }

    private async Task<Dictionary<string, IReadOnlyDictionary<string, long>>> LeftAsync(string[] formers, CancellationToken cancellation)
    {
        await using var connection = await database.OpenConnectionAsync(cancellation);
        var left = new Dictionary<string, IReadOnlyDictionary<string, long>>();
        foreach (var former in formers)
        {
            var counts = new Dictionary<string, long>();
            foreach (var kind in PepperNeeds.All)
                counts[kind.Name] = await PepperNeeds.CountAsync(connection, kind, former, ring.Peppers.CurrentId, cancellation);
            left[former] = counts;
        }

        return left;
    }

    private async Task ReportAsync(string former, IReadOnlyDictionary<string, long> left)
    {
        await output.WriteLineAsync($"Found by \"{former}\" alone, and lost without it:");
        foreach (var kind in PepperNeeds.All.Where(k => left[k.Name] > 0))
            await output.WriteLineAsync(string.Create(CultureInfo.InvariantCulture, $"  {left[kind.Name], 9} {kind.Name}: {kind.Loss}"));
        await output.WriteLineAsync("            links of emails sent before: unsubscribe links and opening images no longer work");
        await output.WriteLineAsync(
            "Suppressions, opt-outs, people and counts are carried over when their address is used next, users when their ID is, "
                + $"secrets at the next login. When the rest may be lost: rotate-pepper --by NAME --drop {former}"
        );
    }

    private async Task<int> DropAsync(RotatePepperOptions options, IReadOnlyDictionary<string, long> left, CancellationToken cancellation)
    {
        var id = options.Drop!;
        if (!options.Forgets && PepperNeeds.All.FirstOrDefault(k => k.IsVital && left[k.Name] > 0) is { } vital)
            return await FailAsync(
                $"\"{id}\" stays in use: {left[vital.Name]} {vital.Name} are found by it alone ({vital.Loss}). "
                    + "Wait until they are used, or give --forget."
            );
        await using (var connection = await database.OpenConnectionAsync(cancellation))
        await using (var transaction = await connection.BeginTransactionAsync(cancellation))
        {
            await HostKeyTable.LockAsync(connection, cancellation);
            await PepperTable.RetireAsync(connection, id, cancellation);
            await transaction.CommitAsync(cancellation);
        }

        await AppendAsync(new PepperDropped(options.By, id, left.Where(l => l.Value > 0).ToDictionary(), clock.GetUtcNow()), cancellation);
        await output.WriteLineAsync($"\"{id}\" is no longer in use: take Notify__Peppers__{id} out of the settings of all hosts.");
        return 0;
    }

    private static Dictionary<string, long> Sum(IEnumerable<IReadOnlyDictionary<string, long>> counts) =>
        counts
            .SelectMany(c => c)
            .GroupBy(c => c.Key)
            .Select(g => KeyValuePair.Create(g.Key, g.Sum(c => c.Value)))
            .Where(c => c.Value > 0)
            .ToDictionary();

    private async Task<int> FailAsync(string sentence)
    {
        await output.WriteLineAsync(sentence);
        return 1;
    }

    private async Task AppendAsync(object @event, CancellationToken cancellation)
    {
        await using var session = store.LightweightSession();
        session.Events.Append(PepperCarriedOver.Key, @event);
        await session.SaveChangesAsync(cancellation);
    }
}
