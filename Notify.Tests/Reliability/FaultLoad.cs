namespace Notify.Tests.Reliability;

using System.Collections.Concurrent;
using System.Globalization;
using Notify.Tests.Support;

/// <summary>The kind of a notification of the load.</summary>
internal enum SendKind
{
    /// <summary>Sent at once.</summary>
    Plain,

    /// <summary>Scheduled for a few seconds later.</summary>
    Scheduled,

    /// <summary>Scheduled, and cancelled around that time.</summary>
    Cancelled,

    /// <summary>Expires a few seconds after it was requested.</summary>
    Expiring,
}

/// <summary>One notification of the load, as its caller knows it.</summary>
internal sealed class Sent(string id, string channel, SendKind kind, DateTimeOffset asked)
{
    public string Id => id;

    /// <summary><c>push</c>, <c>sms</c> or <c>email</c>.</summary>
    public string Channel => channel;

    public SendKind Kind => kind;

    /// <summary>When it was requested first.</summary>
    public DateTimeOffset Asked => asked;

    /// <summary>It is not sent before; by the database's clock.</summary>
    public DateTimeOffset? SendAt { get; set; }

    /// <summary>It is not sent after; by the database's clock.</summary>
    public DateTimeOffset? ExpiresAt { get; set; }

    /// <summary>When it was answered with 202, or with 200 after an answer was lost.</summary>
    public DateTimeOffset? AcceptedAt { get; set; }

    /// <summary>When a cancel was answered with 200; null where there was none, or 409.</summary>
    public DateTimeOffset? CancelledAt { get; set; }
}

/// <summary>
/// Callers that send pushes, SMS and emails in turn at a steady rate; some are scheduled, some of those cancelled, and some expire soon.
/// A request without a final answer is repeated at the next Api under its event ID, after the time that <c>Retry-After</c> names.
/// </summary>
internal sealed class FaultLoad
{
    private const int MaxOpen = 1000; // Callers that wait for an answer: past them, nothing new is requested.
    private static readonly TimeSpan Later = TimeSpan.FromSeconds(3),
        Expiry = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(400);
    private static readonly TimeProvider Clock = TimeProvider.System;

    private readonly IReadOnlyList<NotifyClient> apis;
    private readonly IReadOnlyList<Person> people;
    private readonly bool isPlain;
    private readonly CancellationTokenSource stop = new();
    private readonly ConcurrentDictionary<string, Sent> sent = new();
    private readonly ConcurrentDictionary<int, int> answers = new();
    private readonly ConcurrentBag<string> refused = [];
    private readonly Task pace;
    private volatile bool isAbandoned;
    private int open;
    private int accepted;

    /// <summary>Begins to send.</summary>
    /// <param name="mark">The prefix of each event ID and text.</param>
    /// <param name="isPlain">Whether all are to be sent at once, as where the database's clock is set.</param>
    public FaultLoad(IReadOnlyList<NotifyClient> apis, IReadOnlyList<Person> people, string mark, int perSecond, bool isPlain = false)
    {
        (this.apis, this.people, Mark, this.isPlain) = (apis, people, mark, isPlain);
        pace = Task.Run(() => PaceAsync(perSecond));
    }

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public string Mark { get; }

    /// <summary>All notifications by their event IDs.</summary>
    public IReadOnlyDictionary<string, Sent> All => sent;

    /// <summary>How many were accepted so far.</summary>
    public int Accepted => Volatile.Read(ref accepted);

    /// <summary>How many answers there were of each status; 0: none.</summary>
    public IReadOnlyDictionary<int, int> Answers => answers;

    /// <summary>Answers that no caller should get.</summary>
    public IReadOnlyCollection<string> Refused => refused;

    /// <summary>Waits until so many more have been accepted.</summary>
    public Task GoOnAsync(int more)
    {
        var goal = Accepted + more;
        return Eventually.Holds(() => Task.FromResult(Accepted >= goal), $"{more} more are accepted", TimeSpan.FromMinutes(3));
    }

    /// <summary>Sends nothing new, and waits until every caller has its answer.</summary>
    public async Task StopAsync()
    {
        await stop.CancelAsync();
        await pace;
        await Eventually.Holds(() => Task.FromResult(Volatile.Read(ref open) == 0), "every caller has its answer", TimeSpan.FromMinutes(5));
        stop.Dispose();
    }

