namespace Notify.Tests.Reliability;

using Notify.Tests.Support;

/// <summary>A case of the fault suite's long form: faults under load, counted, reported and judged.</summary>
public abstract class ReliabilityTest(ReliabilitySystem system) : SystemTest
{
    private const int SegmentSize = 50_000; // Notifications that are counted together.
    private static readonly TimeSpan Quiet = TimeSpan.FromMinutes(6);

    private FaultRun? current;

    private protected static CancellationToken Stop => TestContext.Current.CancellationToken;

    private protected ReliabilitySystem Hosts => system;

    /// <inheritdoc />
    public override async ValueTask InitializeAsync()
    {
        Installation = system.System;
        await system.ReviveAsync();
        await Sandbox.BehaveAsync();
    }

    /// <inheritdoc />
    public override async ValueTask DisposeAsync()
    {
        await Sandbox.BehaveAsync();
        await base.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    /// <summary>Runs a case: rounds of a fault under a steady load.</summary>
    /// <param name="fault">Makes the fault and ends it; given the number of the round.</param>
    private protected async Task RunAsync(
        string name,
        int rounds,
        double seconds,
        Func<int, Task> fault,
        bool isPlain = false,
        Action<FaultFigures>? measured = null
    )
    {
        Assert.SkipUnless(FaultPlan.IsChosen(name), "not among NOTIFY_FAULT_CASES");
        var figures = new FaultFigures
        {
            Case = name,
            Transport = system.Transport,
            Seconds = seconds,
            Rate = FaultPlan.Rate,
        };
        await CountAsync(
            figures,
            async run =>
            {
                current = run;
                for (var done = 0; done < rounds; )
                {
                    var load = run.Begin(FaultPlan.Rate, isPlain);
                    await load.GoOnAsync(2 * FaultPlan.Rate);
                    do
                    {
                        await run.DuringAsync(() => fault(done));
                        done++;
                        await load.GoOnAsync(2 * FaultPlan.Rate);
                    } while (done < rounds && load.Accepted < SegmentSize);
                    await run.EndAsync(load);
                }

                measured?.Invoke(figures);
            }
        );
    }

    /// <summary>Restarts all hosts one by one, each as a fault of its own time.</summary>
    private protected Task RollAsync() => system.RollAsync(current!.MarkAsync);

    /// <summary>Runs a case that makes its own loads, reports its figures with every result, and checks them.</summary>
    private protected async Task CountAsync(FaultFigures figures, Func<FaultRun, Task> act)
    {
        var run = new FaultRun(system, figures, Quiet);
        try
        {
            await run.StartAsync();
            await act(run);
            await run.VerifyAsync();
            run.Judge();
        }
        catch (Exception e) when (figures.Outcome == "passed")
        {
            figures.Outcome = $"failed: {e.Message.Split('\n')[0]}";
            await run.AbandonAsync();
            throw;
        }
        finally
        {
            await FaultReport.AddAsync(figures);
        }
    }
}
