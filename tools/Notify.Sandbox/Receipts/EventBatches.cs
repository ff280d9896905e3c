namespace Notify.Sandbox.Receipts;

using System.Text;
using System.Threading.Channels;

/// <summary>Gathers one provider's events, as JSON objects, and posts many of them at once, in the order in which they came.</summary>
public abstract class EventBatches(WebhookSender sender, string provider) : BackgroundService
{
    private const int MaximumEvents = 1_000;
    private static readonly TimeSpan Gathering = TimeSpan.FromMilliseconds(50);

    private readonly Channel<string> _events = Channel.CreateUnbounded<string>(new() { SingleReader = true });

    /// <summary>Whether the account has a webhook at all.</summary>
    public bool HasWebhook => sender.AddressOf(provider) is not null;

    /// <summary>Adds an event.</summary>
    public void Add(string json) => _events.Writer.TryWrite(json);

    /// <summary>The separator of two events in the array.</summary>
    protected virtual string Separator => ",";

    /// <summary>A signed request with these events.</summary>
    /// <param name="address">The webhook's.</param>
    /// <param name="array">The events as a JSON array.</param>
    protected abstract HttpRequestMessage Make(string address, string array);

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (await _events.Reader.WaitToReadAsync(stoppingToken))
        {
            await Task.Delay(Gathering, stoppingToken);
            var array = new StringBuilder("[");
            for (var count = 0; count < MaximumEvents && _events.Reader.TryRead(out var json); count++)
                array.Append(count == 0 ? "" : Separator).Append(json);

            var text = array.Append(']').ToString();
            if (sender.AddressOf(provider) is { } address)
                await sender.PostAsync(new WebhookPost(() => Make(address, text), IsInsistent: true), stoppingToken);
        }
    }
}
