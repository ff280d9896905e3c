using System.Text.Json;

namespace Notify.Sandbox.Keys;

/// <summary>
/// <c>settings --home DIR --into DIR --url URL --apns-url URL</c>: creates the keys that are missing, and writes the settings
/// by which Notify finds this sandbox, one file each, named as the setting is in the environment (<c>Notify:SettingsPath</c>).
/// </summary>
public static class SettingsCommand
{
    private const string Usage = "Usage: dotnet Notify.Sandbox.dll settings --home DIR --into DIR --url URL --apns-url URL";

    /// <summary>Returns the exit code: 0, or 2 when called wrongly.</summary>
    public static int Run(string[] options)
    {
        if (options is not ["--home", { Length: > 0 } home, "--into", { Length: > 0 } into, "--url", { Length: > 0 } url, "--apns-url", { Length: > 0 } apnsUrl])
        {
            Console.Error.WriteLine(Usage);
            return 2;
        }

        if (KeysCommand.Run(["--home", home, "--url", url]) is not 0 and var code) return code;
        var files = new SandboxFiles(home);
        var identity = JsonSerializer.Deserialize<SandboxIdentity>(File.ReadAllText(files.Identity), SandboxIdentity.Json)!;
        var vapid = JsonSerializer.Deserialize<VapidKeys>(File.ReadAllText(files.Vapid), SandboxIdentity.Json)!;
        Directory.CreateDirectory(into);
        foreach (var section in new[] { "Providers", "TestProviders" })
        {
            foreach (var (name, value) in Settings(files, identity, vapid, url, apnsUrl)) Write(Path.Combine(into, $"{section}__{name}"), value);
        }

        Console.WriteLine($"The settings for this sandbox are in {into}");
        return 0;
    }

    private static IEnumerable<(string Name, string Value)> Settings(SandboxFiles files, SandboxIdentity identity, VapidKeys vapid, string url, string apnsUrl) =>
    [
        ("Apns__BaseUrl", apnsUrl), ("Apns__TeamId", identity.ApnsTeamId), ("Apns__KeyId", identity.ApnsKeyId), ("Apns__Topic", identity.ApnsTopic),
        ("Apns__PrivateKeyPath", files.ApnsAuthKey), ("Apns__TrustedCaPath", files.ApnsCa),
        ("WebPush__Subject", vapid.Subject), ("WebPush__PublicKey", vapid.PublicKey), ("WebPush__PrivateKey", vapid.PrivateKey), ("WebPush__AllowPrivateNetworks", "true"),
        ("SendGrid__BaseUrl", url), ("SendGrid__ApiKey", identity.SendGridApiKey), ("SendGrid__From", identity.SendGridFrom),
        ("Fcm__BaseUrl", url), ("Fcm__ServiceAccountPath", files.FcmServiceAccount),
        ("Twilio__BaseUrl", url), ("Twilio__AccountSid", identity.TwilioAccountSid), ("Twilio__AuthToken", identity.TwilioAuthToken), ("Twilio__From", identity.TwilioFrom),
    ];

    private static void Write(string path, string text)
    {
        var options = new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        using var writer = new StreamWriter(path, options);
        writer.Write(text);
    }
}
