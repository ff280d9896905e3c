namespace Notify.Bench;

/// <summary>Closed loop: how many notifications a second are accepted, and how many reach their provider.</summary>
internal sealed class EndToEnd(BenchSettings settings, Load load, Ledger ledger, UsageMeter usage)
{
    /// <summary>The measurements of one scenario.</summary>
    /// <param name="EndToEndRate"><c>null</c> where nothing is sent.</param>
    /// <param name="Lost">Accepted, and received by no provider.</param>
    /// <param name="ViewsAfter">Seconds from the last acceptance until the read models held all of it.</param>
    public sealed record Result(
        string Name,
        int Count,
        double AcceptedRate,
        double? EndToEndRate,
        int Lost,
        int Twice,
        int Refused,
        double? ViewsAfter,
        UsageMeter.Used Usage
    );

    /// <summary>Runs one scenario to its end: everything delivered, every view complete.</summary>
    public async Task<Result> MeasureAsync(string scenario)
    {
        var marker = Requests.NewMarker();
        var (requests, count, batch) = scenario switch
        {
            "accept" => (Requests.ToNobody(marker), settings.Count, 1),
            "batch" => (Requests.Push(marker, settings.Users), settings.Count, settings.Batch),
            "sms" => (Requests.Sms(marker, settings.Users), settings.SmsCount, 1),
            _ => (Requests.Push(marker, settings.Users), settings.Count, 1),
        };
        await ledger.ClearAsync();
        var before = await usage.ReadAsync();
        var posted = await load.PostAsync(requests, count, batch == 1 ? settings.Connections : Math.Min(settings.Connections, 8), batch);
        if (scenario != "accept")
            await ledger.DrainAsync(posted.Accepted);
        var views = await usage.ViewsCompleteAsync();
        var viewsAfter = views - (posted.Start + posted.Elapsed);
        var used = UsageMeter.Between(before, await usage.ReadAsync(), count);

        var acceptedRate = posted.Accepted / posted.Elapsed.TotalSeconds;
        if (scenario == "accept")
            return new Result(scenario, count, acceptedRate, null, 0, 0, posted.Refused, viewsAfter?.TotalSeconds, used);
        var receipts = await ledger.ReadAsync(requests.Marker, count);
        return new Result(
            batch == 1 ? scenario : $"{scenario} of {batch}",
            count,
            acceptedRate,
            posted.Accepted / (receipts.Last - posted.Start).TotalSeconds,
            Math.Max(0, receipts.Missing - posted.Refused),
            receipts.Twice,
            posted.Refused,
            viewsAfter?.TotalSeconds,
            used
        );
    }
}
