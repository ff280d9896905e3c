namespace Notify.Delivery.Monitoring;

using Notify.Domain.Channels;
using Notify.Domain.Notifications;

/// <summary>The state of a condition that does not depend on traffic.</summary>
/// <param name="IsBad"><c>null</c>: neither clearly bad nor clearly good; an open alert stays open.</param>
/// <param name="Cause">The fault that was found; it names no person.</param>
/// <param name="Count">The number of faults.</param>
/// <param name="Since">The start of the fault, as far as known.</param>
public sealed record StandingFault(string Subject, TroubleKind Kind, bool? IsBad, string Cause, long Count, DateTimeOffset Since);

/// <summary>The inputs for evaluating alerts.</summary>
/// <param name="Calls">The counts of the last hour.</param>
/// <param name="Standing">The conditions that do not depend on calls.</param>
/// <param name="Open">The open alerts.</param>
/// <param name="Recovered">The time of each subject's last recovery within the last hour.</param>
/// <param name="Diverted">The providers whose circuit is not closed: they get little more than a try now and then.</param>
public sealed record Evidence(
    IReadOnlyList<CallCounts> Calls,
    IReadOnlyList<StandingFault> Standing,
    IReadOnlyList<Trouble> Open,
    IReadOnlyDictionary<string, DateTimeOffset> Recovered,
    IReadOnlySet<string> Diverted
);

/// <summary>The alerts that opened, continued or recovered, with their current counts.</summary>
public sealed record Judgement(IReadOnlyList<Trouble> Opened, IReadOnlyList<Trouble> Going, IReadOnlyList<Trouble> Recovered);

