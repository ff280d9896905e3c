namespace Notify.Api.Topics;

using System.ComponentModel.DataAnnotations;
using FluentValidation;
using Marten;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Recipients;
using Notify.Api.Reference;
using Notify.Delivery.EventStore;
using Notify.Delivery.Privacy;
using Notify.Delivery.Topics;
using Notify.Domain.Clients;
using Notify.Domain.Recipients;
using Notify.Domain.Topics;

/// <summary>Users who are to follow a topic: the body of <c>POST /v1/topics/{topic}/subscribers</c>.</summary>
public sealed record AddSubscribers
{
    /// <summary>1 to 1,000 IDs of registered users.</summary>
    [Required]
    public IReadOnlyList<string>? UserIds { get; init; }
}

/// <summary>The result of adding users to a topic.</summary>
/// <param name="Joined">The number of users that were added.</param>
/// <param name="Already">The number of users that belonged to it already.</param>
/// <param name="Unknown">The users that are not registered, or were erased: they were not added.</param>
public sealed record AddedSubscribers(int Joined, int Already, IReadOnlyList<string> Unknown);

/// <summary>The shape of users who are to follow a topic.</summary>
public sealed class AddSubscribersValidator : AbstractValidator<AddSubscribers>
{
    /// <summary>The rules.</summary>
    public AddSubscribersValidator()
    {
        RuleFor(s => s.UserIds).Must(u => u is { Count: >= 1 and <= 1000 }).WithMessage("must have 1 to 1,000 items");
        RuleFor(s => s.UserIds)
            .Custom(
                (users, context) =>
                {
                    for (var i = 0; i < (users?.Count ?? 0); i++)
                    {
                        if (!Identifiers.IsUserId(users![i]))
                            context.AddFailure(
                                string.Create(System.Globalization.CultureInfo.InvariantCulture, $"UserIds[{i}]"),
                                Identifiers.UserIdRule
                            );
                    }
                }
            );
    }
}

/// <summary>The members of a topic. Each joining and leaving is an event of the user's.</summary>
public static class TopicMembers
{
    private static readonly AddSubscribersValidator Validator = new();

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder app)
    {
        app.MapPut("/v1/topics/{topic}/subscribers/{userId}", JoinAsync)
            .RequireScope(Scopes.Recipients)
            .WithName("JoinTopic")
            .WithTags("Recipients")
            .WithSummary("Let a user follow a topic")
            .WithDescription("Takes no body. A user who belongs to it already stays as they are.")
            .Answers(204, "The user belongs to it.")
            .FailsNotFound("such topic or user");
        app.MapDelete("/v1/topics/{topic}/subscribers/{userId}", LeaveAsync)
            .RequireScope(Scopes.Recipients)
            .WithName("LeaveTopic")
            .WithTags("Recipients")
            .WithSummary("Let a user follow a topic no more")
            .WithDescription("Broadcasts that have not come to this user yet pass them over.")
            .Answers(204, "The user belonged to it, and does not any more.")
            .FailsNotFound("such user in this topic");
        app.MapPost("/v1/topics/{topic}/subscribers", AddAsync)
            .RequireScope(Scopes.Recipients)
            .WithName("AddSubscribers")
            .WithTags("Recipients")
            .WithSummary("Let up to 1,000 users follow a topic")
            .WithDescription("All in one transaction. One who is unknown harms no other, and is named in the answer.")
            .Takes("Two at once", new AddSubscribers { UserIds = ["u-42", "u-43"] })
            .Answers(200, "What became of them.", new AddedSubscribers(1, 0, ["u-43"]))
            .FailsNotFound("such topic");
    }

    private static async Task<IResult> JoinAsync(
        string topic,
        string userId,
        HttpContext http,
        IDocumentStore store,
        UserReferences users,
        TimeProvider clock
    )
    {
        var added = await JoinAllAsync(store, users, clock, topic, [userId], Callers.Of(http).ClientId, http.RequestAborted);
        return added is null or { Unknown.Count: > 0 } ? Problem.NotFound("such topic or user") : Results.NoContent();
    }

    private static async Task<IResult> LeaveAsync(
        string topic,
        string userId,
        HttpContext http,
        IDocumentStore store,
        UserReferences users,
        TimeProvider clock
    )
    {
        var left = false;
        var userRef = await users.FindAsync(userId, http.RequestAborted);
        await RecipientChanges.RunAsync(
            store,
            userRef,
            clock,
            async (session, _, now) =>
            {
                left = await TopicSubscribers.RemoveAsync(session.Connection!, topic, userRef, http.RequestAborted);
                return left ? [new TopicLeft(topic, Callers.Of(http).ClientId, now)] : [];
            },
            http.RequestAborted
        );
        return left ? Results.NoContent() : Problem.NotFound("such user in this topic");
    }

    private static async Task<IResult> AddAsync(
        string topic,
        HttpContext http,
        IDocumentStore store,
        UserReferences users,
        TimeProvider clock
    )
    {
        var (body, problem) = await RequestBody.ReadAsync(http.Request, Validator);
        if (body is null)
            return problem!;
        return await JoinAllAsync(store, users, clock, topic, body.UserIds!, Callers.Of(http).ClientId, http.RequestAborted) is { } added
            ? Results.Ok(added)
            : Problem.NotFound("such topic");
    }

    // null: there is no such topic.
    private static async Task<AddedSubscribers?> JoinAllAsync(
        IDocumentStore store,
        UserReferences references,
        TimeProvider clock,
        string topic,
        IReadOnlyList<string> userIds,
        string by,
        CancellationToken cancellation
    )
    {
        AddedSubscribers? added = null;
        await StreamChanges.RepeatAsync(
            clock,
            async () =>
            {
                var now = clock.GetUtcNow();
                await using var session = store.LightweightSession();
                if (await session.LoadAsync<Topic>(Topic.KeyOf(topic), cancellation) is null)
                    return;
                await session.BeginTransactionAsync(cancellation);
                var refs = await references.FindAsync(session.Connection!, userIds, cancellation);
                string[] users = [.. refs.Values];
                await NotificationStreams.LockAsync(session, users.Select(Recipient.KeyOf), cancellation);
                var known = (await session.LoadManyAsync<Recipient>(cancellation, users.Select(Recipient.KeyOf)))
                    .Where(r => !r.IsErased)
                    .Select(r => r.Id[2..])
                    .ToHashSet(StringComparer.Ordinal);
                var joined = await TopicSubscribers.AddAsync(
                    session.Connection!,
                    topic,
                    [.. users.Where(known.Contains)],
                    now,
                    cancellation
                );
                foreach (var user in joined)
                    session.Events.Append(Recipient.KeyOf(user), new TopicJoined(topic, by, now));
                if (joined.Count > 0)
                    await session.SaveChangesAsync(cancellation);
                added = new AddedSubscribers(
                    joined.Count,
                    known.Count - joined.Count,
                    [.. refs.Where(r => !known.Contains(r.Value)).Select(r => r.Key)]
                );
            },
            cancellation
        );
        return added;
    }
}
