namespace Notify.Sandbox.Providers;

/// <summary>The messages that a provider has accepted and can be asked about, whether or not its answer arrived.</summary>
public sealed class SentMessages<T>(Func<T, string> idOf, Func<T, string> recipientOf)
    where T : class
{
    /// <summary>Messages kept at most; beyond it the oldest go.</summary>
    public const int Maximum = 500_000;

    private readonly Lock _lock = new();
    private readonly Queue<T> _all = new();
    private readonly Dictionary<string, T> _byId = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Queue<T>> _byRecipient = new(StringComparer.Ordinal);

    /// <summary>Keeps a message.</summary>
    public void Add(T message)
    {
        lock (_lock)
        {
            _all.Enqueue(message);
            _byId[idOf(message)] = message;
            if (!_byRecipient.TryGetValue(recipientOf(message), out var toSame))
                _byRecipient[recipientOf(message)] = toSame = new Queue<T>(1);
            toSame.Enqueue(message);

            if (_all.Count > Maximum)
                Forget(_all.Dequeue());
        }
    }

    /// <summary>A message by its ID; null if there is none.</summary>
    public T? Find(string id)
    {
        lock (_lock)
            return _byId.GetValueOrDefault(id);
    }

    /// <summary>The messages to one recipient, or to any if it is null: newest first.</summary>
    public T[] NewestFirst(string? recipient)
    {
        T[] messages;
        lock (_lock)
            messages =
                recipient is null ? [.. _all]
                : _byRecipient.TryGetValue(recipient, out var toSame) ? [.. toSame]
                : [];

        Array.Reverse(messages);
        return messages;
    }

    private void Forget(T oldest)
    {
        _byId.Remove(idOf(oldest));
        var toSame = _byRecipient[recipientOf(oldest)];
        toSame.Dequeue(); // Both queues are in the order of arrival.
        if (toSame.Count == 0)
            _byRecipient.Remove(recipientOf(oldest));
    }
}