/// <summary>
/// Decides when an alert opens and when it recovers. It opens after many failures or several in a row, and recovers after
/// successes; without traffic nothing changes. Failures that a provider's alert explains open no second alert. Pure.
/// </summary>
public static class TroubleDecider
{
    /// <summary>Decides the changes of all alerts.</summary>
    public static Judgement Decide(AlertRules rules, Evidence evidence, DateTimeOffset now)
    {
        var open = evidence.Open.ToDictionary(t => t.Subject, StringComparer.Ordinal);
        var (opened, going, recovered) = (new List<Trouble>(), new List<Trouble>(), new List<Trouble>());

        // Providers come first: failures that their alerts explain are not counted after them.
        foreach (
            var provider in evidence.Calls.Select(c => c.Provider).Where(p => p != CallCounts.NoProvider).Distinct(StringComparer.Ordinal)
        )
        {
            var calls = evidence.Calls.Where(c => c.Provider == provider && c.Outcome != CallOutcome.DeadLettered).ToList();
            Judge(
                new Series(
                    Subjects.Halted(provider),
                    TroubleKind.ProviderHalted,
                    provider,
                    null,
                    null,
                    calls,
                    c => c.Outcome == CallOutcome.Halted,
                    c => c.Outcome is CallOutcome.Answered or CallOutcome.Refused
                )
            );
            Judge(
                new Series(
                    Subjects.Failing(provider),
                    TroubleKind.ProviderFailing,
                    provider,
                    null,
                    null,
                    calls,
                    c => c.Outcome == CallOutcome.Failed,
                    c => c.Outcome is CallOutcome.Answered or CallOutcome.Refused
                )
            );
        }

        // A halted provider's failures are its own, and so are all of a failing one, until it has recovered.
        var troubled = evidence
            .Open.Concat(opened)
            .Where(t => t.Provider is not null && t.Kind is TroubleKind.ProviderFailing or TroubleKind.ProviderHalted)
            .Select(t => t.Provider!)
            .ToHashSet(StringComparer.Ordinal);
        var free = evidence
            .Calls.Where(c =>
                !troubled.Contains(c.Provider)
                && !(evidence.Recovered.TryGetValue(Subjects.Failing(c.Provider), out var failed) && c.Bucket <= failed)
                && !(evidence.Recovered.TryGetValue(Subjects.Halted(c.Provider), out var halted) && c.Bucket <= halted)
            )
            .ToList();

        foreach (
            var (provider, lane, reason) in free.Where(c => c.Outcome == CallOutcome.Refused)
                .Select(c => (c.Provider, c.Queue.Lane, c.Reason))
                .Concat(
                    evidence
                        .Open.Where(t => t.Kind == TroubleKind.MessagesRefused)
                        .Select(t => (t.Provider!, t.Lane!.Value, t.Subject.Split(':')[^1]))
                )
                .Distinct()
        )
        {
            var calls = free.Where(c => c.Provider == provider && c.Queue.Lane == lane && c.Outcome != CallOutcome.DeadLettered).ToList();
            Judge(
                new Series(
                    Subjects.Refused(provider, lane, reason),
                    TroubleKind.MessagesRefused,
                    provider,
                    lane,
                    null,
                    calls,
                    c => c.Outcome == CallOutcome.Refused && c.Reason == reason,
                    c => c.Outcome == CallOutcome.Answered || (c.Outcome == CallOutcome.Refused && c.Reason != reason)
                )
            );
        }

        foreach (var queue in free.Select(c => c.Queue).Distinct())
        {
            var calls = free.Where(c => c.Queue == queue).ToList();
            Judge(
                new Series(
                    Subjects.Queue(queue),
                    TroubleKind.DeliveriesFailing,
                    null,
                    queue.Lane,
                    queue.Priority,
                    calls,
                    c => c.Outcome == CallOutcome.Failed,
                    c => c.Outcome is CallOutcome.Answered or CallOutcome.Refused
                )
            );
            if (evidence.Open.Concat(opened).Any(t => t.Subject == Subjects.Queue(queue)) && !open.ContainsKey(Subjects.DeadLetters(queue)))
                continue;
            if (evidence.Recovered.TryGetValue(Subjects.Queue(queue), out var over))
                calls.RemoveAll(c => c.Bucket <= over);
            Judge(
                new Series(
                    Subjects.DeadLetters(queue),
                    TroubleKind.DeadLettering,
                    null,
                    queue.Lane,
                    queue.Priority,
                    calls,
                    c => c.Outcome == CallOutcome.DeadLettered,
                    c => c.Outcome == CallOutcome.Answered
                )
            );
        }

        foreach (var fault in evidence.Standing)
            JudgeStanding(fault);
        going.AddRange(open.Values); // nothing was heard of these: they stay
        return new Judgement(opened, going, recovered);

        void Judge(Series series)
        {
            if (open.Remove(series.Subject, out var trouble))
            {
                trouble = Count(trouble, series, rules, now);
                // A try that succeeds is no recovery yet; it is one when the provider is sent to again.
                var isLeftAlone =
                    series.Kind is TroubleKind.ProviderFailing or TroubleKind.ProviderHalted
                    && evidence.Diverted.Contains(series.Provider!);
                if (!isLeftAlone && IsOver(trouble, series, rules, now))
                    recovered.Add(trouble with { RecoveredAt = now });
                else
                    going.Add(trouble);
            }
            else if (Begins(series, rules, evidence.Recovered.TryGetValue(series.Subject, out var last) ? last : null, now) is { } first)
            {
                opened.Add(Count(Opening(series, first, now), series, rules, now));
            }
        }

        void JudgeStanding(StandingFault fault)
        {
            if (open.Remove(fault.Subject, out var trouble))
            {
                if (fault.IsBad == false)
                    recovered.Add(trouble with { RecoveredAt = now });
                else
                    going.Add(
                        trouble with
                        {
                            Failures = Math.Max(trouble.Failures, fault.Count),
                            Attempts = Math.Max(trouble.Attempts, fault.Count),
                            LastFailureAt = now,
                        }
                    );
            }
            else if (fault.IsBad == true)
            {
                opened.Add(
                    new Trouble(
                        DeterministicId.OfTrouble(fault.Subject, now),
                        fault.Subject,
                        fault.Kind,
                        null,
                        null,
                        null,
                        fault.Cause,
                        now,
                        fault.Since,
                        now,
                        null,
                        fault.Count,
                        fault.Count,
                        (0, 0, now)
                    )
                );
            }
        }
    }

