namespace Notify.Api.Templates;

using Marten;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Reference;
using Notify.Domain.Clients;
using Notify.Domain.Content;
using Notify.Domain.Templates;
using Notify.Infrastructure.Postgres;

/// <summary>A version of a template.</summary>
/// <param name="Key">The template's key.</param>
/// <param name="Version">Its number.</param>
/// <param name="IsArchived">Whether the template accepts no requests any more.</param>
/// <param name="DefinedAt">When this version was defined.</param>
/// <param name="Category">The category of requests that name none.</param>
/// <param name="Channels">Its texts where no locale matches.</param>
/// <param name="Locales">Its texts in other languages.</param>
/// <param name="Layout">The layout that emails are set into.</param>
/// <param name="Params">Its parameters, by name.</param>
/// <param name="Track">The tracking of its emails and SMS.</param>
public sealed record TemplateResource(
    string Key,
    int Version,
    bool IsArchived,
    DateTimeOffset DefinedAt,
    string? Category,
    ChannelTemplates Channels,
    IReadOnlyDictionary<string, ChannelTemplates> Locales,
    string? Layout,
    IReadOnlyDictionary<string, ParameterRule> Params,
    TrackOptions? Track = null
)
{
    /// <summary>As the reference shows one.</summary>
    internal static TemplateResource Example =>
        new(
            "order-shipped",
            3,
            false,
            new DateTimeOffset(2026, 12, 1, 9, 0, 0, TimeSpan.Zero),
            "shipping",
            new ChannelTemplates(
                new EmailTemplate(
                    "Your order is on its way",
                    "<p>Hello {{ name }},</p><p><a href=\"{{ orderUrl }}\">see where it is</a>.</p>",
                    "Hello {{ name }}, see where it is: {{ orderUrl }}"
                ),
                new SmsTemplate("{{ name }}, your order is on its way."),
                new PushTemplate("On its way", "{{ name }}, your order has left our house.", "{{ orderUrl }}")
            ),
            new Dictionary<string, ChannelTemplates> { ["ko"] = new(Sms: new SmsTemplate("{{ name }}님, 주문하신 상품이 출발했습니다.")) },
            "letter",
            new Dictionary<string, ParameterRule>
            {
                ["name"] = new(true, ParameterType.String),
                ["orderUrl"] = new(true, ParameterType.Url),
            }
        );

    /// <summary>Shows a template.</summary>
    public static TemplateResource Of(Template t) =>
        new(
            t.Key,
            t.CurrentVersion,
            t.IsArchived,
            t.DefinedAt,
            t.Definition.Category,
            t.Definition.Channels,
            t.Definition.Locales,
            t.Definition.Layout,
            t.Definition.Params,
            t.Definition.Track
        );
}

/// <summary>Every template.</summary>
/// <param name="Templates">By key.</param>
public sealed record TemplateList(IReadOnlyList<TemplateSummary> Templates);

/// <summary>A template in a list.</summary>
/// <param name="Key">Its key.</param>
/// <param name="Version">Its current version.</param>
/// <param name="IsArchived">Whether it takes no requests any more.</param>
/// <param name="DefinedAt">When its current version was defined.</param>
/// <param name="Category">The category of requests that name none.</param>
/// <param name="Channels">Which channels it serves: email, sms, push.</param>
/// <param name="Locales">Its languages in addition to its default.</param>
/// <param name="Layout">The layout that emails are set into.</param>
public sealed record TemplateSummary(
    string Key,
    int Version,
    bool IsArchived,
    DateTimeOffset DefinedAt,
    string? Category,
    IReadOnlyList<string> Channels,
    IReadOnlyList<string> Locales,
    string? Layout
);

/// <summary>A template's versions.</summary>
/// <param name="Versions">The latest first.</param>
public sealed record TemplateVersions(IReadOnlyList<TemplateVersion> Versions);

/// <summary>When a version was defined, and by whom.</summary>
/// <param name="Version">Which version.</param>
/// <param name="DefinedAt">When.</param>
/// <param name="By">The client that did.</param>
public sealed record TemplateVersion(int Version, DateTimeOffset DefinedAt, string By);

