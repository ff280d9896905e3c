namespace Notify.Dispatch.Providers.Fcm;

using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography.X509Certificates;
using Google.Apis.Auth.OAuth2;
using Google.Apis.Auth.OAuth2.Responses;
using Google.Apis.Http;
using Google.Apis.Util;
using Notify.Domain.Notifications;

/// <summary>
/// The access token that FCM wants, got with the service account's signature, shared by all calls and renewed some minutes
/// before it ends, while calls go on with the old one. However many calls need a new one, it is asked for once.
/// </summary>
/// <remarks>Google: Using OAuth 2.0 for server to server applications.</remarks>
public sealed class FcmToken : IDisposable
{
    /// <summary>The scope of the token: sending messages only.</summary>
    public const string Scope = "https://www.googleapis.com/auth/firebase.messaging";

    private readonly Lock gate = new();
    private readonly HttpMessageHandler handler;
    private readonly ServiceAccountCredential credential;
    private readonly TimeSpan timeout;
    private AuthenticationHeaderValue? header;

    /// <summary>Asks for no token yet.</summary>
    /// <param name="timeout">How long a call waits for a token.</param>
    /// <param name="trustedCa">A certificate to trust besides the system's.</param>
    public FcmToken(FcmAccount account, TimeSpan timeout, TimeProvider clock, X509Certificate2? trustedCa = null)
    {
        (this.timeout, handler) = (timeout, ProviderCall.CreateHandler(trustedCa));
        credential = new ServiceAccountCredential(
            new ServiceAccountCredential.Initializer(account.Email, account.TokenUri.AbsoluteUri)
            {
                Scopes = [Scope],
                Key = account.Key,
                KeyId = account.KeyId,
                Clock = new Clock(clock),
                HttpClientFactory = new HttpClientFromMessageHandlerFactory(_ =>
                    new(handler, performsAutomaticDecompression: false, handlesRedirect: false)
                ),
                DefaultExponentialBackOffPolicy = ExponentialBackOffPolicy.None, // deliveries have a back-off of their own
            }
        );
        credential.HttpClient.Timeout = timeout;
        credential.HttpClient.MaxResponseContentBufferSize = ProviderCall.MaxAnswer;
    }

    /// <summary>Returns the <c>Authorization</c> header; without a token, the outcome for a delivery, which is not sent then.</summary>
    public async ValueTask<(AuthenticationHeaderValue? Header, AttemptOutcome? Outcome)> HeaderAsync(CancellationToken cancellation)
    {
        try
        {
            var asked = credential.GetAccessTokenForRequestAsync(cancellationToken: cancellation);
            var token = asked.IsCompletedSuccessfully ? await asked : await asked.WaitAsync(timeout, cancellation);
            return string.IsNullOrEmpty(token)
                ? (null, new AttemptOutcome.Retry(Reasons.Retry, "no access_token"))
                : (HeaderOf(token), null);
        }
        catch (TokenResponseException e)
        {
            return (null, Outcome(e.StatusCode, e.Error?.Error));
        }
        catch (HttpRequestException e)
        {
            return (null, new AttemptOutcome.Retry(Reasons.ConnectionLost, e.HttpRequestError.ToString()));
        }
        catch (Exception e) when (e is TimeoutException or OperationCanceledException)
        {
            return (null, new AttemptOutcome.Retry(cancellation.IsCancellationRequested ? Reasons.HostLost : Reasons.TimedOut, null));
        }
#pragma warning disable CA1031 // What the library makes of a senseless answer: whatever it is, nothing has been sent.
        catch (Exception e)
#pragma warning restore CA1031
        {
            return (null, new AttemptOutcome.Retry(Reasons.Retry, e.GetType().Name));
        }
    }

    /// <summary>Gives a token up that FCM calls wrong; only if nobody has since. The next call gets a new one.</summary>
    public void Discard(AuthenticationHeaderValue wrong)
    {
        lock (gate)
        {
            if (credential.Token?.AccessToken == wrong.Parameter)
                credential.Token = null;
        }
    }

    /// <inheritdoc />
    public void Dispose()
    {
        credential.HttpClient.Dispose();
        handler.Dispose();
    }

    /// <summary>Maps a rejection of the token endpoint to an outcome: its own failures are transient, a rejected account is not.</summary>
    /// <param name="error">The answer's <c>error</c> (RFC 6749, 5.2).</param>
    public static AttemptOutcome Outcome(HttpStatusCode? status, string? error)
    {
        var number = (int)(status ?? 0);
        var code =
            error is { Length: > 0 and <= 40 } && error.All(c => char.IsAsciiLetterOrDigit(c) || c == '_')
                ? error
                : number.ToString(CultureInfo.InvariantCulture);
        return number is >= 400 and < 500 and not (408 or 429)
            ? new AttemptOutcome.Halted(code)
            : new AttemptOutcome.Retry(Reasons.Retry, code);
    }

    private AuthenticationHeaderValue HeaderOf(string token)
    {
        var current = header;
        return ReferenceEquals(current?.Parameter, token) ? current! : header = new AuthenticationHeaderValue("Bearer", token);
    }

    private sealed class Clock(TimeProvider clock) : IClock
    {
        [Obsolete("Asked for by the interface; nothing uses it.")]
        public DateTime Now => clock.GetLocalNow().DateTime;

        public DateTime UtcNow => clock.GetUtcNow().UtcDateTime;
    }
}
