namespace Notify.Api.Notifications;

using System.Text.Json;
using Notify.Api.Access;
using Notify.Delivery.Templates;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Domain.Templates;

/// <summary>A template as a request was found to name it.</summary>
/// <param name="Pin">The versions that the notification is accepted with.</param>
/// <param name="Category">The category of requests that name none.</param>
public sealed record ResolvedTemplate(PinnedTemplate Pin, string? Category);

/// <summary>The answer to a request for a notification; one of the three.</summary>
/// <param name="Result">The outcome of its acceptance.</param>
/// <param name="Faults">Every fault by field.</param>
/// <param name="Hindrance">The reason why the client may not send it.</param>
public sealed record AcceptAnswer(AcceptResult? Result, IDictionary<string, string[]>? Faults = null, Hindrance? Hindrance = null);

/// <summary>
/// Accepts requests, those with a template after it was found, its parameters were checked and it was rendered once: a
/// request that could not be rendered later is refused now.
/// </summary>
public sealed class TemplateRequests(TemplateBook book, Acceptance acceptance, TimeProvider clock)
{
    /// <summary>Accepts a request whose shape is right.</summary>
    /// <param name="received">The request as it was received.</param>
    /// <param name="through">See <see cref="NotificationRequested.Through"/>.</param>
    /// <param name="aborted">Tells that nobody waits for the answer any more.</param>
    public Task<AcceptAnswer> AcceptAsync(
        Client client,
        RequestNotification request,
        JsonElement received,
        string? through = null,
        CancellationToken aborted = default
    )
    {
        // Nothing read here is kept while the commit is waited for: a request may carry files.
        var known = acceptance.ReceivedOf(received);
        if (request.Template is not null)
            return TemplatedAsync(client, request, known, through, aborted);
        return SendingRules.Check(client, request.Category ?? RequestNotification.DefaultCategory, request.Channels) is { } hindrance
            ? Task.FromResult(new AcceptAnswer(null, null, hindrance))
            : LiteralAsync(acceptance.AcceptAsync(client, request, known, through: through, aborted: aborted));
    }

    private static async Task<AcceptAnswer> LiteralAsync(Task<AcceptResult> accepting) => new(await accepting);

    private async Task<AcceptAnswer> TemplatedAsync(
        Client client,
        RequestNotification request,
        ReceivedRequest received,
        string? through,
        CancellationToken aborted
    )
    {
        var (template, faults) = await ResolveAsync(request);
        if (faults is not null)
        {
            // The repeat of an accepted request is one also when the template has changed since.
            return await acceptance.KnownAsync(client, request, received, aborted) is { } known ? new(known) : new(null, faults);
        }

        var category = request.Category ?? template!.Category ?? RequestNotification.DefaultCategory;
        return SendingRules.Check(client, category, request.Channels) is { } hindrance
            ? new(null, null, hindrance)
            : new(await acceptance.AcceptAsync(client, request, received, template, through, aborted));
    }

    /// <summary>Finds the template that a request names, checks its parameters and renders it once.</summary>
    /// <returns>The template, or every fault by field.</returns>
    public async Task<(ResolvedTemplate? Template, IDictionary<string, string[]>? Faults)> ResolveAsync(RequestNotification request)
    {
        var wanted = request.Template!;
        if (await book.CurrentAsync(wanted.Key!) is not { } current)
            return Fault("template.key", $"there is no template {wanted.Key}; GET /v1/templates lists those there are");
        if (current.IsArchived)
            return Fault(
                "template.key",
                $"the template {wanted.Key} is archived and takes no requests; PUT /v1/templates/{wanted.Key} brings it back"
            );
        if (current.Ready is not { } ready)
            return Fault(
                "template.key",
                $"the template {wanted.Key} cannot be read any more; PUT /v1/templates/{wanted.Key} tells what is wrong with it"
            );
        var definition = ready.Template.Definition;
        var faults = TemplateParams.Check(definition.Params, wanted.Params);
        if (faults.Count > 0)
            return (null, Named("template.params", faults));

        var now = clock.GetUtcNow();
        var then = request.SendAt > now ? request.SendAt.Value : now;
        foreach (var channel in definition.Channels.Served().Where(c => request.Channels?.Contains(c) != false))
        {
            if (ready.Template.Render(channel, wanted.Locale, wanted.Params, ready.Layouts, then).Fault is { } fault)
                return Fault("template", $"{fault.Field}: {fault.Detail}");
        }

        return (new ResolvedTemplate(current.Pin(wanted.Locale), definition.Category), null);
    }

    /// <summary>Faults of parameters, as fields under a prefix.</summary>
    public static IDictionary<string, string[]> Named(string prefix, IReadOnlyList<(string Name, string Fault)> faults) =>
        faults
            .GroupBy(f => f.Name.Length == 0 ? prefix : $"{prefix}.{f.Name}")
            .ToDictionary(g => g.Key, g => g.Select(f => f.Fault).ToArray());

    private static (ResolvedTemplate?, IDictionary<string, string[]>?) Fault(string field, string fault) =>
        (null, new Dictionary<string, string[]> { [field] = [fault] });
}
