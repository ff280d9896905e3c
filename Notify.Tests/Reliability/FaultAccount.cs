namespace Notify.Tests.Reliability;

using System.Text.RegularExpressions;
using Notify.Tests.Support;
using Npgsql;

/// <summary>The time of a fault.</summary>
internal sealed record FaultWindow(DateTimeOffset From, DateTimeOffset To)
{
    // A claim is made, called and written down within that time, also on a busy machine.
    private static readonly TimeSpan InFlight = TimeSpan.FromSeconds(10);

    /// <summary>Whether a request that a provider received then may have been in flight when the fault began or ended.</summary>
    public bool Touches(DateTimeOffset receivedAt) =>
        (receivedAt - From).Duration() <= InFlight || (receivedAt - To).Duration() <= InFlight;

    /// <summary>Whether a notification that was requested then had to pass the fault or what follows it.</summary>
    public bool Covers(DateTimeOffset asked) => asked >= From - TimeSpan.FromSeconds(1) && asked <= To + ReliabilitySystem.Takeover;
}

/// <summary>Counts a load that has ended against what its callers were promised, by the sandbox's ledger and the streams.</summary>
/// <param name="others">Marks of texts that the case counts itself.</param>
internal sealed partial class FaultAccount(
    NotifySystem system,
    FaultLoad load,
    IReadOnlyList<FaultWindow> windows,
    IReadOnlyList<string> others
)
{
    private const string Expired = "NotificationExpired";
    private static readonly string[] Unanswered = ["TimedOut", "ConnectionLost", "HostLost", "UnreadableAnswer"];

    // A request that left in time arrives within its own time-out, the default of Providers:…:Timeout.
    private static readonly TimeSpan UnderWay = TimeSpan.FromSeconds(10);

    private readonly Dictionary<string, Received> received = [];
    private readonly Dictionary<(string Channel, bool During), List<double>> latencies = [];
    private readonly List<Sent> repeated = [];
    private (Sent Sent, DateTimeOffset At)? slowest;
    private long strangers;

    /// <summary>The event IDs of what was lost, doubled or sent against its caller's word; a few of each.</summary>
    public List<string> Examples { get; } = [];

    /// <summary>The notification that took longest to a provider, with its times beside those of the faults.</summary>
    public string Slowest =>
        slowest is not { } s
            ? "nothing was sent"
            : $"slowest: {s.Sent.Channel} {s.Sent.Id}, requested {s.Sent.Asked:HH:mm:ss.f}, accepted {s.Sent.AcceptedAt:HH:mm:ss.f}, "
                + $"at the provider {s.At:HH:mm:ss.f}; faults {string.Join(", ", windows.Select(w => $"{w.From:HH:mm:ss.f} to {w.To:HH:mm:ss.f}"))}";

    /// <summary>From request to provider in ms, of what was to be sent at once.</summary>
    public IReadOnlyDictionary<(string Channel, bool During), List<double>> Latencies => latencies;

    /// <summary>Counts, and adds to the figures.</summary>
    public async Task AddToAsync(FaultFigures figures)
    {
        await foreach (var entry in system.Sandbox.EntriesAsync())
            Take(entry);
        figures.Accepted += load.Accepted;
        figures.Strangers += strangers;
        var missing = new List<Sent>();
        foreach (var sent in load.All.Values.Where(s => s.AcceptedAt is not null))
        {
            if (received.TryGetValue(sent.Id, out var there) && there.Accepted.Count > 0)
                Count(sent, there, figures);
            else if (sent.CancelledAt is null)
                missing.Add(sent);
        }

        var unanswered = await UnansweredAsync();
        figures.PushRepeatsUnanswered += unanswered.Count;
        foreach (var sent in repeated.Where(s => !unanswered.Contains(s.Id)))
            figures.PushRepeatsOutside += Note("push repeated outside of faults", sent);
        foreach (var sent in await WithoutReasonAsync(missing, figures))
        {
            figures.Lost++;
            Note("lost", sent);
        }
    }

    private void Take(LedgerEntry entry)
    {
        var id = EventId().Match(entry.Text ?? "").Value;
        if (!load.All.ContainsKey(id))
        {
            // A request whose host was killed while it sent the body has no text; the provider has not taken it.
            if (!entry.IsAccepted && string.IsNullOrEmpty(entry.Text))
                return;
            if (others.Any(mark => entry.Text?.Contains(mark, StringComparison.Ordinal) == true))
                return;
            strangers++;
            if (strangers <= 3)
                Examples.Add($"stranger {entry}");
            return;
        }

        if (!received.TryGetValue(id, out var there))
            received[id] = there = new Received();
        there.First = there.First is { } first && first <= entry.ReceivedAt ? first : entry.ReceivedAt;
        if (!entry.IsAccepted)
            return;
        there.Accepted.Add(entry.ReceivedAt);
        if (entry.Provider == "apns")
            there.CollapseIds.Add(entry.Header("apns-collapse-id") ?? "");
    }

    private void Count(Sent sent, Received there, FaultFigures figures)
    {
        var last = there.Accepted.Max();
        if (sent.CancelledAt is { } cancelled && last > cancelled + UnderWay)
            figures.CancelledSent += Note("cancelled and sent", sent);
        if (sent.ExpiresAt is { } end)
            figures.LatestAfterExpiry = Math.Max(figures.LatestAfterExpiry, (last - end).TotalSeconds);
        if (sent.ExpiresAt is { } expires && last > expires + UnderWay)
            figures.ExpiredSent += Note("expired and sent", sent);
        if (sent.SendAt is { } at && there.First < at.AddMilliseconds(-5))
            figures.Early += Note("early", sent);
        if (there.Accepted.Count > 1)
        {
            if (sent.Channel == "sms")
                figures.SmsTwice += Note("SMS twice", sent);
            if (sent.Channel == "email")
                figures.MailTwice += Note("email twice", sent);
            if (sent.Channel == "push")
                CountRepeat(sent, there, figures);
        }

        if (sent.Kind != SendKind.Plain)
            return;
        if (slowest is null || there.First - sent.Asked > slowest.Value.At - slowest.Value.Sent.Asked)
            slowest = (sent, there.First!.Value);
        var key = (sent.Channel, windows.Any(w => w.Covers(sent.Asked)));
        if (!latencies.TryGetValue(key, out var list))
            latencies[key] = list = [];
        list.Add((there.First!.Value - sent.Asked).TotalMilliseconds);
    }

    private void CountRepeat(Sent sent, Received there, FaultFigures figures)
    {
        figures.PushRepeats++;
        if (there.CollapseIds.Count > 1 || there.CollapseIds.Contains(""))
            figures.PushRepeatsUncollapsed += Note("push repeated otherwise", sent);
        if (!windows.Any(w => w.Touches(there.First!.Value)))
            repeated.Add(sent);
    }

    // A message that no provider accepted must have ended for a reason; without one it is lost.
    private async Task<IReadOnlyList<Sent>> WithoutReasonAsync(IReadOnlyList<Sent> missing, FaultFigures figures)
    {
        var ends = await EndsAsync(missing);
        var lost = new List<Sent>();
        foreach (var sent in missing)
        {
            var end = ends.GetValueOrDefault(sent.Id, "");
            if (sent.ExpiresAt is not null && end == Expired)
                continue;
            if (sent.Channel != "push" && end == "NotificationFailed OutcomeNeverKnown")
                figures.NeverKnown++;
            else
                lost.Add(sent);
        }

        return lost;
    }

    private async Task<Dictionary<string, string>> EndsAsync(IReadOnlyList<Sent> missing)
    {
        var ends = new Dictionary<string, string>();
        string[] types = [Expired, "NotificationFailed", "DeliveryDeadLettered", "DeliverySuppressed"];
        foreach (var (id, type, reason) in await EventsAsync(missing, types))
            ends[id] = type == Expired ? Expired : $"{type} {reason}";
        return ends;
    }

    // Pushes that were repeated since their call got no answer in time.
    private async Task<IReadOnlySet<string>> UnansweredAsync() =>
        (await EventsAsync(repeated, ["DeliveryDeferred"])).Where(e => Unanswered.Contains(e.Reason)).Select(e => e.Id).ToHashSet();

    private async Task<List<(string Id, string Type, string Reason)>> EventsAsync(IReadOnlyList<Sent> of, string[] types)
    {
        await using var command = system.Database.CreateCommand(
            """
            select stream_id, type, coalesce(data ->> 'reason', '') from events.mt_events
            where stream_id = any($1) and type = any($2) order by seq_id
            """
        );
        var prefix = $"n/{system.Client.AppKey}:";
        command.Parameters.Add(new NpgsqlParameter { Value = of.Select(s => prefix + s.Id).ToArray() });
        command.Parameters.Add(new NpgsqlParameter { Value = types });
        await using var reader = await command.ExecuteReaderAsync();
        var events = new List<(string, string, string)>();
        while (await reader.ReadAsync())
            events.Add((reader.GetString(0)[prefix.Length..], reader.GetString(1), reader.GetString(2)));
        return events;
    }

    private long Note(string fault, Sent sent)
    {
        if (Examples.Count(e => e.StartsWith(fault, StringComparison.Ordinal)) < 3)
            Examples.Add($"{fault}: {sent.Channel} {sent.Kind} {sent.Id}");
        return 1;
    }

    [GeneratedRegex("rel-[0-9a-f]+-[0-9]+-[0-9]+")]
    private static partial Regex EventId();

    private sealed class Received
    {
        public DateTimeOffset? First { get; set; }

        public List<DateTimeOffset> Accepted { get; } = new(1);

        public HashSet<string> CollapseIds { get; } = [];
    }
}
