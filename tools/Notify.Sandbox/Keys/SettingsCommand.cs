namespace Notify.Sandbox.Keys;

using System.Text.Json;

/// <summary>
/// <c>settings --home DIR --into DIR --url URL --apns-url URL [--smtp-url URL] [--carriers LIST]</c>: creates the keys that are
/// missing, and writes the settings by which Notify finds this sandbox, one file each, named as the setting is in the
/// environment (<c>Notify:SettingsPath</c>): those of test clients' providers alone. <c>--carriers</c> says which providers of SMS
/// and email the sandbox plays (<c>twilio,sendgrid</c>).
/// </summary>
public static class SettingsCommand
{
    private const string Usage =
        "Usage: dotnet Notify.Sandbox.dll settings --home DIR --into DIR --url URL --apns-url URL [--smtp-url URL] [--carriers LIST]";
    private static readonly string[] Sms = ["twilio", "vonage"];
    private static readonly string[] Email = ["sendgrid", "mailchimp", "smtp"];

    /// <summary>Returns the exit code: 0, or 2 when called wrongly.</summary>
    public static int Run(string[] options)
    {
        var given = options
            .Chunk(2)
            .Where(pair => pair.Length == 2 && pair[1].Length > 0)
            .DistinctBy(pair => pair[0])
            .ToDictionary(pair => pair[0], pair => pair[1]);
        var carriers = given
            .GetValueOrDefault("--carriers", "twilio,sendgrid")
            .ToLowerInvariant()
            .Split(',', StringSplitOptions.TrimEntries);
        if (
            given.Count * 2 != options.Length
            || given.Keys.Except(["--home", "--into", "--url", "--apns-url", "--smtp-url", "--carriers"]).Any()
            || carriers.Except([.. Sms, .. Email]).Any()
            || !given.TryGetValue("--home", out var home)
            || !given.TryGetValue("--into", out var into)
            || !given.TryGetValue("--url", out var url)
            || !given.TryGetValue("--apns-url", out var apnsUrl)
            || !Uri.TryCreate(given.GetValueOrDefault("--smtp-url", "smtp://127.0.0.1:5092"), UriKind.Absolute, out var smtp)
        )
        {
            Console.Error.WriteLine(Usage);
            return 2;
        }

        if (KeysCommand.Run(["--home", home, "--url", url]) is not 0 and var code)
            return code;
        var files = new SandboxFiles(home);
        var identity = JsonSerializer.Deserialize<SandboxIdentity>(File.ReadAllText(files.Identity), SandboxIdentity.Json)!;
        var vapid = JsonSerializer.Deserialize<VapidKeys>(File.ReadAllText(files.Vapid), SandboxIdentity.Json)!;
        Directory.CreateDirectory(into);
        var push = Push(files, identity, vapid, url, apnsUrl).ToList();
        var all = push.Concat(Sms.Concat(Email).SelectMany(c => Carrier(c, files, identity, url, smtp))).Select(s => s.Name);
        var formerly = all.Append("WebPush__AllowPrivateNetworks")
            .SelectMany(name => new[] { $"Providers__{name}", $"TestProviders__{name}" })
            .Concat(["Routing__sms", "Routing__email"]);
        foreach (var former in formerly)
            File.Delete(Path.Combine(into, former)); // former versions wrote live clients' settings, too

        foreach (var (name, value) in push.Concat(carriers.SelectMany(c => Carrier(c, files, identity, url, smtp))))
            Write(Path.Combine(into, $"TestProviders__{name}"), value);
        Write(Path.Combine(into, "Notify__SandboxUrl"), url);
        Console.WriteLine($"The settings for this sandbox are in {into}");
        return 0;
    }

    private static IEnumerable<(string Name, string Value)> Push(
        SandboxFiles files,
        SandboxIdentity identity,
        VapidKeys vapid,
        string url,
        string apnsUrl
    ) =>
        [
            ("Apns__BaseUrl", apnsUrl),
            ("Apns__TeamId", identity.ApnsTeamId),
            ("Apns__KeyId", identity.ApnsKeyId),
            ("Apns__Topic", identity.ApnsTopic),
            ("Apns__PrivateKeyPath", files.ApnsAuthKey),
            ("Apns__TrustedCaPath", files.ApnsCa),
            ("WebPush__Subject", vapid.Subject),
            ("WebPush__PublicKey", vapid.PublicKey),
            ("WebPush__PrivateKey", vapid.PrivateKey),
            ("Fcm__BaseUrl", url),
            ("Fcm__ServiceAccountPath", files.FcmServiceAccount),
        ];

    private static IEnumerable<(string Name, string Value)> Carrier(
        string name,
        SandboxFiles files,
        SandboxIdentity identity,
        string url,
        Uri smtp
    ) =>
        name switch
        {
            "twilio" =>
            [
                ("Twilio__BaseUrl", url),
                ("Twilio__AccountSid", identity.TwilioAccountSid),
                ("Twilio__AuthToken", identity.TwilioAuthToken),
                ("Twilio__From", identity.TwilioFrom),
            ],
            "vonage" =>
            [
                ("Vonage__BaseUrl", url),
                ("Vonage__ApiKey", identity.VonageApiKey),
                ("Vonage__ApiSecret", identity.VonageApiSecret),
                ("Vonage__From", identity.VonageFrom),
                ("Vonage__SignatureSecret", identity.VonageSignatureSecret),
                ("Vonage__SignatureMethod", identity.VonageSignatureMethod),
            ],
            "sendgrid" =>
            [
                ("SendGrid__BaseUrl", url),
                ("SendGrid__ApiKey", identity.SendGridApiKey),
                ("SendGrid__From", identity.SendGridFrom),
                ("SendGrid__WebhookPublicKey", identity.SendGridWebhookPublicKey),
            ],
            "mailchimp" =>
            [
                ("Mailchimp__BaseUrl", url),
                ("Mailchimp__ApiKey", identity.MailchimpApiKey),
                ("Mailchimp__From", identity.MailchimpFrom),
                ("Mailchimp__WebhookKey", identity.MailchimpWebhookKey),
            ],
            _ =>
            [
                ("Smtp__Host", smtp.Host),
                ("Smtp__Port", $"{smtp.Port}"),
                ("Smtp__Security", "StartTls"),
                ("Smtp__UserName", identity.SmtpUserName),
                ("Smtp__Password", identity.SmtpPassword),
                ("Smtp__From", identity.SmtpFrom),
                ("Smtp__TrustedCaPath", files.ApnsCa),
            ],
        };

    private static void Write(string path, string text)
    {
        var options = new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        using var writer = new StreamWriter(path, options);
        writer.Write(text);
    }
}
