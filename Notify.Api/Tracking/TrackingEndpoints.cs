namespace Notify.Api.Tracking;

using Notify.Api.Contract;
using Notify.Api.Reference;
using Notify.Delivery.EventStore;
using Notify.Delivery.Tracking;
using Notify.Domain.Content;
using Notify.Infrastructure.Postgres;

/// <summary>Where tracked links and images lead. Public: the token is the permission, and a destination comes from storage alone.</summary>
public static class TrackingEndpoints
{
    // A transparent GIF of one pixel.
    private static readonly byte[] Image = Convert.FromBase64String("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7");

    /// <summary>Maps <c>GET /t/{token}</c> and <c>GET /o/{token}</c>, and <c>HEAD</c> of both.</summary>
    public static void Map(IEndpointRouteBuilder app)
    {
        app.MapGet("/t/{token}", FollowAsync)
            .RequireRateLimiting(PublicLimit.Policy)
            .WithName("FollowLink")
            .WithTags("Public")
            .WithSummary("Where a tracked link leads")
            .WithDescription(
                "Sends on to where the message's link led, and to nowhere else. A person's first click is the event "
                    + "`LinkClicked`; clicks of scanners and prefetchers, as far as they show themselves, are counted apart."
            )
            .Answers(302, "Sends on to the link's destination.")
            .AnswersText(404, "text/html", "The link is none of ours, or was cut, or its recipient was erased.", TrackingPage.Unknown)
            .Fails(429, "rate_limited", PublicLimit.TooMany);
        app.MapGet("/o/{token}", OpenAsync)
            .RequireRateLimiting(PublicLimit.Policy)
            .WithName("ShowOpenPixel")
            .WithTags("Public")
            .WithSummary("An email's invisible image")
            .WithDescription(
                "Answers any token with the same image. A person's first opening is the event `NotificationOpened`; those of "
                    + "proxies that fetch every picture are counted apart."
            )
            .AnswersText(200, "image/gif", "A transparent image of one pixel.", "GIF89a")
            .Fails(429, "rate_limited", PublicLimit.TooMany);
        app.MapMethods("/t/{token}", [HttpMethods.Head], FollowAsync).RequireRateLimiting(PublicLimit.Policy).ExcludeFromDescription();
        app.MapMethods("/o/{token}", [HttpMethods.Head], OpenAsync).RequireRateLimiting(PublicLimit.Policy).ExcludeFromDescription();
    }

    private static async Task<IResult> FollowAsync(string token, HttpContext http, Engaging engaging)
    {
        var headers = http.Response.Headers;
        headers.CacheControl = "no-store";
        headers["Referrer-Policy"] = "no-referrer";
        headers["X-Robots-Tag"] = "noindex";
        if (
            await engaging.ClickAsync(token, MachineHits.Is(http.Request), http.RequestAborted) is not { } destination
            || LinkRewriter.ForHeader(destination) is not { } location
        )
        {
            headers.ContentSecurityPolicy = UnsubscribePage.Policy;
            return Results.Content(TrackingPage.Unknown, "text/html; charset=utf-8", statusCode: StatusCodes.Status404NotFound);
        }

        headers.Location = location;
        return Results.StatusCode(StatusCodes.Status302Found);
    }

    private static async Task<IResult> OpenAsync(
        string token,
        HttpContext http,
        DeliveryTokens tokens,
        Engaging engaging,
        ILoggerFactory logs
    )
    {
        try
        {
            if (tokens.Read(DeliveryTokens.Open, token) is { } delivery)
                await engaging.OpenAsync(delivery, MachineHits.Is(http.Request), http.RequestAborted);
        }
        catch (Exception e)
            when (e is CommitBusyException or CommitWaitException or UnreadableStreamException || DatabaseFaults.IsPassing(e))
        {
            // The email must not show a broken image.
            logs.CreateLogger(typeof(TrackingEndpoints)).LogWarning("An opening could not be noted ({Reason}).", e.Message.Split('\n')[0]);
        }

        http.Response.Headers.CacheControl = "no-store, max-age=0";
        return Results.Bytes(Image, "image/gif");
    }
}
