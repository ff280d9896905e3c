namespace Notify.Sandbox.Fcm;

using System.Security.Cryptography;
using System.Text.Json;
using Notify.Sandbox.Keys;
using Notify.Sandbox.Knobs;
using Notify.Sandbox.Ledger;
using Notify.Sandbox.Magic;
using Notify.Sandbox.Providers;

/// <summary>Plays FCM HTTP v1: <c>POST /v1/projects/{id}/messages:send</c>.</summary>
public sealed class FcmServer(
    FcmDialect dialect,
    GoogleTokens tokens,
    FcmMagicTokens magic,
    SandboxKeys keys,
    RequestLedger ledger,
    KnobBoard board,
    TimeProvider time
) : ProviderServer(dialect, ledger, board, time)
{
    internal const string Root = "/v1/projects/";
    private const string Method = "/messages:send";

    // Google refuses what names a field twice.
    private static readonly JsonDocumentOptions Strict = new() { AllowDuplicateProperties = false };

    /// <inheritdoc/>
    protected override ProviderAnswer Answer(ProviderRequest request)
    {
        var path = request.Http.Path.Value ?? "";
        if (
            !HttpMethods.IsPost(request.Http.Method)
            || !path.EndsWith(Method, StringComparison.Ordinal)
            || path.Length <= Root.Length + Method.Length
        )
            return FcmRejection.NoPage.ToAnswer();

        var project = path[Root.Length..^Method.Length];
        if (CheckCaller(request.Http.Headers.Authorization, project) is { } refused)
            return refused.ToAnswer();

        using var document = Parse(request);
        if (document is null)
            return FcmRejection
                .Malformed(new FcmViolation("", "Invalid JSON payload received. It is not JSON, or has a name twice."))
                .ToAnswer();

        try
        {
            return Judge(request, document.RootElement, project);
        }
        catch (InvalidOperationException)
        {
            return FcmRejection
                .Malformed(new FcmViolation("", "Invalid JSON payload received. It has a string that is no Unicode."))
                .ToAnswer();
        }
    }

    /// <inheritdoc/>
    protected override void WriteHeaders(HttpResponse response, ProviderAnswer answer)
    {
        response.ContentType = answer.Body.Span.StartsWith("<"u8) ? "text/html; charset=UTF-8" : "application/json; charset=UTF-8";
        if (answer.Status == StatusCodes.Status401Unauthorized)
            response.Headers.WWWAuthenticate = "Bearer realm=\"https://accounts.google.com/\", error=\"invalid_token\"";
    }

    private FcmRejection? CheckCaller(string? authorization, string project) =>
        tokens.Find(authorization) switch
        {
            null => FcmRejection.Unauthenticated,
            { MaySend: false } => FcmRejection.InsufficientScope,
            _ => project == keys.Fcm.ProjectId ? null : FcmRejection.NoPermission(project),
        };

    private ProviderAnswer Judge(ProviderRequest request, JsonElement body, string project)
    {
        if (FcmSchema.Faults(body) is { Count: > 0 } faults)
            return FcmRejection.Malformed([.. faults]).ToAnswer();

        var message = FcmSchema.Find(body, "message");
        var tag = FcmSchema.Find(FcmSchema.Find(FcmSchema.Find(message, "android"), "notification"), "tag")?.GetString();
        var token = FcmSchema.Find(message, "token")?.GetString();
        if ((FcmRules.Check(body) ?? magic.Check(token, tag)) is { } rejection)
            return rejection.ToAnswer();
        if (request.Fault is { } fault)
            return FcmRejection.ForStatus(fault.Status).ToAnswer() with { RetryAfterSeconds = fault.RetryAfterSeconds };

        var isTest = FcmSchema.Find(body, "validateOnly") is { ValueKind: JsonValueKind.True };
        var id = isTest
            ? "fake_message_id"
            : $"0:{request.ReceivedAt.ToUnixTimeMilliseconds()}%{RandomNumberGenerator.GetHexString(16, lowercase: true)}";
        var name = $"projects/{project}/messages/{id}";
        var fate = isTest ? null : FcmMagicTokens.FateOf(token);
        return new ProviderAnswer
        {
            Status = fate == Fate.Unknown ? 0 : StatusCodes.Status200OK,
            Delay = fate == Fate.Slow ? Fates.SlowAnswer : TimeSpan.Zero,
            Outcome = isTest ? "validated" : ProviderAnswer.Accepted,
            MessageId = name,
            Body = JsonSerializer.SerializeToUtf8Bytes(new { name }),
        };
    }

    private static JsonDocument? Parse(ProviderRequest request)
    {
        if (request.Http.ContentType?.StartsWith("application/json", StringComparison.OrdinalIgnoreCase) != true)
            return null;

        try
        {
            return JsonDocument.Parse(request.Body.ToArray(), Strict);
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
