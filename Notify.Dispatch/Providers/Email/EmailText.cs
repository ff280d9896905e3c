namespace Notify.Dispatch.Providers.Email;

/// <summary>The text and the HTML of an email as they may leave.</summary>
public static class EmailText
{
    /// <summary>A part with every line ending as LF: CRLF and a CR that stands alone become one. <c>null</c> for an empty part.</summary>
    /// <remarks>
    /// RFC 5321, section 2.3.8: CR and LF are sent only together. A CR alone is a line ending to some servers and none to others, so that
    /// commands can be smuggled in behind it; others reject the mail. The writer of the mail makes CRLF of LF.
    /// </remarks>
    public static string? Of(string? text) =>
        string.IsNullOrEmpty(text) ? null
        : text.Contains('\r', StringComparison.Ordinal) ? text.Replace("\r\n", "\n", StringComparison.Ordinal).Replace('\r', '\n')
        : text;
}