/// <summary>Templates: lists, history and archiving.</summary>
public static class Templates
{
    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder app)
    {
        var example = TemplateResource.Example;
        app.MapGet("/v1/templates", ListAsync)
            .RequireScope(Scopes.Templates)
            .WithName("ListTemplates")
            .WithTags("Templates")
            .WithSummary("List templates")
            .WithDescription("Every template, by key, without its texts.")
            .Answers(
                200,
                "The templates.",
                new TemplateList([
                    new TemplateSummary(example.Key, 3, false, example.DefinedAt, "shipping", ["push", "sms", "email"], ["ko"], "letter"),
                ])
            );
        app.MapGet("/v1/templates/{templateKey}", GetAsync)
            .RequireScope(Scopes.Templates)
            .WithName("GetTemplate")
            .WithTags("Templates")
            .WithSummary("A template")
            .WithDescription("As it is now, or as a version of it was.")
            .Query("version", "Which version; absent: the current one.", 1)
            .Answers(200, "The template.", example)
            .FailsNotFound("such template or version");
        app.MapGet("/v1/templates/{templateKey}/versions", VersionsAsync)
            .RequireScope(Scopes.Templates)
            .WithName("ListTemplateVersions")
            .WithTags("Templates")
            .WithSummary("A template's versions")
            .WithDescription("When each was defined, and by whom; the latest first.")
            .Answers(200, "The versions.", new TemplateVersions([new TemplateVersion(3, example.DefinedAt, "c_k3v9x2m7q4w8z5ab")]))
            .FailsNotFound("such template");
        app.MapDelete("/v1/templates/{templateKey}", ArchiveAsync)
            .RequireScope(Scopes.Templates)
            .WithName("ArchiveTemplate")
            .WithTags("Templates")
            .WithSummary("Archive a template")
            .WithDescription("It takes no new requests; what was accepted is sent as it was accepted. Defining it again brings it back.")
            .Answers(204, "It is archived.")
            .FailsNotFound("such template");
    }

    private static async Task<IResult> ListAsync(ReadDatabase database, CancellationToken cancellation)
    {
        await using var read = await database.OpenAsync(cancellation);
        var all = await read.Session.Query<Template>().ToListAsync(cancellation);
        return Results.Ok(
            new TemplateList([
                .. all.OrderBy(t => t.Key, StringComparer.Ordinal)
                    .Select(t => new TemplateSummary(
                        t.Key,
                        t.CurrentVersion,
                        t.IsArchived,
                        t.DefinedAt,
                        t.Definition.Category,
                        [.. t.Definition.Channels.Served().Select(CompiledTemplate.NameOf)],
                        [.. t.Definition.Locales.Keys.Order(StringComparer.Ordinal)],
                        t.Definition.Layout
                    )),
            ])
        );
    }

    private static async Task<IResult> GetAsync(string templateKey, int? version, ReadDatabase database, CancellationToken cancellation)
    {
        await using var read = await database.OpenAsync(cancellation);
        var current = await read.Session.LoadAsync<Template>(Template.KeyOf(templateKey), cancellation);
        if (current is null)
            return Problem.NotFound("such template");
        if (version is null || version == current.CurrentVersion)
            return Results.Ok(TemplateResource.Of(current));
        var events = await read.Session.Events.FetchStreamAsync(current.Id, token: cancellation);
        return events.Select(e => e.Data).OfType<TemplateDefined>().FirstOrDefault(e => e.Version == version) is { } defined
            ? Results.Ok(TemplateResource.Of(Template.Evolve(null, current.Id, defined)! with { IsArchived = current.IsArchived }))
            : Problem.NotFound("such version of this template");
    }

    private static async Task<IResult> VersionsAsync(string templateKey, ReadDatabase database, CancellationToken cancellation)
    {
        await using var read = await database.OpenAsync(cancellation);
        var events = await read.Session.Events.FetchStreamAsync(Template.KeyOf(templateKey), token: cancellation);
        return events.Count == 0
            ? Problem.NotFound("such template")
            : Results.Ok(
                new TemplateVersions([
                    .. events
                        .Select(e => e.Data)
                        .OfType<TemplateDefined>()
                        .Reverse()
                        .Select(e => new TemplateVersion(e.Version, e.At, e.By)),
                ])
            );
    }

    private static Task<IResult> ArchiveAsync(string templateKey, HttpContext http, IDocumentStore store, TimeProvider clock) =>
        DefinitionChanges.RunAsync<IResult>(
            store,
            http.RequestAborted,
            async session =>
            {
                var key = Template.KeyOf(templateKey);
                var current = await session.LoadAsync<Template>(key, http.RequestAborted);
                if (current is null)
                    return (Problem.NotFound("such template"), false);
                if (!current.IsArchived)
                    session.Events.Append(key, new TemplateArchived(templateKey, Callers.Of(http).ClientId, clock.GetUtcNow()));
                return (Results.NoContent(), !current.IsArchived);
            }
        );
}
