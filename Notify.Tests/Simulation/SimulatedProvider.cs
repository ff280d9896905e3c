namespace Notify.Tests.Simulation;

using Notify.Dispatch.Providers;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;

/// <summary>A message that a provider took: it reaches the person.</summary>
/// <param name="VisibleAt">From when on inquiries find it.</param>
internal sealed record SimulatedMessage(string Id, Guid Delivery, string Address, string Text, TimeSpan At, TimeSpan VisibleAt);

/// <summary>How a provider behaves for a while.</summary>
internal enum ProviderWeather
{
    /// <summary>It takes what it is sent; very few calls go wrong.</summary>
    Fair,

    /// <summary>It takes some, refuses some, and loses answers.</summary>
    Mixed,

    /// <summary>It fails with its own error document, or asks to wait.</summary>
    Down,

    /// <summary>It refuses the credentials.</summary>
    Halted,

    /// <summary>It takes much and answers nothing.</summary>
    Lossy,

    /// <summary>It takes nothing and answers nothing; inquiries neither.</summary>
    BlackHole,
}

/// <summary>A provider's reaction to one call.</summary>
/// <param name="Answer">The answer; <c>null</c>: none comes.</param>
/// <param name="After">How long after the call has come the answer is given.</param>
/// <param name="Takes">When it takes the message, after the call has come; <c>null</c>: never.</param>
internal readonly record struct ProviderReaction(AttemptOutcome? Answer, TimeSpan After, TimeSpan? Takes);

