namespace Notify.Tests.Simulation;

using System.Collections.Immutable;
using System.Globalization;
using Notify.Delivery.DeliveryQueue;
using Notify.Dispatch.Dispatching;
using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;

/// <summary>One rule that is switched off, to show that the invariants notice.</summary>
internal enum Mutation
{
    None,

    /// <summary>Requests are sent without checking their permit.</summary>
    PermitIsIgnored,

    /// <summary>An SMS or email whose outcome is unknown is sent again like a push.</summary>
    UnknownIsRetried,

    /// <summary>Outcomes are written as if the claim were still held.</summary>
    LostClaimSettles,

    /// <summary>Nobody takes over what failed hosts had claimed.</summary>
    NothingIsTakenOver,
}

/// <summary>The fate of a transaction.</summary>
internal enum CommitFate
{
    Committed,

    /// <summary>It was committed, and the answer is lost.</summary>
    AnswerLost,

    Failed,
}

/// <summary>The database's own faults.</summary>
internal sealed class SimulatedDatabase(Simulation simulation)
{
    private TimeSpan awayUntil,
        clockSetAt = TimeSpan.MinValue;

    /// <summary>The database's clock.</summary>
    public SimulatedClock Clock { get; } = new(simulation.Time);

    public bool IsAway => awayUntil > simulation.Time.Now;

    /// <summary>Whether its clock was not set for so long that every host has noticed, and every claim of before has ended.</summary>
    public bool IsClockSettled => clockSetAt == TimeSpan.MinValue || simulation.Time.Now - clockSetAt > TimeSpan.FromMinutes(2);

    public void GoAway(TimeSpan length)
    {
        awayUntil = simulation.Time.Now + length;
        simulation.Log($"the database is away for {length.TotalSeconds} s");
    }

    public void ComeBack() => awayUntil = simulation.Time.Now;

    public void SetClock(TimeSpan ahead)
    {
        (Clock.Ahead, clockSetAt) = (ahead, simulation.Time.Now);
        simulation.Log($"the database's clock is set {ahead.TotalSeconds} s ahead");
    }

    public CommitFate Fate() =>
        IsAway ? CommitFate.Failed
        : !simulation.IsHostile ? CommitFate.Committed
        : simulation.Random.Double() switch
        {
            < 0.05 => CommitFate.AnswerLost,
            < 0.1 => CommitFate.Failed,
            _ => CommitFate.Committed,
        };
}

/// <summary>One run: the same seed gives the same run, step by step.</summary>
internal sealed class Simulation
{
    /// <summary>The longest that a statement, or its answer, is under way.</summary>
    public static readonly TimeSpan LongestLatency = TimeSpan.FromSeconds(2);

    // Longer than every wait of the schedule together, after the last fault.
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(75);
    private const int KeptSteps = 80;

    private readonly Queue<string> last = new();
    private readonly List<SimulatedHost> hosts = [];
    private readonly SimulationInvariants invariants;
    private readonly TimeSpan hostileFor;
    private ulong hash = 14695981039346656037;
    private int lastHost;

    public Simulation(ulong seed, Mutation mutation = Mutation.None)
    {
        (Seed, Mutation, Random, Time) = (seed, mutation, new SeededRandom(seed), new SimulatedTime());
        Database = new SimulatedDatabase(this);
        Store = new SimulatedStore(Time, Database.Clock);
        Planning = new SimulatedPlanning(Store);
        Api = new SimulatedApi(this);
        Receipts = new SimulatedReceipts(this);
        invariants = new SimulationInvariants(this);
        hostileFor = Random.Seconds(120, 360);
        Providers =
        [
            new AskableProvider("twilio", Lane.Sms, Time, Random),
            new AskableProvider("vonage", Lane.Sms, Time, Random),
            new("smtp", Lane.Email, Time, Random),
            new("apns", Lane.Apns, Time, Random),
            new("fcm", Lane.Fcm, Time, Random),
        ];
        foreach (var provider in Providers)
        {
            provider.OnTaken = (p, message) =>
            {
                Log($"{p.Name} takes {Short(message.Delivery)}");
                invariants.Taken(p, message);
                Receipts.Follow(p, message);
            };
        }
    }

    public ulong Seed { get; }

    public Mutation Mutation { get; }

    public SeededRandom Random { get; }

    public SimulatedTime Time { get; }

    public SimulatedDatabase Database { get; }

    public SimulatedStore Store { get; }

    public SimulatedPlanning Planning { get; }

    public SimulatedApi Api { get; }

    public SimulatedReceipts Receipts { get; }

    public IReadOnlyList<SimulatedProvider> Providers { get; }

    public IReadOnlyList<string> Users { get; } = ["u-1", "u-2", "u-3"];

