namespace Notify.Dispatch.Providers.Fcm;

/// <summary>Settings of Firebase Cloud Messaging: <c>Providers:Fcm</c>.</summary>
public sealed record FcmOptions
{
    /// <summary>The path of a file with the service account's key, as Firebase issues it; or <see cref="ServiceAccountJson"/>.</summary>
    public string? ServiceAccountPath { get; init; }

    /// <summary>The service account's key itself, JSON.</summary>
    public string? ServiceAccountJson { get; init; }

    /// <summary>The service's address. Access tokens come from the <c>token_uri</c> that the key names.</summary>
    public Uri BaseUrl { get; init; } = new("https://fcm.googleapis.com");

    /// <summary>Calls under way at once.</summary>
    public int Concurrency { get; init; } = 200;

    /// <summary>The time limit for establishing a connection.</summary>
    public TimeSpan ConnectTimeout { get; init; } = ProviderCall.ConnectTimeout;

    /// <summary>How long one request may take; Google advises against less than 10 seconds.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long all requests for one delivery may take together; see <see cref="ProviderCall.TotalTimeout"/>.</summary>
    public TimeSpan? TotalTimeout { get; init; }

    /// <summary>Checks the settings and reads the service account; every fault is added to <paramref name="faults"/>.</summary>
    public FcmAccount? LoadAccount(string section, ICollection<string> faults)
    {
        var before = faults.Count;
        ProviderCall.Check(section, BaseUrl, Concurrency, Timeout, faults, ConnectTimeout, TotalTimeout);
        if (ReadJson(section, faults) is not { } json)
            return null;
        var account = FcmAccount.Read(
            json,
            ServiceAccountJson is null ? ServiceAccountPath! : $"{section}:ServiceAccountJson",
            section,
            faults
        );
        // The assertion that the account's key signs, and the access token, cross the network as BaseUrl's calls do.
        if (
            account?.TokenUri is { IsLoopback: false } token
            && token.Scheme == Uri.UriSchemeHttp
            && !(BaseUrl.IsAbsoluteUri && BaseUrl.Scheme == token.Scheme && BaseUrl.Authority == token.Authority)
        )
            faults.Add(
                $"{section}: the account's token_uri is http://{token.Authority}, where tokens would go unencrypted; " + "it must be https"
            );
        if (faults.Count == before)
            return account;
        account?.Dispose();
        return null;
    }

    private string? ReadJson(string section, ICollection<string> faults)
    {
        if (ServiceAccountJson is not null)
            return ServiceAccountJson;
        if (ServiceAccountPath is null)
        {
            faults.Add(
                $"{section}:ServiceAccountPath is missing; it names the JSON file with a service account's key from the "
                    + "Firebase console (Project settings, Service accounts)"
            );
            return null;
        }

        try
        {
            return File.ReadAllText(ServiceAccountPath);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            faults.Add($"{section}:ServiceAccountPath names {ServiceAccountPath}, which does not exist");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            faults.Add($"{section}:ServiceAccountPath names {ServiceAccountPath}, which cannot be read ({e.Message.Split('\n')[0]})");
        }

        return null;
    }
}
