namespace Notify.Sandbox.Keys;

using System.Text.Encodings.Web;
using System.Text.Json;

/// <summary>The accounts of the sandbox's one customer at each provider. They are stored in <c>sandbox.json</c>.</summary>
public sealed record SandboxIdentity
{
    /// <summary>Ten characters, the <c>iss</c> of an APNs provider token.</summary>
    public required string ApnsTeamId { get; init; }

    /// <summary>Ten characters, the <c>kid</c> of an APNs provider token.</summary>
    public required string ApnsKeyId { get; init; }

    /// <summary>The app's bundle ID, which <c>apns-topic</c> must name.</summary>
    public required string ApnsTopic { get; init; }

    /// <summary><c>AC</c> and 32 hex digits.</summary>
    public required string TwilioAccountSid { get; init; }

    /// <summary>32 hex digits: the password of Basic authentication and the key of callback signatures.</summary>
    public required string TwilioAuthToken { get; init; }

    /// <summary>The account's one phone number, E.164.</summary>
    public required string TwilioFrom { get; init; }

    /// <summary>Eight characters.</summary>
    public required string VonageApiKey { get; init; }

    /// <summary>16 characters.</summary>
    public required string VonageApiSecret { get; init; }

    /// <summary>The account's one number, without a plus.</summary>
    public required string VonageFrom { get; init; }

    /// <summary>The secret that signs receipts and inbound messages.</summary>
    public required string VonageSignatureSecret { get; init; }

    /// <summary>The signature method: <c>md5hash</c>, <c>md5</c>, <c>sha1</c>, <c>sha256</c> or <c>sha512</c>.</summary>
    public required string VonageSignatureMethod { get; init; }

    /// <summary><c>SG.</c>, then 22 and 43 characters.</summary>
    public required string SendGridApiKey { get; init; }

    /// <summary>The verified sender; mail from any address of its domain is accepted.</summary>
    public required string SendGridFrom { get; init; }

    /// <summary>The public half of what SendGrid's event webhook is signed with: base64 of its SubjectPublicKeyInfo.</summary>
    public required string SendGridWebhookPublicKey { get; init; }

    /// <summary><c>md-</c>, then 22 characters.</summary>
    public required string MailchimpApiKey { get; init; }

    /// <summary>The verified sender; mail from any address of its domain is accepted.</summary>
    public required string MailchimpFrom { get; init; }

    /// <summary>The key that signs webhooks.</summary>
    public required string MailchimpWebhookKey { get; init; }

    /// <summary>The mail server's one account.</summary>
    public required string SmtpUserName { get; init; }

    /// <summary>Its password.</summary>
    public required string SmtpPassword { get; init; }

    /// <summary>A sender. Mail from any address of its domain is accepted.</summary>
    public required string SmtpFrom { get; init; }

    internal static JsonSerializerOptions Json { get; } =
        new(JsonSerializerDefaults.Web)
        {
            WriteIndented = true,
            Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, // a plus stays a plus
        };
}
