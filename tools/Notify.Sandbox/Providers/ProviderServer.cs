using System.Globalization;
using Microsoft.AspNetCore.Http.Features;
using Notify.Sandbox.Knobs;
using Notify.Sandbox.Ledger;

namespace Notify.Sandbox.Providers;

/// <summary>
/// The way of every request through every provider: read, judged, recorded, delayed, answered.
/// </summary>
/// <remarks>
/// A provider adds only its judgement; knobs and ledger work alike for all. Where nothing is answered, the connection
/// is aborted; over HTTP/2 only the stream, with INTERNAL_ERROR: clients repeat what ends in REFUSED_STREAM by
/// themselves, and one attempt would be recorded as many.
/// </remarks>
public abstract class ProviderServer(IProviderDialect dialect, RequestLedger ledger, KnobBoard board, TimeProvider time)
{
    private readonly KnobSwitch _knobs = board[dialect.Name];
    private readonly byte _provider = ledger.IndexOf(dialect);

    /// <summary>Takes one request.</summary>
    public async Task HandleAsync(HttpContext context)
    {
        var receivedAt = time.GetUtcNow();
        var knobs = _knobs.Current;
        using var body = await ReadBodyAsync(context.Request, receivedAt);
        var opened = Open(context.Request, body.Span);
        var kept = Split(context.Request, opened ?? body.Span);

        if (knobs.Refuse)
        {
            Record(context.Request, receivedAt, kept, opened ?? body.Span, Broken("refused-connection"));
            context.Abort();
            return;
        }

        if (knobs.Blackhole)
        {
            Record(context.Request, receivedAt, kept, opened ?? body.Span, Broken("blackholed"));
            await _knobs.WaitWhileBlackholedAsync(context.RequestAborted);
            context.Abort();
            return;
        }

        var answer = Answer(new ProviderRequest
        {
            Http = context.Request,
            Body = body.Span,
            Opened = opened,
            ReceivedAt = receivedAt,
            Fault = knobs.DrawFault(),
            Receipts = knobs.Receipts,
        });

        // Before the answer: a client killed while it waits still leaves its trace.
        Record(context.Request, receivedAt, kept, opened ?? body.Span, answer);

        if (knobs.DrawLatency() + answer.Delay is var delay && delay > TimeSpan.Zero)
            await Task.Delay(delay, time, context.RequestAborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

        if (!context.RequestAborted.IsCancellationRequested)
            await SendAsync(context, answer);

        answer.Afterwards?.Invoke();
    }

    /// <summary>Bytes that a body may have; of a longer one only one byte more is read.</summary>
    protected virtual int MaximumBody => 64 * 1024;

    /// <summary>Judges a request by the provider's rules, and takes it on if it is good and no fault is drawn.</summary>
    protected abstract ProviderAnswer Answer(ProviderRequest request);

    /// <summary>Whether a request asks for something to be sent, and so belongs in the ledger.</summary>
    protected virtual bool IsSend(HttpRequest request) => true;

    /// <summary>
    /// What the ledger keeps in a body's place: one that is encrypted from end to end is opened, a secret in it taken out; null
    /// leaves it as it came.
    /// </summary>
    protected virtual byte[]? Open(HttpRequest request, ReadOnlySpan<byte> body) => null;

    /// <summary>The parts of a request for many recipients, each as a body of its own for the ledger; null for a request as any other.</summary>
    protected virtual IReadOnlyList<byte[]>? Split(HttpRequest request, ReadOnlySpan<byte> body) => null;

    /// <summary>Adds the headers that the provider answers with beyond HTTP's own.</summary>
    protected virtual void WriteHeaders(HttpResponse response, ProviderAnswer answer)
    {
    }

    private async ValueTask<RequestBody> ReadBodyAsync(HttpRequest request, DateTimeOffset receivedAt)
    {
        try
        {
            return await RequestBody.ReadAsync(request.BodyReader, MaximumBody);
        }
        catch (Exception error) when (error is IOException or OperationCanceledException)
        {
            Record(request, receivedAt, null, [], Broken("aborted"));
            request.HttpContext.Abort();
            throw; // On an aborted connection this is how the server ends the request, quietly.
        }
    }

    private static ProviderAnswer Broken(string outcome) => new() { Outcome = outcome };

    private void Record(HttpRequest request, DateTimeOffset receivedAt, IReadOnlyList<byte[]>? parts, ReadOnlySpan<byte> body, ProviderAnswer answer)
    {
        if (!IsSend(request))
            return;

        var entry = new LedgerEntry(_provider, receivedAt, request.Method, request.HttpContext.Features.Get<IHttpRequestFeature>()?.RawTarget, request.Headers);
        if (parts is null)
        {
            ledger.Record(entry, body, answer.MessageId, answer.Outcome);
            return;
        }

        for (var i = 0; i < parts.Count; i++)
        {
            var (messageId, outcome) = answer.Parts?[i] ?? (answer.MessageId, answer.Outcome);
            ledger.Record(entry, parts[i], messageId, outcome);
        }
    }

    private Task SendAsync(HttpContext context, ProviderAnswer answer)
    {
        if (answer.Status == 0)
        {
            context.Abort();
            return Task.CompletedTask;
        }

        var response = context.Response;
        response.StatusCode = answer.Status;
        response.ContentLength = answer.Body.Length;
        if (answer.RetryAfterSeconds is { } seconds)
            response.Headers.RetryAfter = seconds.ToString(CultureInfo.InvariantCulture);
        if (answer.Location is { } location)
            response.Headers.Location = location;
        WriteHeaders(response, answer);

        if (answer.Body.IsEmpty)
            return Task.CompletedTask;

        response.ContentType ??= "application/json";
        return response.Body.WriteAsync(answer.Body).AsTask(); // Writing to a client that is gone does nothing.
    }
}
