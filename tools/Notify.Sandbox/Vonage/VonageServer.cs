using System.Globalization;
using System.Text.Json;
using Notify.Sandbox.Knobs;
using Notify.Sandbox.Ledger;
using Notify.Sandbox.Magic;
using Notify.Sandbox.Providers;
using Notify.Sandbox.Receipts;

namespace Notify.Sandbox.Vonage;

/// <summary>Plays Vonage's SMS API, which answers 200 whatever it says, and its message search.</summary>
public sealed class VonageServer(
    VonageDialect dialect, VonageRules rules, SentMessages<VonageMessage> messages, VonageReceipts receipts, RequestLedger ledger, KnobBoard board, TimeProvider time)
    : ProviderServer(dialect, ledger, board, time)
{
    internal const string SendPath = "/sms/json";
    internal const string OnePath = "/search/message";
    internal const string ManyPath = "/search/messages";
    private const int MaximumIds = 10;

    /// <inheritdoc/>
    protected override ProviderAnswer Answer(ProviderRequest request) => (request.Http.Method, request.Http.Path.Value) switch
    {
        ("POST", SendPath) => Send(request),
        ("GET", OnePath or ManyPath) => Search(request),
        (_, SendPath or OnePath or ManyPath) => new ProviderAnswer { Status = StatusCodes.Status405MethodNotAllowed, Outcome = "405" },
        _ => new ProviderAnswer { Status = StatusCodes.Status404NotFound, Outcome = "404" },
    };

    /// <summary>A question sends nothing.</summary>
    protected override bool IsSend(HttpRequest request) => request.Path.Value == SendPath;

    /// <inheritdoc/>
    protected override byte[]? Open(HttpRequest request, ReadOnlySpan<byte> body) => VonageParameters.WithoutSecret(body, IsJson(request));

    private ProviderAnswer Send(ProviderRequest request)
    {
        if (!IsJson(request.Http) && !IsForm(request.Http))
            return VonageError.Missing("api_key").ToAnswer(); // It sees no parameters in any other body.
        if (VonageParameters.Parse(request.Body, IsJson(request.Http)) is not { } given)
            return VonageError.Missing("api_key").ToAnswer();
        if (rules.Check(given, request.ReceivedAt) is { } error)
            return error.ToAnswer();
        if (request.Fault is { } fault)
            return Fail(fault);

        var fate = MagicNumbers.FateOf(given["to"]!);
        if (fate == Fate.Failed)
            return VonageError.Unroutable.ToAnswer();

        var parts = VonageMessage.PartsOf(given, request.ReceivedAt);
        foreach (var part in parts)
            messages.Add(part);
        return new ProviderAnswer
        {
            Status = fate == Fate.Unknown ? 0 : StatusCodes.Status200OK,
            Delay = fate == Fate.Slow ? Fates.SlowAnswer : TimeSpan.Zero,
            Outcome = ProviderAnswer.Accepted,
            MessageId = parts[0].Id,
            Body = JsonSerializer.SerializeToUtf8Bytes(new Dictionary<string, object>
            {
                ["message-count"] = parts.Count.ToString(CultureInfo.InvariantCulture),
                ["messages"] = parts.Select(part => part.ToAnswer()),
            }),
            Afterwards = Follow(parts, Journeys.KnobFor(request.Receipts, fate), fate),
        };
    }

    private Action? Follow(IReadOnlyList<VonageMessage> parts, ReceiptKnob? knob, Fate? fate) => knob is not { } way ? null : () =>
    {
        foreach (var part in parts)
            receipts.Begin(part, way, fate);
    };

    private ProviderAnswer Search(ProviderRequest request)
    {
        var query = VonageParameters.ParseForm(request.Http.QueryString.Value ?? "");
        if (!rules.IsAccount(query))
            return Json(StatusCodes.Status401Unauthorized, new Dictionary<string, string> { ["error-code"] = "401", ["error-code-label"] = "authentication failed" });
        if (request.Fault is { } fault)
            return Fail(fault);
        if (request.Http.Path.Value == OnePath)
            return query["id"] is not { } id ? Bad("id") : messages.Find(id) is { } one ? Json(StatusCodes.Status200OK, one.ToItem()) : NotFound();

        var ids = request.Http.Query["ids"];
        if (ids.Count > MaximumIds)
            return Bad("ids");
        if (ids.Count > 0)
            return Found(ids.Select(wanted => messages.Find(wanted ?? "")).OfType<VonageMessage>());
        if (!DateOnly.TryParseExact(query["date"], "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out var day))
            return Bad("date");
        return query["to"] is { } to ? Found(messages.NewestFirst(to).Where(message => message.CameOn(day))) : Bad("to");
    }

    private static ProviderAnswer Found(IEnumerable<VonageMessage> found)
    {
        var items = found.Select(message => message.ToItem()).ToList();
        return Json(StatusCodes.Status200OK, new { count = items.Count, items });
    }

    private static ProviderAnswer NotFound() => Json(StatusCodes.Status404NotFound, new Dictionary<string, string> { ["error-code"] = "404", ["error-code-label"] = "not found" });

    private static ProviderAnswer Bad(string parameter) =>
        Json(StatusCodes.Status400BadRequest, new Dictionary<string, string> { ["error-code"] = "400", ["error-code-label"] = $"invalid parameter: {parameter}" });

    private static ProviderAnswer Json<T>(int status, T body) => new() { Status = status, Outcome = $"{status}", Body = JsonSerializer.SerializeToUtf8Bytes(body) };

    private static ProviderAnswer Fail(ProviderFault fault) => (VonageError.ForStatus(fault.Status)?.ToAnswer()
        ?? new ProviderAnswer { Status = fault.Status, Outcome = $"{fault.Status}" }) with { RetryAfterSeconds = fault.RetryAfterSeconds };

    private static bool IsJson(HttpRequest request) => request.ContentType?.StartsWith("application/json", StringComparison.OrdinalIgnoreCase) == true;

    private static bool IsForm(HttpRequest request) => request.ContentType?.StartsWith("application/x-www-form-urlencoded", StringComparison.OrdinalIgnoreCase) == true;
}
