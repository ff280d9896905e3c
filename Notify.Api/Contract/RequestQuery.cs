namespace Notify.Api.Contract;

/// <summary>Checks that apply to every query string.</summary>
public static class RequestQuery
{
    /// <summary>Returns the faults of a query string that no endpoint could process; <c>null</c> when there are none.</summary>
    public static IResult? Check(HttpRequest request)
    {
        if (!request.QueryString.HasValue || !request.QueryString.Value!.Contains("%00", StringComparison.Ordinal))
            return null;
        return Problem.Invalid(
            request
                .Query.Where(q =>
                    q.Key.Contains('\0', StringComparison.Ordinal) || q.Value.Any(v => v?.Contains('\0', StringComparison.Ordinal) == true)
                )
                .ToDictionary(q => q.Key, _ => new[] { "must not contain the character U+0000" })
        );
    }
}
