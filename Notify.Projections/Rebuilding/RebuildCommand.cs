using Marten;
using Microsoft.Extensions.DependencyInjection;
using Notify.Projections.Privacy;
using Npgsql;

namespace Notify.Projections.Rebuilding;

/// <summary>The command <c>rebuild NAME</c>.</summary>
public static class RebuildCommand
{
    /// <summary>Exit code for wrong usage.</summary>
    public const int WrongUsage = 2;

    /// <summary>Rebuilds the read model that is named; says which there are when none, or an unknown one, is.</summary>
    /// <returns>The exit code.</returns>
    public static async Task<int> RunAsync(IServiceProvider services, IReadOnlyList<string> names, TextWriter output, CancellationToken cancellation = default)
    {
        var database = services.GetRequiredService<NpgsqlDataSource>();
        var all = RebuildableProjections.All(services.GetRequiredService<MasterKeyRing>(), database);
        try
        {
            if (names is [var name] && all.FirstOrDefault(p => p.Name == name) is { } projection)
                return await new Rebuild(services.GetRequiredService<IDocumentStore>(), database, projection, output).RunAsync(cancellation);
            await Console.Error.WriteLineAsync(
                $"notify: {(names is [var unknown] ? $"there is no projection \"{unknown}\"" : "rebuild takes the name of one projection")}; there are {string.Join(" and ", all.Select(p => p.Name))}");
            return WrongUsage;
        }
        finally
        {
            foreach (var disposable in all.OfType<IDisposable>()) disposable.Dispose();
        }
    }
}
