namespace Notify.Api.Reference;

using Microsoft.OpenApi;

/// <summary>Endpoints that every host serves besides its own, without a key: Api, Dispatch and Projections alike.</summary>
public static class HostEndpoints
{
    /// <summary>The paths.</summary>
    public static readonly IReadOnlyList<string> Paths = ["/health/live", "/health/ready", "/metrics"];

    /// <summary>Adds them to the document: they are not the framework's route handlers, so it does not find them.</summary>
    public static void AddTo(OpenApiDocument document)
    {
        Add(
            document,
            "/health/live",
            "GetLiveness",
            "Whether the host runs",
            "Answers as long as the process serves requests. Dispatch and Projections serve it too.",
            "application/json",
            """{"status":"Healthy","checks":{}}"""
        );
        Add(
            document,
            "/health/ready",
            "GetReadiness",
            "Whether the host can do its work",
            "503 while the database does not answer or has not been migrated. Dispatch and Projections serve it too.",
            "application/json",
            """{"status":"Healthy","checks":{"database":{"status":"Healthy","description":null}}}""",
            """{"status":"Unhealthy","checks":{"database":{"status":"Unhealthy","description":"PostgreSQL does not answer."}}}"""
        );
        Add(
            document,
            "/metrics",
            "GetMetrics",
            "Metrics for Prometheus",
            "The host's own metrics, in Prometheus' text format. Dispatch and Projections serve theirs.",
            "text/plain",
            "notify_accepted_total 42"
        );
    }

    private static void Add(
        OpenApiDocument document,
        string path,
        string id,
        string summary,
        string description,
        string type,
        string example,
        string? unready = null
    )
    {
        var operation = new OpenApiOperation
        {
            OperationId = id,
            Summary = summary,
            Description = description,
            Tags = new HashSet<OpenApiTagReference> { new("Health", document) },
            Responses = new OpenApiResponses { ["200"] = Response("It does.", type, example) },
        };
        if (unready is not null)
            operation.Responses["503"] = Response("Not now; the checks say why.", type, unready);
        document.Paths[path] = new OpenApiPathItem
        {
            Operations = new Dictionary<HttpMethod, OpenApiOperation> { [HttpMethod.Get] = operation },
        };
    }

    private static OpenApiResponse Response(string description, string type, string example) =>
        new()
        {
            Description = description,
            Content = new Dictionary<string, OpenApiMediaType>
            {
                [type] = new OpenApiMediaType
                {
                    Schema = new OpenApiSchema { Type = type == "text/plain" ? JsonSchemaType.String : JsonSchemaType.Object },
                    Example = type == "text/plain" ? example : System.Text.Json.Nodes.JsonNode.Parse(example),
                },
            },
        };
}
