namespace Notify.Api.Categories;

using Marten;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Reference;
using Notify.Delivery.Templates;
using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Infrastructure.Postgres;

/// <summary>A category and its rules.</summary>
/// <param name="Category">The key by which notifications name it.</param>
/// <param name="Required">Whether it overrides opt-outs.</param>
/// <param name="Defaults">By channel: whether people without a preference are reached; a channel that is absent: they are.</param>
/// <param name="UnknownOutcome">The treatment of an SMS or email with an unknown outcome at its deadline.</param>
/// <param name="Caps">How many of them a person may get; empty: any number.</param>
/// <param name="Digest">How they are collected into one for each person; absent: each is sent by itself.</param>
/// <param name="Email">How its emails name their sender; absent: as the provider's settings do.</param>
/// <param name="Version">The number of this definition, from 1; planned deliveries record the one that decided.</param>
/// <param name="DefinedAt">When this definition was made.</param>
/// <param name="By">The client that made it.</param>
public sealed record CategoryResource(
    string Category,
    bool Required,
    IReadOnlyDictionary<string, bool> Defaults,
    UnknownOutcome UnknownOutcome,
    IReadOnlyList<CategoryCap> Caps,
    CategoryDigest? Digest,
    CategoryEmail? Email,
    long Version,
    DateTimeOffset DefinedAt,
    string By
);

/// <summary>Every category that is defined.</summary>
/// <param name="Items">By key.</param>
public sealed record CategoryList(IReadOnlyList<CategoryResource> Items);

