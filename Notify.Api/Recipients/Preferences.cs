namespace Notify.Api.Recipients;

using System.Buffers.Text;
using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Marten;
using Marten.Events;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Reference;
using Notify.Delivery.Privacy;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Recipients;
using Notify.Infrastructure.Postgres;

/// <summary>A choice: about a channel, or about a category at an address.</summary>
public sealed record ChannelChoice
{
    /// <summary>Whether the person wants to be reached so.</summary>
    [Required]
    public bool? OptIn { get; init; }
}

/// <summary>The hours of the day at which a person is not to be disturbed, in their own time zone.</summary>
public sealed record QuietHoursChoice
{
    /// <summary>From this time on, such as 22:00.</summary>
    [Required]
    public string? From { get; init; }

    /// <summary>Until this time, such as 08:00; of the next day where it is not later.</summary>
    [Required]
    public string? To { get; init; }
}

/// <summary>A user's preferences: the body of <c>PUT /v1/users/{userId}/preferences</c>. Absent ones follow the defaults.</summary>
public sealed record PutPreferences
{
    /// <summary>By channel: push, sms, email.</summary>
    public IReadOnlyDictionary<string, ChannelChoice>? Channels { get; init; }

    /// <summary>By category, then by channel: counts before the channel as a whole. At most 200 categories.</summary>
    public IReadOnlyDictionary<string, IReadOnlyDictionary<string, ChannelChoice>>? Categories { get; init; }

    /// <summary>The hours without messages: deliveries are deferred to their end. Absent: none.</summary>
    public QuietHoursChoice? QuietHours { get; init; }
}

/// <summary>Every change of a user's preferences.</summary>
/// <param name="Changes">Oldest first.</param>
public sealed record PreferenceHistory(IReadOnlyList<PreferenceChange> Changes);

/// <summary>A change of a user's preferences.</summary>
/// <param name="Version">Its place in the user's stream.</param>
/// <param name="Type"><c>OptedIn</c>, <c>OptedOut</c>, <c>PreferenceWithdrawn</c>, <c>QuietHoursSet</c> or
/// <c>QuietHoursWithdrawn</c>.</param>
/// <param name="Data">The event: channel, category, by whom, through what, when.</param>
public sealed record PreferenceChange(long Version, string Type, object Data);

