namespace Notify.Tests.Spine;

using Notify.Tests.Support;

/// <summary>A test of a system whose hosts, database or broker may be killed; the providers behave again after each.</summary>
public abstract class SpineTest(NotifySystem system) : SystemTest
{
    /// <summary>The clock.</summary>
    protected static TimeProvider Clock => TimeProvider.System;

    /// <inheritdoc />
    public override async ValueTask InitializeAsync()
    {
        Installation = system;
        await Sandbox.BehaveAsync();
    }

    /// <inheritdoc />
    public override async ValueTask DisposeAsync()
    {
        await Sandbox.BehaveAsync();
        await base.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    /// <summary>Has the providers answer slowly, so that calls are in flight when something is killed.</summary>
    protected async Task SlowAsync()
    {
        await Sandbox.KnobsAsync("apns", new { latencyMs = 200, jitter = 0.5 });
        await Sandbox.KnobsAsync("twilio", new { latencyMs = 200, jitter = 0.5 });
    }
}
