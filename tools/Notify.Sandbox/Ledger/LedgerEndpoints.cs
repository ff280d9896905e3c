namespace Notify.Sandbox.Ledger;

using System.Globalization;

/// <summary><c>GET /ledger</c>, <c>GET /ledger/summary</c> and <c>DELETE /ledger</c>.</summary>
public static class LedgerEndpoints
{
    private const int DefaultLimit = 100;
    private const int MaximumLimit = 10_000;

    /// <summary>Maps all three.</summary>
    public static void MapLedger(this IEndpointRouteBuilder routes)
    {
        routes.MapGet("/ledger", Read);
        routes.MapGet("/ledger/summary", Summarize);
        routes.MapDelete("/ledger", Clear);
    }

    private static IResult Read(RequestLedger ledger, string? provider, string? text, string? after, string? limit)
    {
        var errors = new Dictionary<string, string[]>();
        var first = Number("after", after, 0, 0, long.MaxValue, errors);
        var count = (int)Number("limit", limit, DefaultLimit, 1, MaximumLimit, errors);
        if (errors.Count > 0)
            return Problem.BadRequest("invalid_query", "The ledger cannot be read like this.", errors);

        var query = new LedgerQuery(string.IsNullOrEmpty(provider) ? null : provider, Query(text), first, count);
        return new LedgerResult(query, ledger);
    }

    private static object Summarize(RequestLedger ledger, string? text)
    {
        var byProvider = Query(text) is { } query ? ledger.Count(query) : ledger.Count();
        var total = new LedgerCounts(byProvider.Values.Sum(counts => counts.Received), byProvider.Values.Sum(counts => counts.Accepted));
        return new
        {
            total.Received,
            total.Accepted,
            total.Refused,
            byProvider,
        };
    }

    private static IResult Clear(RequestLedger ledger)
    {
        ledger.Clear();
        return Results.NoContent();
    }

    private static TextQuery? Query(string? text) => string.IsNullOrEmpty(text) ? null : new TextQuery(text);

    private static long Number(string name, string? value, long otherwise, long lowest, long highest, Dictionary<string, string[]> errors)
    {
        if (string.IsNullOrEmpty(value))
            return otherwise;
        if (long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= lowest && number <= highest)
            return number;

        errors[name] = [$"must be an integer from {lowest} to {highest}"];
        return otherwise;
    }

    private sealed class LedgerResult(LedgerQuery query, RequestLedger ledger) : IResult
    {
        public Task ExecuteAsync(HttpContext context)
        {
            context.Response.ContentType = "application/json; charset=utf-8";
            return query.WriteAsync(ledger, context.Response.BodyWriter, context.RequestAborted);
        }
    }
}