    /// <summary>Short waits, so that a delivery's whole life fits into some minutes.</summary>
    public RetrySchedule Schedule { get; } =
        new()
        {
            BaseDelay = TimeSpan.FromSeconds(2),
            MaxDelay = TimeSpan.FromSeconds(20),
            MaxAttempts = 4,
            UnknownDeadline = TimeSpan.FromSeconds(90),
            AskAfter = TimeSpan.FromSeconds(5),
            MaxRetryAfter = TimeSpan.FromMinutes(1),
        };

    /// <summary>Whether faults still happen.</summary>
    public bool IsHostile => Time.Now < hostileFor;

    /// <summary>The first thing that was wrong; <c>null</c>: nothing.</summary>
    public string? Failure { get; private set; }

    /// <summary>A hash over every line of the run.</summary>
    public string Hash => hash.ToString("x16", CultureInfo.InvariantCulture);

    /// <summary>The last steps, one a line.</summary>
    public string LastSteps => string.Join('\n', last);

    public TimeSpan Latency() => Random.Chance(0.93) ? Random.Seconds(0.001, 0.02) : Random.Seconds(0.02, LongestLatency.TotalSeconds);

    /// <summary>An ID as the log shows it.</summary>
    public string Short(Guid id) =>
        Store.Streams.Values.FirstOrDefault(s => s.State?.Deliveries.ContainsKey(id) == true) is { } s
            ? $"{s.Key[(s.Key.IndexOf(':') + 1)..]}/{s.State!.Deliveries[id].Lane?.ToString() ?? "none"}"
            : "planning";

    public long KeyIdOf(string subject) => subject.Aggregate(7L, (id, c) => ((id * 31) + c) % 1_000_003);

    public string TextOf(Notification notification) => $"text of {notification.Key}";

    public void Log(string line)
    {
        line = string.Create(CultureInfo.InvariantCulture, $"{Time.Now.TotalSeconds, 9:0.000} {line}");
        foreach (var c in line)
            hash = (hash ^ c) * 1099511628211;
        last.Enqueue(line);
        if (last.Count > KeptSteps)
            last.Dequeue();
    }

    public void Fail(string failure)
    {
        if (Failure is null)
            Log($"FAILURE: {failure}");
        Failure ??= failure;
    }

    public void Excuse(Guid delivery) => invariants.Excuse(delivery);

    /// <summary>Carries out a transaction.</summary>
    public void Commit(string what, Action body)
    {
        Log(what);
        Store.Touched.Clear();
        body();
        invariants.Committed([.. Store.Touched]);
    }

    public void Leaves(SimulatedHost host, ClaimedDelivery claimed)
    {
        Log($"{host.Name} sends {Short(claimed.Row.Id)}#{claimed.Attempt} to {claimed.Provider!.Name}");
        invariants.Leaves(claimed);
    }

    /// <summary>Queue messages: some are lost, some come twice, each to any host.</summary>
    public void Send(IReadOnlyList<OpenDelivery> rows)
    {
        foreach (var queue in rows.GroupBy(r => r.Queue))
        {
            var ids = queue.Select(r => r.Id).ToArray();
            for (
                var times = Random.Double() switch
                {
                    < 0.1 => 0,
                    < 0.2 => 2,
                    _ => 1,
                };
                times > 0;
                times--
            )
            {
                Time.In(
                    Latency(),
                    () =>
                    {
                        if (hosts.Where(h => h.IsAlive).ToList() is { Count: > 0 } alive)
                            Random.Of(alive).Receive(queue.Key, ids);
                    }
                );
            }
        }
    }

    /// <summary>Runs to the end, or to the first failure.</summary>
    public Simulation Run()
    {
        var context = SynchronizationContext.Current;
        SynchronizationContext.SetSynchronizationContext(null); // continuations run where their step is, one after the other
        try
        {
            Prepare();
            while (Failure is null && Time.Next())
            {
                if (!IsHostile && IsAtRest())
                {
                    invariants.Ended();
                    break;
                }

                if (Time.Now > hostileFor + Patience)
                    Fail($"it does not come to rest: {Waiting()}");
            }
        }
        finally
        {
            SynchronizationContext.SetSynchronizationContext(context);
        }

        return this;
    }

    private string Waiting() =>
        string.Join(
            ", ",
            Store
                .Open.Values.Where(r => r.Data.State != OpenState.Dead)
                .Select(r => $"{Short(r.Data.Id)} {r.Data.State} {r.Data.Reason} due {r.Data.DueAt - SimulatedTime.Start}")
        );

    private bool IsAtRest() =>
        Api.Pending == 0
        && Receipts.Pending == 0
        && Providers.All(p => p.Pending == 0)
        && Store.Open.Values.All(r => r.Data.State == OpenState.Dead)
        && hosts.All(h => !h.IsAlive || h.Claims.Active.Length == 0);

