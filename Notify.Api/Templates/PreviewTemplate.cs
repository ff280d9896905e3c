namespace Notify.Api.Templates;

using System.Text.Json;
using FluentValidation;
using Notify.Api.Access;
using Notify.Api.Contract;
using Notify.Api.Notifications;
using Notify.Api.Reference;
using Notify.Delivery.Templates;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Content;
using Notify.Domain.Templates;

/// <summary>The inputs of a preview: the body of <c>POST /v1/templates/{key}/preview</c>.</summary>
public sealed record PreviewTemplate
{
    /// <summary>The language, BCP 47; absent: the default.</summary>
    public string? Locale { get; init; }

    /// <summary>The parameters, by name; an object.</summary>
    public JsonElement? Params { get; init; }

    /// <summary>Which version; absent: the current one.</summary>
    public int? Version { get; init; }
}

/// <summary>The content that each channel would send.</summary>
/// <param name="Key">The template's key.</param>
/// <param name="Version">The version that was rendered.</param>
/// <param name="Email">The email; absent where the template serves none.</param>
/// <param name="Sms">The SMS; absent where the template serves none.</param>
/// <param name="Push">The push; absent where the template serves none.</param>
/// <param name="Warnings">Possible faults; none of them prevents sending.</param>
public sealed record TemplatePreview(
    string Key,
    int Version,
    EmailPreview? Email,
    SmsPreview? Sms,
    PushPreview? Push,
    IReadOnlyList<string> Warnings
);

/// <summary>An email as it would be sent.</summary>
/// <param name="Subject">Its subject.</param>
/// <param name="Html">Its HTML, in its layouts.</param>
/// <param name="Text">Its plain text.</param>
/// <param name="Locale">The locale that it is written in; absent: the default.</param>
public sealed record EmailPreview(string? Subject, string? Html, string? Text, string? Locale);

/// <summary>An SMS as it would be sent.</summary>
/// <param name="Text">Its text, with its own links.</param>
/// <param name="Segments">How many parts it takes as it is sent, with tracked links where the template asks for these; each costs.</param>
/// <param name="Encoding"><c>GSM-7</c>, or <c>UCS-2</c>, with less than half the characters in a part.</param>
/// <param name="Locale">The locale that it is written in; absent: the default.</param>
public sealed record SmsPreview(string Text, int Segments, string Encoding, string? Locale);

/// <summary>A push as it would be sent.</summary>
/// <param name="Title">Its heading.</param>
/// <param name="Body">Its text.</param>
/// <param name="Url">Where a tap leads.</param>
/// <param name="Locale">The locale that it is written in; absent: the default.</param>
public sealed record PushPreview(string? Title, string? Body, string? Url, string? Locale);

/// <summary>The shape of a preview.</summary>
public sealed class PreviewTemplateValidator : AbstractValidator<PreviewTemplate>
{
    /// <summary>The rules.</summary>
    public PreviewTemplateValidator()
    {
        RuleFor(p => p.Locale).Must(l => TemplateLocale.IsTag(l!)).When(p => p.Locale is not null).WithMessage(TemplateLocale.Rule);
        RuleFor(p => p.Params)
            .Must(p => p!.Value.ValueKind == JsonValueKind.Object)
            .When(p => p.Params is { ValueKind: not JsonValueKind.Null })
            .WithMessage("must be an object");
    }
}

/// <summary>Shows what a template would send; sends nothing.</summary>
public static class PreviewTemplateEndpoint
{
    private static readonly PreviewTemplateValidator Validator = new();

    /// <summary>Maps <c>POST /v1/templates/{key}/preview</c>.</summary>
    public static void Map(IEndpointRouteBuilder app) =>
        app.MapPost("/v1/templates/{templateKey}/preview", PreviewAsync)
            .RequireScope(Scopes.Templates)
            .OpenToTests()
            .WithName("PreviewTemplate")
            .WithTags("Templates")
            .WithSummary("Show what a template would send")
            .WithDescription(
                "Renders every channel that the template serves, with the layouts as they are now, and sends nothing. "
                    + "Parameters are checked as a request's are."
            )
            .Takes(
                "In Korean",
                new PreviewTemplate
                {
                    Locale = "ko-KR",
                    Params = JsonSerializer.SerializeToElement(new { name = "민수", orderUrl = "https://example.com/orders/125" }),
                }
            )
            .Answers(
                200,
                "What each channel would send.",
                new TemplatePreview(
                    "order-shipped",
                    3,
                    new EmailPreview("Your order is on its way", "<p>Hello 민수,</p>", "Hello 민수", null),
                    new SmsPreview("민수님, 주문하신 상품이 출발했습니다.", 1, "UCS-2", "ko"),
                    new PushPreview("On its way", "민수, your order has left our house.", "https://example.com/orders/125", null),
                    ["email: there is no ko-KR, so the default is used"]
                )
            )
            .FailsNotFound("such template or version");

