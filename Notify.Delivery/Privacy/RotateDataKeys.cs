namespace Notify.Delivery.Privacy;

using System.Globalization;
using System.Security.Cryptography;
using Marten;
using Notify.Domain.Privacy;
using Npgsql;

/// <summary>The options of <c>rotate-data-keys</c>.</summary>
/// <param name="By">The person's name, for the event.</param>
/// <param name="Subjects">The subjects whose keys are replaced; <c>null</c>: all.</param>
/// <param name="OlderThan">Only keys of this age; zero: of any.</param>
public sealed record RotateDataKeysOptions(string By, IReadOnlyList<string>? Subjects, TimeSpan OlderThan)
{
    public const string Usage = "usage: rotate-data-keys --by NAME [--subject KEY]... [--older-than 365d]";

    /// <summary>Reads the words after <c>rotate-data-keys</c>.</summary>
    /// <returns>The options, or their fault.</returns>
    public static (RotateDataKeysOptions? Options, string? Fault) Parse(IReadOnlyList<string> words)
    {
        string? by = null;
        var (subjects, age) = (new List<string>(), TimeSpan.Zero);
        for (var i = 0; i < words.Count; i++)
        {
            switch (words[i])
            {
                case "--by" or "--subject" or "--older-than" when i + 1 == words.Count:
                    return (null, $"{words[i]} needs a value; {Usage}");
                case "--by":
                    by = words[++i];
                    break;
                case "--subject":
                    subjects.Add(words[++i]);
                    break;
                case "--older-than":
                    if (AgeOf(words[++i]) is not { } given)
                        return (null, $"--older-than is \"{words[i]}\"; give days, such as 365d; {Usage}");
                    age = given;
                    break;
                case var word when !word.StartsWith("--Notify:", StringComparison.Ordinal):
                    return (null, $"\"{word}\" is not known; {Usage}");
            }
        }

        return string.IsNullOrWhiteSpace(by)
            ? (null, $"the rotation is recorded with a name: give --by NAME; {Usage}")
            : (new RotateDataKeysOptions(by, subjects.Count == 0 ? null : subjects, age), null);
    }

    private static TimeSpan? AgeOf(string text) =>
        text.EndsWith('d') && int.TryParse(text[..^1], NumberStyles.None, CultureInfo.InvariantCulture, out var days) && days <= 36_500
            ? TimeSpan.FromDays(days)
            : null;
}

/// <summary>
/// Gives subjects new keys, during normal traffic, in pages that are committed one by one. Existing data is unchanged and is decrypted
/// with the replaced keys; erasing a person erases all of their keys.
/// </summary>
/// <remarks>An interrupted run continues with the next one. The stream <see cref="DataKeyRotation.Key"/> records each rotation.</remarks>
public sealed class RotateDataKeys(
    IDocumentStore store,
    NpgsqlDataSource database,
    MasterKeyRing ring,
    TimeProvider clock,
    TextWriter output,
    int pageSize = 500
)
{
    /// <summary>Runs the command; the caller has announced itself as a host.</summary>
    /// <returns>The exit code: 1 where keys are left, because others held them or a host of the former version lives.</returns>
    public async Task<int> RunAsync(RotateDataKeysOptions options, CancellationToken cancellation)
    {
        if (!ring.Format.WritesKeyVersions)
        {
            await output.WriteLineAsync(
                "Nothing was replaced: a host of a former version lives, which would not erase all keys of a person. "
                    + "Replace it, and run this again."
            );
            return 1;
        }

        var rotation = await BeginAsync(options, cancellation);
        var selection = new DataKeySelection(rotation.MadeBefore, rotation.Subjects);
        // Keys that a transaction holds are passed over, and tried once more at the end.
        for (var pass = 0; pass < 2; pass++)
            await PassAsync(selection, cancellation);

        await using var connection = await database.OpenConnectionAsync(cancellation);
        var left = await DataKeyTable.LeftAsync(connection, selection, cancellation);
        var replaced = await DataKeyTable.ReplacedAsync(connection, rotation.At, cancellation);
        if (left > 0)
        {
            await output.WriteLineAsync($"{replaced} data keys were replaced; {left} are held by others now. Run this again.");
            return 1;
        }

        await AppendAsync(new DataKeysRotated(options.By, replaced, clock.GetUtcNow()), cancellation);
        await output.WriteLineAsync($"{replaced} data keys were replaced. What they encrypted still opens.");
        return 0;
    }

    /// <summary>Replaces a page of keys.</summary>
    /// <returns>The ID of the last one; <c>null</c>: there was none.</returns>
    public async Task<long?> PageAsync(DataKeySelection selection, long after, CancellationToken cancellation)
    {
        await using var connection = await database.OpenConnectionAsync(cancellation);
        await using var transaction = await connection.BeginTransactionAsync(cancellation);
        var rows = await DataKeyTable.LockAsync(connection, selection, after, pageSize, cancellation);
        if (rows.Count == 0)
            return null;
        var master = ring.CurrentId;
        await HostKeyTable.UseAsync(connection, master, cancellation);
        await DataKeyTable.ReplaceAsync(
            connection,
            [
                .. rows.Select(r =>
                    (r.Id, r.Subject, ring.Wrap(new SubjectKey(RandomNumberGenerator.GetBytes(32), true), master, r.Subject))
                ),
            ],
            master,
            clock.GetUtcNow(),
            cancellation
        );
        await transaction.CommitAsync(cancellation);
        return rows[^1].Id;
    }

    private async Task PassAsync(DataKeySelection selection, CancellationToken cancellation)
    {
        for (long? last = 0; last is { } after; )
            last = await PageAsync(selection, after, cancellation);
    }

    private async Task<DataKeyRotationStarted> BeginAsync(RotateDataKeysOptions options, CancellationToken cancellation)
    {
        await using var session = store.QuerySession();
        DataKeyRotation? last = null;
        foreach (var e in await session.Events.FetchStreamAsync(DataKeyRotation.Key, token: cancellation))
            last = DataKeyRotation.Evolve(last, e.Data);
        if (last?.IsContinuedBy(options.Subjects) == true)
        {
            await output.WriteLineAsync($"Goes on with the rotation that {last.Started.By} started at {last.Started.At.UtcDateTime:u}.");
            return last.Started;
        }

        var now = clock.GetUtcNow();
        var started = new DataKeyRotationStarted(options.By, now - options.OlderThan, options.Subjects, now);
        await AppendAsync(started, cancellation);
        return started;
    }

    private async Task AppendAsync(object @event, CancellationToken cancellation)
    {
        await using var session = store.LightweightSession();
        session.Events.Append(DataKeyRotation.Key, @event);
        await session.SaveChangesAsync(cancellation);
    }
}
