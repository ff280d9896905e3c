namespace Notify.Dispatch.Receipts;

using System.Diagnostics;

/// <summary>Answers to posts that are not kept: problem documents (RFC 9457) with a stable <c>code</c> that say what is wrong and what to
/// do.</summary>
public static class Refusal
{
    /// <summary>A problem document.</summary>
    public static IResult Of(HttpContext http, int status, string code, string detail, int? retryAfterSeconds = null)
    {
        if (retryAfterSeconds is { } seconds)
            http.Response.Headers.RetryAfter = seconds.ToString(System.Globalization.CultureInfo.InvariantCulture);
        return Results.Problem(
            detail,
            statusCode: status,
            type: $"urn:notify:problem:{code}",
            title: Microsoft.AspNetCore.WebUtilities.ReasonPhrases.GetReasonPhrase(status),
            extensions: new Dictionary<string, object?>
            {
                ["code"] = code,
                ["traceId"] = Activity.Current?.TraceId.ToString() ?? http.TraceIdentifier,
            }
        );
    }
}
