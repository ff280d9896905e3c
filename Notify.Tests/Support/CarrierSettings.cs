namespace Notify.Tests.Support;

using System.Text.Json;

/// <summary>The settings by which a host finds a provider of SMS or email that the sandbox plays.</summary>
public static class CarrierSettings
{
    /// <summary>Returns the settings of a provider, named as environment variables.</summary>
    /// <param name="section"><c>Providers</c> or <c>TestProviders</c>.</param>
    /// <param name="accounts">The names of the sandbox's accounts.</param>
    public static Dictionary<string, string> Of(string section, string carrier, JsonElement accounts, Uri sandbox, int smtpPort)
    {
        var name = carrier switch
        {
            "twilio" => "Twilio",
            "vonage" => "Vonage",
            "sendgrid" => "SendGrid",
            "mailchimp" => "Mailchimp",
            "smtp" => "Smtp",
            _ => throw new ArgumentException($"{carrier} carries neither SMS nor email.", nameof(carrier)),
        };
        string[] accountSettings = carrier switch
        {
            "twilio" => ["AccountSid", "AuthToken", "From"],
            "vonage" => ["ApiKey", "ApiSecret", "From", "SignatureSecret", "SignatureMethod"],
            "sendgrid" => ["ApiKey", "WebhookPublicKey"],
            "mailchimp" => ["ApiKey", "WebhookKey"],
            _ => ["UserName", "Password"],
        };
        var settings = accountSettings.ToDictionary(s => s, s => Account(s));
        if (carrier is "sendgrid" or "mailchimp" or "smtp")
            settings["From"] = $"Notify <{Account("From")}>";
        if (carrier == "smtp")
            (settings["Host"], settings["Port"], settings["TrustedCaPath"]) = (
                "127.0.0.1",
                $"{smtpPort}",
                $"{TestRun.SandboxHome}/apns-ca.pem"
            );
        else
            settings["BaseUrl"] = sandbox.ToString();
        return settings.ToDictionary(s => $"{section}__{name}__{s.Key}", s => s.Value);

        string Account(string setting) => accounts.GetProperty(JsonNamingPolicy.CamelCase.ConvertName(name) + setting).GetString()!;
    }
}
