namespace Notify.Api.Contract;

using System.Diagnostics;
using Microsoft.AspNetCore.Diagnostics;
using Notify.Delivery.EventStore;
using Notify.Delivery.Privacy;
using Notify.Infrastructure.Postgres;

/// <summary>A problem document: the fault, and its fix (RFC 9457).</summary>
/// <param name="Type">Names the kind of problem: <c>urn:notify:problem:</c> and the code.</param>
/// <param name="Title">The status in words.</param>
/// <param name="Status">The HTTP status.</param>
/// <param name="Detail">The fault and its fix.</param>
/// <param name="Code">A stable code for programs.</param>
/// <param name="TraceId">The ID by which operators find this request.</param>
/// <param name="Errors">For <c>invalid_request</c>: every fault, by field; beyond the first 100, their number.</param>
public sealed record ProblemDocument(
    string Type,
    string Title,
    int Status,
    string Detail,
    string Code,
    string TraceId,
    IDictionary<string, string[]>? Errors
)
{
    /// <summary>A document whose type and title follow from code and status.</summary>
    public static ProblemDocument Of(int status, string code, string detail, string traceId, IDictionary<string, string[]>? errors) =>
        new(
            $"urn:notify:problem:{code}",
            Microsoft.AspNetCore.WebUtilities.ReasonPhrases.GetReasonPhrase(status),
            status,
            detail,
            code,
            traceId,
            errors
        );
}

/// <summary>Every error is an RFC 9457 problem document with a stable <c>code</c> and a <c>traceId</c>; never a stack trace.</summary>
public static class Problem
{
    public const string InvalidDetail =
        "The request has faults; errors names each of them by field. Mend them and send it again: nothing was stored.";
    public const string UnavailableDetail =
        "The database does not answer, so nothing is promised. Send the same request again after Retry-After: an event ID is "
        + "never acted upon twice.";

    public const string BusyDetail =
        "More requests are waiting than can be committed in time. "
        + "Send the same request again after Retry-After: this one was not accepted.";
    public const string WaitedDetail =
        "The request waited for its commit as long as it may, and may have been committed all the same. "
        + "Send the same request again after Retry-After: an event ID is never acted upon twice.";

    /// <summary>Returns the detail of a 404.</summary>
    public static string NotFoundDetail(string what) => $"There is no {what} that you may see. Check the ID, and that it is yours.";

    /// <summary>A problem document.</summary>
    /// <param name="detail">The fault and its fix.</param>
    /// <param name="errors">For 400: every fault, by field.</param>
    public static IResult Of(
        int status,
        string code,
        string detail,
        IDictionary<string, string[]>? errors = null,
        int? retryAfterSeconds = null
    ) => new Result(status, code, detail, errors, retryAfterSeconds);

    /// <summary>400 with every fault.</summary>
    public static IResult Invalid(IDictionary<string, string[]> errors) =>
        Of(StatusCodes.Status400BadRequest, "invalid_request", InvalidDetail, FaultList.Bound(errors));

    /// <summary>Makes a 404 for a missing resource.</summary>
    public static IResult NotFound(string what) => Of(StatusCodes.Status404NotFound, "not_found", NotFoundDetail(what));

    /// <summary>Makes a 503: the database is unavailable, and nothing was accepted.</summary>
    public static IResult Unavailable() =>
        Of(StatusCodes.Status503ServiceUnavailable, "storage_unavailable", UnavailableDetail, retryAfterSeconds: 2);

    /// <summary>503: too much is waiting, and this request was not accepted.</summary>
    public static IResult Busy() => Of(StatusCodes.Status503ServiceUnavailable, "busy", BusyDetail, retryAfterSeconds: 2);

    /// <summary>503: the request has waited as long as it may.</summary>
    /// <param name="wasTried">Whether it may have been committed all the same.</param>
    public static IResult Waited(bool wasTried) =>
        wasTried ? Of(StatusCodes.Status503ServiceUnavailable, "busy", WaitedDetail, retryAfterSeconds: 5) : Busy();

