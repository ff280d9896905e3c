namespace Notify.Tests.Architecture;

using System.Text.RegularExpressions;
using ArchUnitNET.Loader;
using Notify.Tests.Support;
using Assembly = System.Reflection.Assembly;

/// <summary>The rooms and what each may use; see docs/architecture.md.</summary>
public sealed partial class LayeringTests
{
    private static readonly string[] Rooms =
    [
        "Notify.Domain",
        "Notify.Infrastructure",
        "Notify.Delivery",
        "Notify.Projections",
        "Notify.Api",
        "Notify.Dispatch",
    ];

    /// <summary>Each room, and the rooms that it may use.</summary>
    public static TheoryData<string, string[]> MayUse { get; } =
        new()
        {
            { "Notify.Domain", [] },
            { "Notify.Infrastructure", [] },
            { "Notify.Delivery", ["Notify.Domain", "Notify.Infrastructure"] },
            { "Notify.Projections", ["Notify.Domain", "Notify.Infrastructure", "Notify.Delivery"] },
            { "Notify.Api", ["Notify.Domain", "Notify.Infrastructure", "Notify.Delivery", "Notify.Projections"] },
            { "Notify.Dispatch", ["Notify.Domain", "Notify.Infrastructure", "Notify.Delivery"] },
        };

    [Theory]
    [MemberData(nameof(MayUse))]
    public void Room_uses_only_the_rooms_below_it(string room, string[] allowed)
    {
        var used = Assembly.Load(room).GetReferencedAssemblies().Select(a => a.Name!).Where(n => Rooms.Contains(n));
        Assert.Empty(used.Except(allowed));
        var project = File.ReadAllText(Path.Combine(Repository.Root, room, $"{room}.csproj"));
        Assert.Empty(ProjectReferences().Matches(project).Select(m => m.Groups[1].Value).Except(allowed));
    }

    [Fact]
    public void Namespaces_have_no_cycle()
    {
        var architecture = new ArchLoader().LoadAssemblies([.. Rooms.Select(Assembly.Load)]).Build();
        var edges = new Dictionary<string, HashSet<string>>(StringComparer.Ordinal);
        var examples = new SortedSet<string>(StringComparer.Ordinal);
        foreach (var type in architecture.Types.Where(t => IsOurs(t.Namespace?.FullName)))
        {
            foreach (var target in type.Dependencies.Select(d => d.Target).Where(t => IsOurs(t.Namespace?.FullName)))
            {
                if (target.Namespace.FullName == type.Namespace.FullName)
                    continue;
                Of(type.Namespace.FullName).Add(target.Namespace.FullName);
                examples.Add($"{type.FullName} uses {target.FullName}");
            }
        }

        Assert.True(edges.Count > 40, "The types were not loaded.");
        var cycles = CyclesOf(edges);
        var names = cycles.SelectMany(c => c.Split(", ")).ToHashSet(StringComparer.Ordinal);
        var inside = examples.Where(e => e.Split(" uses ").All(t => names.Contains(t[..t.LastIndexOf('.')])));
        Assert.True(cycles.Count == 0, string.Join('\n', [.. cycles, .. inside]));

        static bool IsOurs(string? name) =>
            name is not null && Rooms.Any(r => name == r || name.StartsWith($"{r}.", StringComparison.Ordinal));

        HashSet<string> Of(string name) =>
            edges.TryGetValue(name, out var set) ? set : edges[name] = new HashSet<string>(StringComparer.Ordinal);
    }

    [Fact]
    public void Cycle_is_found()
    {
        Dictionary<string, HashSet<string>> edges = new()
        {
            ["A"] = ["B"],
            ["B"] = ["C"],
            ["C"] = ["B", "D"],
            ["D"] = [],
        };
        Assert.Equal(["B, C"], CyclesOf(edges));
    }

    [Fact]
    public void Namespace_is_its_folder()
    {
        var wrong = new List<string>();
        foreach (var room in Rooms)
        {
            foreach (var file in SourcesOf(Path.Combine(Repository.Root, room)))
            {
                var folder = Path.GetRelativePath(Repository.Root, Path.GetDirectoryName(file)!).Replace(Path.DirectorySeparatorChar, '.');
                var match = Namespaces().Match(File.ReadAllText(file));
                if (match.Success ? match.Groups[1].Value != folder : Path.GetFileName(file) != "Program.cs")
                    wrong.Add(Path.GetRelativePath(Repository.Root, file));
            }
        }

        Assert.Empty(wrong);
    }

    private static IEnumerable<string> SourcesOf(string folder) =>
        Directory
            .EnumerateFiles(folder, "*.cs", SearchOption.AllDirectories)
            .Where(f => !Path.GetRelativePath(folder, f).Split(Path.DirectorySeparatorChar).Any(p => p is "bin" or "obj" or "Generated"));

    // Strongly connected components of more than one namespace: those that reach each other.
    private static List<string> CyclesOf(Dictionary<string, HashSet<string>> edges)
    {
        var reaches = edges.Keys.ToDictionary(n => n, n => ReachedFrom(n, edges), StringComparer.Ordinal);
        return
        [
            .. edges
                .Keys.Select(n =>
                    string.Join(
                        ", ",
                        reaches[n].Where(m => reaches.TryGetValue(m, out var back) && back.Contains(n)).Order(StringComparer.Ordinal)
                    )
                )
                .Where(c => c.Contains(',', StringComparison.Ordinal))
                .Distinct()
                .Order(StringComparer.Ordinal),
        ];
    }

    private static HashSet<string> ReachedFrom(string start, Dictionary<string, HashSet<string>> edges)
    {
        var (reached, next) = (new HashSet<string>(StringComparer.Ordinal), new Stack<string>([start]));
        while (next.TryPop(out var name))
        {
            foreach (var target in edges.GetValueOrDefault(name) ?? [])
            {
                if (reached.Add(target))
                    next.Push(target);
            }
        }

        return reached;
    }

    [GeneratedRegex(@"^namespace ([\w.]+);", RegexOptions.Multiline)]
    private static partial Regex Namespaces();

    [GeneratedRegex("<ProjectReference Include=\"[^\"]*/([^/\"]+)\\.csproj\"")]
    private static partial Regex ProjectReferences();
}
