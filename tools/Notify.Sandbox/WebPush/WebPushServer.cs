namespace Notify.Sandbox.WebPush;

using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using Notify.Sandbox.Knobs;
using Notify.Sandbox.Ledger;
using Notify.Sandbox.Magic;
using Notify.Sandbox.Providers;

/// <summary>Plays a browser vendor's push service, and the browser behind it: <c>POST /push/{subscription}</c>.</summary>
public sealed class WebPushServer(
    WebPushDialect dialect,
    Subscriptions subscriptions,
    VapidTokens tokens,
    RequestLedger ledger,
    KnobBoard board,
    TimeProvider time
) : ProviderServer(dialect, ledger, board, time)
{
    /// <inheritdoc/>
    protected override ProviderAnswer Answer(ProviderRequest request)
    {
        var subscription = Find(request.Http);
        if (Judge(request, subscription) is { } rejection)
            return Reject(rejection);

        var (fate, isAnswerLost) = Subscriptions.Check(subscription!, request.Http.Headers["Topic"].ToString());
        if (fate is not null)
            return Reject(fate) with { RetryAfterSeconds = fate == WebPushRejection.TooManyRequests ? 1 : null };
        if (request.Fault is { } fault)
            return Reject(new WebPushRejection(fault.Status, "Fault")) with { RetryAfterSeconds = fault.RetryAfterSeconds };

        var location =
            $"{Origin(request.Http)}{WebPushDialect.Root}messages/{Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(16))}";
        return new ProviderAnswer
        {
            Status = isAnswerLost ? 0 : StatusCodes.Status201Created,
            Delay = Subscriptions.IsSlow(subscription!) ? Fates.SlowAnswer : TimeSpan.Zero,
            Outcome = ProviderAnswer.Accepted,
            MessageId = NameOf(location),
            Location = location,
        };
    }

    /// <summary>The message as the browser reads it.</summary>
    protected override byte[]? Open(HttpRequest request, ReadOnlySpan<byte> body) =>
        Find(request) is { } subscription ? PushDecryption.Open(body, subscription) : null;

    /// <summary>Returns a message's name in the ledger: its address permits deleting it, so the address's hash is used.</summary>
    internal static string NameOf(string location) =>
        Base64Url.EncodeToString(SHA256.HashData(Encoding.UTF8.GetBytes(location)).AsSpan(0, 16));

    internal static string Origin(HttpRequest request) => $"{request.Scheme}://{request.Host}";

    private Subscription? Find(HttpRequest request) =>
        request.Path.Value is { } path && path.StartsWith(WebPushDialect.Root, StringComparison.Ordinal)
            ? subscriptions.Find(path[WebPushDialect.Root.Length..])
            : null;

    private WebPushRejection? Judge(ProviderRequest request, Subscription? subscription)
    {
        var http = request.Http;
        if (subscription is null)
            return WebPushRejection.NotFound;
        if (!HttpMethods.IsPost(http.Method))
            return WebPushRejection.MethodNotAllowed;
        return tokens.Check(http.Headers.Authorization, Origin(http), subscription.ApplicationServerKey, request.ReceivedAt)
            ?? WebPushRules.Check(http.Headers, request.Body.Length)
            ?? (request.Body.Length > 0 && request.Opened is null ? WebPushRejection.Undecryptable : null);
    }

    private static ProviderAnswer Reject(WebPushRejection rejection) =>
        new()
        {
            Status = rejection.Status,
            Outcome = rejection.Reason,
            Body = rejection.Body,
            Location = rejection == WebPushRejection.Moved ? "/push/elsewhere" : null,
        };
}
