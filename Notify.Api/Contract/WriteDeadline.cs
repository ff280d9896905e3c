namespace Notify.Api.Contract;

/// <summary>
/// Answers requests that change something and cannot be carried out in time, because a row is locked or the database is slow: 503
/// with Retry-After. The time begins anew when the body has been read.
/// </summary>
public static class WriteDeadline
{
    private const string Item = "notify.deadline";

    // Acceptance has a limit of its own, with a more precise error.
    private static readonly TimeSpan More = TimeSpan.FromSeconds(1);

    /// <summary>Adds the deadline to every endpoint that changes something.</summary>
    public static void UseWriteDeadline(this WebApplication app)
    {
        var limit = app.Services.GetRequiredService<AcceptOptions>().Timeout + More;
        app.Use(
            (context, next) =>
                IsReading(context.Request.Method) || context.GetEndpoint()?.Metadata.GetMetadata<NoWriteDeadline>() is not null
                    ? next(context)
                    : RunAsync(context, next, new Deadline(limit))
        );
    }

    /// <summary>Takes an endpoint out that works for longer.</summary>
    public static RouteHandlerBuilder WithoutDeadline(this RouteHandlerBuilder endpoint) => endpoint.WithMetadata(new NoWriteDeadline());

    /// <summary>Stops the time while a body is read.</summary>
    public static void Pause(HttpContext context) => (context.Items[Item] as Deadline)?.Pause();

    /// <summary>Begins the time anew.</summary>
    public static void Restart(HttpContext context) => (context.Items[Item] as Deadline)?.Restart();

    private static bool IsReading(string method) =>
        HttpMethods.IsGet(method) || HttpMethods.IsHead(method) || HttpMethods.IsOptions(method);

    private static async Task RunAsync(HttpContext context, RequestDelegate next, Deadline deadline)
    {
        var original = context.RequestAborted;
        using (deadline)
        using (var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, original))
        {
            (context.Items[Item], context.RequestAborted) = (deadline, either.Token);
            try
            {
                await next(context);
            }
#pragma warning disable CA1031 // Drivers wrap a cancellation in exceptions of their own.
            catch (Exception) when (deadline.HasPassed && !original.IsCancellationRequested && !context.Response.HasStarted)
#pragma warning restore CA1031
            {
                context.RequestAborted = original;
                await Problem.Waited(wasTried: true).ExecuteAsync(context);
            }
            finally
            {
                context.RequestAborted = original;
            }
        }
    }

    private sealed record NoWriteDeadline;

    private sealed class Deadline : IDisposable
    {
        private readonly TimeSpan limit;
        private readonly CancellationTokenSource source;

        public Deadline(TimeSpan limit)
        {
            this.limit = limit;
            source = new CancellationTokenSource(limit);
        }

        public CancellationToken Token => source.Token;

        public bool HasPassed => source.IsCancellationRequested;

        public void Pause() => source.CancelAfter(Timeout.InfiniteTimeSpan);

        public void Restart() => source.CancelAfter(limit);

        public void Dispose() => source.Dispose();
    }
}
