namespace Notify.Projections.Verification;

using System.Globalization;
using Npgsql;

/// <summary>The command <c>verify [--since TIME|SEQUENCE]</c>.</summary>
public static class VerifyCommand
{
    /// <summary>How it is called.</summary>
    public const string Usage = "usage: verify [--since TIME|SEQUENCE]";

    /// <summary>The arguments after <c>verify</c>.</summary>
    /// <param name="Sequence">Streams with events after this sequence; <c>null</c>: not given.</param>
    /// <param name="Time">Streams with events since this time; <c>null</c>: not given.</param>
    public sealed record Options(long? Sequence = null, DateTimeOffset? Time = null);

    /// <summary>Parses the arguments after <c>verify</c>.</summary>
    /// <returns>The options, or the fault in them.</returns>
    public static (Options? Options, string? Fault) Parse(IReadOnlyList<string> words)
    {
        string? since = null;
        for (var i = 0; i < words.Count; i++)
        {
            if (words[i] == "--since")
            {
                if (i + 1 == words.Count)
                    return (null, $"--since needs a value; {Usage}");
                since = words[++i];
            }
            else if (!words[i].StartsWith("--Notify:", StringComparison.Ordinal))
                return (null, $"\"{words[i]}\" is not known; {Usage}");
        }

        if (since is null)
            return (new Options(), null);
        if (long.TryParse(since, NumberStyles.None, CultureInfo.InvariantCulture, out var sequence))
            return (new Options(sequence), null);
        return
            since.Contains('-', StringComparison.Ordinal)
            && DateTimeOffset.TryParse(since, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var time)
            ? (new Options(null, time.ToUniversalTime()), null)
            : (
                null,
                $"--since is \"{since}\"; give an event sequence, such as 120000, or a time in ISO 8601, such as 2026-12-01T09:00:00Z"
            );
    }

    /// <summary>Verifies, prints, and keeps the run.</summary>
    /// <returns>The exit code: 0 when no fault was found, 1 otherwise.</returns>
    public static async Task<int> RunAsync(
        Verifier verifier,
        NpgsqlDataSource database,
        TimeProvider clock,
        Options options,
        TextWriter output,
        CancellationToken cancellation = default
    )
    {
        var sequence = options.Sequence ?? 0;
        if (options.Time is { } time)
        {
            await using var connection = await database.OpenConnectionAsync(cancellation);
            sequence = await StreamPages.BeforeAsync(connection, time, cancellation);
        }

        var id = await VerificationTable.BeginAsync(database, isAutomatic: false, sequence, clock.GetUtcNow(), cancellation);
        var result = await verifier.VerifyAsync(
            new VerificationScope(sequence),
            cancellation,
            fault => output.WriteLine($"FAULT {fault}"),
            () => VerificationTable.BeatAsync(database, id!.Value, clock.GetUtcNow(), cancellation)
        );
        await VerificationTable.EndAsync(database, id!.Value, result, clock.GetUtcNow(), cancellation);
        await PrintAsync(result, output);
        return result.Counts.Faults == 0 && result.Counts.Agree ? 0 : 1;
    }

    private static async Task PrintAsync(VerificationResult result, TextWriter output)
    {
        var c = result.Counts;
        var title = result.Since == 0 ? "notifications accepted " : "notifications with news";
        await output.WriteLineAsync(
            $"{title} {c.Notifications, 12:N0}   (not yet planned {c.Waiting - c.Digested:N0}, told by digests {c.Digested:N0})"
        );
        await output.WriteLineAsync($"deliveries              {c.Deliveries, 12:N0}");
        await output.WriteLineAsync($"  = terminal            {c.Terminal, 12:N0}   (dead letters {c.DeadLetters:N0})");
        await output.WriteLineAsync($"  + in flight           {c.InFlight, 12:N0}");
        await output.WriteLineAsync($"  + unknown             {c.Unknown, 12:N0}");
        await output.WriteLineAsync(
            $"accepted more than once {c.DoubleSends, 12:N0}   (asked for by a policy or an operator {c.AllowedRepeats:N0})"
        );
        await output.WriteLineAsync($"broadcasts              {c.Broadcasts, 12:N0}");
        await output.WriteLineAsync($"suppressions            {c.Suppressions, 12:N0}");
        await output.WriteLineAsync($"documents of streams    {c.Snapshots, 12:N0}");
        await output.WriteLineAsync(
            $"events                  {(result.Since == 0 ? "all" : $"after {result.Since}"), 12} up to {result.Position}"
        );
        await output.WriteLineAsync(
            c.Faults == 0 && c.Agree
                ? "verified: accepted = terminal + in flight + unknown, and every open delivery is in hand"
                : $"NOT verified: {c.Faults:N0} faults"
        );
    }
}
