namespace Notify.Api.Contract;

using System.Collections;
using System.Globalization;

/// <summary>Faults of a request by field, of which the first <see cref="Max"/> are kept and the others counted.</summary>
/// <remarks>A body of 8 MiB can have a million.</remarks>
public sealed class FaultList : IEnumerable<(string Field, string Fault)>
{
    /// <summary>The faults that an answer lists at most.</summary>
    public const int Max = 100;

    private readonly List<(string Field, string Fault)> listed = [];
    private int more;

    /// <summary>How many there are, listed or not.</summary>
    public int Count => listed.Count + more;

    /// <summary>Adds a fault.</summary>
    public void Add((string Field, string Fault) fault)
    {
        if (listed.Count < Max)
            listed.Add(fault);
        else
            more++;
    }

    /// <summary>Adds a fault whose text is made only when it is reported.</summary>
    public void Add(string field, Func<string> fault)
    {
        if (listed.Count < Max)
            listed.Add((field, fault()));
        else
            more++;
    }

    /// <summary>Returns the faults by field; those beyond <see cref="Max"/> are reported under <c>$</c> as <c>and N more</c>.</summary>
    public IDictionary<string, string[]> ByField()
    {
        var fields = new ListedFaults();
        foreach (var field in listed.GroupBy(f => f.Field))
            fields[field.Key] = [.. field.Select(f => f.Fault).Distinct()];
        if (more > 0)
            fields["$"] = [.. fields.GetValueOrDefault("$", []), string.Create(CultureInfo.InvariantCulture, $"and {more} more")];
        return fields;
    }

    /// <summary>Bounds faults that were gathered by field.</summary>
    public static IDictionary<string, string[]> Bound(IDictionary<string, string[]> errors)
    {
        if (errors is ListedFaults)
            return errors;
        var list = new FaultList();
        foreach (var (field, faults) in errors)
        {
            foreach (var fault in faults)
                list.Add((field, fault));
        }

        return list.more == 0 ? errors : list.ByField();
    }

    /// <inheritdoc />
    public IEnumerator<(string Field, string Fault)> GetEnumerator() => listed.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    // Bounded already.
    private sealed class ListedFaults() : Dictionary<string, string[]>(StringComparer.Ordinal);
}
