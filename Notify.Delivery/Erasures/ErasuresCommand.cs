namespace Notify.Delivery.Erasures;

using System.Security.Cryptography;
using Marten;
using Notify.Delivery.EventStore;
using Notify.Delivery.Recipients;
using Notify.Delivery.Topics;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;
using Npgsql;

/// <summary>The commands <c>erasures replay</c> and <c>erasures export</c>: erasures outlive the restore of a backup.</summary>
public sealed class ErasuresCommand(IDocumentStore store, NpgsqlDataSource database, ErasureLog log, string by, TimeProvider clock)
{
    /// <summary>How it is called.</summary>
    public const string Usage = "usage: erasures replay [FILE|-], or erasures export";

    /// <summary>Runs what the words after <c>erasures</c> name.</summary>
    /// <returns>The exit code.</returns>
    public async Task<int> RunAsync(
        IReadOnlyList<string> words,
        TextReader input,
        TextWriter output,
        TextWriter errors,
        CancellationToken cancellation = default
    )
    {
        if (words is ["export"])
        {
            await ExportAsync(output, cancellation);
            return 0;
        }

        if (words is not (["replay"] or ["replay", _]))
            return await FailAsync(Usage);
        var path = words.Count > 1 ? words[1] : log.Path;
        if (path is null)
        {
            return await FailAsync(
                "There is no erasure log: Notify:ErasureLog and Notify:KeyFolder are not set. " + "Give a file that erasures export wrote."
            );
        }

        if (path != "-" && !File.Exists(path))
            return await FailAsync($"There is no file {path}: nobody was erased, or it must be put back from a copy.");
        using var reader = path == "-" ? input : new StreamReader(path);
        var (lines, users, keys) = await ReplayAsync(reader, cancellation);
        await output.WriteLineAsync($"{lines} erasures replayed: {users} users and {keys} keys erased that the database had again.");
        return 0;

        async Task<int> FailAsync(string fault)
        {
            await errors.WriteLineAsync(fault);
            return 1;
        }
    }

    /// <summary>Applies erasures again. Data from after an erasure stay.</summary>
    public async Task<(int Lines, int Users, int Keys)> ReplayAsync(TextReader reader, CancellationToken cancellation)
    {
        var (lines, users, keys) = (0, 0, 0);
        await foreach (var entry in ErasureLog.ReadAllAsync(reader).WithCancellation(cancellation))
        {
            var result = await ApplyAsync(entry, cancellation);
            (lines, users, keys) = (lines + 1, users + result.Users, keys + result.Keys);
        }

        return (lines, users, keys);
    }

    /// <summary>Writes the erasures that the database knows, as lines of the log.</summary>
    public async Task ExportAsync(TextWriter output, CancellationToken cancellation)
    {
        await using var command = database.CreateCommand(
            "select subject, erased_at from notify.subject_keys where isfinite(erased_at) order by erased_at, id"
        );
        await using var reader = await command.ExecuteReaderAsync(cancellation);
        while (await reader.ReadAsync(cancellation))
        {
            var (subject, at) = (reader.GetString(0), reader.GetFieldValue<DateTimeOffset>(1));
            await output.WriteLineAsync(ErasureLog.LineOf(new ErasureEntry("", at, IsUser(subject) ? [subject] : [], [subject])));
        }
    }

    private static bool IsUser(string subject) => subject.StartsWith(Recipient.KeyOf(""), StringComparison.Ordinal);

    private async Task<ErasureResult> ApplyAsync(ErasureEntry entry, CancellationToken cancellation)
    {
        await using var session = store.LightweightSession();
        await session.BeginTransactionAsync(cancellation);
        var connection = session.Connection!;
        foreach (var user in entry.Users)
            await DeviceTable.HoldAsync(connection, user["u/".Length..], cancellation);
        await NotificationStreams.LockAsync(session, entry.Users, cancellation);
        var now = clock.GetUtcNow();
        string[] subjects = [.. entry.Subjects.Union(entry.Users)];
        var erased = await SubjectTable.EraseAsync(connection, subjects, now, entry.At, cancellation);
        if (erased.Count > 0)
            await SubjectTable.ForgetAliasesAsync(connection, erased, cancellation);
        var users = 0;
        foreach (var user in entry.Users)
        {
            // A person who came back after the erasure is not erased again.
            var recipient = await session.LoadAsync<Recipient>(user, cancellation);
            if (recipient is null or { IsErased: true } || recipient.ErasedAt >= entry.At.AddSeconds(-1))
                continue;
            await DeviceTable.ForgetAsync(connection, user["u/".Length..], null, cancellation);
            await TopicSubscribers.ForgetAsync(connection, user["u/".Length..], cancellation);
            session.Events.Append(user, new UserErased(by, now));
            users++;
        }

        if (users == 0 && erased.Count == 0)
            return new ErasureResult(0, 0);
        var id = entry.Id.Length > 0 ? entry.Id : RandomNumberGenerator.GetHexString(24, lowercase: true);
        session.Events.Append(PersonErased.KeyOf(id), new PersonErased(id, "replay", users, erased.Count, by, now));
        await session.SaveChangesAsync(cancellation);
        return new ErasureResult(users, erased.Count);
    }
}
