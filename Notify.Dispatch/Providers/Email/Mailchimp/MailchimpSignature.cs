namespace Notify.Dispatch.Providers.Email.Mailchimp;

using Notify.Dispatch.Receipts;

/// <summary>Whether a request to a receipt's address comes from Mailchimp Transactional.</summary>
/// <remarks>Mailchimp Transactional: Authenticating webhook requests. There is no time stamp in it; events are known by their ID.</remarks>
public static class MailchimpSignature
{
    // What Mailchimp signs its first, empty post with, before the webhook has a key.
    private const string TestKey = "test-webhook";

    /// <summary>Checks <c>X-Mandrill-Signature</c>.</summary>
    /// <param name="url">The address exactly as it was entered at Mailchimp.</param>
    public static bool IsValid(string key, string url, ReadOnlySpan<byte> body, string? signature) =>
        Signatures.AreEqual(Signatures.OverForm(key, url, Signatures.Form(body)), signature);

    /// <summary>Whether this is the post by which Mailchimp tries a new address: an empty list, signed with a key that all know.</summary>
    public static bool IsTrial(string url, ReadOnlySpan<byte> body, string? signature)
    {
        if (body.Length > 1024)
            return false; // larger than an empty list; and it was parsed once already
        var fields = Signatures.Form(body);
        return fields is [{ Key: "mandrill_events", Value: var events }]
            && events.Trim() == "[]"
            && Signatures.AreEqual(Signatures.OverForm(TestKey, url, fields), signature);
    }
}