    // The first failure of an alert that opens; null: none opens.
    private static CallCounts? Begins(Series series, AlertRules rules, DateTimeOffset? recoveredAt, DateTimeOffset now)
    {
        var fresh = series.Calls.Where(c => recoveredAt is null || c.Bucket > recoveredAt).OrderBy(c => c.Bucket).ToList();
        // A part is judged a window later than its provider as a whole, which may be what it suffers from.
        var isPart = series.Kind is TroubleKind.DeliveriesFailing or TroubleKind.DeadLettering;
        var patience = isPart ? now - rules.Window : DateTimeOffset.MaxValue;
        switch (series.Kind)
        {
            case TroubleKind.ProviderHalted:
                return fresh.FirstOrDefault(series.IsBad);
            case TroubleKind.DeadLettering:
                var (dead, well) = Sums(series, fresh, now - (10 * rules.Window));
                return
                    dead >= rules.DeadLetters
                    && dead * 100 >= well
                    && fresh.First(c => c.Bucket > now - (10 * rules.Window) && series.IsBad(c)) is var one
                    && one.Bucket <= patience
                    ? one
                    : null;
        }

        var (bad, good) = Sums(series, fresh, now - rules.Window);
        if (bad + good >= rules.MinAttempts && isPart)
        {
            var (badBefore, goodBefore) = Sums(series, fresh.Where(c => c.Bucket <= patience), patience - rules.Window);
            if (badBefore == 0 || badBefore < rules.OpenRatio * (badBefore + goodBefore))
                return null;
        }

        if (bad + good >= rules.MinAttempts)
            return bad >= rules.OpenRatio * (bad + good) ? fresh.First(c => c.Bucket > now - rules.Window && series.IsBad(c)) : null;
        var lastGood = fresh.Where(series.IsGood).Select(c => (DateTimeOffset?)c.Bucket).Max();
        var row = fresh.Where(c => series.IsBad(c) && !(c.Bucket <= lastGood)).ToList();
        return row.Sum(c => c.Calls) >= rules.Consecutive && row[0].Bucket <= patience ? row[0] : null;
    }

    private static bool IsOver(Trouble trouble, Series series, AlertRules rules, DateTimeOffset now)
    {
        // Halted deliveries come again only after minutes, and dead letters are few: both are given more time.
        var (quiet, mayFail) = series.Kind switch
        {
            TroubleKind.ProviderHalted => (3, false),
            TroubleKind.DeadLettering => (10, false),
            _ => (1, true),
        };
        var (bad, good) = Sums(series, series.Calls.Where(c => c.Bucket >= trouble.FirstFailureAt), now - (quiet * rules.Window));
        return good > 0 && now - trouble.OpenedAt >= rules.Window && (mayFail ? bad < rules.CloseRatio * (bad + good) : bad == 0);
    }

    private static (long Bad, long Good) Sums(Series series, IEnumerable<CallCounts> calls, DateTimeOffset after)
    {
        var (bad, good) = (0L, 0L);
        foreach (var c in calls.Where(c => c.Bucket > after))
        {
            if (series.IsBad(c))
                bad += c.Calls;
            else if (series.IsGood(c))
                good += c.Calls;
        }

        return (bad, good);
    }

