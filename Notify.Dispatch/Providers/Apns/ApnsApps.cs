namespace Notify.Dispatch.Providers.Apns;

using System.Security.Cryptography;
using Notify.Delivery.Monitoring;
using Notify.Domain.Channels;

/// <summary>Settings of a further app: <c>Providers:Apns:Apps:{name}</c>.</summary>
public sealed record ApnsAppOptions
{
    /// <summary>The app's bundle ID.</summary>
    public string Topic { get; init; } = "";

    /// <summary>Which of Apple's servers it is for, <c>production</c> or <c>sandbox</c>; production where it is not set.</summary>
    public string? Environment { get; init; }

    /// <summary>Another address of the service; else that of the provider where it has one of its own, else Apple's.</summary>
    public Uri? BaseUrl { get; init; }

    /// <summary>The developer team, with a key of its own; else all three are the provider's.</summary>
    public string? TeamId { get; init; }

    /// <summary>The signing key's ID.</summary>
    public string? KeyId { get; init; }

    /// <summary>The signing key, PKCS#8 PEM, P-256; or <see cref="PrivateKeyPath"/>.</summary>
    public string? PrivateKey { get; init; }

    /// <summary>The path of a file with the signing key.</summary>
    public string? PrivateKeyPath { get; init; }

    /// <summary>Whether it has a key of its own.</summary>
    public bool HasKey => TeamId is not null || KeyId is not null || PrivateKey is not null || PrivateKeyPath is not null;
}

/// <summary>An app that pushes are sent to.</summary>
/// <param name="Identity">Its name, and the app and environment of its devices.</param>
/// <param name="Key">The key that signs for it.</param>
public sealed record ApnsApp(CarriedApp Identity, Uri Address, string TeamId, string KeyId, ECDsa Key);

/// <summary>Reads the apps from the settings.</summary>
public static class ApnsApps
{
    /// <summary>The name of the provider's own settings among the apps.</summary>
    public const string Default = "default";

    // Apple: Sending notification requests to APNs, «Development server» and «Production server».
    private static readonly Uri Production = new("https://api.push.apple.com");
    private static readonly Uri Development = new("https://api.sandbox.push.apple.com");
    private static readonly string[] DevelopmentHosts = [Development.Host, "api.development.push.apple.com"];

    /// <summary>The provider's own settings as an app.</summary>
    public static ApnsApp Own(ApnsOptions options, ECDsa key)
    {
        var (environment, address) = Servers(options);
        return new ApnsApp(new CarriedApp(Default, options.Topic, environment), address, options.TeamId, options.KeyId, key);
    }

    /// <summary>The further apps; every fault is added to <paramref name="faults"/>.</summary>
    public static IReadOnlyList<ApnsApp> Further(ApnsOptions options, ECDsa key, string section, ICollection<string> faults)
    {
        var apps = new List<ApnsApp> { Own(options, key) };
        foreach (var (name, app) in options.Apps.OrderBy(a => a.Key, StringComparer.Ordinal))
        {
            var place = $"{section}:Apps:{name}";
            var before = faults.Count;
            var environment = Of(app.BaseUrl);
            if (app.Environment is { } text && !Enum.TryParse(text, ignoreCase: true, out environment))
                faults.Add($"{place}:Environment is \"{text}\"; give production or sandbox");
            if (app.Topic.Length == 0)
                faults.Add($"{place}:Topic is missing; it is the app's bundle ID");
            else if (apps.Any(a => (a.Identity.App, a.Identity.Environment) == (app.Topic, environment)))
                faults.Add($"{place} is set for {app.Topic} on {environment} as another app is; leave one of them out");
            CheckAddress(place, app.BaseUrl, faults);
            var (team, id, own) = app.HasKey ? OwnKey(app, place, faults) : (options.TeamId, options.KeyId, key);
            if (faults.Count == before)
                apps.Add(new ApnsApp(new CarriedApp(name, app.Topic, environment), Address(options, app, environment), team, id, own!));
        }

        return [.. apps.Skip(1)];
    }

    /// <summary>The servers of the provider's own settings.</summary>
    public static (PushEnvironment Environment, Uri Address) Servers(ApnsOptions options)
    {
        var environment = options.Environment ?? Of(options.BaseUrl);
        return (environment, options.BaseUrl ?? AddressOf(environment));
    }

    /// <summary>The environment of an address: that of Apple's servers for development is the sandbox.</summary>
    public static PushEnvironment Of(Uri? address) =>
        address is { IsAbsoluteUri: true } && DevelopmentHosts.Contains(address.Host, StringComparer.OrdinalIgnoreCase)
            ? PushEnvironment.Sandbox
            : PushEnvironment.Production;

    /// <summary>Apple's address of an environment.</summary>
    public static Uri AddressOf(PushEnvironment environment) => environment == PushEnvironment.Sandbox ? Development : Production;

    // An address that is none of Apple's plays both environments, so that nothing of a test goes to Apple.
    private static Uri Address(ApnsOptions options, ApnsAppOptions app, PushEnvironment environment) =>
        app.BaseUrl
        ?? (
            options.BaseUrl is { } other && other.Host != Production.Host && Of(other) == PushEnvironment.Production
                ? other
                : AddressOf(environment)
        );

    // As a whole: a key is of one team, and its ID names it.
    private static (string Team, string Id, ECDsa? Key) OwnKey(ApnsAppOptions app, string place, ICollection<string> faults)
    {
        if (app.TeamId is not { Length: > 0 })
            faults.Add($"{place}:TeamId is missing, though the app has a key of its own");
        if (app.KeyId is not { Length: > 0 })
            faults.Add($"{place}:KeyId is missing, though the app has a key of its own");
        return (app.TeamId ?? "", app.KeyId ?? "", ApnsOptions.ReadKey(place, app.PrivateKey, app.PrivateKeyPath, faults));
    }

    private static void CheckAddress(string place, Uri? address, ICollection<string> faults)
    {
        if (address is { IsAbsoluteUri: true } && (address.Scheme == Uri.UriSchemeHttps || address.Scheme == Uri.UriSchemeHttp))
            return;
        if (address is not null)
            faults.Add($"{place}:BaseUrl is \"{address}\"; give an address such as https://host");
    }
}
