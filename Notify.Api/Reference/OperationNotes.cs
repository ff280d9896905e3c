namespace Notify.Api.Reference;

using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.OpenApi;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Infrastructure.Json;

/// <summary>Writes what <see cref="Describing"/> noted of an endpoint into its operation, and what follows from its scope and
/// body.</summary>
public sealed class OperationNotes : IOpenApiOperationTransformer
{
    private const string ProblemType = "application/problem+json",
        TraceId = "4bf92f3577b34da6a3ce929d0e0e4736";

    /// <inheritdoc />
    public async Task TransformAsync(
        OpenApiOperation operation,
        OpenApiOperationTransformerContext context,
        CancellationToken cancellationToken
    )
    {
        var notes = context.Description.ActionDescriptor.EndpointMetadata;
        operation.Responses ??= [];
        if (!notes.OfType<AnswerNote>().Any(a => a.Status == 200))
            operation.Responses.Remove("200"); // the framework's guess
        AddBody(operation, [.. notes.OfType<BodyNote>()]);
        await AddParametersAsync(operation, notes, context, cancellationToken);
        foreach (var answer in notes.OfType<AnswerNote>())
            AddAnswer(operation, answer);

        var problems = Problems(operation, notes).ToList();
        if (problems.Count > 0 && context.Document!.Components?.Schemas?.ContainsKey(nameof(ProblemDocument)) != true)
            context.Document.AddComponent(
                nameof(ProblemDocument),
                await context.GetOrCreateSchemaAsync(typeof(ProblemDocument), cancellationToken: cancellationToken)
            );
        foreach (var group in problems.GroupBy(p => p.Status).OrderBy(g => g.Key))
            AddProblems(operation, group.Key, [.. group], context.Document!);

        if (notes.OfType<ScopeNote>().FirstOrDefault() is { } scope)
        {
            operation.Description = $"{operation.Description}\n\nScope: `{scope.Scope}`.".Trim();
            operation.Security =
            [
                new OpenApiSecurityRequirement { [new OpenApiSecuritySchemeReference(ApiReference.Basic, context.Document)] = [] },
            ];
            if (notes.OfType<Notify.Api.Access.TokenNote>().FirstOrDefault() is { } token)
            {
                operation.Description += $"\n\nOr a client token that allows `{token.Grant}`, for its own user.";
                operation.Security.Add(
                    new OpenApiSecurityRequirement { [new OpenApiSecuritySchemeReference(ApiReference.Bearer, context.Document)] = [] }
                );
            }
        }
    }

    private static void AddBody(OpenApiOperation operation, List<BodyNote> bodies)
    {
        if (bodies.Count == 0 || operation.RequestBody is not OpenApiRequestBody body || body.Content is not { } content)
            return;
        body.Required = !bodies[0].IsOptional;
        body.Description = "JSON, UTF-8. Unknown fields are refused.";
        if (!content.TryGetValue("application/json", out var json))
            return;
        if (bodies[0].Lines is not null)
        {
            body.Description = "NDJSON, UTF-8: one JSON object a line. Unknown fields are refused.";
            content.Remove("application/json");
            content["application/x-ndjson"] = json;
        }

        json.Examples = bodies.ToDictionary(
            b => Slug(b.Name),
            b => (IOpenApiExample)new OpenApiExample { Summary = b.Name, Value = Json(b.Example) }
        );
    }

    private static async Task AddParametersAsync(
        OpenApiOperation operation,
        IEnumerable<object> notes,
        OpenApiOperationTransformerContext context,
        CancellationToken cancellation
    )
    {
        foreach (var parameter in operation.Parameters?.OfType<OpenApiParameter>() ?? [])
        {
            if (parameter.In != ParameterLocation.Path || !ApiReference.PathParameters.TryGetValue(parameter.Name!, out var known))
                continue;
            (parameter.Description, parameter.Example) = (known.Description, known.Example);
        }

        foreach (var note in notes.OfType<ParameterNote>())
        {
            if (operation.Parameters?.OfType<OpenApiParameter>().FirstOrDefault(p => p.Name == note.Name) is not { } parameter)
            {
                parameter = new OpenApiParameter
                {
                    Name = note.Name,
                    In = note.IsHeader ? ParameterLocation.Header : ParameterLocation.Query,
                };
                (operation.Parameters ??= []).Add(parameter);
            }

            parameter.Schema = await context.GetOrCreateSchemaAsync(note.Type, cancellationToken: cancellation);
            (parameter.Description, parameter.Example) = (note.Description, note.Example is null ? null : Json(note.Example));
        }
    }

    private static void AddAnswer(OpenApiOperation operation, AnswerNote answer)
    {
        var status = answer.Status.ToString(CultureInfo.InvariantCulture);
        if (!operation.Responses!.TryGetValue(status, out var there) || there is not OpenApiResponse response)
            operation.Responses![status] = response = new OpenApiResponse();
        response.Description = answer.Description;
        response.Headers = Headers(answer.Headers);
        if (answer.Example is null)
            return;
        response.Content ??= new Dictionary<string, OpenApiMediaType>();
        if (!response.Content.TryGetValue(answer.ContentType, out var media))
            response.Content[answer.ContentType] = media = new OpenApiMediaType
            {
                Schema = new OpenApiSchema { Type = JsonSchemaType.String },
            };
        media.Example = Json(answer.Example);
    }

