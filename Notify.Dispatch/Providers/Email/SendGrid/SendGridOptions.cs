namespace Notify.Dispatch.Providers.Email.SendGrid;

/// <summary>Settings of SendGrid: <c>Providers:SendGrid</c>.</summary>
public sealed record SendGridOptions
{
    /// <summary>A key that may send mail, <c>SG.…</c>.</summary>
    public string ApiKey { get; init; } = "";

    /// <summary>The sender, verified at SendGrid: <c>address</c> or <c>Name &lt;address&gt;</c>.</summary>
    public string From { get; init; } = "";

    /// <summary>The public key of the signed event webhook, base64 of a P-256 key as SendGrid shows it.</summary>
    public string? WebhookPublicKey { get; init; }

    /// <summary>The service's address.</summary>
    public Uri BaseUrl { get; init; } = new("https://api.sendgrid.com");

    /// <summary>
    /// Whether the account's settings for SendGrid's own tracking of openings and clicks apply; else it is off for every mail.
    /// </summary>
    public bool Tracking { get; init; }

    /// <summary>Calls under way at once.</summary>
    public int Concurrency { get; init; } = 100;

    /// <summary>Recipients in one request, where their mails are the same: 1 to 1,000.</summary>
    public int MaxRecipients { get; init; } = SendGridMail.MaxRecipients;

    /// <summary>The time limit for establishing a connection.</summary>
    public TimeSpan ConnectTimeout { get; init; } = ProviderCall.ConnectTimeout;

    /// <summary>How long one request may take.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long all requests for one delivery may take together; see <see cref="ProviderCall.TotalTimeout"/>.</summary>
    public TimeSpan? TotalTimeout { get; init; }

    /// <summary>Checks the settings and reads the sender; every fault is added to <paramref name="faults"/>.</summary>
    public EmailSender? LoadSender(string section, ICollection<string> faults)
    {
        ProviderCall.Check(section, BaseUrl, Concurrency, Timeout, faults, ConnectTimeout, TotalTimeout);
        if (MaxRecipients is < 1 or > SendGridMail.MaxRecipients)
            faults.Add($"{section}:MaxRecipients is {MaxRecipients}; give 1 to {SendGridMail.MaxRecipients}");
        if (ApiKey.Length == 0)
            faults.Add($"{section}:ApiKey is missing; it begins with SG.");
        else if (ApiKey.Any(c => c is <= ' ' or > '~'))
            faults.Add($"{section}:ApiKey has blanks or characters that no key has; copy it anew");
        if (WebhookPublicKey is { } key && !IsPublicKey(key))
            faults.Add(
                $"{section}:WebhookPublicKey cannot be read; it is the verification key that SendGrid shows for the signed event webhook"
            );
        if (From.Length == 0)
            faults.Add($"{section}:From is missing; give the sender's address, or Name <address>");
        else if (!EmailSender.TryParse(From, out var sender))
            faults.Add($"{section}:From is \"{From}\"; give an address such as news@example.com, or Name <address>");
        else if (sender.Name?.AsSpan().ContainsAny(';', ',') == true)
            faults.Add($"{section}:From names \"{sender.Name}\", and SendGrid takes no ; and no , in a name");
        else
            return sender;
        return null;
    }

    private static bool IsPublicKey(string text)
    {
        using var key = SendGridSignature.From(text);
        return key is not null;
    }
}
