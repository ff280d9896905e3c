namespace Notify.Api.Topics;

using System.ComponentModel.DataAnnotations;
using FluentValidation;
using Marten;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Reference;
using Notify.Delivery.Topics;
using Notify.Domain.Clients;
using Notify.Domain.Topics;
using Notify.Infrastructure.Postgres;
using Npgsql;

/// <summary>A topic: the body of <c>PUT /v1/topics/{topic}</c>.</summary>
public sealed record PutTopic
{
    /// <summary>Its display name; 1 to 200 characters.</summary>
    [Required]
    public string? Name { get; init; }
}

/// <summary>A topic that people can follow.</summary>
/// <param name="Topic">The key by which broadcasts name it.</param>
/// <param name="Name">Its display name.</param>
/// <param name="Subscribers">The current number of its users.</param>
/// <param name="DefinedAt">When it was given its name.</param>
/// <param name="By">The client that named it.</param>
public sealed record TopicResource(string Topic, string Name, long Subscribers, DateTimeOffset DefinedAt, string By);

/// <summary>The shape of a topic.</summary>
public sealed class PutTopicValidator : AbstractValidator<PutTopic>
{
    /// <summary>The rules.</summary>
    public PutTopicValidator() =>
        RuleFor(t => t.Name)
            .Must(n => n is { Length: >= 1 and <= 200 } && !string.IsNullOrWhiteSpace(n))
            .WithMessage("must be 1 to 200 characters, and not blank");
}

/// <summary>Topics. They belong to the installation, as users do.</summary>
public static class TopicEndpoints
{
    private static readonly PutTopicValidator Validator = new();

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder app)
    {
        app.MapPut("/v1/topics/{topic}", PutAsync)
            .RequireScope(Scopes.Recipients)
            .WithName("PutTopic")
            .WithTags("Recipients")
            .WithSummary("Define a topic, or name it anew")
            .WithDescription(
                "A topic is something that users follow, and that broadcasts go to. The same again changes nothing; those who "
                    + "belong to it stay."
            )
            .Takes("Club news", new PutTopic { Name = Example.Name })
            .Answers(200, "As it is now.", Example);
        app.MapGet("/v1/topics/{topic}", GetAsync)
            .RequireScope(Scopes.Recipients)
            .WithName("GetTopic")
            .WithTags("Recipients")
            .WithSummary("A topic")
            .WithDescription("With the number of users who belong to it now.")
            .Answers(200, "The topic.", Example)
            .FailsNotFound("such topic");
    }

    /// <summary>As the reference shows one.</summary>
    internal static TopicResource Example =>
        new("club-news", "News of the club", 1280, new DateTimeOffset(2026, 12, 1, 9, 0, 0, TimeSpan.Zero), "c_k3v9x2m7q4w8z5ab");

    private static async Task<IResult> PutAsync(
        string topic,
        HttpContext http,
        IDocumentStore store,
        NpgsqlDataSource database,
        TimeProvider clock
    )
    {
        if (!Identifiers.IsKey(topic))
            return Problem.Invalid(new Dictionary<string, string[]> { ["topic"] = [Identifiers.KeyRule] });
        var (put, problem) = await RequestBody.ReadAsync(http.Request, Validator);
        if (put is null)
            return problem!;
        Topic? now = null;
        var key = Topic.KeyOf(topic);
        await StreamChanges.RunAsync<Topic>(
            store,
            key,
            clock,
            (_, current, at) =>
            {
                now = current;
                if (current?.Name == put.Name)
                    return Task.FromResult<IReadOnlyList<object>>([]);
                var defined = new TopicDefined(topic, put.Name!, Callers.Of(http).ClientId, at);
                now = Topic.Evolve(current, key, defined);
                return Task.FromResult<IReadOnlyList<object>>([defined]);
            },
            http.RequestAborted
        );
        await using var connection = await database.OpenConnectionAsync(http.RequestAborted);
        return await ShowAsync(now!, connection, http.RequestAborted);
    }

    private static async Task<IResult> GetAsync(string topic, HttpContext http, ReadDatabase database)
    {
        await using var read = await database.OpenAsync(http.RequestAborted);
        return await read.Session.LoadAsync<Topic>(Topic.KeyOf(topic), http.RequestAborted) is { } found
            ? await ShowAsync(found, read.Connection, http.RequestAborted)
            : Problem.NotFound("such topic");
    }

    private static async Task<IResult> ShowAsync(Topic topic, NpgsqlConnection connection, CancellationToken cancellation)
    {
        return Results.Ok(
            new TopicResource(
                topic.Key,
                topic.Name,
                await TopicSubscribers.CountAsync(connection, topic.Key, cancellation),
                topic.DefinedAt,
                topic.By
            )
        );
    }
}
