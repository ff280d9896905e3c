namespace Notify.Sandbox.Providers;

using System.Globalization;
using System.Text;
using Microsoft.AspNetCore.Http.Features;
using Notify.Sandbox.Knobs;
using Notify.Sandbox.Ledger;

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

        var fault = knobs.Gateway == GatewayKnob.None || IsSend(context.Request) ? knobs.DrawFault() : null;
        var gateway = fault is null ? GatewayKnob.None : knobs.Gateway;
        var answer =
            gateway == GatewayKnob.Lost
                ? GatewayPage(fault!.Value)
                : Answer(
                    new ProviderRequest
                    {
                        Http = context.Request,
                        Body = body.Span,
                        Opened = opened,
                        ReceivedAt = receivedAt,
                        Fault = gateway == GatewayKnob.None ? fault : null,
                        Receipts = knobs.Receipts,
                    }
                );
        if (gateway == GatewayKnob.Passed)
            answer = Hidden(answer, fault!.Value);

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
    /// Returns the body for the ledger: an end-to-end encrypted body is decrypted, and a secret in it is removed. Null keeps the
    /// body as received.
    /// </summary>
    protected virtual byte[]? Open(HttpRequest request, ReadOnlySpan<byte> body) => null;

    /// <summary>The parts of a request for many recipients, each as a body of its own for the ledger; null for a request as any
    /// other.</summary>
    protected virtual IReadOnlyList<byte[]>? Split(HttpRequest request, ReadOnlySpan<byte> body) => null;

    /// <summary>Adds the headers that the provider answers with beyond HTTP's own.</summary>
    protected virtual void WriteHeaders(HttpResponse response, ProviderAnswer answer) { }

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

    // As common gateways write it.
    private static ProviderAnswer GatewayPage(ProviderFault fault) =>
        new()
        {
            Status = fault.Status,
            Outcome = string.Create(CultureInfo.InvariantCulture, $"gateway-{fault.Status}"),
            RetryAfterSeconds = fault.RetryAfterSeconds,
            ContentType = "text/html",
            Body = Encoding.UTF8.GetBytes(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"<html><head><title>{fault.Status}</title></head><body><h1>{fault.Status}</h1><hr>nginx</body></html>"
                )
            ),
        };

    // The provider's answer as the client sees it, with all that follows from it.
    private static ProviderAnswer Hidden(ProviderAnswer answer, ProviderFault fault) =>
        answer with
        {
            Status = fault.Status,
            Body = GatewayPage(fault).Body,
            ContentType = GatewayPage(fault).ContentType,
            RetryAfterSeconds = fault.RetryAfterSeconds,
            Location = null,
        };

    private static ProviderAnswer Broken(string outcome) => new() { Outcome = outcome };

    private void Record(
        HttpRequest request,
        DateTimeOffset receivedAt,
        IReadOnlyList<byte[]>? parts,
        ReadOnlySpan<byte> body,
        ProviderAnswer answer
    )
    {
        if (!IsSend(request))
            return;

        var entry = new LedgerEntry(
            _provider,
            receivedAt,
            request.Method,
            request.HttpContext.Features.Get<IHttpRequestFeature>()?.RawTarget,
            request.Headers
        );
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

        response.ContentType ??= answer.ContentType ?? "application/json";
        return response.Body.WriteAsync(answer.Body).AsTask(); // Writing to a client that is gone does nothing.
    }
}
