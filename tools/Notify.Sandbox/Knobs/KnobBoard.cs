namespace Notify.Sandbox.Knobs;

using System.Diagnostics.CodeAnalysis;
using Notify.Sandbox.Providers;

/// <summary>The knobs of every provider that the sandbox plays.</summary>
public sealed class KnobBoard(IEnumerable<IProviderDialect> dialects)
{
    private readonly SortedDictionary<string, KnobSwitch> _switches = new(
        dialects.ToDictionary(dialect => dialect.Name, _ => new KnobSwitch()),
        StringComparer.Ordinal
    );

    /// <summary>The providers' names, sorted.</summary>
    public IReadOnlyCollection<string> Providers => _switches.Keys;

    /// <summary>A provider that is known to exist.</summary>
    public KnobSwitch this[string provider] => _switches[provider];

    /// <summary>A provider that may not exist.</summary>
    public bool TryGet(string provider, [MaybeNullWhen(false)] out KnobSwitch knobs) => _switches.TryGetValue(provider, out knobs);

    /// <summary>All knobs as they stand, by provider.</summary>
    public IReadOnlyDictionary<string, ProviderKnobs> Read() => _switches.ToDictionary(entry => entry.Key, entry => entry.Value.Current);
}
