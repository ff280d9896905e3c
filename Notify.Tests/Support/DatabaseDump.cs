namespace Notify.Tests.Support;

using System.Text;
using System.Text.RegularExpressions;
using Npgsql;

/// <summary>Where a word was found: a table, and in which guise.</summary>
public sealed record DumpHit(string Word, string Table, string Guise);

/// <summary>
/// The whole database as text: every table of every schema, Wolverine's among them, as COPY writes it, and binary
/// columns decoded. Searched for words as they are, in base64 at any offset, and escaped as JSON.
/// </summary>
public static partial class DatabaseDump
{
    /// <summary>Searches for words, in any case.</summary>
    /// <param name="except">The prefix of the names of tables that are skipped, such as those of other tests' large files.</param>
    public static async Task<List<DumpHit>> SearchAsync(NotifySystem system, IReadOnlyList<string> words, string? except = null)
    {
        var hits = new List<DumpHit>();
        foreach (var (table, text) in await ReadAsync(system, except))
        {
            var binary = string.Concat(
                Hex().Matches(text).Select(m => Encoding.UTF8.GetString(Convert.FromHexString(m.Groups[1].ValueSpan)) + "\n")
            );
            foreach (var word in words)
            {
                foreach (var (form, guise) in Forms(word))
                {
                    var comparison = guise == "base64" ? StringComparison.Ordinal : StringComparison.OrdinalIgnoreCase;
                    if (text.Contains(form, comparison))
                        hits.Add(new DumpHit(word, table, guise));
                    if (binary.Contains(form, comparison))
                        hits.Add(new DumpHit(word, table, $"{guise}, in binary"));
                }
            }
        }

        return hits;
    }

    /// <summary>The tables' text, by name.</summary>
    public static async Task<Dictionary<string, string>> ReadAsync(NotifySystem system, string? except = null)
    {
        var tables = new List<string>();
        await using (
            var command = system.Database.CreateCommand(
                "select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace "
                    + "where c.relkind = 'r' and n.nspname not in ('pg_catalog', 'information_schema') order by 1"
            )
        )
        await using (var reader = await command.ExecuteReaderAsync())
        {
            while (await reader.ReadAsync())
            {
                if (except is null || !reader.GetString(0).StartsWith(except, StringComparison.Ordinal))
                    tables.Add(reader.GetString(0));
            }
        }

        var result = new Dictionary<string, string>();
        await using var connection = await system.Database.OpenConnectionAsync();
        foreach (var table in tables)
        {
            try
            {
                using var rows = await connection.BeginTextExportAsync($"copy (select * from {table}) to stdout");
                result[table] = await rows.ReadToEndAsync();
            }
            catch (PostgresException e) when (e.SqlState is PostgresErrorCodes.UndefinedTable or PostgresErrorCodes.InvalidSchemaName)
            {
                // A rebuild's, which has ended meanwhile.
            }
        }

        return result;
    }

    private static IEnumerable<(string Form, string Guise)> Forms(string word)
    {
        yield return (word, "plain");
        var escaped = string.Concat(word.Select(c => c < 128 ? c.ToString() : $"\\u{(int)c:x4}"));
        if (escaped != word)
        {
            yield return (escaped, "escaped");
            yield return (escaped.Replace("\\", "\\\\", StringComparison.Ordinal), "escaped");
        }

        var bytes = Encoding.UTF8.GetBytes(word);
        for (var offset = 0; offset < 3; offset++)
        {
            // The characters of base64 that depend on the word alone, wherever in a text it stands.
            var encoded = Convert.ToBase64String([.. new byte[offset], .. bytes]);
            var from = offset == 0 ? 0 : offset + 1;
            var length = ((bytes.Length + offset) * 8 / 6) - from;
            if (length < 6)
                continue;
            var inner = encoded.Substring(from, length);
            yield return (inner, "base64");
            yield return (inner.Replace('+', '-').Replace('/', '_'), "base64");
        }
    }

    [GeneratedRegex(@"\\\\x((?:[0-9a-f]{2})+)")]
    private static partial Regex Hex();
}