    /// <summary>The code of a result that is a problem; <c>null</c>: it is none.</summary>
    public static string? CodeOf(object? result) => (result as Result)?.Code;

    private sealed class Result(int status, string code, string detail, IDictionary<string, string[]>? errors, int? retryAfterSeconds)
        : IResult,
            IStatusCodeHttpResult
    {
        public string Code { get; } = code;

        public int? StatusCode { get; } = status;

        public Task ExecuteAsync(HttpContext httpContext)
        {
            var problem = ProblemDocument.Of(
                status,
                Code,
                detail,
                Activity.Current?.TraceId.ToString() ?? httpContext.TraceIdentifier,
                errors
            );
            if (retryAfterSeconds is { } seconds)
                httpContext.Response.Headers.RetryAfter = seconds.ToString(System.Globalization.CultureInfo.InvariantCulture);
            httpContext.Response.StatusCode = status;
            return httpContext.Response.WriteAsJsonAsync(
                problem,
                options: null,
                contentType: "application/problem+json",
                httpContext.RequestAborted
            );
        }
    }
}

/// <summary>Turns what endpoints throw into problem documents.</summary>
public sealed class ProblemHandler(ILogger<ProblemHandler> log, TimeProvider clock, ReadDatabase reads) : IExceptionHandler
{
    private long warnedAt;

    /// <inheritdoc />
    public async ValueTask<bool> TryHandleAsync(HttpContext httpContext, Exception exception, CancellationToken cancellationToken)
    {
        if (httpContext.RequestAborted.IsCancellationRequested)
            return true;
        await Translate(exception).ExecuteAsync(httpContext);
        return true;
    }

    // One line every ten seconds, however many requests fail.
    private void WarnOnce(Exception exception)
    {
        var (now, last) = (clock.GetTimestamp(), Interlocked.Read(ref warnedAt));
        if (last != 0 && clock.GetElapsedTime(last, now) < TimeSpan.FromSeconds(10))
            return;
        if (Interlocked.CompareExchange(ref warnedAt, now, last) == last)
            log.LogWarning(
                "The database is away, and requests are answered with 503: {Reason}",
                exception.GetBaseException().Message.Split('\n')[0]
            );
    }

    private IResult Translate(Exception exception)
    {
        if (exception is BadHttpRequestException bad)
            return bad.StatusCode == StatusCodes.Status413PayloadTooLarge
                ? RequestBody.TooLarge()
                : Problem.Of(bad.StatusCode, "bad_request", bad.Message);
        if (exception is CommitBusyException)
            return Problem.Busy();
        if (exception is CommitWaitException waited)
            return Problem.Waited(waited.WasTried);
        if (exception is not OperationCanceledException && DatabaseFaults.IsPassing(exception))
        {
            WarnOnce(exception);
            if (DatabaseFaults.IsBrokenConnection(exception))
                reads.Source.Clear(); // the others of the pool are broken, too
            return Problem.Unavailable();
        }

        if (exception is UnreadableStreamException unreadable)
        {
            log.LogError("{Fault}", unreadable.Message);
            return Problem.Of(
                StatusCodes.Status503ServiceUnavailable,
                "stream_unreadable",
                "This host cannot read an event of this stream: a newer version wrote it, or it is damaged. "
                    + "Other notifications are not affected. Tell the operators the traceId."
            );
        }

        if (exception is KeyNotHeldException)
        {
            return Problem.Of(
                StatusCodes.Status503ServiceUnavailable,
                "key_not_held",
                "This host has not the key for these personal data. Send the same request again.",
                retryAfterSeconds: 2
            );
        }

        if (exception is OperationCanceledException)
            return Problem.Of(
                StatusCodes.Status503ServiceUnavailable,
                "stopping",
                "This host is stopping. Send the same request again.",
                retryAfterSeconds: 1
            );
        log.LogError(exception, "A request failed by a fault of ours.");
        return Problem.Of(
            StatusCodes.Status500InternalServerError,
            "internal_error",
            "Something failed on our side. Send the same request again; if it keeps failing, tell the operators the traceId."
        );
    }
}
