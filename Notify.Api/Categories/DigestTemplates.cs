namespace Notify.Api.Categories;

using Notify.Delivery.Templates;
using Notify.Domain.Channels;
using Notify.Domain.Planning;
using Notify.Domain.Templates;

/// <summary>Whether a template can say a category's digests.</summary>
public static class DigestTemplates
{
    /// <summary>The first fault; <c>null</c>: it can.</summary>
    /// <param name="digest">Its shape is right.</param>
    public static async Task<(string Field, string Fault)?> FaultAsync(TemplateBook book, string category, CategoryDigest digest)
    {
        const string Field = "digest.template";
        var key = digest.Template!;
        if (await book.CurrentAsync(key) is not { } current)
            return (Field, $"there is no template {key}; GET /v1/templates lists those there are");
        if (current.IsArchived)
            return (Field, $"the template {key} is archived; PUT /v1/templates/{key} brings it back");
        if (current.Ready is not { } ready)
            return (Field, $"the template {key} cannot be read any more; PUT /v1/templates/{key} tells what is wrong with it");
        var definition = ready.Template.Definition;
        if (definition.Category is { } other && other != category)
            return (Field, $"the template {key} is of the category {other}; take one of {category}, or one without a category");
        if (Unfit(definition.Params) is { } parameters)
            return (Field, $"the template {key} {parameters}; a digest gives count, a number, and items, a list");
        var lacking = (digest.Channels ?? []).Where(c => !definition.Channels.Served().Select(Lanes.NameOf).Contains(c)).ToList();
        return lacking.Count == 0
            ? null
            : (
                "digest.channels",
                $"the template {key} has no words for {string.Join(", ", lacking)}; it has {string.Join(", ", definition.Channels.Served().Select(Lanes.NameOf))}"
            );
    }

    private static string? Unfit(IReadOnlyDictionary<string, ParameterRule> rules)
    {
        var strange = rules
            .Where(r => r.Value.Required && !DigestText.ParameterNames.Contains(r.Key))
            .Select(r => r.Key)
            .Order(StringComparer.Ordinal)
            .ToList();
        if (strange.Count > 0)
            return $"requires {string.Join(", ", strange)}";
        if (rules.TryGetValue("count", out var count) && count.Type is not (ParameterType.Number or ParameterType.Any))
            return "takes count as something else than a number";
        return rules.TryGetValue("items", out var items) && items.Type is not (ParameterType.Array or ParameterType.Any)
            ? "takes items as something else than a list"
            : null;
    }
}
