namespace Notify.Sandbox.Twilio;

using System.Security.Cryptography;
using System.Text;
using Notify.Sandbox.Keys;
using Notify.Sandbox.Knobs;
using Notify.Sandbox.Ledger;
using Notify.Sandbox.Magic;
using Notify.Sandbox.Providers;
using Notify.Sandbox.Receipts;

/// <summary>Plays Twilio's Messages resource (API 2010-04-01): create, list and fetch.</summary>
public sealed class TwilioServer(
    TwilioDialect dialect,
    TwilioRules rules,
    SentMessages<TwilioMessage> messages,
    TwilioReceipts receipts,
    SandboxKeys keys,
    RequestLedger ledger,
    KnobBoard board,
    TimeProvider time
) : ProviderServer(dialect, ledger, board, time)
{
    internal const string Root = "/2010-04-01/";

    private readonly string _accountSid = keys.Identity.TwilioAccountSid;
    private readonly string _accountPath = $"{Root}Accounts/{keys.Identity.TwilioAccountSid}/";
    private readonly string _credentials = Convert.ToBase64String(
        Encoding.UTF8.GetBytes($"{keys.Identity.TwilioAccountSid}:{keys.Identity.TwilioAuthToken}")
    );

    /// <inheritdoc/>
    protected override ProviderAnswer Answer(ProviderRequest request)
    {
        var http = request.Http;
        if (!IsAuthenticated(http.Headers.Authorization))
            return TwilioError.Unauthenticated.ToAnswer();

        var path = http.Path.Value ?? "";
        var resource = path.StartsWith(_accountPath, StringComparison.Ordinal) ? path[_accountPath.Length..] : "";
        return (http.Method, resource) switch
        {
            ("POST", "Messages.json") => Create(request),
            ("GET", "Messages.json") => List(request, path),
            (_, "Messages.json") => TwilioError.MethodNotAllowed.ToAnswer(),
            ("GET", _) when MessageSid(resource) is { } sid => Fetch(request, sid, path),
            (_, _) when MessageSid(resource) is not null => TwilioError.MethodNotAllowed.ToAnswer(),
            _ => TwilioError.NotFound(path).ToAnswer(),
        };
    }

    /// <summary>Only what is posted; a question sends nothing.</summary>
    protected override bool IsSend(HttpRequest request) => HttpMethods.IsPost(request.Method);

    /// <inheritdoc/>
    protected override void WriteHeaders(HttpResponse response, ProviderAnswer answer)
    {
        if (answer.Status == StatusCodes.Status401Unauthorized)
            response.Headers.WWWAuthenticate = "Basic realm=\"Twilio API\"";
    }

    private ProviderAnswer Create(ProviderRequest request)
    {
        if (!IsForm(request.Http.ContentType))
            return TwilioError.UnsupportedMediaType.ToAnswer();

        var form = TwilioForm.Parse(request.Body);
        if (rules.Check(form) is { } error)
            return error.ToAnswer();
        if (request.Fault is { } fault)
            return Fail(fault);
        if (form.To == TwilioRules.DroppedNumber)
            return new ProviderAnswer { Outcome = "aborted" };

        var fate = MagicNumbers.FateOf(form.To!);
        if (fate == Fate.Failed)
            return TwilioError.Unreachable(form.To!, form.From).ToAnswer();

        var message = new TwilioMessage(NewSid(form), _accountSid, form, request.ReceivedAt);
        messages.Add(message);
        var answer = new ProviderAnswer
        {
            Status = form.To == TwilioRules.UnansweredNumber || fate == Fate.Unknown ? 0 : StatusCodes.Status201Created,
            Delay = fate == Fate.Slow ? Fates.SlowAnswer : TimeSpan.Zero,
            Outcome = ProviderAnswer.Accepted,
            MessageId = message.Sid,
            Body = TwilioJson.Write(message.ToResource()),
        };

        if (Journeys.KnobFor(request.Receipts, fate) is { } knob)
            return answer with { Afterwards = () => receipts.Begin(message, form.StatusCallback, knob, fate) };

        message.Advance("sent", request.ReceivedAt);
        return answer;
    }

    private ProviderAnswer List(ProviderRequest request, string path)
    {
        var (query, bad) = TwilioListQuery.Parse(request.Http.Query);
        if (query is null)
            return TwilioError.BadQuery(bad ?? "").ToAnswer();

        return request.Fault is { } fault ? Fail(fault) : Found(query.Read(messages, path));
    }

    private ProviderAnswer Fetch(ProviderRequest request, string sid, string path)
    {
        if (messages.Find(sid) is not { } message)
            return TwilioError.NotFound(path).ToAnswer();

        return request.Fault is { } fault ? Fail(fault) : Found(message.ToResource());
    }

    private static ProviderAnswer Found(object resource) =>
        new()
        {
            Status = StatusCodes.Status200OK,
            Outcome = ProviderAnswer.Accepted,
            Body = TwilioJson.Write(resource),
        };

    private static ProviderAnswer Fail(ProviderFault fault) =>
        TwilioError.ForStatus(fault.Status).ToAnswer() with
        {
            RetryAfterSeconds = fault.RetryAfterSeconds,
        };

    private bool IsAuthenticated(string? authorization) =>
        authorization is not null
        && authorization.StartsWith("Basic ", StringComparison.OrdinalIgnoreCase)
        && authorization.AsSpan("Basic ".Length).Trim().SequenceEqual(_credentials);

    private static bool IsForm(string? contentType) =>
        contentType is not null && contentType.StartsWith("application/x-www-form-urlencoded", StringComparison.OrdinalIgnoreCase);

    private static string? MessageSid(string resource) =>
        resource.StartsWith("Messages/", StringComparison.Ordinal) && resource.EndsWith(".json", StringComparison.Ordinal)
            ? resource["Messages/".Length..^".json".Length]
            : null;

    private static string NewSid(TwilioForm form) =>
        (form.NumMedia > 0 ? "MM" : "SM") + RandomNumberGenerator.GetHexString(32, lowercase: true);
}
