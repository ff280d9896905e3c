namespace Notify.Bench;

using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;
using Npgsql;

/// <summary>Settings of a run: addresses and key from the environment, scenarios and sizes from the command line.</summary>
internal sealed record BenchSettings
{
    public const string Usage = """
        usage: Notify.Bench [--quick] [--scenario accept|push|batch|sms|e2e|latency|due|physical|crowd|muted]… [--count N] [--connections N] [--batch N]
                            [--users N] [--rate N] [--seconds N] [--due-rate N] [--markdown]
        environment: NOTIFY_API, NOTIFY_SANDBOX, NOTIFY_APPKEY, NOTIFY_APPSECRET, NOTIFY_DATABASE; optional NOTIFY_DISPATCH, NOTIFY_PROJECTIONS
        crowd is a broadcast to --count people, muted one to as many without a device; neither runs unless it is asked for.
        The sandbox's ledger is emptied.
        """;

    /// <summary>Every scenario, in the order of the report; <c>e2e</c> stands for the middle three.</summary>
    public static readonly string[] AllScenarios = ["accept", "push", "batch", "sms", "latency", "due", "physical"];

    public required Uri Api { get; init; }
    public required Uri Sandbox { get; init; }
    public Uri? Dispatch { get; init; }
    public Uri? Projections { get; init; }
    public required string Authorization { get; init; }
    public required string ClientId { get; init; }
    public required string Database { get; init; }
    public required IReadOnlyList<string> Scenarios { get; init; }
    public required int Count { get; init; }
    public required int SmsCount { get; init; }
    public required int Users { get; init; }
    public required int Seconds { get; init; }
    public int Rate { get; init; } = 200;
    public required int DueSeconds { get; init; }
    public int DueRate { get; init; } = 1000;
    public int Connections { get; init; } = 96;
    public int Batch { get; init; } = 100;
    public bool Markdown { get; init; }

    public static bool TryRead(string[] args, [NotNullWhen(true)] out BenchSettings? settings, [NotNullWhen(false)] out string? fault)
    {
        settings = null;
        var flags = new HashSet<string>(StringComparer.Ordinal);
        var scenarios = new List<string>();
        var numbers = new Dictionary<string, int>(StringComparer.Ordinal);
        for (var i = 0; i < args.Length; i++)
        {
            switch (args[i])
            {
                case "--quick" or "--markdown":
                    flags.Add(args[i]);
                    break;
                case "--scenario"
                    when i + 1 < args.Length && (args[i + 1] is "e2e" or "crowd" or "muted" || AllScenarios.Contains(args[i + 1])):
                    scenarios.AddRange(args[++i] == "e2e" ? ["push", "batch", "sms"] : [args[i]]);
                    break;
                case "--count"
                or "--connections"
                or "--batch"
                or "--users"
                or "--rate"
                or "--seconds"
                or "--due-rate"
                    when i + 1 < args.Length
                        && int.TryParse(args[i + 1], NumberStyles.None, CultureInfo.InvariantCulture, out var number)
                        && number > 0:
                    numbers[args[i++]] = number;
                    break;
                default:
                    fault = $"\"{args[i]}\" is not understood\n{Usage}";
                    return false;
            }
        }

        string[] required = ["NOTIFY_API", "NOTIFY_SANDBOX", "NOTIFY_APPKEY", "NOTIFY_APPSECRET", "NOTIFY_DATABASE"];
        var missing = required.Where(name => Variable(name) is null).ToList();
        if (missing.Count > 0)
        {
            fault = $"{string.Join(", ", missing)} not set; ./notify bench sets them\n{Usage}";
            return false;
        }

        foreach (var name in new[] { "NOTIFY_API", "NOTIFY_SANDBOX", "NOTIFY_DISPATCH", "NOTIFY_PROJECTIONS" })
        {
            if (
                Variable(name) is not { } text
                || Uri.TryCreate(text, UriKind.Absolute, out var address) && address.Scheme == Uri.UriSchemeHttp
            )
                continue;
            fault = $"{name} is \"{text}\"; give an address such as http://127.0.0.1:5080";
            return false;
        }

        var quick = flags.Contains("--quick");
        var count = numbers.GetValueOrDefault("--count", quick ? 5_000 : 30_000);
        settings = new BenchSettings
        {
            Api = new Uri(Variable("NOTIFY_API")!),
            Sandbox = new Uri(Variable("NOTIFY_SANDBOX")!),
            Dispatch = Variable("NOTIFY_DISPATCH") is { } dispatch ? new Uri(dispatch) : null,
            Projections = Variable("NOTIFY_PROJECTIONS") is { } projections ? new Uri(projections) : null,
            Authorization =
                "Basic " + Convert.ToBase64String(Encoding.UTF8.GetBytes($"{Variable("NOTIFY_APPKEY")}:{Variable("NOTIFY_APPSECRET")}")),
            ClientId = Variable("NOTIFY_APPKEY")!,
            Database = new NpgsqlConnectionStringBuilder(Variable("NOTIFY_DATABASE")) { ApplicationName = "notify-bench" }.ConnectionString,
            Scenarios = scenarios.Count > 0 ? scenarios : AllScenarios,
            Count = count,
            SmsCount = numbers.ContainsKey("--count") ? count : count / 2,
            Users = numbers.GetValueOrDefault("--users", quick ? 200 : 1_000),
            Seconds = numbers.GetValueOrDefault("--seconds", quick ? 8 : 30),
            Rate = numbers.GetValueOrDefault("--rate", 200),
            DueSeconds = quick ? 5 : 10,
            DueRate = numbers.GetValueOrDefault("--due-rate", 1000),
            Connections = numbers.GetValueOrDefault("--connections", 96),
            Batch = Math.Min(numbers.GetValueOrDefault("--batch", 100), 1000),
            Markdown = flags.Contains("--markdown"),
        };
        fault = null;
        return true;
    }

    private static string? Variable(string name) => Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? value : null;
}
