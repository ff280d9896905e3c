namespace Notify.Dispatch.Providers.Email.Mailchimp;

/// <summary>Settings of Mailchimp Transactional (Mandrill): <c>Providers:Mailchimp</c>.</summary>
public sealed record MailchimpOptions
{
    /// <summary>A key that may send.</summary>
    public string ApiKey { get; init; } = "";

    /// <summary>The sender, of a verified domain: <c>address</c> or <c>Name &lt;address&gt;</c>.</summary>
    public string From { get; init; } = "";

    /// <summary>The key that webhooks are signed with.</summary>
    public string? WebhookKey { get; init; }

    /// <summary>The service's address; without a path, <c>/api/1.0</c>.</summary>
    public Uri BaseUrl { get; init; } = new("https://mandrillapp.com/api/1.0");

    /// <summary>
    /// Whether the account's settings for Mailchimp's own tracking of openings and clicks apply; else it is off for every mail.
    /// </summary>
    public bool Tracking { get; init; }

    /// <summary>Calls under way at once.</summary>
    public int Concurrency { get; init; } = 50;

    /// <summary>The time limit for establishing a connection.</summary>
    public TimeSpan ConnectTimeout { get; init; } = ProviderCall.ConnectTimeout;

    /// <summary>How long one request may take.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>How long all requests for one delivery may take together; see <see cref="ProviderCall.TotalTimeout"/>.</summary>
    public TimeSpan? TotalTimeout { get; init; }

    /// <summary>Checks the settings and reads the sender; every fault is added to <paramref name="faults"/>.</summary>
    public EmailSender? LoadSender(string section, ICollection<string> faults)
    {
        ProviderCall.Check(section, BaseUrl, Concurrency, Timeout, faults, ConnectTimeout, TotalTimeout);
        if (ApiKey.Length == 0)
            faults.Add($"{section}:ApiKey is missing");
        if (From.Length == 0)
            faults.Add($"{section}:From is missing; give the sender's address, or Name <address>");
        else if (!EmailSender.TryParse(From, out var sender))
            faults.Add($"{section}:From is \"{From}\"; give an address such as news@example.com, or Name <address>");
        else
            return sender;
        return null;
    }
}
