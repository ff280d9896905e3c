namespace Notify.Tests.Support;

using System.Collections;
using Microsoft.Playwright;

/// <summary>A headless Chromium of the distribution's, steered by Playwright, whose notifications appear on a
/// <see cref="Desktop"/>.</summary>
public sealed class Browser : IAsyncDisposable
{
    private readonly IPlaywright playwright;

    private Browser(IPlaywright playwright, IBrowserContext profile, Desktop desktop) =>
        (this.playwright, Profile, Desktop) = (playwright, profile, desktop);

    /// <summary>Its profile, a new one; a click on a notification finds its way only into a profile that is no private window.</summary>
    public IBrowserContext Profile { get; }

    /// <summary>Where its notifications appear.</summary>
    public Desktop Desktop { get; }

    /// <summary>Starts one in which a site may show notifications.</summary>
    public static async Task<Browser> StartAsync(Uri site)
    {
        var program = Find();
        var desktop = new Desktop();
        var playwright = await Playwright.CreateAsync();
        var environment = Environment
            .GetEnvironmentVariables()
            .Cast<DictionaryEntry>()
            .ToDictionary(e => (string)e.Key, e => (string?)e.Value ?? "");
        environment["DBUS_SESSION_BUS_ADDRESS"] = desktop.Address;
        var profile = await playwright.Chromium.LaunchPersistentContextAsync(
            "",
            new()
            {
                ExecutablePath = program,
                Env = environment,
                Args = Environment.IsPrivilegedProcess ? ["--no-sandbox"] : [], // Chromium's own sandbox does not run as root
            }
        );
        await profile.GrantPermissionsAsync(["notifications"], new() { Origin = site.GetLeftPart(UriPartial.Authority) });
        return new Browser(playwright, profile, desktop);
    }

    /// <summary>Hands a push message to the service worker of a page, as the browser does when one arrives.</summary>
    public static async Task PushAsync(IPage page, string message)
    {
        var session = await page.Context.NewCDPSessionAsync(page);
        var registered = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        session.Event("ServiceWorker.workerRegistrationUpdated").OnEvent += (_, e) =>
        {
            var registrations = e!.Value.GetProperty("registrations");
            if (registrations.GetArrayLength() > 0)
                registered.TrySetResult(registrations[0].GetProperty("registrationId").GetString()!);
        };
        await session.SendAsync("ServiceWorker.enable");
        await session.SendAsync(
            "ServiceWorker.deliverPushMessage",
            new()
            {
                ["origin"] = new Uri(page.Url).GetLeftPart(UriPartial.Authority),
                ["registrationId"] = await registered.Task.WaitAsync(Eventually.Patience),
                ["data"] = message,
            }
        );
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        await Profile.CloseAsync();
        playwright.Dispose();
        await Desktop.DisposeAsync();
    }

    private static string Find()
    {
        var named = Environment.GetEnvironmentVariable("NOTIFY_CHROMIUM");
        var folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator);
        var program = !string.IsNullOrEmpty(named)
            ? named
            : new[] { "chromium", "chromium-browser", "google-chrome" }
                .SelectMany(_ => folders, (name, folder) => Path.Combine(folder, name))
                .FirstOrDefault(File.Exists);
        Assert.True(
            File.Exists(program),
            "There is no Chromium, which this test needs: install it (Debian: apt-get install chromium), or name its program "
                + "in NOTIFY_CHROMIUM."
        );
        return program!;
    }
}
