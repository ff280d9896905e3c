namespace Notify.Api.Contract;

using Notify.Delivery.Monitoring;
using Notify.Delivery.Privacy;
using Notify.Domain.Channels;
using Npgsql;

/// <summary>Rules for the app that a device names.</summary>
public sealed class AppRules(NpgsqlDataSource database, TimeProvider clock)
{
    // Apple's limit of a bundle ID.
    private const int MaxLength = 155;

    private const string Rule = "must be the app's bundle ID: 1 to 155 of A-Z a-z 0-9 . -";
    private const string IosOnly = "only iOS devices name their app";
    private const string Upgrading = "cannot be stored yet, since hosts of the former version run; try again when they have stopped";

    /// <summary>Every fault of the app that a device names, as far as it shows without the installation's settings.</summary>
    /// <param name="ring">Tells whether every live host knows apps; <c>null</c>: they do.</param>
    public static IEnumerable<(string Field, string Fault)> Check(
        Platform? platform,
        string? app,
        PushEnvironment? environment,
        MasterKeyRing? ring
    )
    {
        if (app is null && environment is null)
            yield break;
        if (platform is not (null or Platform.Ios))
            yield return (app is null ? "Environment" : "App", IosOnly);
        else if (app is not null && !IsBundleId(app))
            yield return ("App", Rule);
        else if (ring is { Format.WritesApps: false })
            yield return (app is null ? "Environment" : "App", Upgrading);
    }

    /// <summary>Checks an app against those that a running Dispatch host has settings for.</summary>
    /// <returns>The fault; <c>null</c>: there is none, or no running host says what it has.</returns>
    public async Task<string?> FaultAsync(DeviceApp? app, CancellationToken cancellation)
    {
        return app is null ? null : FaultOf(app, await ConfiguredAsync(cancellation));
    }

    /// <summary>The apps that a running Dispatch host has settings for; <c>null</c>: none says so.</summary>
    public async Task<IReadOnlyList<CarriedApp>?> ConfiguredAsync(CancellationToken cancellation)
    {
        await using var connection = await database.OpenConnectionAsync(cancellation);
        return await CarriedApps.ReadAsync(connection, "apns", clock.GetUtcNow(), cancellation);
    }

    /// <summary>Returns the fault of an app that is not configured.</summary>
    /// <param name="all">The configured apps; <c>null</c>: not known.</param>
    public static string? FaultOf(DeviceApp app, IReadOnlyList<CarriedApp>? all) =>
        all is null || DeviceApp.Choose(app, [.. all.Select(a => (a.App, a.Environment))]) >= 0
            ? null
            : $"{app.Name} is no app that this installation has settings for; add it under Providers:Apns:Apps";

    private static bool IsBundleId(string text) =>
        text.Length is > 0 and <= MaxLength && text.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-');
}
