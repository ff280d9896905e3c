namespace Notify.Api.Operations;

using System.ComponentModel.DataAnnotations;
using FluentValidation;
using Marten;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Reference;
using Notify.Delivery.DeliveryQueue;
using Notify.Delivery.EventStore;
using Notify.Delivery.Messaging;
using Notify.Delivery.Planning;
using Notify.Delivery.Privacy;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Domain.Suppressions;
using Notify.Infrastructure.Postgres;
using Npgsql;
using Wolverine.Marten;

/// <summary>Which dead letters: by reason, client, lane, priority.</summary>
public sealed record DeadLetterQuery
{
    /// <summary>Only those that ended for this reason.</summary>
    public string? Reason { get; init; }

    /// <summary>Only this client's.</summary>
    public string? Client { get; init; }

    /// <summary>Only of one kind of provider.</summary>
    public Lane? Lane { get; init; }

    /// <summary>Only of one priority.</summary>
    public Priority? Priority { get; init; }
}

/// <summary>Sends dead letters on their way again: the body of <c>POST /v1/dead-letters/replay</c>.</summary>
public sealed record ReplayDeadLetters
{
    /// <summary>1 to 1,000 delivery IDs. Either this or <c>query</c>.</summary>
    public IReadOnlyList<string>? Ids { get; init; }

    /// <summary>All that match, at most 1,000 at a time. Either this or <c>ids</c>.</summary>
    public DeadLetterQuery? Query { get; init; }

    /// <summary>Why, in at most 500 characters; kept in the notification's stream.</summary>
    [Required]
    public string? Reason { get; init; }

    /// <summary>Whether to report the result without any change.</summary>
    public bool? DryRun { get; init; }
}

/// <summary>A page of dead letters.</summary>
/// <param name="Items">Newest first.</param>
public sealed record DeadLetterList(IReadOnlyList<DeadLetter> Items);

/// <summary>A delivery that used up its attempts.</summary>
/// <param name="DeliveryId">The delivery.</param>
/// <param name="Client">Whose notification it belongs to.</param>
/// <param name="EventId">The notification.</param>
/// <param name="Queue">Lane and priority.</param>
/// <param name="Attempts">Calls made.</param>
/// <param name="Reason">Why the last one failed.</param>
/// <param name="RequestedAt">When it was accepted.</param>
public sealed record DeadLetter(
    Guid DeliveryId,
    string? Client,
    string? EventId,
    string Queue,
    int Attempts,
    string? Reason,
    DateTimeOffset RequestedAt
);

/// <summary>The result of a replay, or of its dry run.</summary>
/// <param name="DryRun">Whether nothing was changed.</param>
/// <param name="Replayed">The number of deliveries that are queued again.</param>
/// <param name="Results">One for each delivery.</param>
public sealed record ReplayedDeadLetters(bool DryRun, int Replayed, IReadOnlyList<ReplayedDeadLetter> Results);

/// <summary>The result of one dead letter.</summary>
/// <param name="DeliveryId">The delivery.</param>
/// <param name="Result"><c>replayed</c> or <c>refused</c>.</param>
/// <param name="Reason">Why it was refused.</param>
public sealed record ReplayedDeadLetter(Guid DeliveryId, string Result, string? Reason);

/// <summary>The shape of a replay.</summary>
public sealed class ReplayDeadLettersValidator : AbstractValidator<ReplayDeadLetters>
{
    /// <summary>The rules.</summary>
    public ReplayDeadLettersValidator()
    {
        RuleFor(r => r.Reason)
            .NotEmpty()
            .MaximumLength(500)
            .WithMessage("say why, in at most 500 characters; it is kept in the notification's stream");
        RuleFor(r => r.Ids).Must((r, _) => r.Ids is not null ^ r.Query is not null).WithMessage("give either ids or query");
        RuleFor(r => r.Ids)
            .Must(ids => ids!.Count is > 0 and <= 1000 && ids.All(i => Guid.TryParse(i, out _)))
            .When(r => r.Ids is not null)
            .WithMessage("must be 1 to 1,000 delivery IDs");
    }
}

