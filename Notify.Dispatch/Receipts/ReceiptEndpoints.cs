namespace Notify.Dispatch.Receipts;

using Microsoft.AspNetCore.Http.Features;
using Notify.Delivery.Receipts;
using Notify.Delivery.Telemetry;
using Notify.Infrastructure.Hosting;
using Notify.Infrastructure.Postgres;

/// <summary>
/// <c>/receipts/{provider}</c>: where providers post what becomes of messages. Nobody logs in here; the signature over the raw
/// body decides. 204 is answered when the receipts have been committed, and anything else makes the provider come again.
/// </summary>
public static class ReceiptEndpoints
{
    /// <summary>The largest post, in bytes.</summary>
    public const int MaxBytes = 8 * 1024 * 1024;

    /// <summary>The largest post of a provider that posts receipts one by one, in bytes: text of an SMS, and numbers.</summary>
    public const int MaxBytesOfOne = 256 * 1024;

    /// <summary>Maps the addresses.</summary>
    public static void Map(IEndpointRouteBuilder app) => app.Map("/receipts/{provider}", ReceiveAsync);

    private static async Task<IResult> ReceiveAsync(
        string provider,
        HttpContext http,
        IConfiguration configuration,
        ReceiptSources sources,
        ReceiptIntake intake,
        ReceiptBudget budget,
        FailedReceipts failed,
        TimeProvider clock,
        ILogger<ReceiptIntake> log
    )
    {
        if (failed.IsOver(http))
        {
            Telemetry.ReceiptsRefused.Add(
                1,
                new("provider", sources.All.ContainsKey(provider) ? provider : "unknown"),
                new("why", "rate_limited")
            );
            return Refusal.Of(
                http,
                429,
                "rate_limited",
                "Too many posts of this address were refused. Correct what their answers name, and post again after Retry-After.",
                5
            );
        }

        var most = sources.All.TryGetValue(provider, out var known) ? known.MaxBytes : MaxBytesOfOne;
        var bytes = ReceiptBudget.Of(http.Request.ContentLength is { } length && length <= most ? length : most);
        if (!budget.TryReserve(bytes))
        {
            Telemetry.ReceiptsRefused.Add(1, new("provider", sources.All.ContainsKey(provider) ? provider : "unknown"), new("why", "busy"));
            return Refusal.Of(
                http,
                503,
                "busy",
                "More posts are being read than fit into memory. Post the same again after Retry-After.",
                2
            );
        }

        try
        {
            var answer = await ReceiveWithinBudgetAsync(provider, http, configuration, sources, intake, clock, log);
            if (answer is IStatusCodeHttpResult { StatusCode: >= 400 and < 500 })
                failed.Count(http);
            return answer;
        }
        finally
        {
            budget.Release(bytes);
        }
    }

