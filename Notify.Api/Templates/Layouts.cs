namespace Notify.Api.Templates;

using System.ComponentModel.DataAnnotations;
using FluentValidation;
using Marten;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Reference;
using Notify.Domain.Clients;
using Notify.Domain.Templates;
using Notify.Infrastructure.Postgres;

/// <summary>
/// The frame of emails: the body of <c>PUT /v1/layouts/{key}</c>. Its values are <c>content</c>, <c>subject</c> and <c>locale</c>.
/// </summary>
public sealed record PutLayout
{
    /// <summary>HTML in Liquid, with <c>{{ content }}</c> where the email goes.</summary>
    [Required]
    public string? Html { get; init; }

    /// <summary>The same for plain text; absent: plain text has no frame.</summary>
    public string? Text { get; init; }

    /// <summary>CSS, which is put into the head of the email.</summary>
    public string? Styles { get; init; }

    /// <summary>The layout that this one is set into.</summary>
    public string? Layout { get; init; }
}

/// <summary>A layout.</summary>
/// <param name="Key">Its key.</param>
/// <param name="Version">Its current version.</param>
/// <param name="DefinedAt">When this version was defined.</param>
/// <param name="Html">HTML around the email.</param>
/// <param name="Text">Plain text around the email.</param>
/// <param name="Styles">CSS for the head of the email.</param>
/// <param name="Layout">The layout that this one is set into.</param>
public sealed record LayoutResource(
    string Key,
    int Version,
    DateTimeOffset DefinedAt,
    string Html,
    string? Text,
    string? Styles,
    string? Layout
)
{
    /// <summary>Shows a layout.</summary>
    public static LayoutResource Of(Layout l) =>
        new(l.Key, l.CurrentVersion, l.DefinedAt, l.Definition.Html, l.Definition.Text, l.Definition.Styles, l.Definition.Layout);
}

/// <summary>Every layout.</summary>
/// <param name="Layouts">By key.</param>
public sealed record LayoutList(IReadOnlyList<LayoutResource> Layouts);

/// <summary>The shape of a layout; its texts are read afterwards.</summary>
public sealed class PutLayoutValidator : AbstractValidator<PutLayout>
{
    /// <summary>The rules.</summary>
    public PutLayoutValidator()
    {
        RuleFor(l => l.Html).NotEmpty().WithMessage("give the HTML around the email, with {{ content }} in it");
        RuleFor(l => l.Layout).Must(Identifiers.IsTemplateKey).When(l => l.Layout is not null).WithMessage(Identifiers.TemplateKeyRule);
    }
}

