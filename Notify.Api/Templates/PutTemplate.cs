namespace Notify.Api.Templates;

using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using FluentValidation;
using Marten;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Reference;
using Notify.Delivery.Templates;
using Notify.Domain.Clients;
using Notify.Domain.Content;
using Notify.Domain.Templates;
using Notify.Infrastructure.Json;

/// <summary>A template: the body of <c>PUT /v1/templates/{key}</c>. Texts are Liquid.</summary>
public sealed record PutTemplate
{
    /// <summary>The category of requests that name none. 1 to 64 of a-z 0-9 . _ -.</summary>
    public string? Category { get; init; }

    /// <summary>Its texts where no locale matches. The template serves the channels that are given here.</summary>
    [Required]
    public ChannelTemplates? Channels { get; init; }

    /// <summary>Its texts in other languages, by BCP 47 tag. The default applies to each channel that a locale lacks.</summary>
    public IReadOnlyDictionary<string, ChannelTemplates>? Locales { get; init; }

    /// <summary>The layout that emails are set into.</summary>
    public string? Layout { get; init; }

    /// <summary>Its parameters, by name. Absent: all that its texts use, each required and of any type.</summary>
    public IReadOnlyDictionary<string, PutParameter>? Params { get; init; }

    /// <summary>The tracking of its emails and SMS; absent: none.</summary>
    public TrackOptions? Track { get; init; }
}

/// <summary>A parameter of a template.</summary>
public sealed record PutParameter
{
    /// <summary>Whether a request without it is refused; absent: it may be left away, and is empty then.</summary>
    public bool? Required { get; init; }

    /// <summary>Its type; absent: <c>any</c>. A <c>date</c> is ISO 8601, a <c>url</c> absolute: https, http, mailto or tel.</summary>
    public ParameterType? Type { get; init; }
}

/// <summary>The shape of a template; its texts are read afterwards.</summary>
public sealed class PutTemplateValidator : AbstractValidator<PutTemplate>
{
    /// <summary>The most locales, and the most parameters.</summary>
    public const int Most = 100;

    /// <summary>The rules.</summary>
    public PutTemplateValidator()
    {
        RuleFor(t => t.Category).Must(Identifiers.IsKey).When(t => t.Category is not null).WithMessage(Identifiers.KeyRule);
        RuleFor(t => t.Channels).NotNull().WithMessage("say what it sends: an email, an sms, a push, or several of them");
        RuleFor(t => t.Layout).Must(Identifiers.IsTemplateKey).When(t => t.Layout is not null).WithMessage(Identifiers.TemplateKeyRule);
        RuleFor(t => t.Locales)
            .Must(l => l!.Count <= Most && l.Keys.Distinct(StringComparer.OrdinalIgnoreCase).Count() == l.Count)
            .When(t => t.Locales is not null)
            .WithMessage($"must be at most {Most}, and each only once");
        RuleFor(t => t.Params).Must(p => p!.Count <= Most).When(t => t.Params is not null).WithMessage($"must be at most {Most}");
        RuleFor(t => t)
            .Custom(
                (t, context) =>
                {
                    foreach (var (tag, texts) in t.Locales ?? new Dictionary<string, ChannelTemplates>())
                    {
                        if (!TemplateLocale.IsTag(tag))
                            context.AddFailure($"locales.{tag}", TemplateLocale.Rule);
                        else if (texts is null)
                            context.AddFailure($"locales.{tag}", "must not be null");
                    }

                    foreach (var (name, rule) in t.Params ?? new Dictionary<string, PutParameter>())
                    {
                        if (!TemplateParams.IsName(name))
                            context.AddFailure($"params.{name}", TemplateParams.NameRule);
                        else if (rule is null)
                            context.AddFailure($"params.{name}", "must not be null");
                    }
                }
            );
    }
}

/// <summary>Defines templates, version by version.</summary>
public static class PutTemplateEndpoint
{
    private static readonly PutTemplateValidator Validator = new();

    /// <summary>Maps <c>PUT /v1/templates/{key}</c>.</summary>
    public static void Map(IEndpointRouteBuilder app) =>
        app.MapPut("/v1/templates/{templateKey}", PutAsync)
            .RequireScope(Scopes.Templates)
            .WithName("PutTemplate")
            .WithTags("Templates")
            .WithSummary("Define a template, or its next version")
            .WithDescription(
                "Texts are Liquid; in HTML every parameter is encoded, and there is no way around that. What does not compile "
                    + "is refused with line and column, also a parameter that is not declared, "
                    + "a value where encoding does not protect (in a script, in an attribute without quotes), and what takes "
                    + "too long. The same template again makes no new version. "
                    + "What was accepted keeps the version that it was accepted with."
            )
            .Takes("Email, SMS and push, also in Korean", Example)
            .Answers(201, "It is the current version now.", TemplateResource.Example, "Location")
            .Answers(200, "It was so before; there is no new version.", TemplateResource.Example);

