namespace Notify.Dispatch.Providers.Fcm;

using System.Security.Cryptography;
using System.Text.Json;

/// <summary>The service account in whose name pushes are sent.</summary>
/// <param name="ProjectId">The Firebase project whose devices can be reached.</param>
/// <param name="Email">The account's name; the issuer of what it signs.</param>
/// <param name="KeyId">The signing key's ID.</param>
/// <param name="Key">The signing key, RSA.</param>
/// <param name="TokenUri">Where access tokens are to be had.</param>
public sealed record FcmAccount(string ProjectId, string Email, string? KeyId, RSA Key, Uri TokenUri) : IDisposable
{
    private static readonly string[] Needed = ["project_id", "client_email", "private_key", "token_uri"];

    /// <summary>Reads a service account's key; every fault is added to <paramref name="faults"/>.</summary>
    /// <param name="source">The name of the JSON in a fault.</param>
    /// <param name="section">The settings' section, with which a fault begins.</param>
    public static FcmAccount? Read(string json, string source, string section, ICollection<string> faults)
    {
        try
        {
            using var document = JsonDocument.Parse(json);
            if (document.RootElement.ValueKind == JsonValueKind.Object)
                return Read(document.RootElement, source, section, faults);
            faults.Add($"{section}: {source} is not a JSON object; give a service account's key as the Firebase console hands it out");
        }
        catch (JsonException e)
        {
            faults.Add(
                $"{section}: {source} is not JSON (line {e.LineNumber + 1}); give a service account's key as the Firebase "
                    + "console hands it out"
            );
        }

        return null;
    }

    /// <inheritdoc />
    public void Dispose() => Key.Dispose();

    private static FcmAccount? Read(JsonElement json, string source, string section, ICollection<string> faults)
    {
        var type = Text(json, "type");
        if (type != "service_account")
        {
            faults.Add(
                $"{section}: {source} has the type \"{type}\", not \"service_account\"; give a service account's key as the "
                    + "Firebase console hands it out"
            );
            return null;
        }

        var before = faults.Count;
        foreach (var name in Needed.Where(name => Text(json, name) is not { Length: > 0 }))
            faults.Add($"{section}: {source} has no {name}");
        if (
            Text(json, "token_uri") is not { Length: > 0 } address
            || !Uri.TryCreate(address, UriKind.Absolute, out var tokenUri)
            || (tokenUri.Scheme != Uri.UriSchemeHttps && tokenUri.Scheme != Uri.UriSchemeHttp)
        )
        {
            tokenUri = null;
            if (Text(json, "token_uri") is { Length: > 0 } wrong)
                faults.Add(
                    $"{section}: {source} has the token_uri \"{wrong}\"; it must be an address such as https://oauth2.googleapis.com/token"
                );
        }

        if (Text(json, "private_key") is not { Length: > 0 } pem)
            return null;
        var key = RSA.Create();
        try
        {
            key.ImportFromPem(pem);
            key.ExportParameters(includePrivateParameters: true).D.AsSpan().Clear(); // throws for a public key
            if (faults.Count == before)
                return new FcmAccount(Text(json, "project_id")!, Text(json, "client_email")!, Text(json, "private_key_id"), key, tokenUri!);
        }
        catch (Exception e) when (e is ArgumentException or CryptographicException)
        {
            faults.Add($"{section}: the private_key of {source} cannot be read as PKCS#8 PEM ({e.Message.Split('\n')[0]})");
        }

        key.Dispose();
        return null;
    }

    private static string? Text(JsonElement json, string name) =>
        json.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
}
