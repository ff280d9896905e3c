namespace Notify.Dispatch.Dispatching;

using Notify.Dispatch.Providers;

/// <summary>Divides a batch into calls: deliveries with the same text share one where their provider accepts many. Pure.</summary>
public static class SharedCalls
{
    /// <summary>The calls; each delivery is in exactly one, and each call has one provider.</summary>
    public static List<IReadOnlyList<ClaimedDelivery>> Of(IReadOnlyList<ClaimedDelivery> slice)
    {
        var calls = new List<IReadOnlyList<ClaimedDelivery>>(slice.Count);
        var together = new Dictionary<(IDeliveryProvider, object), List<ClaimedDelivery>>();
        foreach (var delivery in slice)
        {
            if (delivery is { Ask: null, Provider: ISendsMany many } && many.SharedBy(delivery.Message) is { } shared)
            {
                var key = (delivery.Provider, shared);
                if (together.TryGetValue(key, out var group) && group.Count < many.MostTogether)
                {
                    group.Add(delivery);
                    continue;
                }

                calls.Add(together[key] = [delivery]);
                continue;
            }

            calls.Add([delivery]);
        }

        return calls;
    }
}
