namespace Notify.Api.Tracking;

using Microsoft.AspNetCore.Http.Features;
using Notify.Api.Contract;
using Notify.Api.Reference;
using Notify.Delivery.Tracking;
using Notify.Domain.Recipients;

/// <summary>Where the unsubscribe links of emails lead, for people and for mail programs (RFC 8058). Public: the token in the link is the
/// permission.</summary>
public static class UnsubscribeEndpoints
{
    private const int MaxForm = 16 * 1024;

    /// <summary>Maps <c>GET</c> and <c>POST /u/{token}</c>.</summary>
    public static void Map(IEndpointRouteBuilder app)
    {
        app.MapGet("/u/{token}", ShowAsync)
            .RequireRateLimiting(PublicLimit.Policy)
            .WithName("ShowUnsubscribePage")
            .WithTags("Public")
            .WithSummary("The page behind an email's unsubscribe link")
            .WithDescription(
                "Asks for a confirmation and changes nothing by itself, since mail scanners open every link. Needs no "
                    + "authentication: the token is signed and holds no address."
            )
            .AnswersText(
                200,
                "text/html",
                "The page, with a button that posts to the same address.",
                UnsubscribePage.Ask(new("newsletter"))
            )
            .AnswersText(404, "text/html", "The link is none of ours, or was cut.", UnsubscribePage.Unknown)
            .Fails(429, "rate_limited", PublicLimit.TooMany);
        app.MapPost("/u/{token}", UnsubscribeAsync)
            .RequireRateLimiting(PublicLimit.Policy)
            .WithName("Unsubscribe")
            .WithTags("Public")
            .WithSummary("Unsubscribe from an email's category")
            .WithDescription(
                "For the page's button, and for mail programs: they post the form `List-Unsubscribe=One-Click` (RFC 8058). Opts the "
                    + "recipient out of the category on email; for someone who is not registered this is noted at the address, for "
                    + "that category alone. The same again changes nothing. Needs no authentication: the token is signed and holds no "
                    + "address."
            )
            .AnswersText(200, "text/html", "The recipient is unsubscribed, now or before.", UnsubscribePage.Done(new("newsletter")))
            .AnswersText(400, "text/html", "The form cannot be read. Nothing has changed.", UnsubscribePage.Unreadable)
            .AnswersText(404, "text/html", "The link is none of ours, or was cut.", UnsubscribePage.Unknown)
            .Fails(429, "rate_limited", PublicLimit.TooMany);
    }

    private static async Task<IResult> ShowAsync(string token, HttpContext http, DeliveryTokens tokens, Unsubscribing unsubscribing) =>
        Page(
            http,
            tokens.Read(DeliveryTokens.Unsubscribe, token) is { } delivery
            && await unsubscribing.ScopeAsync(delivery, http.RequestAborted) is { } scope
                ? UnsubscribePage.Ask(scope)
                : null
        );

    private static async Task<IResult> UnsubscribeAsync(string token, HttpContext http, DeliveryTokens tokens, Unsubscribing unsubscribing)
    {
        if (tokens.Read(DeliveryTokens.Unsubscribe, token) is not { } delivery)
            return Page(http, null);
        if (await IsOneClickAsync(http) is not { } isOneClick)
            return Page(http, UnsubscribePage.Unreadable, StatusCodes.Status400BadRequest);
        var source = isOneClick ? UnsubscribeSources.OneClick : UnsubscribeSources.Page;
        return Page(
            http,
            await unsubscribing.UnsubscribeAsync(delivery, source, http.RequestAborted) is { } scope ? UnsubscribePage.Done(scope) : null
        );
    }

    // Null: a form that cannot be read, which changes nothing. RFC 8058, section 3.2: the form is multipart or in the address's encoding.
    private static async Task<bool?> IsOneClickAsync(HttpContext http)
    {
        if (!http.Request.HasFormContentType)
            return false;
        if (http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit)
            limit.MaxRequestBodySize = MaxForm;
        try
        {
            return (await http.Request.ReadFormAsync(http.RequestAborted))["List-Unsubscribe"] == "One-Click";
        }
        catch (Exception e)
            when (e is InvalidDataException or IOException and not BadHttpRequestException && !http.RequestAborted.IsCancellationRequested)
        {
            return null; // of what was sent, and not of the database
        }
    }

    private static IResult Page(HttpContext http, string? html, int? status = null)
    {
        var headers = http.Response.Headers;
        headers.ContentSecurityPolicy = UnsubscribePage.Policy;
        headers.CacheControl = "no-store";
        headers["Referrer-Policy"] = "no-referrer";
        headers.XContentTypeOptions = "nosniff";
        return Results.Content(
            html ?? UnsubscribePage.Unknown,
            "text/html; charset=utf-8",
            statusCode: status ?? (html is null ? StatusCodes.Status404NotFound : StatusCodes.Status200OK)
        );
    }
}
