namespace Notify.Domain.Templates;

// Everything that can happen to a template (stream t/{key}) and to a layout (stream l/{key}). Nothing personal is in them.

/// <summary>A template says this from now on.</summary>
/// <param name="Version">1 for the first; an accepted notification keeps its version.</param>
public sealed record TemplateDefined(string Key, int Version, TemplateDefinition Definition, string By, DateTimeOffset At);

/// <summary>A template accepts no new requests; accepted notifications are still rendered.</summary>
public sealed record TemplateArchived(string Key, string By, DateTimeOffset At);

/// <summary>A layout looks like this from now on.</summary>
/// <param name="Version">1 for the first; an accepted notification keeps its version.</param>
public sealed record LayoutDefined(string Key, int Version, LayoutDefinition Definition, string By, DateTimeOffset At);

/// <summary>A template as it is now; snapshot of the stream <c>t/{key}</c>.</summary>
/// <param name="Id">The stream key.</param>
/// <param name="CurrentVersion">Not called Version, which the event store would take for the stream's own.</param>
/// <param name="DefinedAt">When this version was.</param>
public sealed record Template(
    string Id,
    string Key,
    int CurrentVersion,
    TemplateDefinition Definition,
    bool IsArchived,
    DateTimeOffset DefinedAt
)
{
    /// <summary>The stream key of a template.</summary>
    public static string KeyOf(string key) => $"t/{key}";

    /// <summary>Folds one event into a template.</summary>
    public static Template? Evolve(Template? state, string id, object @event) =>
        @event switch
        {
            TemplateDefined e => new Template(id, e.Key, e.Version, e.Definition, false, e.At),
            TemplateArchived => state is null ? null : state with { IsArchived = true },
            _ => state,
        };
}

/// <summary>A layout as it is now; snapshot of the stream <c>l/{key}</c>.</summary>
/// <param name="Id">The stream key.</param>
/// <param name="CurrentVersion">Not called Version, which the event store would take for the stream's own.</param>
/// <param name="DefinedAt">When this version was.</param>
public sealed record Layout(string Id, string Key, int CurrentVersion, LayoutDefinition Definition, DateTimeOffset DefinedAt)
{
    /// <summary>The most layouts that may be nested.</summary>
    public const int MaxDepth = 5;

    /// <summary>The stream key of a layout.</summary>
    public static string KeyOf(string key) => $"l/{key}";

    /// <summary>Folds one event into a layout.</summary>
    public static Layout? Evolve(Layout? state, string id, object @event) =>
        @event is LayoutDefined e ? new Layout(id, e.Key, e.Version, e.Definition, e.At) : state;

    /// <summary>Follows a layout outwards.</summary>
    /// <param name="first">The innermost layout's key.</param>
    /// <param name="outer">The layout that a layout is set into; <c>null</c>: none.</param>
    /// <returns>The keys from the inside out, or what is wrong with them: a circle, or too many.</returns>
    public static (IReadOnlyList<string> Keys, string? Fault) Chain(string? first, Func<string, string?> outer)
    {
        var keys = new List<string>();
        for (var key = first; key is not null; key = outer(key))
        {
            if (keys.Contains(key))
                return (keys, $"goes in a circle: {string.Join(" → ", keys.Append(key))}");
            keys.Add(key);
            if (keys.Count > MaxDepth)
                return (keys, $"makes more than {MaxDepth} layouts around each other: {string.Join(" → ", keys)}");
        }

        return (keys, null);
    }
}
