namespace Notify.Sandbox.Twilio;

/// <summary>The messages that Twilio has accepted, whether or not its answer arrived.</summary>
public sealed class TwilioMessages
{
    /// <summary>Messages kept at most; beyond it the oldest go.</summary>
    public const int Maximum = 500_000;

    private readonly Lock _lock = new();
    private readonly Queue<TwilioMessage> _all = new();
    private readonly Dictionary<string, TwilioMessage> _bySid = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Queue<TwilioMessage>> _byTo = new(StringComparer.Ordinal);

    /// <summary>Keeps a message.</summary>
    public void Add(TwilioMessage message)
    {
        lock (_lock)
        {
            _all.Enqueue(message);
            _bySid[message.Sid] = message;
            if (!_byTo.TryGetValue(message.To, out var toSame))
                _byTo[message.To] = toSame = new Queue<TwilioMessage>(1);
            toSame.Enqueue(message);

            if (_all.Count > Maximum)
                Forget(_all.Dequeue());
        }
    }

    /// <summary>A message by its SID; null if there is none.</summary>
    public TwilioMessage? Find(string sid)
    {
        lock (_lock)
            return _bySid.GetValueOrDefault(sid);
    }

    /// <summary>The messages to one number, or to any if it is null: newest first.</summary>
    public TwilioMessage[] NewestFirst(string? to)
    {
        TwilioMessage[] messages;
        lock (_lock)
            messages = to is null ? [.. _all] : _byTo.TryGetValue(to, out var toSame) ? [.. toSame] : [];

        Array.Reverse(messages);
        return messages;
    }

    private void Forget(TwilioMessage oldest)
    {
        _bySid.Remove(oldest.Sid);
        var toSame = _byTo[oldest.To];
        toSame.Dequeue(); // Both queues are in the order of arrival.
        if (toSame.Count == 0)
            _byTo.Remove(oldest.To);
    }
}
