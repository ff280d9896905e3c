namespace Notify.Domain.Planning;

using System.Collections.Immutable;
using Notify.Domain.Categories;
using Notify.Domain.Channels;

/// <summary>The key of one count.</summary>
/// <param name="Person">A user's stream key, or <c>a/</c> and the keyed hash of an address or token; for a test client <c>test/</c> before
/// it.</param>
/// <param name="Category">The category's key.</param>
public readonly record struct CapKey(string Person, string Category, Channel Channel, CapPeriod Per);

/// <summary>The number of slots taken in each window, from one window on.</summary>
/// <param name="First">The number of the first window in <paramref name="Taken"/>. It never decreases, not even by a clock.</param>
/// <param name="Taken">By window; windows after the last have none taken.</param>
public sealed record CapCount(CapPeriod Per, long First, ImmutableArray<int> Taken)
{
    /// <summary>Makes a count without taken slots.</summary>
    public static CapCount None(CapPeriod per, DateTimeOffset now) => new(per, CapWindows.Of(per, now), []);

    /// <summary>When its last window ends; after it the count says nothing more.</summary>
    public DateTimeOffset EndsAt => CapWindows.StartOf(Per, First + Math.Max(1, Taken.Length));

    /// <summary>The same without the windows that are over.</summary>
    public CapCount From(DateTimeOffset now)
    {
        var over = CapWindows.Of(Per, now) - First;
        return over <= 0 ? this : new CapCount(Per, First + over, over >= Taken.Length ? [] : Taken[(int)over..]);
    }

    /// <summary>The window that something at a time counts in.</summary>
    public long WindowAt(DateTimeOffset time) => Math.Max(First, CapWindows.Of(Per, time));

    /// <summary>Returns the number of slots taken in the window of a time.</summary>
    public int At(DateTimeOffset time) => WindowAt(time) - First < Taken.Length ? Taken[(int)(WindowAt(time) - First)] : 0;

    /// <summary>Takes one more slot in the window of a time.</summary>
    public CapCount Take(DateTimeOffset time)
    {
        var index = (int)(WindowAt(time) - First);
        var taken = index < Taken.Length ? Taken : Taken.AddRange(Enumerable.Repeat(0, index + 1 - Taken.Length));
        return this with { Taken = taken.SetItem(index, taken[index] + 1) };
    }
}