    private static async Task<IResult> PreviewAsync(string templateKey, HttpContext http, TemplateBook book, SmsLimits limits)
    {
        var (preview, problem) = await RequestBody.ReadAsync(http.Request, Validator);
        if (preview is null)
            return problem!;
        if (await book.CurrentAsync(templateKey) is not { } current)
            return Problem.NotFound("such template");
        var version = preview.Version ?? current.Version;
        if (await book.VersionAsync(templateKey, version, http.RequestAborted) is not { } ready)
            return Problem.NotFound("such version of this template");
        var faults = TemplateParams.Check(ready.Template.Definition.Params, preview.Params);
        if (faults.Count > 0)
            return Problem.Invalid(TemplateRequests.Named("params", faults));

        var renderings = ready
            .Template.Definition.Channels.Served()
            .ToDictionary(
                c => c,
                c =>
                    ready.Template.Render(
                        c,
                        preview.Locale,
                        preview.Params,
                        ready.Layouts,
                        http.RequestServices.GetRequiredService<TimeProvider>().GetUtcNow()
                    )
            );
        if (renderings.Values.Select(r => r.Fault).OfType<TemplateFault>().ToList() is { Count: > 0 } failed)
            return Problem.Invalid(PutTemplateEndpoint.ByField(failed));
        var (email, sms, push) = (
            renderings.GetValueOrDefault(Channel.Email),
            renderings.GetValueOrDefault(Channel.Sms),
            renderings.GetValueOrDefault(Channel.Push)
        );
        return Results.Ok(
            new TemplatePreview(
                templateKey,
                version,
                email is null ? null : new EmailPreview(email.Content!.Title, email.Content.Html, email.Content.Body, email.Locale),
                sms is null ? null : SmsOf(sms.Content!, sms.Locale, limits),
                push is null ? null : new PushPreview(push.Content!.Title, push.Content.Body, push.Content.Url, push.Locale),
                [.. Warnings(preview.Locale, renderings, limits)]
            )
        );
    }

    private static SmsPreview SmsOf(NotificationContent content, string? locale, SmsLimits limits)
    {
        var sent = limits.AsSent(content.Body!, content.Track);
        return new SmsPreview(content.Body!, SmsText.Segments(sent), SmsText.IsGsm7(sent) ? "GSM-7" : "UCS-2", locale);
    }

    private static IEnumerable<string> Warnings(string? locale, Dictionary<Channel, Rendering> renderings, SmsLimits limits)
    {
        foreach (var (channel, rendering) in renderings)
        {
            var name = CompiledTemplate.NameOf(channel);
            if (locale is not null && rendering.Locale is null)
                yield return $"{name}: there is no {locale}, so the default is used";
            var content = rendering.Content!;
            if (channel == Channel.Sms)
            {
                var sent = limits.AsSent(content.Body!, content.Track);
                if (SmsText.Segments(sent) is > 1 and var segments)
                {
                    var costly = sent.EnumerateRunes().FirstOrDefault(r => !SmsText.IsGsm7(r.ToString()));
                    yield return $"sms: takes {segments} segments{(costly.Value == 0 ? "" : $"; \"{costly}\" is not in the GSM alphabet, and makes all of it UCS-2")}";
                }

                if (sent != content.Body)
                    yield return $"sms: its links are tracked, {limits.AnyTrackedLink.Length} characters each, so that {sent.Length} characters are sent";
                else if (content.Track is { Links: true } && LinkRewriter.HasLink(content.Body!))
                    yield return $"sms: its links are not tracked, since {limits.AnyTrackedLink.Length} characters each would make it too long";
            }

            if (channel == Channel.Email && content.Body is null)
                yield return "email: there is no text, for programs that show no HTML";
            if (channel == Channel.Email && content.Title?.Length > 78)
                yield return $"email: the subject has {content.Title.Length} characters; many programs show fewer than 78";
        }
    }
}
