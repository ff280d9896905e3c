namespace Notify.Delivery.Monitoring;

using System.Text.Json;
using Notify.Domain.Channels;
using Notify.Infrastructure.Json;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>An app that a provider has settings for.</summary>
/// <param name="Name">Its name in the settings; <c>default</c>: the provider's own.</param>
/// <param name="App">Its bundle ID.</param>
/// <param name="Environment">Which of the platform's servers it is for.</param>
public sealed record CarriedApp(string Name, string App, PushEnvironment Environment);

/// <summary>The apps that running Dispatch hosts announce: <c>notify.carried_providers.apps</c>.</summary>
public static class CarriedApps
{
    /// <summary>The apps of a provider, the default one first.</summary>
    /// <returns><c>null</c>: no running host announces any.</returns>
    public static async Task<IReadOnlyList<CarriedApp>?> ReadAsync(
        NpgsqlConnection connection,
        string provider,
        DateTimeOffset now,
        CancellationToken cancellation
    )
    {
        await using var command = SqlCommands.Create(
            connection,
            "select apps from notify.carried_providers where provider = $1 and seen_at > $2 and apps is not null",
            provider,
            now - ProviderHealthReader.Window
        );
        return await command.ExecuteScalarAsync(cancellation) is string json ? Parse(json) : null;
    }

    /// <summary>Writes apps as JSON.</summary>
    internal static string? Write(IReadOnlyList<CarriedApp>? apps) =>
        apps is null ? null : JsonSerializer.Serialize(apps, NotifyJson.Options);

    /// <summary>Reads apps from JSON.</summary>
    internal static IReadOnlyList<CarriedApp>? Parse(string json) => JsonSerializer.Deserialize<List<CarriedApp>>(json, NotifyJson.Options);
}
