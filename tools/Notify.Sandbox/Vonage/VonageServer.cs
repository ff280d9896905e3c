namespace Notify.Sandbox.Vonage;

using System.Globalization;
using System.Text.Json;
using Notify.Sandbox.Knobs;
using Notify.Sandbox.Ledger;
using Notify.Sandbox.Magic;
using Notify.Sandbox.Providers;
using Notify.Sandbox.Receipts;

/// <summary>Simulates Vonage's SMS API, which always answers 200, and the records of its Reports API.</summary>
public sealed class VonageServer(
    VonageDialect dialect,
    VonageRules rules,
    SentMessages<VonageMessage> messages,
    VonageReceipts receipts,
    RequestLedger ledger,
    KnobBoard board,
    TimeProvider time
) : ProviderServer(dialect, ledger, board, time)
{
    internal const string SendPath = "/sms/json";
    internal const string RecordsPath = "/v2/reports/records";

    /// <inheritdoc/>
    protected override ProviderAnswer Answer(ProviderRequest request) =>
        (request.Http.Method, request.Http.Path.Value) switch
        {
            ("POST", SendPath) => Send(request),
            ("GET", RecordsPath) => Report(request),
            (_, SendPath or RecordsPath) => new ProviderAnswer { Status = StatusCodes.Status405MethodNotAllowed, Outcome = "405" },
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
            Body = JsonSerializer.SerializeToUtf8Bytes(
                new Dictionary<string, object>
                {
                    ["message-count"] = parts.Count.ToString(CultureInfo.InvariantCulture),
                    ["messages"] = parts.Select(part => part.ToAnswer()),
                }
            ),
            Afterwards = Follow(parts, Journeys.KnobFor(request.Receipts, fate), fate),
        };
    }

    private Action? Follow(IReadOnlyList<VonageMessage> parts, ReceiptKnob? knob, Fate? fate) =>
        knob is not { } way
            ? null
            : () =>
            {
                foreach (var part in parts)
                    receipts.Begin(part, way, fate);
            };

    private ProviderAnswer Report(ProviderRequest request)
    {
        if (!rules.IsAccount(request.Http.Headers.Authorization))
            return Problem(StatusCodes.Status401Unauthorized, "Unauthorized", "You did not provide correct credentials.");
        if (request.Fault is { } fault)
            return Fail(fault);

        var (query, bad) = VonageRecordsQuery.Parse(request.Http.Query);
        return query is null
            ? Problem(StatusCodes.Status422UnprocessableEntity, "Invalid Parameter", $"{bad} is invalid or missing.")
            : Json(StatusCodes.Status200OK, query.Read(messages));
    }

    private static ProviderAnswer Problem(int status, string title, string detail) =>
        Json(
            status,
            new
            {
                type = "https://developer.vonage.com/en/api-errors",
                title,
                detail,
            }
        );

    private static ProviderAnswer Json<T>(int status, T body) =>
        new()
        {
            Status = status,
            Outcome = $"{status}",
            Body = JsonSerializer.SerializeToUtf8Bytes(body),
        };

    private static ProviderAnswer Fail(ProviderFault fault) =>
        (VonageError.ForStatus(fault.Status)?.ToAnswer() ?? new ProviderAnswer { Status = fault.Status, Outcome = $"{fault.Status}" }) with
        {
            RetryAfterSeconds = fault.RetryAfterSeconds,
        };

    private static bool IsJson(HttpRequest request) =>
        request.ContentType?.StartsWith("application/json", StringComparison.OrdinalIgnoreCase) == true;

    private static bool IsForm(HttpRequest request) =>
        request.ContentType?.StartsWith("application/x-www-form-urlencoded", StringComparison.OrdinalIgnoreCase) == true;
}