    // Returns the endpoint's own problems, and those of every endpoint with a scope or with a body.
    private static IEnumerable<ProblemNote> Problems(OpenApiOperation operation, IEnumerable<object> notes)
    {
        var own = notes.OfType<ProblemNote>().ToList();
        var takesLines = notes.OfType<BodyNote>().Select(b => b.Lines).FirstOrDefault(l => l is not null);
        var takesBody = takesLines is null && notes.OfType<BodyNote>().Any();
        if (takesLines is not null)
            yield return new(415, "unsupported_media_type", takesLines);
        if (takesBody || notes.OfType<ParameterNote>().Any())
            yield return new(400, "invalid_request", Problem.InvalidDetail);
        if (takesBody)
        {
            yield return new(
                400,
                "malformed_json",
                "The body is not JSON as it should be (line 3, byte 14): at most 32 levels deep, no name twice in an object, UTF-8."
            );
            yield return new(413, "too_large", RequestBody.TooLargeDetail);
            yield return new(415, "unsupported_media_type", RequestBody.UnsupportedDetail);
        }

        foreach (var note in own)
            yield return note;
        if (notes.OfType<ScopeNote>().FirstOrDefault() is not { } scope)
            yield break;
        yield return new(
            401,
            "unauthorized",
            "The appKey or appSecret is wrong, or no longer counts. Check both, or ask an administrator for a new secret."
        );
        yield return new(
            403,
            "missing_scope",
            $"This client lacks the scope \"{scope.Scope}\". Ask an administrator for it, or call with a client that has it."
        );
        if (notes.OfType<Notify.Api.Access.TokenNote>().FirstOrDefault() is { } token)
            yield return new(
                403,
                Callers.TokenLacks,
                $"This client token lacks \"{token.Grant}\". Let your service make one that allows it."
            );
        if (!Access.AccessControl.IsOpenToTests(notes))
            yield return new(403, Callers.TestMode, Callers.TestModeDetail);
        if (!notes.OfType<Access.LimitedNote>().Any())
            yield return new(429, "rate_limited", Access.RequestLimit.Detail);
        yield return new(429, "too_many_attempts", Access.Refusals.TooMany);
        yield return new(503, "storage_unavailable", Problem.UnavailableDetail);
        yield return new(503, "busy", Problem.WaitedDetail);
    }

    private static void AddProblems(OpenApiOperation operation, int status, List<ProblemNote> problems, OpenApiDocument document)
    {
        operation.Responses![status.ToString(CultureInfo.InvariantCulture)] = new OpenApiResponse
        {
            Description = $"{ReasonPhrases.GetReasonPhrase(status)}: {string.Join(", ", problems.Select(p => $"`{p.Code}`").Distinct())}.",
            Headers = Headers(
                status switch
                {
                    401 => ["WWW-Authenticate"],
                    429 => ["Retry-After", "RateLimit-Policy", "RateLimit"],
                    503 => ["Retry-After"],
                    _ => [],
                }
            ),
            Content = new Dictionary<string, OpenApiMediaType>
            {
                [ProblemType] = new OpenApiMediaType
                {
                    Schema = new OpenApiSchemaReference(nameof(ProblemDocument), document),
                    Examples = problems
                        .DistinctBy(p => p.Code)
                        .ToDictionary(
                            p => p.Code,
                            p =>
                                (IOpenApiExample)
                                    new OpenApiExample
                                    {
                                        Summary = p.Code,
                                        Value = Json(
                                            ProblemDocument.Of(
                                                status,
                                                p.Code,
                                                p.Detail,
                                                TraceId,
                                                p.Code == "invalid_request"
                                                    ? new Dictionary<string, string[]> { ["field"] = ["what is wrong with it"] }
                                                    : null
                                            )
                                        ),
                                    }
                        ),
                },
            },
        };
    }

    private static Dictionary<string, IOpenApiHeader>? Headers(IReadOnlyList<string> names) =>
        names.Count == 0
            ? null
            : names.ToDictionary(
                n => n,
                n =>
                    (IOpenApiHeader)
                        new OpenApiHeader
                        {
                            Description = ApiReference.Headers[n].Description,
                            Example = ApiReference.Headers[n].Example,
                            Schema = new OpenApiSchema { Type = JsonSchemaType.String },
                        }
            );

    private static JsonNode? Json(object value) =>
        value as JsonNode ?? JsonSerializer.SerializeToNode(value, value.GetType(), NotifyJson.Options);

    private static string Slug(string name) =>
        string.Concat(name.ToLowerInvariant().Select(c => char.IsAsciiLetterOrDigit(c) ? c : '-')).Trim('-');
}
