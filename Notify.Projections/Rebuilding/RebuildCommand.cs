namespace Notify.Projections.Rebuilding;

using Marten;
using Microsoft.Extensions.DependencyInjection;
using Notify.Delivery.Privacy;
using Npgsql;

/// <summary>
/// The commands <c>rebuild NAME</c> and <c>rebuild snapshots KEY…</c>; <c>u/</c> and a user's ID name the user's stream.
/// </summary>
public static class RebuildCommand
{
    /// <summary>Exit code for wrong usage.</summary>
    public const int WrongUsage = 2;

    /// <summary>Rebuilds the read model that is named; says which there are when none, or an unknown one, is.</summary>
    /// <returns>The exit code.</returns>
    public static async Task<int> RunAsync(
        IServiceProvider services,
        string[] names,
        TextWriter output,
        CancellationToken cancellation = default
    )
    {
        var database = services.GetRequiredService<NpgsqlDataSource>();
        var all = RebuildableProjections.All(services.GetRequiredService<MasterKeyRing>());
        if (names is [SnapshotRebuild.Name, .. { Length: > 0 } keys])
            return await new SnapshotRebuild(services.GetRequiredService<IDocumentStore>(), output).RunAsync(
                await services.GetRequiredService<UserReferences>().FindStreamsAsync(keys, cancellation),
                cancellation
            );
        if (names is [var name] && all.FirstOrDefault(p => p.Name == name) is { } projection)
            return await new Rebuild(services.GetRequiredService<IDocumentStore>(), database, projection, output).RunAsync(cancellation);
        await Console.Error.WriteLineAsync(
            (
                names is [var unknown]
                    ? $"notify: there is no projection \"{unknown}\"; "
                    : "notify: rebuild takes the name of one projection; "
            )
                + $"there are {string.Join(" and ", all.Select(p => p.Name))}, "
                + "and snapshots KEY..., for documents that verify found to differ from their streams"
        );
        return WrongUsage;
    }
}
