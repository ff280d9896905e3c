namespace Notify.Domain.Channels;

/// <summary>The servers of a platform that know a device's token.</summary>
public enum PushEnvironment
{
    /// <summary>For apps from a store or from TestFlight.</summary>
    Production,

    /// <summary>For apps that a developer installs from Xcode.</summary>
    Sandbox,
}

/// <summary>The app that a device's token belongs to: the platform takes the token for no other.</summary>
/// <remarks>Written only where every live host reads it (<c>StoreFormat</c>, form 4).</remarks>
/// <param name="Id">The app's bundle ID; <c>null</c>: that of the provider's own settings.</param>
/// <param name="Environment"><c>null</c>: production, or else the only one that the app is configured for.</param>
public sealed record DeviceApp(string? Id, PushEnvironment? Environment = null)
{
    /// <summary>Its name in events and answers.</summary>
    public string Name => $"{Id ?? "default"}{(Environment is { } e ? $" ({e.ToString().ToLowerInvariant()})" : "")}";

    /// <summary>The app that a device names; <c>null</c>: it names none.</summary>
    public static DeviceApp? Of(string? id, PushEnvironment? environment) =>
        id is null && environment is null ? null : new DeviceApp(id, environment);

    /// <summary>Chooses the settings for a device among those of an installation.</summary>
    /// <param name="app">The app that the device names; <c>null</c>: none.</param>
    /// <param name="all">The provider's own settings first, then those of its further apps.</param>
    /// <returns>Its place; -1: there are none for this app, and the device is sent nothing.</returns>
    public static int Choose(DeviceApp? app, IReadOnlyList<(string Id, PushEnvironment Environment)> all)
    {
        if (app is null)
            return all.Count > 0 ? 0 : -1;
        var found = -1;
        for (var i = 0; i < all.Count; i++)
        {
            if (all[i].Id != (app.Id ?? all[0].Id) || (app.Environment is { } named && named != all[i].Environment))
                continue;
            if (found < 0 || all[i].Environment == PushEnvironment.Production)
                found = i;
            if (all[found].Environment == PushEnvironment.Production)
                break;
        }

        return found;
    }
}
