namespace Notify.Dispatch.Providers.Email;

/// <summary>The headers that each email has besides those that its provider makes.</summary>
/// <remarks>
/// RFC 3834, section 5: <c>Auto-Submitted</c> keeps out-of-office answers from coming back. RFC 2369 and RFC 8058: mail programs show a
/// button of their own for the others, if DKIM covers both. Where a category is required, the link leads to a page that says so, and
/// there is no <c>List-Unsubscribe-Post</c>: one click would promise what is not kept.
/// </remarks>
public static class EmailHeaders
{
    /// <summary>Returns the headers; none of their values contains text of a sender or a recipient.</summary>
    public static IEnumerable<(string Name, string Value)> Of(OutboundMessage message)
    {
        yield return ("Auto-Submitted", "auto-generated");
        if (message.Unsubscribe is not { } link)
            yield break;
        yield return ("List-Unsubscribe", $"<{Ascii(link)}>");
        if (message.HasOneClick)
            yield return ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click");
    }

    // RFC 3986: the address of a header is ASCII, also where the public address was written in other letters.
    private static string Ascii(Uri link) =>
        new UriBuilder(link) { Host = link.IdnHost }
            .Uri
            .AbsoluteUri;
}
