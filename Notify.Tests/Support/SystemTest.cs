namespace Notify.Tests.Support;

/// <summary>A test against the shared system; shows the hosts' last words when it fails.</summary>
public abstract class SystemTest : IAsyncLifetime
{
    /// <summary>The system.</summary>
    protected NotifySystem Installation { get; private protected set; } = null!;

    /// <summary>Its client with every scope.</summary>
    protected NotifyClient Client => Installation.Client;

    /// <summary>Its providers.</summary>
    protected SandboxClient Sandbox => Installation.Sandbox;

    /// <inheritdoc />
    public virtual async ValueTask InitializeAsync() => Installation = await TestRun.SharedSystem;

    /// <inheritdoc />
    public virtual ValueTask DisposeAsync()
    {
        ShowLogs(Installation);
        GC.SuppressFinalize(this);
        return ValueTask.CompletedTask;
    }

    /// <summary>Attaches the ends of the hosts' logs to a test that failed.</summary>
    public static void ShowLogs(NotifySystem? system)
    {
        if (system is not null && TestContext.Current.TestState?.Result == TestResult.Failed)
            TestContext.Current.TestOutputHelper?.WriteLine(system.Tails());
    }

    /// <summary>An event ID that no other test has; also the text by which the ledger is searched.</summary>
    protected static string NewId(string what) => $"{what}-{Guid.NewGuid():N}";
}
