namespace Notify.Api.Tracking;

using System.Net;

/// <summary>The pages behind an email's unsubscribe link: plain HTML that needs no script, loads nothing and works with a keyboard and a
/// screen reader.</summary>
public static class UnsubscribePage
{
    /// <summary>The content security policy of the pages: the browser may show them, and post the form to its own origin.</summary>
    public const string Policy =
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

    /// <summary>Asks for the confirmation. Opening it does nothing: mail scanners open every link.</summary>
    public static string Ask(UnsubscribeScope scope) =>
        scope.IsRequired
            ? Page("These emails must be sent", $"<p>{Must(scope)} Nothing has changed.</p>")
            : Page(
                "Unsubscribe",
                $"""
                <p>Do you want no more {Emails(scope)} at this address?</p>
                <form method="post"><button type="submit">Unsubscribe</button></form>
                <p>Other emails are not affected. If you came here by mistake, close this page: nothing has changed.</p>
                """
            );

    /// <summary>Says that it is done.</summary>
    public static string Done(UnsubscribeScope scope) =>
        scope.IsRequired
            ? Page(
                "These emails must be sent",
                $"<p role=\"status\">{Must(scope)} That you do not want them is noted, and counts as soon as they may be left out.</p>"
            )
            : Page(
                "You are unsubscribed",
                $"""
                <p role="status">You will get no more {Emails(scope)}. One that is just on its way may still arrive.</p>
                <p>To get them again, change your settings with the sender.</p>
                """
            );

    /// <summary>Says that the link is none of ours.</summary>
    public static string Unknown { get; } =
        Page(
            "This link is not complete",
            "<p>Nothing has changed. Copy the whole link from the email, or use your mail program's own button to unsubscribe. "
                + "If neither works, answer to the sender of the email.</p>"
        );

    /// <summary>Says that a post cannot be read.</summary>
    public static string Unreadable { get; } =
        Page("This request cannot be read", "<p>Nothing has changed. Open the link from the email, and press the button on its page.</p>");

    private static string Must(UnsubscribeScope scope) =>
        $"The sender must send {Emails(scope)}, such as security notices and codes, so they go on.";

    private static string Emails(UnsubscribeScope scope) => $"emails of the kind <strong>{WebUtility.HtmlEncode(scope.Category)}</strong>";

    internal static string Page(string title, string body) =>
        $$"""
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta name="robots" content="noindex">
            <title>{{title}}</title>
            <style>
            :root { color-scheme: light dark; }
            body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 3rem auto; padding: 0 1rem; }
            button { font: inherit; padding: .6rem 1.4rem; cursor: pointer; }
            </style>
            </head>
            <body>
            <main>
            <h1>{{title}}</h1>
            {{body}}
            </main>
            </body>
            </html>
            """;
}
