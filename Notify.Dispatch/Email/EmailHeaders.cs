using Notify.Dispatch.Dispatching;

namespace Notify.Dispatch.Email;

/// <summary>The headers that each email has besides those that its provider makes.</summary>
/// <remarks>RFC 2369 and RFC 8058: mail programs show a button of their own for them, if DKIM covers both.</remarks>
public static class EmailHeaders
{
    /// <summary>The headers; none of their values holds anything that a sender or a recipient wrote.</summary>
    public static IEnumerable<(string Name, string Value)> Of(OutboundMessage message)
    {
        if (message.Unsubscribe is not { } link) yield break;
        yield return ("List-Unsubscribe", $"<{link.AbsoluteUri}>");
        yield return ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click");
    }
}
