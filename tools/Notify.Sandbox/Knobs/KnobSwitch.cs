namespace Notify.Sandbox.Knobs;

/// <summary>One provider's knobs as they stand, replaced whole.</summary>
public sealed class KnobSwitch
{
    private volatile State _state = new(new ProviderKnobs());

    /// <summary>The knobs that hold for a request arriving now.</summary>
    public ProviderKnobs Current => _state.Knobs;

    /// <summary>Puts other knobs into force and lets go of the requests held by a black hole that is no more.</summary>
    public void Replace(ProviderKnobs knobs)
    {
        var previous = Interlocked.Exchange(ref _state, new State(knobs));
        previous.Replaced.SetResult();
    }

    /// <summary>Ends when the black hole is turned off or the client has given up.</summary>
    public async Task WaitWhileBlackholedAsync(CancellationToken clientGone)
    {
        while (_state is { Knobs.Blackhole: true } state && !clientGone.IsCancellationRequested)
            await state.Replaced.Task.WaitAsync(clientGone).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private sealed class State(ProviderKnobs knobs)
    {
        public ProviderKnobs Knobs { get; } = knobs;

        public TaskCompletionSource Replaced { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
