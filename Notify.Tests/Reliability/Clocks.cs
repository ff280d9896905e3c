namespace Notify.Tests.Reliability;

using System.Globalization;
using Notify.Tests.Support;

/// <summary>Clocks that are set by an hour while everything runs.</summary>
/// <remarks>
/// libfaketime intercepts the process's reads of the machine's clock: its time of day follows a file, which is
/// changed under load. Its counters (CLOCK_MONOTONIC, CLOCK_BOOTTIME) are left alone, as they are where an operator or NTP sets a clock.
/// </remarks>
public abstract partial class Reliability
{
    private static readonly string[] FakeTimeFolders =
    [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
    ];

    [Theory]
    [InlineData("api", 1)]
    [InlineData("api", -1)]
    [InlineData("dispatch", 1)]
    [InlineData("dispatch", -1)]
    [InlineData("projections", 1)]
    [InlineData("projections", -1)]
    public async Task Clock_of_a_host_set_under_load(string host, int hours)
    {
        var clock = NewClock();
        foreach (var (key, value) in Faked(clock))
            Installation.Set(key, value);
        try
        {
            await Hosts.RestartAsync(host, Hosts.Host(host, 0));
        }
        finally
        {
            foreach (var (key, _) in Faked(clock))
                Installation.Set(key, "");
        }

        await RunAsync($"{host} clock {hours:+0;-0} h", FaultPlan.ChangeRounds, FaultPlan.Freeze.TotalSeconds, _ => SetAsync(clock, hours));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(-1)]
    public async Task Clock_of_the_database_set_under_load(int hours)
    {
        var clock = NewClock();
        var faked = Faked(clock);
        await Installation.Cluster.StopAsync();
        foreach (var (key, value) in faked)
            Environment.SetEnvironmentVariable(key, value);
        try
        {
            await Installation.Cluster.StartAgainAsync();
        }
        finally
        {
            foreach (var (key, _) in faked)
                Environment.SetEnvironmentVariable(key, null);
        }

        try
        {
            await RunAsync(
                $"PostgreSQL clock {hours:+0;-0} h",
                FaultPlan.ChangeRounds,
                FaultPlan.Freeze.TotalSeconds,
                _ => SetAsync(clock, hours),
                isPlain: true
            );
        }
        finally
        {
            await Installation.Cluster.RestartAsync("fast");
        }
    }

    // Set, and set right again.
    private static async Task SetAsync(string clock, int hours)
    {
        await File.WriteAllTextAsync(clock, (hours * 3600).ToString("+0;-0", CultureInfo.InvariantCulture), Stop);
        await Task.Delay(FaultPlan.Freeze, Stop);
        await File.WriteAllTextAsync(clock, "+0", Stop);
    }

    private static string NewClock()
    {
        var clock = Path.Combine(Repository.Home, $"clock-{Guid.NewGuid():N}");
        File.WriteAllText(clock, "+0");
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(clock, (UnixFileMode)0b110_100_100);
        return clock;
    }

    private static Dictionary<string, string> Faked(string clock)
    {
        var library = FakeTimeFolders.Select(folder => $"{folder}/faketime/libfaketimeMT.so.1").FirstOrDefault(File.Exists);
        Assert.SkipWhen(
            library is null,
            "a clock cannot be set for a process: install libfaketime (Debian, Ubuntu: apt-get install libfaketime)"
        );
        return new()
        {
            ["LD_PRELOAD"] = library!,
            ["FAKETIME_TIMESTAMP_FILE"] = clock,
            ["FAKETIME_CACHE_DURATION"] = "1",
            ["FAKETIME_DONT_FAKE_MONOTONIC"] = "1",
            ["FAKETIME_DONT_RESET"] = "1",
        };
    }
}
