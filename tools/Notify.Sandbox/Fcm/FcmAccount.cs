namespace Notify.Sandbox.Fcm;

using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;
using Notify.Sandbox.Keys;

/// <summary>
/// The one service account that may send here, stored as <c>fcm-service-account.json</c> in the shape of Google's own. A
/// client signs with it, and the sandbox verifies with it.
/// </summary>
public sealed record FcmAccount
{
    /// <summary>The default address of the token endpoint.</summary>
    public const string DefaultUrl = "http://127.0.0.1:5090";

    /// <summary>Always <c>service_account</c>.</summary>
    [JsonPropertyName("type")]
    public required string Type { get; init; }

    /// <summary>The project that the account may send for.</summary>
    [JsonPropertyName("project_id")]
    public required string ProjectId { get; init; }

    /// <summary>Forty hex digits, the <c>kid</c> of what the account signs.</summary>
    [JsonPropertyName("private_key_id")]
    public required string PrivateKeyId { get; init; }

    /// <summary>PKCS#8 PEM, RSA.</summary>
    [JsonPropertyName("private_key")]
    public required string PrivateKey { get; init; }

    /// <summary>The account's name, the <c>iss</c> of what it signs.</summary>
    [JsonPropertyName("client_email")]
    public required string ClientEmail { get; init; }

    /// <summary>The sandbox's token endpoint, as clients reach it.</summary>
    [JsonPropertyName("token_uri")]
    public required string TokenUri { get; init; }

    /// <summary>A new account with a key of its own.</summary>
    public static FcmAccount Create(string url)
    {
        using var key = RSA.Create(2048);
        const string Project = "notify-sandbox";
        return new FcmAccount
        {
            Type = "service_account",
            ProjectId = Project,
            PrivateKeyId = RandomNumberGenerator.GetHexString(40, lowercase: true),
            PrivateKey = key.ExportPkcs8PrivateKeyPem() + "\n",
            ClientEmail = $"notify@{Project}.iam.gserviceaccount.com",
            TokenUri = TokenUriOf(url),
        };
    }

    /// <summary>Reads the account.</summary>
    public static FcmAccount Parse(string json) =>
        JsonSerializer.Deserialize<FcmAccount>(json, SandboxIdentity.Json) ?? throw new JsonException("fcm-service-account.json is empty");

    /// <summary>The account as JSON.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, SandboxIdentity.Json) + "\n";

    /// <summary>The token endpoint of a sandbox at this address.</summary>
    public static string TokenUriOf(string url) => url.TrimEnd('/') + GoogleTokens.Path;

    /// <summary>The public half of the key.</summary>
    public RSA PublicKey()
    {
        using var own = RSA.Create();
        own.ImportFromPem(PrivateKey);
        return RSA.Create(own.ExportParameters(includePrivateParameters: false));
    }
}