    private static async Task<IResult> ReceiveWithinBudgetAsync(
        string provider,
        HttpContext http,
        IConfiguration configuration,
        ReceiptSources sources,
        ReceiptIntake intake,
        TimeProvider clock,
        ILogger<ReceiptIntake> log
    )
    {
        if (!sources.All.TryGetValue(provider, out var source))
            return Refusal.Of(
                http,
                404,
                "no_such_provider",
                $"No provider of that name posts receipts. There are {string.Join(", ", sources.All.Values.Select(s => s.Name))}."
            );
        var section = sources.All.First(s => s.Value == source).Key;
        if (HttpMethods.IsHead(http.Request.Method))
            return Results.Ok(); // Mailchimp asks whether there is something before it posts
        if (!HttpMethods.IsPost(http.Request.Method) && !(HttpMethods.IsGet(http.Request.Method) && source.MayGet))
            return Refused(405, "method_not_allowed", "Receipts are posted: use POST.");
        var sections = new[] { ("Providers", ReceiptModes.Live), ("TestProviders", ReceiptModes.Test) }
            .Select(s => (Settings: configuration.GetSection($"{s.Item1}:{section}"), Mode: s.Item2))
            .Where(s => !string.IsNullOrEmpty(s.Settings[source.KeySetting]))
            .ToList();
        if (sections.Count == 0)
            return Refused(
                404,
                "not_configured",
                $"Receipts of {source.Name} cannot be verified here: set Providers:{section}:{source.KeySetting}."
            );

        if (await ReadAsync(http.Request, source.MaxBytes) is not { } body)
            return Refused(413, "too_large", $"The body is too large: at most {source.MaxBytes / 1024} KiB. Post fewer events at a time.");
        var post = new ReceiptPost(
            HttpMethod.Parse(http.Request.Method),
            [],
            http.Request.Query,
            http.Request.QueryString.Value ?? "",
            http.Request.Headers,
            http.Request.ContentType,
            body
        );
        var modes = ReceiptModes.None;
        foreach (var (settings, mode) in sections)
        {
            if (await source.IsValidAsync(settings, post with { Urls = [Url(http, configuration, settings)] }, clock.GetUtcNow()))
                modes |= mode;
        }

        if (modes == ReceiptModes.None)
        {
            if (sections.Any(s => source.IsTrial(post with { Urls = [Url(http, configuration, s.Settings)] })))
                return Results.NoContent();
            return Refused(
                403,
                "wrong_signature",
                $"The signature is missing, wrong or too old. Check that Providers:{section}:{source.KeySetting} is the "
                    + "account's, that this host's clock is right, "
                    + "and that Notify:ReceiptsUrl (or Notify:PublicUrl) is the address that the provider posts to."
            );
        }

        var read = source.Read(post);
        if (read == ReadReceipts.TooMany)
            return Refused(413, "too_large", FormattableString.Invariant($"More than {ReadReceipts.Max} events. Post fewer at a time."));
        if (read.Fault is { } fault)
        {
            log.LogWarning("A signed post of {Provider} cannot be read: {Fault}.", source.Name, fault);
            return Refused(400, "malformed", $"The signature is right, but the post cannot be read: {fault}.");
        }

        try
        {
            if (await intake.KeepAllAsync([.. read.Receipts.Select(r => new ReceivedReceipt(source.Name, r, modes))]))
                return Results.NoContent();
            return Refused(503, "busy", "More receipts are waiting than can be kept at once. Post the same again after Retry-After.", 2);
        }
        catch (Exception e) when (DatabaseFaults.IsPassing(e) || e is OperationCanceledException or CommitWaitException)
        {
            return Refused(
                503,
                "storage_unavailable",
                "The database does not answer, so nothing was kept. Post the same again after Retry-After: no receipt counts twice.",
                5
            );
        }
        catch (ReceiptsNotKeptException e)
        {
            log.LogError(e, "A receipt of {Provider} could not be kept, by a fault of ours.", source.Name);
            return Refused(
                500,
                "internal_error",
                "A receipt could not be kept, by a fault on our side. Post the same again; if it keeps failing, tell the "
                    + "operators the traceId."
            );
        }

        IResult Refused(int status, string code, string detail, int? retryAfterSeconds = null)
        {
            Telemetry.ReceiptsRefused.Add(1, new("provider", source.Name), new("why", code));
            return Refusal.Of(http, status, code, detail, retryAfterSeconds);
        }
    }

    private static string Url(HttpContext http, IConfiguration configuration, IConfiguration settings) =>
        ReceiptsUrl.Signed(
            configuration,
            settings,
            $"{http.Request.Scheme}://{http.Request.Host}",
            http.Features.Get<IHttpRequestFeature>()!.RawTarget
        );

    private static async Task<byte[]?> ReadAsync(HttpRequest request, int most)
    {
        if (request.ContentLength > most)
            return null;
        using var body = new MemoryStream((int)Math.Min(request.ContentLength ?? 0, 64 * 1024));
        var buffer = new byte[16 * 1024];
        while (await request.Body.ReadAsync(buffer, request.HttpContext.RequestAborted) is > 0 and var read)
        {
            if (body.Length + read > most)
                return null;
            body.Write(buffer, 0, read);
        }

        return body.ToArray();
    }
}