    private static Trouble Opening(Series series, CallCounts first, DateTimeOffset now) =>
        new(
            DeterministicId.OfTrouble(series.Subject, now),
            series.Subject,
            series.Kind,
            series.Provider,
            series.Lane ?? Only(series.Calls.Where(series.IsBad).Select(c => c.Queue.Lane)),
            series.Priority,
            Cause(first),
            now,
            first.Bucket,
            first.Bucket,
            first.Bucket,
            0,
            0,
            (0, 0, first.Bucket.AddTicks(-1))
        );

    // Buckets that hosts may still add to are counted again each time; older ones are counted once, since they are not kept.
    private static Trouble Count(Trouble trouble, Series series, AlertRules rules, DateTimeOffset now)
    {
        var mine = series.Calls.Where(c => c.Bucket > trouble.Counted.To && (series.IsBad(c) || series.IsGood(c))).ToList();
        var settled = now - (4 * rules.Bucket);
        var (oldBad, oldGood) = Sums(series, mine.Where(c => c.Bucket <= settled), DateTimeOffset.MinValue);
        var (newBad, newGood) = Sums(series, mine.Where(c => c.Bucket > settled), DateTimeOffset.MinValue);
        var counted = (
            Failures: trouble.Counted.Failures + oldBad,
            Attempts: trouble.Counted.Attempts + oldBad + oldGood,
            To: settled > trouble.Counted.To ? settled : trouble.Counted.To
        );
        return trouble with
        {
            Counted = counted,
            Failures = counted.Failures + newBad,
            Attempts = counted.Attempts + newBad + newGood,
            LastFailureAt = Latest(trouble.LastFailureAt, mine.Where(series.IsBad)),
            LastCallAt = Latest(trouble.LastCallAt ?? trouble.OpenedAt, mine),
        };
    }

    private static DateTimeOffset Latest(DateTimeOffset known, IEnumerable<CallCounts> calls) =>
        calls.Select(c => c.Bucket).Append(known).Max();

    private static Lane? Only(IEnumerable<Lane> lanes) => lanes.Distinct().ToList() is [var one] ? one : null;

    private static string Cause(CallCounts first) =>
        first.Code is null || first.Code == first.Reason ? first.Reason : $"{first.Reason} {first.Code}";

    private sealed record Series(
        string Subject,
        TroubleKind Kind,
        string? Provider,
        Lane? Lane,
        Priority? Priority,
        IReadOnlyList<CallCounts> Calls,
        Func<CallCounts, bool> IsBad,
        Func<CallCounts, bool> IsGood
    );
}

/// <summary>The subjects of alerts.</summary>
public static class Subjects
{
    /// <summary>A provider that fails.</summary>
    public static string Failing(string provider) => $"provider:{provider}";

    /// <summary>A provider that refuses us.</summary>
    public static string Halted(string provider) => $"halted:{provider}";

    /// <summary>Messages refused for a reason.</summary>
    public static string Refused(string provider, Lane lane, string reason) =>
        $"refused:{provider}:{lane.ToString().ToLowerInvariant()}:{reason}";

    /// <summary>A lane at a priority.</summary>
    public static string Queue(DeliveryQueue queue) => $"deliveries:{queue.Name}";

    /// <summary>Dead letters of a lane at a priority.</summary>
    public static string DeadLetters(DeliveryQueue queue) => $"dead-letters:{queue.Name}";

    /// <summary>Messages that a host could not handle.</summary>
    public static string Messages(string schema) => $"messages:{schema}";

    /// <summary>Hosts that lack a master key.</summary>
    public static string MasterKeys => "master-keys:missing";

    /// <summary>Master keys that should have been destroyed.</summary>
    public static string OverdueKeys => "master-keys:overdue";

    /// <summary>The commits of the database.</summary>
    public static string Commits => "database:commits";

    /// <summary>Streams that a host cannot read.</summary>
    public static string Streams => "streams:unreadable";

    /// <summary>The store, as the last verification found it.</summary>
    public const string Verification = "verification";

    /// <summary>A read model.</summary>
    public static string Projection(string name) => $"projection:{name}";
}
