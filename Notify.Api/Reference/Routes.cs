namespace Notify.Api.Reference;

/// <summary>The mapped routes of the host.</summary>
public static class Routes
{
    /// <summary>Prints a line for each method and path; <c>HEAD</c> goes with <c>GET</c>.</summary>
    /// <returns>The exit code.</returns>
    public static int Print(IEndpointRouteBuilder app, TextWriter output)
    {
        var endpoints = app.DataSources.SelectMany(s => s.Endpoints).OfType<RouteEndpoint>();
        var lines = endpoints.SelectMany(e =>
            (e.Metadata.GetMetadata<HttpMethodMetadata>()?.HttpMethods ?? ["GET"])
                .Where(m => !HttpMethods.IsHead(m))
                .Select(m => $"{m} /{e.RoutePattern.RawText!.Trim('/')}")
        );
        foreach (var line in lines.Distinct().Order(StringComparer.Ordinal))
            output.WriteLine(line);
        return 0;
    }
}
