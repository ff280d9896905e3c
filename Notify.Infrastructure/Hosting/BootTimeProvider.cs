namespace Notify.Infrastructure.Hosting;

using System.Runtime.InteropServices;

/// <summary>The system's clock, with timestamps that go on while the machine sleeps.</summary>
/// <remarks>
/// .NET's own timestamps are CLOCK_MONOTONIC, which stops in suspend: a lease measured by it would outlast the time
/// that other hosts wait. Linux has CLOCK_BOOTTIME; macOS counts sleep in CLOCK_MONOTONIC_RAW; Windows counts it in its
/// performance counter, which is .NET's own.
/// </remarks>
public sealed class BootTimeProvider : TimeProvider
{
    private const int LinuxBootTime = 7,
        MacContinuousTime = 4;
    private const long NanosecondsPerSecond = 1_000_000_000;
    private static readonly int? Clock =
        OperatingSystem.IsLinux() ? LinuxBootTime
        : OperatingSystem.IsMacOS() ? MacContinuousTime
        : null;
    private static readonly bool IsThere = Read() is not null;

    /// <summary>The instance that hosts use.</summary>
    public static BootTimeProvider Instance { get; } = new();

    /// <inheritdoc />
    public override long TimestampFrequency => IsThere ? NanosecondsPerSecond : base.TimestampFrequency;

    /// <inheritdoc />
    public override long GetTimestamp() => IsThere ? Read()!.Value : base.GetTimestamp();

    private static long? Read()
    {
        if (Clock is not { } clock)
            return null;
        try
        {
            return GetTime(clock, out var time) == 0 ? (time.Seconds * NanosecondsPerSecond) + time.Nanoseconds : null;
        }
        catch (Exception e) when (e is DllNotFoundException or EntryPointNotFoundException)
        {
            return null;
        }
    }

#pragma warning disable SYSLIB1054 // The generated form needs unsafe code for a call whose arguments are plain numbers.
    [DllImport("libc", EntryPoint = "clock_gettime", ExactSpelling = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int GetTime(int clock, out Timespec time);
#pragma warning restore SYSLIB1054

    [StructLayout(LayoutKind.Sequential)]
    private struct Timespec
    {
        public nint Seconds;
        public nint Nanoseconds;
    }
}
