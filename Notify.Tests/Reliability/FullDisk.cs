namespace Notify.Tests.Reliability;

using Notify.Tests.Support;

/// <summary>A system whose PostgreSQL lies on a small file system of its own.</summary>
public abstract class FullDiskSystem(string name, bool withBroker) : IAsyncLifetime
{
    private const string Size = "1g";

    private readonly string mount = Path.Combine(Repository.Home, "disk");
    private Hosted? hosts;

    /// <summary>The system; none where no file system can be mounted.</summary>
    public ReliabilitySystem? Hosts => hosts;

    /// <summary>The file that fills the disk.</summary>
    public string Ballast => Path.Combine(mount, "ballast");

    /// <inheritdoc />
    public async ValueTask InitializeAsync()
    {
        if (Environment.UserName != "root" || !OperatingSystem.IsLinux())
            return;
        Directory.CreateDirectory(mount);
        await Repository.RunAsync("mount", "-t", "tmpfs", "-o", $"size={Size},mode=755", "tmpfs", mount);
        hosts = new Hosted(name, withBroker, Path.Combine(mount, "pg"));
        await hosts.InitializeAsync();

        // WAL must not fill the disk by itself.
        await using var command = hosts.System.Database.CreateCommand("alter system set max_wal_size = '192MB'");
        await command.ExecuteNonQueryAsync();
        await hosts.System.ScalarAsync<bool>("select pg_reload_conf()");
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        if (hosts is not null)
        {
            await hosts.DisposeAsync();
            await Repository.RunAsync("umount", mount);
        }

        GC.SuppressFinalize(this);
    }

    private sealed class Hosted(string name, bool withBroker, string cluster) : ReliabilitySystem(name, withBroker, cluster);
}

/// <summary>PostgreSQL's disk is full for a while: it refuses, or ends; nothing that was accepted is lost.</summary>
public abstract class FullDisk(FullDiskSystem disk) : ReliabilityTest(disk.Hosts!)
{
    /// <inheritdoc />
    public override ValueTask InitializeAsync()
    {
        Assert.SkipWhen(disk.Hosts is null, "a small file system for PostgreSQL is mounted by root only: run this case as root");
        return base.InitializeAsync();
    }

    /// <inheritdoc />
    public override ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        return disk.Hosts is null ? ValueTask.CompletedTask : base.DisposeAsync();
    }

    [Fact]
    public Task Disk_full_under_load() =>
        RunAsync(
            "PostgreSQL's disk full",
            FaultPlan.ChangeRounds,
            FaultPlan.Freeze.TotalSeconds,
            async _ =>
            {
                Fill(disk.Ballast);
                try
                {
                    await Task.Delay(FaultPlan.Freeze, Stop);
                }
                finally
                {
                    File.Delete(disk.Ballast);
                }

                // Without room for its log it has ended by itself.
                await Installation.Cluster.StartAgainAsync();
            }
        );

    private static void Fill(string path)
    {
        var block = new byte[1 << 16];
        using var ballast = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0);
        try
        {
            while (true)
                ballast.Write(block);
        }
        catch (IOException)
        {
            // Full.
        }
    }
}
