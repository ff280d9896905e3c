namespace Notify.Sandbox.WebPush;

using System.Buffers.Text;
using System.Text.Json;

/// <summary><c>POST /webpush/subscriptions</c>: a browser that subscribes.</summary>
public static class SubscriptionEndpoints
{
    /// <summary>Maps it.</summary>
    public static void MapSubscriptions(this IEndpointRouteBuilder routes) => routes.MapPost("/webpush/subscriptions", CreateAsync);

    private static async Task<IResult> CreateAsync(HttpRequest request, Subscriptions subscriptions)
    {
        Wish? wish = null;
        try
        {
            using var body = new StreamReader(request.Body);
            if (await body.ReadToEndAsync(request.HttpContext.RequestAborted) is { Length: > 0 } text)
                wish = JsonSerializer.Deserialize<Wish>(text, JsonSerializerOptions.Web);
        }
        catch (JsonException)
        {
            return Problem.BadRequest("malformed_json", "The body is not JSON; it may have applicationServerKey and fate, or be left out.");
        }

        if (wish?.Fate is { } fate && !Subscriptions.Fates.Contains(fate))
            return Problem.BadRequest("unknown_fate", $"There is no fate '{fate}'. Known are: {string.Join(", ", Subscriptions.Fates)}.");

        var made = subscriptions.Create(wish?.Fate, wish?.ApplicationServerKey);
        return Results.Json(
            new
            {
                Endpoint = $"{WebPushServer.Origin(request)}{WebPushDialect.Root}{made.Id}",
                Keys = new { P256dh = Base64Url.EncodeToString(made.PublicKey), Auth = Base64Url.EncodeToString(made.Authentication) },
            },
            statusCode: StatusCodes.Status201Created
        );
    }

    private sealed record Wish(string? ApplicationServerKey, string? Fate);
}
