namespace Notify.Tests.Reliability;

using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Notify.Tests.Support;

/// <summary>The figures of one case: one line of the report.</summary>
internal sealed record FaultFigures
{
    public required string Case { get; init; }

    public required string Transport { get; init; }

    /// <summary>Faults that were made.</summary>
    public int Rounds { get; set; }

    /// <summary>How long each fault or load lasted, in seconds; 0 for a kill.</summary>
    public double Seconds { get; init; }

    /// <summary>Notifications a second that were asked for.</summary>
    public int Rate { get; init; }

    public long Accepted { get; set; }

    /// <summary>Accepted, and neither sent nor ended for a reason that the stream names.</summary>
    public long Lost { get; set; }

    public long SmsTwice { get; set; }

    public long MailTwice { get; set; }

    /// <summary>Sent after a cancel was answered with 200.</summary>
    public long CancelledSent { get; set; }

    /// <summary>Sent after the expiry.</summary>
    public long ExpiredSent { get; set; }

    /// <summary>The latest that a provider received one after its expiry, in seconds.</summary>
    public double LatestAfterExpiry { get; set; }

    /// <summary>Sent before their time.</summary>
    public long Early { get; set; }

    /// <summary>SMS and emails whose outcome stayed unknown until the deadline, and that no provider received.</summary>
    public long NeverKnown { get; set; }

    /// <summary>Requests at providers of an earlier round's notifications, or of none.</summary>
    public long Strangers { get; set; }

    /// <summary>Requests that were answered with neither success nor "come again".</summary>
    public long Refused { get; set; }

    /// <summary>Pushes that a provider accepted more than once.</summary>
    public long PushRepeats { get; set; }

    /// <summary>Those of them that were not in flight at a fault, and whose call did not go unanswered.</summary>
    public long PushRepeatsOutside { get; set; }

    /// <summary>Those of them whose stream says that the call got no answer in time.</summary>
    public long PushRepeatsUnanswered { get; set; }

    /// <summary>Those of them with different collapse IDs.</summary>
    public long PushRepeatsUncollapsed { get; set; }

    /// <summary>The 99th percentile from request to provider, in ms, by channel: requested while there was no fault.</summary>
    public IDictionary<string, double> P99 { get; init; } = new SortedDictionary<string, double>();

    /// <summary>The same of those requested during a fault and the host time-out after it.</summary>
    public IDictionary<string, double> P99During { get; init; } = new SortedDictionary<string, double>();

    public long VerifyFaults { get; set; }

    /// <summary>A measurement that only this case makes.</summary>
    public string? Note { get; set; }

    /// <summary><c>passed</c>, or the reason why not.</summary>
    public string Outcome { get; set; } = "passed";

    public string Machine { get; set; } = "";

    public DateTimeOffset At { get; init; } = TimeProvider.System.GetUtcNow();
}

/// <summary>The report of the fault suite: a file with a line of JSON for each case, and beside it the same as a Markdown table.</summary>
internal static class FaultReport
{
    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web)
    {
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    };

    private static string Path { get; } =
        Environment.GetEnvironmentVariable("NOTIFY_FAULT_REPORT") is { Length: > 0 } path
            ? path
            : System.IO.Path.Combine(Repository.Home, "faults.jsonl");

    /// <summary>Appends a line, and writes the table anew.</summary>
    public static async Task AddAsync(FaultFigures figures)
    {
        figures.Machine = $"{Environment.ProcessorCount} cores, load average {await MachineLoad.AverageAsync()}";
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(Path))!);
        await File.AppendAllTextAsync(Path, JsonSerializer.Serialize(figures, Json) + "\n");
        var all = (await File.ReadAllLinesAsync(Path)).Select(line => JsonSerializer.Deserialize<FaultFigures>(line, Json)!);
        var table = Table([.. all.GroupBy(f => (f.Case, f.Transport)).Select(g => g.Last())]);
        await File.WriteAllTextAsync(System.IO.Path.ChangeExtension(Path, ".md"), table);
    }

    /// <summary>A Markdown table with the last figures of each case.</summary>
    public static string Table(IReadOnlyList<FaultFigures> figures)
    {
        var table = new StringBuilder();
        table.AppendLine(
            "| case | transport | faults | s | a second | accepted | lost | SMS, mail twice | cancelled, expired, early sent "
                + "| never known | push repeats | verify | p99 ms push / SMS / email | p99 ms during faults | outcome |"
        );
        table.AppendLine("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
        foreach (var f in figures)
        {
            table.AppendLine(
                CultureInfo.InvariantCulture,
                $"| {f.Case} | {f.Transport} | {f.Rounds} | {f.Seconds:0} | {f.Rate} "
                    + $"| {f.Accepted} | {f.Lost} | {f.SmsTwice}, {f.MailTwice} | {f.CancelledSent}, {f.ExpiredSent}, {f.Early} "
                    + $"| {f.NeverKnown} | {f.PushRepeats} | {f.VerifyFaults} | {Of(f.P99)} | {Of(f.P99During)} | {Outcome(f)} |"
            );
        }

        return table.ToString();
    }

    private static string Outcome(FaultFigures f) =>
        (f.Note is null ? f.Outcome : $"{f.Outcome}; {f.Note}").Replace("|", "/", StringComparison.Ordinal).ReplaceLineEndings(" ");

    private static string Of(IDictionary<string, double> p99) =>
        string.Join(
            " / ",
            new[] { "push", "sms", "email" }.Select(channel =>
                p99.TryGetValue(channel, out var ms) ? ms.ToString("0", CultureInfo.InvariantCulture) : "–"
            )
        );
}
