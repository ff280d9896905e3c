namespace Notify.Tests.Support;

/// <summary>How busy the machine is, to be told beside a measured time.</summary>
public static class MachineLoad
{
    /// <summary>The load average of the last minute, where the system tells it.</summary>
    public static async Task<string> AverageAsync() =>
        File.Exists("/proc/loadavg") ? (await File.ReadAllTextAsync("/proc/loadavg")).Split(' ')[0] : "unknown";
}
