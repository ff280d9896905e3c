namespace Notify.Dispatch.Providers.Sms.Vonage;

/// <summary>Settings of Vonage's SMS API: <c>Providers:Vonage</c>.</summary>
public sealed record VonageOptions
{
    /// <summary>The account's key, eight characters.</summary>
    public string ApiKey { get; init; } = "";

    /// <summary>The account's secret.</summary>
    public string ApiSecret { get; init; } = "";

    /// <summary>The sender: a number without +, or an alphanumeric ID of up to eleven characters.</summary>
    public string From { get; init; } = "";

    /// <summary>Senders for countries that want one of their own; see <see cref="SenderIds"/>.</summary>
    public Dictionary<string, string> Senders { get; init; } = [];

    /// <summary>The secret that receipts are signed with.</summary>
    public string? SignatureSecret { get; init; }

    /// <summary>How receipts are signed: <c>md5hash</c>, <c>md5</c>, <c>sha1</c>, <c>sha256</c> or <c>sha512</c>.</summary>
    public string SignatureMethod { get; init; } = "md5hash";

    /// <summary>The service's address.</summary>
    public Uri BaseUrl { get; init; } = new("https://rest.nexmo.com");

    /// <summary>The address of the Reports API; by default Vonage's own, or <see cref="BaseUrl"/> where that is set to another.</summary>
    public Uri? ReportsUrl { get; init; }

    /// <summary>The address that is asked about messages.</summary>
    public Uri EffectiveReportsUrl => ReportsUrl ?? (BaseUrl == new VonageOptions().BaseUrl ? new Uri("https://api.nexmo.com") : BaseUrl);

    /// <summary>Where Vonage posts what becomes of messages; by default <c>Notify:ReceiptsUrl</c>.</summary>
    public Uri? ReceiptsUrl { get; init; }

    /// <summary>Calls under way at once.</summary>
    public int Concurrency { get; init; } = 30;

    /// <summary>The time limit for establishing a connection.</summary>
    public TimeSpan ConnectTimeout { get; init; } = ProviderCall.ConnectTimeout;

    /// <summary>How long one request may take.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long all requests for one delivery may take together; see <see cref="ProviderCall.TotalTimeout"/>.</summary>
    public TimeSpan? TotalTimeout { get; init; }

    /// <summary>Checks the settings; every fault is added to <paramref name="faults"/>.</summary>
    public void Check(string section, ICollection<string> faults)
    {
        ProviderCall.Check(section, BaseUrl, Concurrency, Timeout, faults, ConnectTimeout, TotalTimeout);
        if (ReportsUrl is { } reports && (!reports.IsAbsoluteUri || reports.Scheme is not ("https" or "http")))
            faults.Add($"{section}:ReportsUrl is \"{reports}\"; give an address such as https://host");
        if (ApiKey.Length == 0)
            faults.Add($"{section}:ApiKey is missing; it is the account's key, of eight characters");
        if (ApiSecret.Length == 0)
            faults.Add($"{section}:ApiSecret is missing");
        if (From.Length == 0)
            faults.Add($"{section}:From is missing; it is the number or the name that messages come from");
        if (SignatureMethod is not ("md5hash" or "md5" or "sha1" or "sha256" or "sha512"))
            faults.Add($"{section}:SignatureMethod is \"{SignatureMethod}\"; there are md5hash, md5, sha1, sha256 and sha512");
        // Error 23 would be the answer to every SMS.
        if (
            Receipts.ReceiptsUrl.For(ReceiptsUrl, BaseUrl) is { } url
            && VonageReceipts.Callback(url) is { Length: > VonageReceipts.MaxCallback } callback
        )
            faults.Add(
                $"{section}:ReceiptsUrl (or Notify:ReceiptsUrl) makes an address of {callback.Length} characters, "
                    + $"and Vonage takes {VonageReceipts.MaxCallback}; give a shorter one"
            );
        SenderIds.Read(section, From, Senders, services: false, faults);
    }
}
