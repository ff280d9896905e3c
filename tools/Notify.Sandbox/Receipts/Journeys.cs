namespace Notify.Sandbox.Receipts;

using System.Threading.Channels;
using Notify.Sandbox.Knobs;
using Notify.Sandbox.Magic;

/// <summary>One step of a message on its way: does what it does to it, and says what is to be posted; null posts nothing.</summary>
public delegate WebhookPost? Step();

/// <summary>
/// Has accepted messages go the way that the knob or their recipient names, one step after the other, and posts what the
/// steps say. The steps are the providers'; order, lateness and repeats are here.
/// </summary>
public sealed class Journeys(WebhookSender sender, TimeProvider time) : BackgroundService
{
    private const int Travellers = 16;
    private static readonly TimeSpan Lateness = TimeSpan.FromSeconds(10);

    private readonly Channel<IReadOnlyList<Step>> _journeys = Channel.CreateUnbounded<IReadOnlyList<Step>>();

    /// <summary>Returns the receipts for a recipient with this forced outcome under this fault setting; null: none.</summary>
    public static ReceiptKnob? KnobFor(ReceiptKnob knob, Fate? fate) =>
        (fate, knob) switch
        {
            (Fate.Bounced, ReceiptKnob.Shuffled or ReceiptKnob.Repeated or ReceiptKnob.Late) => knob,
            (Fate.Bounced, _) => ReceiptKnob.Failed,
            (Fate.Delivered, ReceiptKnob.None or ReceiptKnob.Failed) => ReceiptKnob.Delivered,
            (_, ReceiptKnob.None) => null,
            _ => knob,
        };

    /// <summary>Sets out.</summary>
    /// <param name="steps">In the order in which they happen, up to the message's end.</param>
    public void Begin(ReceiptKnob knob, IReadOnlyList<Step> steps)
    {
        if (knob == ReceiptKnob.Late)
            _ = BeginLateAsync(steps);
        else
            _journeys.Writer.TryWrite(Arrange(knob, steps));
    }

    /// <inheritdoc/>
    protected override Task ExecuteAsync(CancellationToken stoppingToken) =>
        Task.WhenAll(Enumerable.Range(0, Travellers).Select(_ => TravelAsync(stoppingToken)));

    private static IReadOnlyList<Step> Arrange(ReceiptKnob knob, IReadOnlyList<Step> steps) =>
        knob switch
        {
            ReceiptKnob.Shuffled => [steps[^1], .. steps.SkipLast(1)],
            ReceiptKnob.Repeated => [.. steps.SelectMany(step => new[] { step, step })],
            _ => steps,
        };

    private async Task BeginLateAsync(IReadOnlyList<Step> steps)
    {
        await Task.Delay(Lateness, time);
        _journeys.Writer.TryWrite(steps);
    }

    private async Task TravelAsync(CancellationToken stopping)
    {
        await foreach (var steps in _journeys.Reader.ReadAllAsync(stopping))
        {
            foreach (var step in steps)
            {
                if (step() is { } post)
                    await sender.PostAsync(post, stopping);
            }
        }
    }
}
