namespace Notify.Bench;

using System.Globalization;

/// <summary>The process that listens on a local port, from Linux's <c>/proc</c>.</summary>
internal static class ListeningProcess
{
    private const double TicksPerSecond = 100;

    /// <summary>CPU seconds used so far.</summary>
    /// <param name="withChildren">Whether processes that it started count too, those that have ended included.</param>
    /// <returns><c>null</c> when no process listens there, or when it cannot be determined.</returns>
    public static double? CpuSeconds(int port, bool withChildren)
    {
        try
        {
            if (Find(port) is not { } id || Stat(id) is not { } own)
                return null;
            if (!withChildren)
                return (own[11] + own[12]) / TicksPerSecond;
            var children = Ids().Select(Stat).OfType<long[]>().Where(stat => stat[1] == id).Sum(stat => stat[11] + stat[12]);
            return (own[11] + own[12] + own[13] + own[14] + children) / TicksPerSecond;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Resident MiB: now, and the most so far.</summary>
    /// <returns><c>null</c> when no process listens there, or when it cannot be determined.</returns>
    public static (double Now, double Peak)? Memory(int port)
    {
        try
        {
            if (!OperatingSystem.IsLinux() || Find(port) is not { } id)
                return null;
            var lines = File.ReadAllLines($"/proc/{id}/status");
            return (Value("VmRSS:"), Value("VmHWM:"));

            double Value(string name) =>
                double.Parse(
                    lines.First(l => l.StartsWith(name, StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2],
                    CultureInfo.InvariantCulture
                ) / 1024;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static int? Find(int port)
    {
        var suffix = ":" + port.ToString("X4", CultureInfo.InvariantCulture);
        var sockets = new[] { "/proc/net/tcp", "/proc/net/tcp6" }
            .Where(File.Exists)
            .SelectMany(file => File.ReadLines(file).Skip(1))
            .Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            .Where(fields => fields[1].EndsWith(suffix, StringComparison.Ordinal) && fields[3] == "0A")
            .Select(fields => $"socket:[{fields[9]}]")
            .ToHashSet(StringComparer.Ordinal);
        // A postmaster's children inherit its socket: the oldest holder is the one that opened it.
        return sockets.Count == 0 ? null : Ids().Where(id => Holds(id, sockets)).Select(id => (int?)id).Min();
    }

    private static bool Holds(int id, HashSet<string> sockets)
    {
        try
        {
            return new DirectoryInfo($"/proc/{id}/fd")
                .EnumerateFileSystemInfos()
                .Any(f => f.LinkTarget is { } target && sockets.Contains(target));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false; // it has ended, or is somebody else's
        }
    }

    private static IEnumerable<int> Ids() =>
        Directory
            .EnumerateDirectories("/proc")
            .Select(d => int.TryParse(Path.GetFileName(d), NumberStyles.None, CultureInfo.InvariantCulture, out var id) ? id : 0)
            .Where(id => id > 0);

    // The fields of /proc/{id}/stat after the name, which may hold blanks: state, parent, …, utime, stime, cutime, cstime.
    private static long[]? Stat(int id)
    {
        try
        {
            var text = File.ReadAllText($"/proc/{id}/stat");
            return
            [
                .. text[(text.LastIndexOf(')') + 2)..]
                    .Split(' ')
                    .Take(15)
                    .Select(f => long.TryParse(f, CultureInfo.InvariantCulture, out var n) ? n : 0),
            ];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