/// <summary>
/// A hostile provider. Its answers are true; but they may be lost, late or missing, and inquiries may return «not found» for
/// messages that they show later. Both end before the unknown deadline: no sender can handle a provider that accepts a message later.
/// </summary>
internal class SimulatedProvider(string name, Lane lane, SimulatedTime time, SeededRandom random) : IDeliveryProvider
{
    /// <summary>How long one request may take.</summary>
    public static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);

    // Real providers' inquiries are bounded as their adapters bound them.
    private static readonly TimeSpan ClockSkew = Notify.Dispatch.Providers.Sms.Twilio.TwilioInquiry.WrongClock;

    private int lastId;

    public string Name => name;

    public Lane Lane => lane;

    public int Concurrency => 10;

    /// <summary>Whether messages are taken and found at once: a clock that is set forward ends the unknown deadline early.</summary>
    public bool IsPrompt { get; set; }

    /// <summary>The accepted messages, in order.</summary>
    public List<SimulatedMessage> Messages { get; } = [];

    /// <summary>Messages that will be accepted later.</summary>
    public int Pending { get; private set; }

    public ProviderWeather Weather { get; set; }

    /// <summary>Called for every accepted message.</summary>
    public Action<SimulatedProvider, SimulatedMessage> OnTaken { get; set; } = (_, _) => { };

    public Task<AttemptOutcome> SendAsync(OutboundMessage message, CancellationToken cancellation) =>
        throw new NotSupportedException("The simulation calls the provider itself.");

    /// <summary>A request has come.</summary>
    /// <param name="answer">Called with the answer, if one is given.</param>
    public void Receive(OutboundMessage message, Action<AttemptOutcome> answer)
    {
        var id = Lanes.RepeatReplacesItself(lane) ? message.DeliveryId.ToString("N") : $"{name}-{++lastId}";
        var reaction = React(id);
        if (reaction.Takes is { } takes)
        {
            Pending++;
            time.In(
                Bounded(takes),
                () =>
                {
                    Pending--;
                    var visible = time.Now + Bounded(random.Chance(0.3) ? random.Seconds(0, 20) : TimeSpan.Zero);
                    var taken = new SimulatedMessage(
                        id,
                        message.DeliveryId,
                        message.Address,
                        message.Content.Body ?? "",
                        time.Now,
                        visible
                    );
                    Messages.Add(taken);
                    OnTaken(this, taken);
                }
            );
        }

        if (reaction.Answer is { } said)
            time.In(reaction.After, () => answer(said));
    }

    /// <summary>Answers an inquiry, as an adapter does: by address, text and time.</summary>
    /// <returns>The IDs of all possible messages, the oldest first; <c>null</c>: unknown at this time.</returns>
    public IReadOnlyList<string>? Find(OutboundMessage message, DateTimeOffset since)
    {
        if (Weather == ProviderWeather.BlackHole || (Weather != ProviderWeather.Fair && random.Chance(0.2)))
            return null;
        return
        [
            .. Messages
                .Where(m =>
                    m.Address == message.Address
                    && m.Text == message.Content.Body
                    && m.VisibleAt <= time.Now
                    && SimulatedTime.Start + m.At >= since - ClockSkew
                    && SimulatedTime.Start + m.At <= since + Timeout + ClockSkew
                )
                .Select(m => m.Id),
        ];
    }

    private TimeSpan Bounded(TimeSpan delay) => IsPrompt ? TimeSpan.Zero : delay;

    private ProviderReaction React(string id)
    {
        var soon = random.Seconds(0.02, 0.4);
        var taken = new AttemptOutcome.Accepted(id);
        var lost = new AttemptOutcome.Unknown(Reasons.ConnectionLost);
        return (Weather, random.Double()) switch
        {
            (ProviderWeather.Fair, < 0.97) => new(taken, soon, TimeSpan.Zero),
            (ProviderWeather.Fair, < 0.98) => new(null, default, TimeSpan.Zero),
            (ProviderWeather.Fair, _) => new(new AttemptOutcome.Rejected(Reasons.Rejected, "400"), soon, null),
            (ProviderWeather.Halted, _) => new(new AttemptOutcome.Halted("401"), soon, null),
            (ProviderWeather.Down, < 0.5) => new(new AttemptOutcome.Retry(Reasons.Retry, "503"), soon, null),
            (ProviderWeather.Down, < 0.7) => new(new AttemptOutcome.Retry(Reasons.Retry, "429", random.Seconds(5, 30)), soon, null),
            (ProviderWeather.Down, < 0.9) => new(new AttemptOutcome.Retry(Reasons.ConnectionLost, "ConnectionError"), soon, null),
            (ProviderWeather.Down, _) => new(new AttemptOutcome.Unknown(Reasons.GatewayAnswered), soon, null),
            (ProviderWeather.Lossy, < 0.3) => new(null, default, random.Seconds(0, 30)), // kept in its own queue
            (ProviderWeather.Lossy, < 0.6) => new(lost, soon, random.Chance(0.7) ? TimeSpan.Zero : null),
            (ProviderWeather.Lossy, < 0.8) => new(taken, random.Seconds(5, 25), TimeSpan.Zero), // answered late
            (ProviderWeather.Lossy, _) => new(new AttemptOutcome.Unknown(Reasons.GatewayAnswered), soon, random.Chance(0.5) ? soon : null),
            (ProviderWeather.BlackHole, _) => default,
            (_, < 0.5) => new(taken, soon, TimeSpan.Zero),
            (_, < 0.6) => new(lost, soon, random.Chance(0.5) ? TimeSpan.Zero : null),
            (_, < 0.7) => new(new AttemptOutcome.Retry(Reasons.Retry, "503"), soon, null),
            (_, < 0.75) => new(new AttemptOutcome.Rejected(Reasons.Rejected, "400"), soon, null),
            (_, < 0.8) => new(
                Lanes.ChannelOf(lane) == Channel.Push
                    ? new AttemptOutcome.Rejected(Reasons.Unregistered, "410", AddressVerdict.Dead, SimulatedTime.Start + time.Now)
                    : new AttemptOutcome.Rejected(Reasons.OptedOutAtProvider, "21610", AddressVerdict.Suppress),
                soon,
                null
            ),
            (_, < 0.9) => new(taken, random.Seconds(1, 14), TimeSpan.Zero),
            _ => new(null, default, random.Chance(0.6) ? random.Seconds(0, 5) : null),
        };
    }
}

/// <summary>A hostile provider that can be asked what became of a call.</summary>
internal sealed class AskableProvider(string name, Lane lane, SimulatedTime time, SeededRandom random)
    : SimulatedProvider(name, lane, time, random),
        IAnswersInquiries
{
    public Task<InquiryAnswer?> AskAsync(OutboundMessage message, DateTimeOffset attemptedAt, CancellationToken cancellation) =>
        Task.FromResult(Find(message, attemptedAt) is { } found ? new InquiryAnswer(found, [], IsComplete: true) : null);
}
