namespace Notify.Bench;

using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

/// <summary>The sandbox's ledger of messages that its providers received.</summary>
internal sealed class Ledger(HttpClient http, Uri sandbox)
{
    private const int Page = 5_000;
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    /// <summary>Empties it.</summary>
    public async Task ClearAsync()
    {
        using var response = await http.DeleteAsync(new Uri(sandbox, "/ledger"));
        response.EnsureSuccessStatusCode();
    }

    /// <summary>Waits until the providers have accepted as many; gives up when for a minute nothing more comes.</summary>
    /// <param name="text">Of what mentions it; of all, where none is given.</param>
    public async Task DrainAsync(int count, string text = "")
    {
        var (last, since) = (-1L, Stopwatch.StartNew());
        while (true)
        {
            var accepted = await AcceptedAsync(text);
            if (accepted >= count)
                return;
            if (accepted > last)
                (last, since) = (accepted, Stopwatch.StartNew());
            else if (since.Elapsed > Patience)
                return;
            await Task.Delay(Poll);
        }
    }

    /// <summary>How many the providers have accepted.</summary>
    /// <param name="text">Of what mentions it.</param>
    public async Task<long> AcceptedAsync(string text)
    {
        await using var body = await http.GetStreamAsync(new Uri(sandbox, $"/ledger/summary?text={text}"));
        using var summary = await JsonDocument.ParseAsync(body);
        return summary.RootElement.GetProperty("accepted").GetInt64();
    }

    /// <summary>When each notification of a run was received by its provider for the first time, and how often.</summary>
    public async Task<Receipts> ReadAsync(string marker, int count)
    {
        var receipts = new Receipts(new DateTimeOffset[count], new int[count]);
        for (var after = 0L; ; )
        {
            var address = string.Create(CultureInfo.InvariantCulture, $"/ledger?after={after}&limit={Page}");
            await using var body = await http.GetStreamAsync(new Uri(sandbox, address));
            using var page = await JsonDocument.ParseAsync(body);
            var entries = page.RootElement.GetProperty("entries");
            foreach (var entry in entries.EnumerateArray())
            {
                after = entry.GetProperty("sequence").GetInt64();
                if (
                    entry.GetProperty("outcome").GetString() != "accepted"
                    || Number(entry.GetProperty("text").GetString(), marker) is not { } n
                    || n >= count
                )
                    continue;
                if (receipts.Times[n]++ == 0)
                    receipts.At[n] = entry.GetProperty("receivedAt").GetDateTimeOffset();
            }

            if (entries.GetArrayLength() < Page)
                return receipts;
        }
    }

    private static int? Number(string? text, string marker)
    {
        var at = text?.IndexOf(marker + "-", StringComparison.Ordinal) ?? -1;
        return at >= 0 && int.TryParse(text.AsSpan(at + marker.Length + 1, 7), NumberStyles.None, CultureInfo.InvariantCulture, out var n)
            ? n
            : null;
    }

    /// <summary>Receptions by the providers, by the number of the notification.</summary>
    public sealed record Receipts(DateTimeOffset[] At, int[] Times)
    {
        /// <summary>Those that no provider received.</summary>
        public int Missing => Times.Count(t => t == 0);

        /// <summary>Those that a provider accepted more than once.</summary>
        public int Twice => Times.Count(t => t > 1);

        /// <summary>When the last one was received.</summary>
        public DateTimeOffset Last => At.Max();
    }
}