/// <summary>Kinds of notifications and their rules. They belong to the installation; a category that nobody defined can be used all the
/// same.</summary>
public static class CategoryEndpoints
{
    private static readonly PutCategoryValidator Validator = new();
    private static readonly Channel[] Channels = Enum.GetValues<Channel>();

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder app)
    {
        app.MapPut("/v1/categories/{category}", PutAsync)
            .RequireAnyScope(Scopes.Operate, Scopes.Admin)
            .WithName("PutCategory")
            .WithTags("Recipients")
            .WithSummary("Define a category")
            .WithDescription(
                "Replaces its rules; what is absent takes its default. They hold from the next planning and the next last "
                    + "check on. A person's word about the category goes over their word about the channel, over the category's "
                    + "default, over yes; "
                    + "for someone who is not registered the default decides. A required category passes all of these, and "
                    + "never a suppression. The same again changes nothing. "
                    + "Caps say how many of them a person may get on a channel in an hour, day or week (UTC), whoever sends "
                    + "them; someone who is not registered is known by the address. Each notification takes its place when it "
                    + "is planned, for the window in which it leaves (that in which the person's quiet hours end), "
                    + "and does not give it back, even if it is cancelled or fails. What is over a cap waits for the next "
                    + "window that has room, or is left out; also what would expire before, or wait for more than 30 days. "
                    + "What is critical, and what is of a required category, takes a place and is never stopped; what an app "
                    + "sends by a client token is critical for no cap. A test client's notifications are counted apart. A cap "
                    + "counts from its first definition on. "
                    + "A digest collects what comes for a person, of one client, from the first notification on, and then "
                    + "sends one notification that tells all of it, under an event ID of its own; each of them names it as "
                    + "`digest`. "
                    + "Opt-outs, suppressions, quiet hours and caps are asked when it closes, for it as a whole. What is "
                    + "critical, what carries files and what only an app can read goes by itself; a digest tells at most 1000, "
                    + "and what comes then begins the next one. "
                    + "What was opened keeps the rules that it was opened with; the template's version is chosen when it closes."
            )
            .Takes(
                "Security: always, and rather twice than never",
                new PutCategory { Required = true, UnknownOutcome = UnknownOutcome.Resend }
            )
            .Takes(
                "Offers: no SMS and no email to whoever did not ask for it",
                new PutCategory
                {
                    Defaults = new Dictionary<string, bool?> { ["sms"] = false, ["email"] = false },
                }
            )
            .Takes(
                "News: three SMS a day, the rest on the days after; five pushes an hour, and no more",
                new PutCategory { Caps = ExampleCaps }
            )
            .Takes("Comments: one email an hour that tells them all", new PutCategory { Digest = ExampleDigest })
            .Takes(
                "Invoices: in the name of the accounts, who read the answers",
                new PutCategory
                {
                    Email = new CategoryEmail { FromName = "Accounts", ReplyTo = "accounts@example.com" },
                }
            )
            .Answers(200, "As it is now.", Example);
        app.MapGet("/v1/categories", ListAsync)
            .RequireAnyScope(Scopes.Recipients, Scopes.Operate, Scopes.Admin)
            .WithName("ListCategories")
            .WithTags("Recipients")
            .WithSummary("List categories")
            .WithDescription("Every category that is defined.")
            .Answers(200, "The categories.", new CategoryList([Example]));
        app.MapGet("/v1/categories/{category}", GetAsync)
            .RequireAnyScope(Scopes.Recipients, Scopes.Operate, Scopes.Admin)
            .WithName("GetCategory")
            .WithTags("Recipients")
            .WithSummary("A category's rules")
            .WithDescription(
                "A category that nobody defined can be used all the same: everybody who said nothing is reached, and nothing is repeated."
            )
            .Answers(200, "The category.", Example)
            .FailsNotFound("such category");
    }

    private static CategoryResource Example =>
        new(
            "weekly-offers",
            false,
            new Dictionary<string, bool> { ["sms"] = false, ["email"] = false },
            UnknownOutcome.Hold,
            ExampleCaps,
            null,
            null,
            1,
            new DateTimeOffset(2026, 12, 1, 9, 0, 0, TimeSpan.Zero),
            "c_k3v9x2m7q4w8z5ab"
        );

    private static CategoryCap[] ExampleCaps =>
        [
            new()
            {
                Channel = "push",
                Limit = 5,
                Per = CapPeriod.Hour,
                Exceeding = CapExceeding.Suppress,
            },
            new()
            {
                Channel = "sms",
                Limit = 3,
                Per = CapPeriod.Day,
                Exceeding = CapExceeding.Defer,
            },
        ];

    private static CategoryDigest ExampleDigest =>
        new()
        {
            WindowSeconds = 3600,
            Channels = ["email"],
            MaxItems = 20,
        };

    private static async Task<IResult> PutAsync(
        string category,
        HttpContext http,
        IDocumentStore store,
        TemplateBook book,
        TimeProvider clock
    )
    {
        if (!Identifiers.IsKey(category))
            return Problem.Invalid(new Dictionary<string, string[]> { ["category"] = [Identifiers.KeyRule] });
        var (put, problem) = await RequestBody.ReadAsync(http.Request, Validator);
        if (put is null)
            return problem!;
        if (put.Digest is { Template: not null } given && await DigestTemplates.FaultAsync(book, category, given) is var (field, fault))
            return Problem.Invalid(new Dictionary<string, string[]> { [field] = [fault] });

        var defaults = (put.Defaults ?? new Dictionary<string, bool?>()).ToDictionary(d => d.Key, d => d.Value!.Value);
        var caps = (put.Caps ?? [])
            .Select(c => new Cap(Channels.First(n => Lanes.NameOf(n) == c.Channel), c.Limit!.Value, c.Per!.Value, c.Exceeding!.Value))
            .ToList();
        var digest = put.Digest is not { } asked
            ? null
            : new DigestRule(
                asked.WindowSeconds!.Value,
                asked.Template,
                asked.Channels is null ? null : [.. Channels.Where(c => asked.Channels.Contains(Lanes.NameOf(c)))],
                asked.MaxItems ?? DigestRule.DefaultItems
            );
        Category? now = null;
        var key = Category.KeyOf(category);
        await StreamChanges.RunAsync<Category>(
            store,
            key,
            clock,
            (_, current, at) =>
            {
                var defined = Category.Define(
                    current,
                    category,
                    put.Required ?? false,
                    defaults,
                    put.UnknownOutcome ?? UnknownOutcome.Hold,
                    Callers.Of(http).ClientId,
                    at,
                    caps,
                    digest,
                    put.Email is { } email ? new CategorySender(email.FromName, email.ReplyTo) : null
                );
                now = defined is null ? current : Category.Evolve(current, key, defined);
                return Task.FromResult<IReadOnlyList<object>>(defined is null ? [] : [defined]);
            },
            http.RequestAborted
        );
        return Results.Ok(Show(now!));
    }

    private static async Task<IResult> ListAsync(HttpContext http, ReadDatabase database)
    {
        await using var read = await database.OpenAsync(http.RequestAborted);
        return Results.Ok(
            new CategoryList([.. (await read.Session.Query<Category>().OrderBy(c => c.Id).ToListAsync(http.RequestAborted)).Select(Show)])
        );
    }

    private static async Task<IResult> GetAsync(string category, HttpContext http, ReadDatabase database)
    {
        await using var read = await database.OpenAsync(http.RequestAborted);
        return await read.Session.LoadAsync<Category>(Category.KeyOf(category), http.RequestAborted) is { } found
            ? Results.Ok(Show(found))
            : Problem.NotFound("such category");
    }

    private static CategoryResource Show(Category c) =>
        new(
            c.Key,
            c.Required,
            c.Defaults,
            c.UnknownOutcome,
            [
                .. (c.Caps ?? []).Select(cap => new CategoryCap
                {
                    Channel = Lanes.NameOf(cap.Channel),
                    Limit = cap.Limit,
                    Per = cap.Per,
                    Exceeding = cap.Exceeding,
                }),
            ],
            c.Digest is not { } d
                ? null
                : new CategoryDigest
                {
                    WindowSeconds = d.WindowSeconds,
                    Template = d.Template,
                    Channels = d.Channels is null ? null : [.. d.Channels.Select(Lanes.NameOf)],
                    MaxItems = d.MaxItems,
                },
            c.Email is not { } e ? null : new CategoryEmail { FromName = e.FromName, ReplyTo = e.ReplyTo },
            c.Version,
            c.DefinedAt,
            c.By
        );
}