/// <summary>Layouts: frames of emails. Each change is a version; accepted notifications keep theirs.</summary>
public static class Layouts
{
    private static readonly PutLayoutValidator Validator = new();

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder app)
    {
        var example = new LayoutResource(
            "letter",
            1,
            new DateTimeOffset(2026, 12, 1, 9, 0, 0, TimeSpan.Zero),
            "<!doctype html><html><head><title>{{ subject }}</title></head><body><div class=\"page\">{{ content }}</div></body></html>",
            "{{ content }}\n\n-- \nThe Example Shop",
            ".page { max-width: 600px; margin: auto; }",
            null
        );
        app.MapPut("/v1/layouts/{layoutKey}", PutAsync)
            .RequireScope(Scopes.Templates)
            .WithName("PutLayout")
            .WithTags("Templates")
            .WithSummary("Define a layout, or its next version")
            .WithDescription(
                "Templates name it, and their emails are set into it. From then on they use this version; what was accepted "
                    + "keeps the one that it was accepted with. The same layout again makes no new version."
            )
            .Takes(
                "A page with a footer",
                new PutLayout
                {
                    Html = example.Html,
                    Text = example.Text,
                    Styles = example.Styles,
                }
            )
            .Answers(201, "It is the current version now.", example, "Location")
            .Answers(200, "It was so before; there is no new version.", example);
        app.MapGet("/v1/layouts", ListAsync)
            .RequireScope(Scopes.Templates)
            .WithName("ListLayouts")
            .WithTags("Templates")
            .WithSummary("List layouts")
            .WithDescription("Every layout, by key.")
            .Answers(200, "The layouts.", new LayoutList([example]));
        app.MapGet("/v1/layouts/{layoutKey}", GetAsync)
            .RequireScope(Scopes.Templates)
            .WithName("GetLayout")
            .WithTags("Templates")
            .WithSummary("A layout")
            .WithDescription("As it is now.")
            .Answers(200, "The layout.", example)
            .FailsNotFound("such layout");
    }

    private static async Task<IResult> PutAsync(string layoutKey, HttpContext http, IDocumentStore store, TimeProvider clock)
    {
        if (!Identifiers.IsTemplateKey(layoutKey))
            return Problem.Invalid(new Dictionary<string, string[]> { ["layoutKey"] = [Identifiers.TemplateKeyRule] });
        var (put, problem) = await RequestBody.ReadAsync(http.Request, Validator);
        if (put is null)
            return problem!;
        var definition = new LayoutDefinition(put.Html!, put.Text, put.Styles, put.Layout);
        if (CompiledLayout.Compile(definition).Faults is { Count: > 0 } faults)
            return Problem.Invalid(PutTemplateEndpoint.ByField(faults));

        return await DefinitionChanges.RunAsync<IResult>(
            store,
            http.RequestAborted,
            async session =>
            {
                var all = (
                    await session.Query<Layout>().Select(l => new { l.Key, Outer = l.Definition.Layout }).ToListAsync(http.RequestAborted)
                ).ToDictionary(l => l.Key, l => l.Outer, StringComparer.Ordinal);
                if (put.Layout is not null && put.Layout != layoutKey && !all.ContainsKey(put.Layout))
                    return (Invalid($"there is no layout {put.Layout}; PUT /v1/layouts/{put.Layout} first"), false);
                all[layoutKey] = put.Layout;
                // Also those that are set into this one get deeper by it.
                if (
                    all
                        .Keys.Order(StringComparer.Ordinal)
                        .Prepend(layoutKey)
                        .Select(k => Layout.Chain(k, key => all.GetValueOrDefault(key)).Fault)
                        .FirstOrDefault(f => f is not null) is
                    { } fault
                )
                    return (Invalid(fault), false);

                var id = Layout.KeyOf(layoutKey);
                var current = await session.LoadAsync<Layout>(id, http.RequestAborted);
                if (current is not null && DefinitionChanges.AreSame(current.Definition, definition))
                    return (Results.Ok(LayoutResource.Of(current)), false);
                var defined = new LayoutDefined(
                    layoutKey,
                    (current?.CurrentVersion ?? 0) + 1,
                    definition,
                    Callers.Of(http).ClientId,
                    clock.GetUtcNow()
                );
                session.Events.Append(id, defined);
                return (Results.Created($"/v1/layouts/{layoutKey}", LayoutResource.Of(Layout.Evolve(current, id, defined)!)), true);
            }
        );
    }

    private static IResult Invalid(string fault) => Problem.Invalid(new Dictionary<string, string[]> { ["layout"] = [fault] });

    private static async Task<IResult> ListAsync(ReadDatabase database, CancellationToken cancellation)
    {
        await using var read = await database.OpenAsync(cancellation);
        return Results.Ok(
            new LayoutList([
                .. (await read.Session.Query<Layout>().ToListAsync(cancellation))
                    .OrderBy(l => l.Key, StringComparer.Ordinal)
                    .Select(LayoutResource.Of),
            ])
        );
    }

    private static async Task<IResult> GetAsync(string layoutKey, ReadDatabase database, CancellationToken cancellation)
    {
        await using var read = await database.OpenAsync(cancellation);
        return await read.Session.LoadAsync<Layout>(Layout.KeyOf(layoutKey), cancellation) is { } layout
            ? Results.Ok(LayoutResource.Of(layout))
            : Problem.NotFound("such layout");
    }
}