    /// <summary>As the reference shows one.</summary>
    internal static PutTemplate Example =>
        new()
        {
            Category = "shipping",
            Layout = "letter",
            Channels = TemplateResource.Example.Channels,
            Locales = TemplateResource.Example.Locales,
            Params = TemplateResource.Example.Params.ToDictionary(
                p => p.Key,
                p => new PutParameter { Required = p.Value.Required, Type = p.Value.Type }
            ),
        };

    private static async Task<IResult> PutAsync(
        string templateKey,
        HttpContext http,
        IDocumentStore store,
        TemplateBook book,
        TimeProvider clock
    )
    {
        if (!Identifiers.IsTemplateKey(templateKey))
            return Problem.Invalid(new Dictionary<string, string[]> { ["templateKey"] = [Identifiers.TemplateKeyRule] });
        var (put, problem) = await RequestBody.ReadAsync(http.Request, Validator);
        if (put is null)
            return problem!;
        var (compiled, faults) = CompiledTemplate.Compile(DefinitionOf(put), infer: put.Params is null);
        if (compiled is null)
            return Problem.Invalid(ByField(faults));

        // Before anybody waits for it, and while it waits for nobody.
        var definition = compiled.Definition;
        if (
            await LayoutsAsync(store, book, definition.Layout, http.RequestAborted) is { } around
            && compiled.Try(around) is { Count: > 0 } tried
        )
            return Problem.Invalid(ByField(tried));
        return await DefinitionChanges.RunAsync<IResult>(
            store,
            http.RequestAborted,
            async session =>
            {
                if (definition.Layout is { } layout && await session.LoadAsync<Layout>(Layout.KeyOf(layout), http.RequestAborted) is null)
                    return (
                        Problem.Invalid(
                            new Dictionary<string, string[]>
                            {
                                ["layout"] = [$"there is no layout {layout}; PUT /v1/layouts/{layout} first"],
                            }
                        ),
                        false
                    );
                var key = Template.KeyOf(templateKey);
                var current = await session.LoadAsync<Template>(key, http.RequestAborted);
                if (current is { IsArchived: false } && DefinitionChanges.AreSame(current.Definition, definition))
                    return (Results.Ok(TemplateResource.Of(current)), false);
                var defined = new TemplateDefined(
                    templateKey,
                    (current?.CurrentVersion ?? 0) + 1,
                    definition,
                    Callers.Of(http).ClientId,
                    clock.GetUtcNow()
                );
                session.Events.Append(key, defined);
                return (
                    Results.Created($"/v1/templates/{templateKey}", TemplateResource.Of(Template.Evolve(current, key, defined)!)),
                    true
                );
            }
        );
    }

    private static async Task<IReadOnlyList<CompiledLayout>?> LayoutsAsync(
        IDocumentStore store,
        TemplateBook book,
        string? first,
        CancellationToken cancellation
    )
    {
        await using var session = store.QuerySession();
        return await book.LayoutsAsync(session, first, cancellation);
    }

    /// <summary>Faults of texts, by field.</summary>
    public static IDictionary<string, string[]> ByField(IEnumerable<TemplateFault> faults) =>
        faults.GroupBy(f => f.Field).ToDictionary(g => g.Key, g => g.Select(f => f.Detail).Distinct().ToArray());

    private static TemplateDefinition DefinitionOf(PutTemplate put) =>
        new(
            put.Category,
            put.Channels!,
            put.Locales ?? new Dictionary<string, ChannelTemplates>(),
            put.Layout,
            put.Params?.ToDictionary(p => p.Key, p => new ParameterRule(p.Value.Required ?? false, p.Value.Type ?? ParameterType.Any))
                ?? [],
            put.Track
        );
}

/// <summary>Serialises changes of templates and layouts: no change removes a layout that another one names meanwhile.</summary>
public static class DefinitionChanges
{
    // Any number that nothing else in the database locks by.
    private const long Lock = 0x54_65_6D_70_6C;

    /// <summary>Runs a change, and stores what it appended if it says so.</summary>
    public static async Task<T> RunAsync<T>(
        IDocumentStore store,
        CancellationToken cancellation,
        Func<IDocumentSession, Task<(T Result, bool Store)>> change
    )
    {
        await using var session = store.LightweightSession();
        await session.BeginTransactionAsync(cancellation);
        await using (
            var take = new Npgsql.NpgsqlCommand("select pg_advisory_xact_lock($1)", session.Connection)
            {
                Parameters = { new Npgsql.NpgsqlParameter { Value = Lock } },
            }
        )
            await take.ExecuteNonQueryAsync(cancellation);
        var (result, isChanged) = await change(session);
        if (isChanged)
            await session.SaveChangesAsync(cancellation);
        return result;
    }

    /// <summary>Whether two definitions say the same.</summary>
    public static bool AreSame<T>(T one, T other) => Canonical(one).Span.SequenceEqual(Canonical(other).Span);

    private static ReadOnlyMemory<byte> Canonical<T>(T definition) =>
        CanonicalJson.Of(JsonSerializer.SerializeToElement(definition, NotifyJson.Options));
}