    /// <summary>Sends nothing any more, and leaves callers without their answers, for a run that has failed.</summary>
    public async Task AbandonAsync()
    {
        isAbandoned = true;
        await stop.CancelAsync();
        await pace;
    }

    // Requests that are more than a second behind are dropped.
    private async Task PaceAsync(int perSecond)
    {
        var (last, due, n) = (Clock.GetTimestamp(), 0.0, 0);
        while (!stop.IsCancellationRequested)
        {
            var now = Clock.GetTimestamp();
            due = Math.Min(due + (Clock.GetElapsedTime(last, now).TotalSeconds * perSecond), perSecond);
            for (last = now; due >= 1 && Volatile.Read(ref open) < MaxOpen; due--)
            {
                var number = n++;
                Interlocked.Increment(ref open);
                _ = Task.Run(() => SendAsync(number), CancellationToken.None);
            }

            await Task.Delay(10, CancellationToken.None);
        }
    }

    private async Task SendAsync(int n)
    {
        try
        {
            var notification = Next(n);
            sent[notification.Id] = notification;
            var request = Request(notification, people[n % people.Count]);
            var status = await AskAsync(n, api => api.SendAsync(request), IsFinal);
            if (status is not (200 or 202))
            {
                // A request that is repeated after its expiry is rejected as too late.
                if (!isAbandoned && notification.Kind != SendKind.Expiring)
                    refused.Add($"{status} for {notification.Id}");
                return;
            }

            notification.AcceptedAt = Clock.GetUtcNow();
            Interlocked.Increment(ref accepted);
            if (notification.Kind == SendKind.Cancelled)
                await CancelAsync(n, notification);
        }
        finally
        {
            Interlocked.Decrement(ref open);
        }
    }

    private Sent Next(int n)
    {
        var kind = isPlain
            ? SendKind.Plain
            : (n % 20) switch
            {
                7 => SendKind.Cancelled,
                13 => SendKind.Expiring,
                17 => SendKind.Scheduled,
                _ => SendKind.Plain,
            };
        var now = Clock.GetUtcNow();
        var id = string.Create(CultureInfo.InvariantCulture, $"{Mark}-{n}");
        return new Sent(
            id,
            (n % 3) switch
            {
                0 => "push",
                1 => "sms",
                _ => "email",
            },
            kind,
            now
        )
        {
            SendAt = kind is SendKind.Cancelled or SendKind.Scheduled ? now + Later : null,
            ExpiresAt = kind == SendKind.Expiring ? now + Expiry : null,
        };
    }

    private static object Request(Sent notification, Person person) =>
        new
        {
            eventId = notification.Id,
            userId = person.Id,
            channels = new[] { notification.Channel },
            sendAt = notification.SendAt,
            expiresAt = notification.ExpiresAt,
            content = new { title = notification.Id, body = notification.Id },
        };

    // Around the time at which it falls due, so that cancels and claims meet.
    private async Task CancelAsync(int n, Sent notification)
    {
        var wait = notification.SendAt!.Value - Clock.GetUtcNow() - TimeSpan.FromMilliseconds(n % 10 * 100);
        if (wait > TimeSpan.Zero)
            await Task.Delay(wait, CancellationToken.None);
        var status = await AskAsync(n, api => api.CancelAsync(notification.Id), status => status is 200 or 409);
        if (status == 200)
            notification.CancelledAt = Clock.GetUtcNow();
    }

    // Anything but "come again" and no answer at all.
    private static bool IsFinal(int status) => status is >= 200 and < 500 and not (408 or 429);

    private async Task<int> AskAsync(int n, Func<NotifyClient, Task<Reply>> ask, Func<int, bool> isFinal)
    {
        for (var attempt = 0; ; attempt++)
        {
            var (status, wait) = (0, Pause);
            try
            {
                var reply = await ask(apis[(n + attempt) % apis.Count]);
                (status, wait) = (reply.Status, reply.Headers.RetryAfter?.Delta ?? Pause);
            }
            catch (Exception e) when (e is HttpRequestException or OperationCanceledException)
            {
                // The connection was lost, there was none, or no answer came in time.
            }

            answers.AddOrUpdate(status, 1, (_, count) => count + 1);
            if (isFinal(status) || isAbandoned || Stop.IsCancellationRequested)
                return status;
            await Task.Delay(wait * (1 + Random.Shared.NextDouble()), CancellationToken.None);
        }
    }
}
