namespace Notify.Sandbox.Knobs;

using System.Text.Json;

/// <summary><c>GET /knobs</c> and <c>PUT /knobs/{provider}</c>.</summary>
public static class KnobEndpoints
{
    /// <summary>Maps both.</summary>
    public static void MapKnobs(this IEndpointRouteBuilder routes)
    {
        routes.MapGet("/knobs", (KnobBoard board) => board.Read());
        routes.MapPut("/knobs/{provider}", PutAsync);
    }

    private static async Task<IResult> PutAsync(string provider, HttpRequest request, KnobBoard board)
    {
        if (!board.TryGet(provider, out var knobs))
            return Problem.NotFound(
                "unknown_provider",
                $"There is no provider '{provider}'. Known are: {string.Join(", ", board.Providers)}."
            );

        if (await ReadJsonAsync(request) is not { } document)
            return Problem.BadRequest("malformed_json", "The body is not JSON.");

        var (wanted, errors) = KnobDocument.Parse(document);
        if (errors.Count > 0)
            return Problem.BadRequest("invalid_knobs", "The knobs stay as they were.", errors);

        knobs.Replace(wanted);
        return Results.Ok(wanted);
    }

    private static async Task<JsonElement?> ReadJsonAsync(HttpRequest request)
    {
        try
        {
            using var document = await JsonDocument.ParseAsync(request.Body, cancellationToken: request.HttpContext.RequestAborted);
            return document.RootElement.Clone();
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
