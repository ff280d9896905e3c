namespace Notify.Sandbox;

/// <summary>RFC 9457 problem documents with a stable <c>code</c>, as in Notify's own API.</summary>
public static class Problem
{
    /// <summary>400, naming every fault by field.</summary>
    public static IResult BadRequest(string code, string detail, IDictionary<string, string[]>? errors = null)
    {
        var extensions = new Dictionary<string, object?> { ["code"] = code };
        return errors is null
            ? Results.Problem(detail, statusCode: StatusCodes.Status400BadRequest, extensions: extensions)
            : Results.ValidationProblem(errors, detail, extensions: extensions);
    }

    /// <summary>Makes a 404 problem document.</summary>
    public static IResult NotFound(string code, string detail) => Of(StatusCodes.Status404NotFound, code, detail);

    /// <summary>Makes a problem document with another status.</summary>
    public static IResult Of(int status, string code, string detail) =>
        Results.Problem(detail, statusCode: status, extensions: new Dictionary<string, object?> { ["code"] = code });
}
