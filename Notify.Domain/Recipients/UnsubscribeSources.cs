namespace Notify.Domain.Recipients;

// Everything that can happen to a notification. Facts, in the past tense, with who and when; none is ever changed.
// The names are the vocabulary of API, tables and metrics alike. `At` is the clock of the host that saw it happen.

/// <summary>How a person unsubscribed.</summary>
public static class UnsubscribeSources
{
    /// <summary>By the mail program's own button (RFC 8058).</summary>
    public const string OneClick = "one-click";

    /// <summary>On the page that the email links to.</summary>
    public const string Page = "page";
}
