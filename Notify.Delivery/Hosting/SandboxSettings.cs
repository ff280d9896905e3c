namespace Notify.Delivery.Hosting;

using Microsoft.Extensions.Configuration;
using Notify.Infrastructure.Networking;

/// <summary>The address of the sandbox, and whether live clients' deliveries go to it.</summary>
/// <remarks>Settings: <c>Notify:LiveToSandbox</c> and <c>Notify:SandboxUrl</c>, the same for all hosts.</remarks>
/// <param name="TakesLive">Whether a lane without a live provider is carried by the sandbox for live clients, too.</param>
/// <param name="Url">The sandbox's origin: the one address outside of the machine that may be called over plain http.</param>
public sealed record SandboxSettings(bool TakesLive, Uri? Url)
{
    /// <summary>The switch's setting.</summary>
    public const string Switch = "Notify:LiveToSandbox";

    private const string Address = "Notify:SandboxUrl";

    private static readonly string[] Sections = ["Providers", "TestProviders"];

    /// <summary>Reads the settings; every fault is added to <paramref name="faults"/>.</summary>
    /// <returns>The settings, and whether subscriptions of browsers may lead into private networks.</returns>
    public static SandboxSettings Read(IConfiguration configuration, ICollection<string> faults)
    {
        var takesLive = false;
        if (configuration[Switch] is { Length: > 0 } text && !bool.TryParse(text, out takesLive))
            faults.Add($"{Switch} is \"{text}\"; give true or false");
        Uri? url = null;
        if (
            configuration[Address] is { Length: > 0 } address
            && !(Uri.TryCreate(address, UriKind.Absolute, out url) && url.Scheme is "http" or "https" && url.UserInfo.Length == 0)
        )
            faults.Add($"{Address} is not an address such as http://sandbox:5090");
        foreach (var section in Sections.Where(s => !takesLive && AllowsPrivateNetworks(configuration, s)))
            faults.Add(
                $"{section}:WebPush:AllowPrivateNetworks is true, and {Switch} is not; take it out, "
                    + $"and name the sandbox in {Address} where its own subscriptions are to be reached"
            );
        return new SandboxSettings(takesLive, url);
    }

    /// <summary>Whether subscriptions of browsers may lead into private networks, for live or for test clients.</summary>
    public bool AllowsPrivateNetworks(IConfiguration configuration) =>
        TakesLive && Sections.Any(s => AllowsPrivateNetworks(configuration, s));

    /// <summary>Whether an address is the sandbox's.</summary>
    public bool IsAt(Uri address) => Url is not null && OutboundGuard.IsSameOrigin(Url, address);

    private static bool AllowsPrivateNetworks(IConfiguration configuration, string section) =>
        bool.TryParse(configuration[$"{section}:WebPush:AllowPrivateNetworks"], out var allow) && allow;
}
