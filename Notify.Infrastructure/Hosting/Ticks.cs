namespace Notify.Infrastructure.Hosting;

/// <summary>Waiting for the next tick, for loops that end with their host.</summary>
public static class Ticks
{
    /// <summary>Waits for the timer.</summary>
    /// <returns>Whether it ticked; <c>false</c> when the host is stopping.</returns>
    public static async ValueTask<bool> NextAsync(this PeriodicTimer timer, CancellationToken stopping)
    {
        try
        {
            return await timer.WaitForNextTickAsync(stopping);
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }
}