/// <summary>Deliveries that used up their attempts, and the way back for them.</summary>
public static class DeadLetters
{
    private const int Page = 1000;
    private static readonly ReplayDeadLettersValidator Validator = new();

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder app)
    {
        app.MapGet("/v1/dead-letters", ListAsync)
            .RequireScope(Scopes.Operate)
            .Traced()
            .WithName("ListDeadLetters")
            .WithTags("Operate")
            .WithSummary("List dead letters")
            .WithDescription("Deliveries that used up their attempts and wait for a person's decision, newest first.")
            .Query("reason", "Only those that ended for this reason.", "Retry")
            .Query("client", "Only this client's.", "c_k3v9x2m7q4w8z5ab")
            .Query("lane", "Only of one kind of provider: apns, fcm, webpush, sms or email.", "apns")
            .Query("priority", "Only of one priority: critical, normal or bulk.", "bulk")
            .Query("limit", "How many at most: 1 to 1,000; absent: 100.", 100)
            .Answers(
                200,
                "The dead letters.",
                new DeadLetterList([
                    new DeadLetter(
                        ExampleId,
                        "c_k3v9x2m7q4w8z5ab",
                        "order-123-shipped",
                        "apns_normal",
                        12,
                        "Retry",
                        new DateTimeOffset(2026, 12, 1, 9, 0, 0, TimeSpan.Zero)
                    ),
                ])
            );
        app.MapPost("/v1/dead-letters/replay", ReplayAsync)
            .RequireScope(Scopes.Operate)
            .Traced()
            .WithoutDeadline()
            .WithName("ReplayDeadLetters")
            .WithTags("Operate")
            .WithSummary("Replay dead letters")
            .WithDescription(
                "Sends dead letters on their way again. Opt-out, suppressions and expiry are checked anew; dryRun only tells "
                    + "what would happen."
            )
            .Takes("Some, by ID", new ReplayDeadLetters { Ids = [$"{ExampleId}"], Reason = "The provider was misconfigured; mended." })
            .Takes(
                "What would happen to all of one reason",
                new ReplayDeadLetters
                {
                    Query = new DeadLetterQuery { Reason = "ProviderAskedToWait" },
                    Reason = "The provider is back.",
                    DryRun = true,
                }
            )
            .Answers(200, "What became of each.", new ReplayedDeadLetters(false, 1, [new ReplayedDeadLetter(ExampleId, "replayed", null)]));
    }

    private static Guid ExampleId => Guid.Parse("0b1f7c3e-52ab-8d0e-9c41-6a7d2f90e513");

    private static async Task<IResult> ListAsync(
        HttpContext http,
        ReadDatabase database,
        string? reason,
        string? client,
        string? lane,
        string? priority,
        int? limit
    )
    {
        var errors = new Dictionary<string, string[]>();
        if (limit is < 1 or > Page)
            errors["limit"] = ["must be 1 to 1,000"];
        var onLane = Choice<Lane>(nameof(lane), lane, errors);
        var atPriority = Choice<Priority>(nameof(priority), priority, errors);
        if (errors.Count > 0)
            return Problem.Invalid(errors);
        await using var read = await database.OpenAsync(http.RequestAborted);
        var rows = await OpenDeliveryTable.DeadAsync(
            read.Connection,
            Prefix(client),
            reason,
            limit ?? 100,
            http.RequestAborted,
            onLane,
            atPriority
        );
        return Results.Ok(
            new DeadLetterList([
                .. rows.Select(r =>
                {
                    var id = NotificationKey.Parse(r.Notification);
                    return new DeadLetter(r.Id, id?.ClientId, id?.EventId, r.Queue.Name, r.Attempts, r.Reason, r.EnqueuedAt);
                }),
            ])
        );
    }

    private static async Task<IResult> ReplayAsync(
        HttpContext http,
        IDocumentStore store,
        IMartenOutbox outbox,
        SubjectKeys keys,
        TimeProvider clock
    )
    {
        var (body, problem) = await RequestBody.ReadAsync(http.Request, Validator);
        if (body is null)
            return problem!;
        var cancellation = http.RequestAborted;
        var now = clock.GetUtcNow();
        await using var session = store.LightweightSession();
        await session.BeginTransactionAsync(cancellation);
        var connection = session.Connection!;

        var ids =
            body.Ids?.Select(Guid.Parse).Distinct().ToArray()
            ??
            [
                .. (
                    await OpenDeliveryTable.DeadAsync(
                        connection,
                        Prefix(body.Query!.Client),
                        body.Query.Reason,
                        Page,
                        cancellation,
                        body.Query.Lane,
                        body.Query.Priority
                    )
                ).Select(r => r.Id),
            ];
        var rows = (await OpenDeliveryTable.LockAsync(connection, ids, cancellation)).Where(r => r.State == OpenState.Dead).ToList();
        await NotificationStreams.LockAsync(session, rows.Select(r => r.Notification), cancellation);
        var loaded = await NotificationStreams.LoadAsync(session, [.. rows.Select(r => r.Notification).Distinct()], cancellation);
        var notifications = loaded.States;
        var recipients = await NotificationStreams.RecipientsOfAsync(session, notifications.Values.Select(n => n.Request), cancellation);
        var dead = notifications
            .Values.SelectMany(n => n.Deliveries.Values.Select(d => (Notification: n, Delivery: d)))
            .IntersectBy(rows.Select(r => r.Id), d => d.Delivery.Id);
        var fingerprints = await FingerprintsAsync(connection, keys, dead, cancellation);
        var rules = await ReachRulesReader.LoadAsync(
            session,
            connection,
            notifications.Values.Select(n => n.Request.Category),
            fingerprints.Values.Select(f => Suppression.IdOf(f.Channel, f.Fingerprint)),
            notifications
                .Values.Where(n => n.Request.UserRef is null)
                .SelectMany(n => n.Deliveries.Keys)
                .Where(fingerprints.ContainsKey)
                .Select(d => fingerprints[d]),
            now,
            cancellation
        );

        var redriven = new List<OpenDelivery>();
        var results = new List<ReplayedDeadLetter>();
        foreach (var id in ids)
        {
            var row = rows.FirstOrDefault(r => r.Id == id);
            var hindrance = row is not null && loaded.Faults.ContainsKey(row.Notification) ? Reasons.StreamUnreadable : "NotDeadLettered";
            if (row is not null && notifications.TryGetValue(row.Notification, out var n))
            {
                (var @event, hindrance) = NotificationDecider.Redrive(
                    n,
                    id,
                    recipients.Of(n.Request),
                    rules,
                    fingerprints.GetValueOrDefault(id).Fingerprint,
                    body.Reason!,
                    Callers.Of(http).ClientId,
                    now
                );
                if (@event is not null)
                {
                    session.Events.Append(row.Notification, @event);
                    redriven.Add(row with { State = OpenState.Queued, Attempts = 0, DueAt = null, Reason = null });
                }
            }

            results.Add(new ReplayedDeadLetter(id, hindrance is null ? "replayed" : "refused", hindrance));
        }

        if (body.DryRun != true && redriven.Count > 0)
        {
            await OpenDeliveryTable.PutAsync(connection, redriven, cancellation);
            await outbox.CarryAsync(session, redriven);
            await session.SaveChangesAsync(cancellation);
        }

        return Results.Ok(new ReplayedDeadLetters(body.DryRun == true, redriven.Count, results));
    }

    private static async Task<Dictionary<Guid, (Channel Channel, string Fingerprint)>> FingerprintsAsync(
        NpgsqlConnection connection,
        SubjectKeys keys,
        IEnumerable<(Notification Notification, Delivery Delivery)> deliveries,
        CancellationToken cancellation
    )
    {
        var addressed = deliveries.Where(d => d.Delivery is { Channel: not Channel.Push, Contact: not null }).ToList();
        var opened = await keys.ForAsync(connection, addressed.Select(d => d.Delivery.Contact!.Value), cancellation);
        var fingerprints = await opened.FingerprintsAsync(connection, addressed, cancellation);
        return addressed
            .Where(d => fingerprints.ContainsKey(d.Delivery.Id))
            .ToDictionary(d => d.Delivery.Id, d => (d.Delivery.Channel, fingerprints[d.Delivery.Id]));
    }

    private static T? Choice<T>(string name, string? text, Dictionary<string, string[]> errors)
        where T : struct, Enum
    {
        if (text is null)
            return null;
        if (Enum.TryParse<T>(text, ignoreCase: true, out var value) && Enum.IsDefined(value) && char.IsAsciiLetter(text[0]))
            return value;
        errors[name] = [$"must be one of {string.Join(", ", Enum.GetNames<T>().Select(n => n.ToLowerInvariant()))}"];
        return null;
    }

    private static string? Prefix(string? client) => client is null ? null : NotificationKey.Of(client, "");
}
