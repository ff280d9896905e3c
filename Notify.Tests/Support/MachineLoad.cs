namespace Notify.Tests.Support;

/// <summary>The load of the machine, to be shown next to a measured time.</summary>
public static class MachineLoad
{
    /// <summary>The load average of the last minute, where the system has it.</summary>
    public static async Task<string> AverageAsync() =>
        File.Exists("/proc/loadavg") ? (await File.ReadAllTextAsync("/proc/loadavg")).Split(' ')[0] : "unknown";
}