/// <summary>Users' preferences. Each change is an event with its author and its source.</summary>
public static class Preferences
{
    private const int MaxCategories = 200; // each choice is an event

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder app)
    {
        app.MapGet("/v1/users/{userId}/preferences", GetAsync)
            .RequireScope(Scopes.Recipients)
            .Traced()
            .OrToken(TokenGrants.Preferences)
            .WithName("GetPreferences")
            .WithTags("Recipients")
            .WithSummary("What a user wants to receive")
            .WithDescription("What was said; what is absent follows the defaults.")
            .Answers(200, "The preferences.", Example, "ETag")
            .FailsNotFound("such user");
        app.MapPut("/v1/users/{userId}/preferences", PutAsync)
            .RequireScope(Scopes.Recipients)
            .OrToken(TokenGrants.Preferences)
            .WithName("PutPreferences")
            .WithTags("Recipients")
            .WithSummary("Set what a user wants to receive")
            .WithDescription(
                "Replaces what was said before: what is absent follows the defaults again. Each change becomes an event. A "
                    + "settings page gives the `ETag` of what it showed as `If-Match`: then an unsubscription that came meanwhile is "
                    + "not undone. Quiet hours are by the clock of the user's own time zone (without one, of the installation's), "
                    + "also where clocks are put forward or back; what would be sent in them waits until they end, except for "
                    + "required categories."
            )
            .Takes("No SMS, no marketing by email, and nothing at night", Example)
            .Header(
                "If-Match",
                "The `ETag` of the preferences that the change starts from; absent: whatever they are.",
                "\"Zk3mQ9tV0c7H1pLx\""
            )
            .Answers(200, "As they are now.", Example, "ETag")
            .Fails(412, "preferences_changed", Changed);
        app.MapGet("/v1/users/{userId}/preferences/history", HistoryAsync)
            .RequireScope(Scopes.Recipients)
            .Traced()
            .OrToken(TokenGrants.Preferences)
            .WithName("GetPreferencesHistory")
            .WithTags("Recipients")
            .WithSummary("How a user's preferences came about")
            .WithDescription("Each change: when, by whom, through what.")
            .Answers(
                200,
                "The changes.",
                new PreferenceHistory([
                    new PreferenceChange(
                        2,
                        nameof(OptedOut),
                        new OptedOut(
                            Channel.Sms,
                            null,
                            "c_k3v9x2m7q4w8z5ab",
                            "api",
                            new DateTimeOffset(2026, 12, 1, 9, 0, 0, TimeSpan.Zero)
                        )
                    ),
                ])
            )
            .FailsNotFound("such user");
    }

    private const string Changed =
        "The preferences are no longer what If-Match names, so nothing was stored. Get them again, and send the change in what "
        + "they are now.";

    private static PutPreferences Example =>
        new()
        {
            Channels = new Dictionary<string, ChannelChoice> { ["sms"] = new() { OptIn = false } },
            Categories = new Dictionary<string, IReadOnlyDictionary<string, ChannelChoice>>
            {
                ["marketing"] = new Dictionary<string, ChannelChoice> { ["email"] = new() { OptIn = false } },
            },
            QuietHours = new QuietHoursChoice { From = "22:00", To = "08:00" },
        };

    private static async Task<IResult> GetAsync(string userId, HttpContext http, UserReferences users, ReadDatabase database)
    {
        var userRef = await users.FindAsync(userId, http.RequestAborted);
        await using var read = await database.OpenAsync(http.RequestAborted);
        var recipient = await read.Session.LoadAsync<Recipient>(Recipient.KeyOf(userRef), http.RequestAborted);
        if (recipient is null || recipient.IsErased)
            return Problem.NotFound("such user");
        http.Response.Headers.ETag = TagOf(recipient.Choices, recipient.QuietHours);
        return Results.Ok(Show(recipient.Choices, recipient.QuietHours));
    }

    private static async Task<IResult> PutAsync(
        string userId,
        HttpContext http,
        IDocumentStore store,
        UserReferences users,
        SubjectKeys keys,
        MasterKeyRing ring,
        TimeProvider clock
    )
    {
        if (!Identifiers.IsUserId(userId))
            return Problem.Invalid(new Dictionary<string, string[]> { ["userId"] = [Identifiers.UserIdRule] });
        var (put, problem) = await RequestBody.ReadAsync<PutPreferences>(http.Request);
        if (put is null)
            return problem!;
        var errors = new Dictionary<string, string[]>();
        var wanted = Wanted(put, errors);
        var quiet = Quiet(put.QuietHours, errors);
        if (errors.Count > 0)
            return Problem.Invalid(errors);

        var (by, through, isStale) = (Callers.NameOf(http), Callers.ThroughOf(http), false);
        var userRef = await users.FindAsync(userId, http.RequestAborted);
        var subject = Recipient.KeyOf(userRef);
        await RecipientChanges.RunAsync(
            store,
            userRef,
            clock,
            async (session, recipient, now) =>
            {
                var events = new List<object>();
                var said = recipient?.Choices ?? System.Collections.Immutable.ImmutableDictionary<string, bool>.Empty;
                isStale = !Matches(http.Request, TagOf(said, recipient?.QuietHours));
                if (isStale)
                    return [];
                foreach (var (key, (channel, category, optIn)) in wanted.OrderBy(w => w.Key, StringComparer.Ordinal))
                {
                    if (said.TryGetValue(key, out var before) && before == optIn)
                        continue;
                    events.Add(
                        optIn ? new OptedIn(channel, category, by, through, now) : new OptedOut(channel, category, by, through, now)
                    );
                }

                foreach (var key in said.Keys.Where(k => !wanted.ContainsKey(k)).Order(StringComparer.Ordinal))
                {
                    var parts = key.Split('/', 2);
                    events.Add(
                        new PreferenceWithdrawn(
                            Enum.Parse<Channel>(parts[0], ignoreCase: true),
                            parts.Length == 2 ? parts[1] : null,
                            by,
                            through,
                            now
                        )
                    );
                }

                if (quiet != recipient?.QuietHours)
                    events.Add(
                        quiet is null
                            ? new QuietHoursWithdrawn(by, through, now)
                            : new QuietHoursSet(quiet.From, quiet.To, by, through, now)
                    );

                if (recipient is not (null or { IsErased: true }))
                    return events;
                // A new user's ID is kept with their key, also where they have no contact details.
                var userIds = new Dictionary<string, string> { [subject] = userId };
                var current = await keys.CurrentAsync(session.Connection!, [subject], http.RequestAborted, userIds);
                // An empty choice also registers the user, without contact details, as any other choice does.
                if (events.Count == 0)
                {
                    var nothing = new ContactDetails(null, null);
                    var kept = current.SealJson(subject, Domain.Privacy.SealedPlace.OfDetails(subject), nothing);
                    events.Add(Users.Given(kept, nothing, ring, by, now));
                }

                return events;
            },
            http.RequestAborted
        );
        if (isStale)
            return Problem.Of(StatusCodes.Status412PreconditionFailed, "preferences_changed", Changed);
        var now = wanted.ToDictionary(w => w.Key, w => w.Value.OptIn);
        http.Response.Headers.ETag = TagOf(now, quiet);
        return Results.Ok(Show(now, quiet));
    }

    private static string TagOf(IReadOnlyDictionary<string, bool> choices, QuietHours? quiet) =>
        $"\"{Base64Url.EncodeToString(SHA256.HashData(Encoding.UTF8.GetBytes(string.Join('\n', [.. choices.OrderBy(c => c.Key, StringComparer.Ordinal).Select(c => $"{c.Key} {c.Value}"), $"{quiet}"]))))[..16]}\"";

    // A request without If-Match accepts any version. Proxies that compress weaken a tag.
    private static bool Matches(HttpRequest request, string tag) =>
        request.Headers.IfMatch is not { Count: > 0 } named
        || named.ToString().Split(',', StringSplitOptions.TrimEntries).Any(t => t == "*" || t == tag || t == $"W/{tag}");

    private static async Task<IResult> HistoryAsync(string userId, HttpContext http, UserReferences users, ReadDatabase database)
    {
        var key = Recipient.KeyOf(await users.FindAsync(userId, http.RequestAborted));
        await using var read = await database.OpenAsync(http.RequestAborted);
        var events = await read
            .Session.Events.QueryAllRawEvents()
            .Where(e =>
                e.StreamKey == key
                && e.EventTypesAre(
                    typeof(OptedIn),
                    typeof(OptedOut),
                    typeof(PreferenceWithdrawn),
                    typeof(QuietHoursSet),
                    typeof(QuietHoursWithdrawn)
                )
            )
            .OrderBy(e => e.Version)
            .ToListAsync(http.RequestAborted);
        if (events.Count == 0 && await read.Session.Events.FetchStreamStateAsync(key, http.RequestAborted) is null)
            return Problem.NotFound("such user");
        return Results.Ok(new PreferenceHistory([.. events.Select(e => new PreferenceChange(e.Version, e.Data.GetType().Name, e.Data))]));
    }

    private static Dictionary<string, (Channel Channel, string? Category, bool OptIn)> Wanted(
        PutPreferences put,
        Dictionary<string, string[]> errors
    )
    {
        var wanted = new Dictionary<string, (Channel, string?, bool)>(StringComparer.Ordinal);
        if (put.Categories?.Count > MaxCategories)
            errors["categories"] = [string.Create(CultureInfo.InvariantCulture, $"must have at most {MaxCategories} items")];
        Add("channels", put.Channels, null);
        foreach (var (category, channels) in put.Categories ?? new Dictionary<string, IReadOnlyDictionary<string, ChannelChoice>>())
        {
            if (!Identifiers.IsKey(category))
                errors[$"categories.{category}"] = [Identifiers.KeyRule];
            else
                Add($"categories.{category}", channels, category);
        }

        return wanted;

        void Add(string path, IReadOnlyDictionary<string, ChannelChoice>? choices, string? category)
        {
            foreach (var (name, choice) in choices ?? new Dictionary<string, ChannelChoice>())
            {
                if (name is not ("push" or "sms" or "email"))
                    errors[$"{path}.{name}"] = ["is not a channel; channels are push, sms, email"];
                else if (choice?.OptIn is not { } optIn)
                    errors[$"{path}.{name}.optIn"] = ["must be true or false"];
                else
                {
                    var channel = Enum.Parse<Channel>(name, ignoreCase: true);
                    wanted[Recipient.ChoiceKey(channel, category)] = (channel, category, optIn);
                }
            }
        }
    }

    private static QuietHours? Quiet(QuietHoursChoice? choice, Dictionary<string, string[]> errors)
    {
        if (choice is null)
            return null;
        var from = Time("from", choice.From);
        var to = Time("to", choice.To);
        if (from is null || to is null)
            return null;
        if (from == to)
            errors["quietHours.to"] =
            [
                "must be another time than from; for no quiet hours leave quietHours out, for no notifications opt out of the channels",
            ];
        return new QuietHours(from.Value, to.Value);

        TimeOnly? Time(string name, string? text)
        {
            if (TimeOnly.TryParseExact(text, "HH:mm", CultureInfo.InvariantCulture, DateTimeStyles.None, out var time))
                return time;
            errors[$"quietHours.{name}"] = ["must be a time of the day such as 22:00"];
            return null;
        }
    }

    private static PutPreferences Show(IReadOnlyDictionary<string, bool> choices, QuietHours? quiet) =>
        new()
        {
            QuietHours = quiet is null
                ? null
                : new QuietHoursChoice
                {
                    From = quiet.From.ToString("HH:mm", CultureInfo.InvariantCulture),
                    To = quiet.To.ToString("HH:mm", CultureInfo.InvariantCulture),
                },
            Channels = choices
                .Where(c => !c.Key.Contains('/', StringComparison.Ordinal))
                .ToDictionary(c => c.Key, c => new ChannelChoice { OptIn = c.Value }),
            Categories = choices
                .Where(c => c.Key.Contains('/', StringComparison.Ordinal))
                .GroupBy(c => c.Key.Split('/', 2)[1])
                .ToDictionary(
                    g => g.Key,
                    g =>
                        (IReadOnlyDictionary<string, ChannelChoice>)
                            g.ToDictionary(c => c.Key.Split('/', 2)[0], c => new ChannelChoice { OptIn = c.Value })
                ),
        };
}
