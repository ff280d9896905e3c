namespace Notify.Dispatch.Receipts;

/// <summary>The address to which providers post receipts: <c>Notify:ReceiptsUrl</c>, else <c>Notify:PublicUrl</c>.</summary>
public static class ReceiptsUrl
{
    /// <summary>Sets it for the providers that receive it with every message, unless they have their own <c>ReceiptsUrl</c>.</summary>
    public static void GiveTo(ConfigurationManager configuration, ICollection<string> faults)
    {
        foreach (var key in new[] { "Notify:ReceiptsUrl", "Notify:PublicUrl" })
        {
            if (
                configuration[key] is { Length: > 0 } text
                && !(
                    Uri.TryCreate(text, UriKind.Absolute, out var url)
                    && (url.Scheme == Uri.UriSchemeHttps || url.Scheme == Uri.UriSchemeHttp)
                    && url.Query.Length == 0
                )
            )
                faults.Add($"{key} is \"{text}\"; give an address such as https://notify.example.com");
        }

        if ((configuration["Notify:ReceiptsUrl"] ?? configuration["Notify:PublicUrl"]) is not { Length: > 0 } address)
            return;
        var given = new[] { "Providers:Twilio", "Providers:Vonage", "TestProviders:Twilio", "TestProviders:Vonage" }
            .Where(s => configuration.GetSection(s).Exists() && configuration[$"{s}:ReceiptsUrl"] is null)
            .Select(s => new KeyValuePair<string, string?>($"{s}:ReceiptsUrl", address))
            .ToList();
        if (given.Count > 0)
            configuration.AddInMemoryCollection(given);
    }

    /// <summary>Returns the address over which a provider must have signed a post: the one that it was given.</summary>
    /// <remarks>
    /// The request's own address is chosen by the caller: a post signed for another address of the same account could be sent here. It
    /// counts only where no address is configured.
    /// </remarks>
    /// <param name="settings">The provider's section.</param>
    /// <param name="own">Scheme and host of the request.</param>
    /// <param name="target">Path and query of the request, as received.</param>
    public static string Signed(IConfiguration configuration, IConfiguration settings, string own, string target) =>
        (
            new[] { settings["ReceiptsUrl"], configuration["Notify:ReceiptsUrl"], configuration["Notify:PublicUrl"] }.FirstOrDefault(u =>
                !string.IsNullOrEmpty(u)
            ) ?? own
        ).TrimEnd('/') + target;

    /// <summary>
    /// Returns the address for a provider: a service on the Internet cannot post to this machine's loopback, and rejects it.
    /// </summary>
    public static Uri? For(Uri? receiptsUrl, Uri provider) =>
        receiptsUrl is { IsLoopback: true } && !provider.IsLoopback ? null : receiptsUrl;
}