    private void Prepare()
    {
        Define("plain");
        Define("otp", unknown: UnknownOutcome.Resend);
        Define("required", isRequired: true);
        Define("capped", cap: new Cap(Channel.Sms, 1, CapPeriod.Hour, Random.Chance(0.5) ? CapExceeding.Defer : CapExceeding.Suppress));
        foreach (var user in Users)
            Register(Recipient.KeyOf(user), user);
        for (var i = 2 + Random.Below(2); i > 0; i--)
            Begin();
        Time.In(hostileFor, Heal);
        Action[] commands = [Api.Cancel, Api.Cancel, Api.Cancel, Api.Reschedule, Api.OptOut, Api.OptOut, Api.Erase, Api.Redrive];
        for (var i = 6 + Random.Below(8); i > 0; i--)
            Sometime(Api.Request);
        for (var i = Random.Below(12); i > 0; i--)
            Sometime(Random.Of(commands));
        for (var i = Random.Below(10); i > 0; i--)
            Sometime(HurtHost);
        for (var i = Random.Below(12); i > 0; i--)
            Sometime(ChangeWeather);
        for (var i = Random.Below(3); i > 0; i--)
            Sometime(() => Database.GoAway(Random.Seconds(0.5, 25)));
        if (Random.Chance(0.2))
        {
            foreach (var provider in Providers)
                provider.IsPrompt = true;
            for (var i = 1 + Random.Below(5); i > 0; i--)
                Sometime(() => Database.SetClock(Random.Seconds(-3600, 3600)));
            Time.In(hostileFor, () => Database.SetClock(TimeSpan.Zero));
        }

        void Sometime(Action what) => Time.In(Random.Seconds(0, hostileFor.TotalSeconds), what);
    }

    private void Define(string category, bool isRequired = false, UnknownOutcome unknown = UnknownOutcome.Hold, Cap? cap = null) =>
        Store.Categories[Category.KeyOf(category)] = new Category(
            Category.KeyOf(category),
            isRequired,
            ImmutableDictionary<string, bool>.Empty,
            unknown,
            "",
            default,
            1,
            cap is null ? null : [cap]
        );

    private void ChangeWeather()
    {
        var provider = Random.Of(Providers);
        provider.Weather = Random.Of(Enum.GetValues<ProviderWeather>());
        Log($"{provider.Name} is {provider.Weather}");
    }

    private void Register(string key, string user)
    {
        Recipient? recipient = null;
        object[] events =
        [
            new ContactDetailsGiven(Seal("details"), true, true, PrintOf(Channel.Email), PrintOf(Channel.Sms), "", SimulatedTime.Start),
            new DeviceRegistered($"ios-{user}", Platform.Ios, Seal($"ios-{user}"), "", SimulatedTime.Start),
            new DeviceRegistered($"android-{user}", Platform.Android, Seal($"android-{user}"), "", SimulatedTime.Start),
        ];
        foreach (var e in events)
            recipient = Recipient.Evolve(recipient, key, e);
        if (Random.Chance(0.2))
        {
            var quiet = new QuietHoursSet(new TimeOnly(11, 0), new TimeOnly(12, Random.Below(5)), "", "", SimulatedTime.Start);
            recipient = Recipient.Evolve(recipient, key, quiet);
        }

        Store.Recipients[key] = recipient!;

        Sealed Seal(string text) => new($"{KeyIdOf(key)}.{text}");

        string PrintOf(Channel channel) => SimulatedPlanning.PrintOf(SimulatedPlanning.AddressOf(user, channel));
    }

    /// <summary>Kills a host; another process begins later.</summary>
    public void Restart(SimulatedHost host)
    {
        host.Kill();
        Time.In(Random.Seconds(0.5, 30), Begin);
    }

    private void Begin() => hosts.Add(new SimulatedHost(this, $"H{++lastHost}"));

    private void HurtHost()
    {
        if (hosts.Where(h => h is { IsAlive: true, IsStopping: false, IsPaused: false }).ToList() is not { Count: > 0 } alive)
            return;
        var host = Random.Of(alive);
        switch (Random.Below(6))
        {
            case 0:
                Restart(host);
                break;
            case 1:
                host.Stop();
                Time.In(Random.Seconds(0.5, 30), Begin);
                break;
            case 2:
                host.Pause(Random.Seconds(60, 200));
                break;
            default:
                host.Pause(Random.Seconds(0.5, 40));
                break;
        }
    }

    // From here on nothing more goes wrong than what is under way, and everything that was accepted must come to its end.
    private void Heal()
    {
        Log("from here on nothing more goes wrong");
        Database.ComeBack();
        foreach (var provider in Providers)
            provider.Weather = ProviderWeather.Fair;
        Guard();
    }

    private void Guard()
    {
        if (!hosts.Exists(h => h is { IsAlive: true, IsStopping: false }))
            Begin();
        Time.In(TimeSpan.FromSeconds(20), Guard);
    }
}
