namespace Notify.Dispatch;

using Microsoft.Extensions.Configuration.KeyPerFile;
using Notify.Delivery.Hosting;
using Notify.Domain.Channels;

/// <summary>
/// Decides which settings a provider gets: <c>Providers:X</c> for live clients, the sandbox's (<c>TestProviders:X</c>) for test
/// clients, each as a whole. Live clients get the sandbox's only where <see cref="SandboxSettings.TakesLive"/> says so, and only on
/// lanes that have no provider of their own.
/// </summary>
public static class ProviderSources
{
    private const string Live = "Providers",
        Test = "TestProviders",
        ReceiptsUrl = "ReceiptsUrl",
        SandboxUrl = "WebPush:SandboxUrl";

    // Settings that say where a provider's secrets go.
    private static readonly string[] Addresses = ["BaseUrl", "ReportsUrl", "Host"];

    /// <summary>Checks where settings come from and lead to, and gives live clients the sandbox's where they are to have them.</summary>
    /// <param name="configuration">Gets <c>Providers:X</c> of the providers that the sandbox plays for live clients.</param>
    /// <param name="faults">Gets every fault.</param>
    /// <returns>The names of the providers that the sandbox plays for live clients.</returns>
    public static IReadOnlySet<string> Apply(ConfigurationManager configuration, SandboxSettings sandbox, ICollection<string> faults)
    {
        if (configuration[$"{Live}:{SandboxUrl}"] is not null)
            faults.Add($"{Live}:{SandboxUrl} is no setting; take it out");
        foreach (var section in new[] { Live, Test }.SelectMany(s => configuration.GetSection(s).GetChildren()))
        {
            CheckSources(configuration, section, faults);
            CheckAddresses(section, sandbox, faults);
        }

        if (sandbox.Url is not null && configuration.GetSection($"{Test}:WebPush").Exists())
            configuration.AddInMemoryCollection([new($"{Test}:{SandboxUrl}", sandbox.Url.AbsoluteUri)]);
        var played = new HashSet<string>(sandbox.TakesLive ? Played(configuration) : [], StringComparer.OrdinalIgnoreCase);
        var settings = played.SelectMany(name => configuration.GetSection($"{Test}:{name}").AsEnumerable()).Where(s => s.Value is not null);
        configuration.AddInMemoryCollection([
            .. settings.Select(s => new KeyValuePair<string, string?>(s.Key[(Test.Length - Live.Length)..], s.Value)),
        ]);
        return played;
    }

    /// <summary>Logs at every start that live clients' deliveries may go to the sandbox.</summary>
    /// <param name="lanes">Those of which they do.</param>
    public static void Warn(ILogger log, SandboxSettings sandbox, IReadOnlyCollection<Lane> lanes)
    {
        if (!sandbox.TakesLive)
            return;
        log.LogWarning(
            "{Switch} is on: what live clients send goes to the sandbox on {Lanes}. Switch it off before you send for real.",
            SandboxSettings.Switch,
            lanes.Count == 0 ? "no lane now, and on each that loses its provider" : string.Join(", ", lanes).ToLowerInvariant()
        );
    }

    private static IEnumerable<string> Played(IConfiguration configuration)
    {
        var own = Names(Live).Select(Adapters.LaneOf).ToHashSet();
        return Names(Test).Where(name => Adapters.LaneOf(name) is { } lane && !own.Contains(lane));

        List<string> Names(string section) => [.. configuration.GetSection(section).GetChildren().Select(s => s.Key)];
    }

    // Settings merged field by field send one account's secrets to another one's address.
    private static void CheckSources(ConfigurationManager configuration, IConfigurationSection section, ICollection<string> faults)
    {
        List<string> files = [],
            others = [];
        foreach (var source in ((IConfigurationRoot)configuration).Providers)
            (source is KeyPerFileConfigurationProvider ? files : others).AddRange(Keys(source, section.Path));
        if (files.Count == 0 || others.Count == 0)
            return;
        if (section.Path.StartsWith(Live, StringComparison.OrdinalIgnoreCase) && !files.Concat(others).Any(IsAddress))
            return;
        faults.Add(
            $"{section.Path} is set partly in Notify:SettingsPath ({string.Join(", ", files.Distinct())}) and partly elsewhere "
                + $"({string.Join(", ", others.Distinct())}); set all of it in one place"
        );

        bool IsAddress(string key) => Addresses.Contains(key.Split(':')[^1], StringComparer.OrdinalIgnoreCase);
    }

    // A source's settings under a section, those of its apps among them.
    private static IEnumerable<string> Keys(IConfigurationProvider source, string path) =>
        source
            .GetChildKeys([], path)
            .Distinct()
            .SelectMany(key =>
                Keys(source, $"{path}:{key}").Select(below => $"{key}:{below}") is var deeper && deeper.Any() ? deeper : [key]
            );

    private static void CheckAddresses(IConfigurationSection section, SandboxSettings sandbox, ICollection<string> faults)
    {
        var isTest = section.Path.StartsWith(Test, StringComparison.OrdinalIgnoreCase);
        foreach (var (path, value) in section.AsEnumerable())
        {
            if (path.EndsWith($":{ReceiptsUrl}", StringComparison.OrdinalIgnoreCase))
                continue; // where the provider calls us
            if (!Uri.TryCreate(value, UriKind.Absolute, out var url) || url.Scheme != Uri.UriSchemeHttp || url.IsLoopback)
                continue;
            if (isTest && sandbox.IsAt(url))
                continue;
            faults.Add(
                $"{path} is http://{url.Authority}, where secrets would go unencrypted; give an https address"
                    + (isTest ? ", or name the sandbox in Notify:SandboxUrl" : "")
            );
        }
    }
}
