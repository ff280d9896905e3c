[assembly: TestCollectionOrderer(typeof(Notify.Tests.Support.LongestFirst))]

namespace Notify.Tests.Support;

using Xunit.Sdk;
using Xunit.v3;

/// <summary>Begins with the collections that take longest, so that none of them is left when all others are through.</summary>
public sealed class LongestFirst : ITestCollectionOrderer
{
    private static readonly string[] Longest = [BrokerCollection.Name, SpineCollection.Name, FaultCollection.Name, KnobCollection.Name];

    /// <inheritdoc />
    public IReadOnlyCollection<TTestCollection> OrderTestCollections<TTestCollection>(IReadOnlyCollection<TTestCollection> testCollections)
        where TTestCollection : ITestCollection =>
        [
            .. testCollections.OrderBy(c =>
                Array.IndexOf(Longest, c.TestCollectionDisplayName) is >= 0 and var place ? place : Longest.Length
            ),
        ];
}
