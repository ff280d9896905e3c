namespace Notify.Api.Reference;

using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.OpenApi;
using Notify.Api.Contract;

/// <summary>An example of what an endpoint takes.</summary>
/// <param name="Lines">Set where it takes such bodies one a line: the answer to another content type.</param>
/// <param name="IsOptional">Whether the body may be left away.</param>
public sealed record BodyNote(string Name, object Example, string? Lines = null, bool IsOptional = false);

/// <summary>An answer that is not a problem.</summary>
/// <param name="Example">Written as the answer itself would be; a text is written as it is.</param>
public sealed record AnswerNote(int Status, string Description, object? Example, string ContentType, IReadOnlyList<string> Headers);

/// <summary>A parameter of the query, or one of the path that is not among <see cref="ApiReference.PathParameters"/>.</summary>
/// <param name="IsHeader">Whether it is a header of the request instead.</param>
public sealed record ParameterNote(string Name, string Description, object? Example, Type Type, bool IsHeader = false);

/// <summary>
/// Describes endpoints for the reference, next to their mapping. <see cref="RequestBody"/> reads bodies, so the framework's
/// binding does not know them. The compiler checks types and examples, and a test checks every example.
/// </summary>
public static class Describing
{
    /// <summary>Describes the body of an endpoint: the type gives the schema. Another call adds another example.</summary>
    /// <param name="name">A short name of the example.</param>
    public static RouteHandlerBuilder Takes<T>(this RouteHandlerBuilder endpoint, string name, T example)
        // No content type: the framework would refuse others before RequestBody could say why.
        where T : notnull => endpoint.WithMetadata(new BodyNote(name, example), new AcceptsMetadata([], typeof(T)));

    /// <summary>A body that may be left away.</summary>
    /// <param name="name">A short name of the example.</param>
    public static RouteHandlerBuilder TakesOptionally<T>(this RouteHandlerBuilder endpoint, string name, T example)
        where T : notnull =>
        endpoint.WithMetadata(new BodyNote(name, example, IsOptional: true), new AcceptsMetadata([], typeof(T), isOptional: true));

    /// <summary>Describes the lines of an endpoint's body (NDJSON): the type gives the schema of a line.</summary>
    /// <param name="unsupported">The answer to another content type.</param>
    /// <param name="name">A short name of the example.</param>
    public static RouteHandlerBuilder TakesLines<T>(this RouteHandlerBuilder endpoint, string unsupported, string name, T example)
        where T : notnull => endpoint.WithMetadata(new BodyNote(name, example, unsupported), new AcceptsMetadata([], typeof(T)));

    /// <summary>An answer with a body.</summary>
    /// <param name="headers">Names of <see cref="ApiReference.Headers"/>.</param>
    public static RouteHandlerBuilder Answers<T>(
        this RouteHandlerBuilder endpoint,
        int status,
        string description,
        T example,
        params string[] headers
    )
        where T : notnull =>
        endpoint
            .Produces<T>(status, "application/json")
            .WithMetadata(new AnswerNote(status, description, example, "application/json", headers));

    /// <summary>An answer that is not JSON.</summary>
    public static RouteHandlerBuilder AnswersText(
        this RouteHandlerBuilder endpoint,
        int status,
        string contentType,
        string description,
        string example
    ) => endpoint.WithMetadata(new AnswerNote(status, description, example, contentType, []));

    /// <summary>An answer without a body.</summary>
    public static RouteHandlerBuilder Answers(this RouteHandlerBuilder endpoint, int status, string description) =>
        endpoint.Produces(status).WithMetadata(new AnswerNote(status, description, null, "", []));

    /// <summary>A problem of the endpoint's own.</summary>
    /// <param name="detail">As the problem's <c>detail</c> puts it.</param>
    public static RouteHandlerBuilder Fails(this RouteHandlerBuilder endpoint, int status, string code, string detail) =>
        endpoint.WithMetadata(new ProblemNote(status, code, detail));

    /// <summary>Describes a 404 for a missing resource.</summary>
    public static RouteHandlerBuilder FailsNotFound(this RouteHandlerBuilder endpoint, string what) =>
        endpoint.Fails(StatusCodes.Status404NotFound, "not_found", Problem.NotFoundDetail(what));

    /// <summary>A header of the request.</summary>
    public static RouteHandlerBuilder Header(this RouteHandlerBuilder endpoint, string name, string description, string example) =>
        endpoint.WithMetadata(new ParameterNote(name, description, example, typeof(string), IsHeader: true));

    /// <summary>A parameter of the query.</summary>
    public static RouteHandlerBuilder Query<T>(this RouteHandlerBuilder endpoint, string name, string description, T example)
        where T : notnull => endpoint.WithMetadata(new ParameterNote(name, description, example, typeof(T)));
}
