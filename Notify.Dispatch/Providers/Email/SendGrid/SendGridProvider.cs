namespace Notify.Dispatch.Providers.Email.SendGrid;

using System.Net;
using System.Net.Http.Headers;
using System.Text;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Infrastructure.Hosting;

/// <summary>Email over SendGrid's Mail Send.</summary>
/// <remarks>
/// It has no idempotency key and cannot be asked for its messages: an unclear call stays unknown until its deadline, and nothing
/// is repeated. The calls are made here and not by the SDK's client, to distinguish unsent messages from those that may have arrived.
/// Mails with the same text are sent together, tracked links aside. SendGrid accepts or rejects a request as a whole: recipients that a
/// rejection names are removed, and the others are sent again, which is no repeat.
/// </remarks>
public sealed class SendGridProvider : IDeliveryProvider, ISendsMany, IDisposable
{
    private const string Path = "/v3/mail/send";

    private readonly SendGridOptions options;
    private readonly EmailSender from;
    private readonly HttpClient client;
    private readonly TimeProvider clock;
    private readonly SemaphoreSlim slots;

    /// <summary>Opens no connection yet.</summary>
    public SendGridProvider(SendGridOptions options, EmailSender from, TimeProvider clock)
    {
        (this.options, this.from, this.clock, slots) = (options, from, clock, new SemaphoreSlim(options.Concurrency));
        client = ProviderCall.CreateClient(options.BaseUrl, options.Timeout, connectTimeout: options.ConnectTimeout);
        client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", options.ApiKey);
        client.DefaultRequestHeaders.Accept.Add(new MediaTypeWithQualityHeaderValue("application/json"));
    }

    /// <summary>Made from its settings.</summary>
    public static IDeliveryProvider? Create(IConfigurationSection settings, TimeProvider clock, ICollection<string> faults)
    {
        var before = faults.Count;
        var options = settings.Read<SendGridOptions>(faults);
        var from = options.LoadSender(settings.Path, faults);
        return faults.Count == before ? new SendGridProvider(options, from!, clock) : null;
    }

    /// <inheritdoc />
    public string Name => "sendgrid";

    /// <inheritdoc />
    public Lane Lane => Lane.Email;

    /// <inheritdoc />
    public int Concurrency => options.Concurrency;

    /// <inheritdoc />
    public int InFlight => Math.Max(options.Concurrency, options.MaxRecipients);

    /// <inheritdoc />
    public int MostTogether => options.MaxRecipients;

    /// <inheritdoc />
    public TimeSpan TotalTimeout => ProviderCall.TotalTimeout(options.TotalTimeout, options.Timeout);

    /// <inheritdoc />
    public void Dispose()
    {
        client.Dispose();
        slots.Dispose();
    }

    /// <inheritdoc />
    public object? SharedBy(OutboundMessage message) => SendGridMail.SharedBy(message);

    /// <inheritdoc />
    public async Task<AttemptOutcome> SendAsync(OutboundMessage message, CancellationToken cancellation) =>
        (await SendManyAsync([message], cancellation))[0];

    /// <inheritdoc />
    public async Task<IReadOnlyList<AttemptOutcome>> SendManyAsync(IReadOnlyList<OutboundMessage> messages, CancellationToken cancellation)
    {
        var outcomes = new AttemptOutcome[messages.Count];
        var mails = new List<(int At, AddressedMail Mail)>(messages.Count);
        for (var i = 0; i < messages.Count; i++)
        {
            var (address, fault) = EmailAddresses.ForApi(messages[i].Address);
            if (address is null)
                outcomes[i] = new AttemptOutcome.Rejected(Reasons.BadAddress, fault);
            else if (EmailSubject.InApi(messages[i].Content) is not { } subject)
                outcomes[i] = new AttemptOutcome.Rejected(Reasons.NoContent, "subject");
            else
                mails.Add((i, new AddressedMail(messages[i], address, subject)));
        }

        var waiting = new Stack<List<(int At, AddressedMail Mail)>>();
        if (mails.Count > 0)
            waiting.Push(mails);
        while (waiting.TryPop(out var together))
        {
            var (outcome, fields) = await CallAsync([.. together.Select(m => m.Mail)], messages[0].Priority, cancellation);
            var (ended, others) =
                SendGridStatus.Refused(fields, together.Count) is { Count: > 0 } named && outcome is AttemptOutcome.Rejected
                    ? (together.Where((_, i) => named.Contains(i)).ToList(), together.Where((_, i) => !named.Contains(i)).ToList())
                    : (together, []);
            if (ended.Count > 1 && others.Count == 0 && SendGridStatus.MayConcernOne(outcome) && !SendGridStatus.ConcernsAll(fields))
            {
                // SendGrid did not name the rejected recipient or field: one mail must not block the others.
                waiting.Push(ended[(ended.Count / 2)..]);
                waiting.Push(ended[..(ended.Count / 2)]);
                continue;
            }

            foreach (var (at, _) in ended)
                outcomes[at] = outcome;
            if (others.Count > 0)
                waiting.Push(others);
        }

        return outcomes;
    }

    private async Task<(AttemptOutcome Outcome, IReadOnlyList<string> Fields)> CallAsync(
        IReadOnlyList<AddressedMail> mails,
        Priority priority,
        CancellationToken cancellation
    )
    {
        if (cancellation.IsCancellationRequested)
            return (new AttemptOutcome.Retry(Reasons.TimedOut, ProviderCall.NoCallFree, IsCall: false), []);
        var body = Encoding.UTF8.GetBytes(SendGridMail.OfMany(mails, from, options.Tracking).Serialize());
        if (body.Length > SendGridMail.MaxBytes)
            return (new AttemptOutcome.Rejected(Reasons.TooLarge, "413"), []);
        var waits = priority != Priority.Critical; // their number is the gate's matter, and they wait for nobody's
        if (waits && !await TakeSlotAsync(cancellation))
            return (new AttemptOutcome.Retry(Reasons.TimedOut, ProviderCall.NoCallFree, IsCall: false), []);
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, Path)
            {
                Version = HttpVersion.Version11,
                Content = new ByteArrayContent(body) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } },
            };
            // A refusal may name each of a thousand recipients. A yes is in the headers, whatever becomes of the rest.
            var (response, outcome) = await ProviderCall.SendAsync(
                client,
                request,
                cancellation,
                maxAnswer: 1024 * 1024,
                readsBody: r => !r.IsSuccessStatusCode
            );
            if (response is null)
                return (outcome!, []);
            using (response)
            {
                var messageId = response.Headers.TryGetValues("X-Message-Id", out var ids) ? ids.FirstOrDefault() : null;
                var answer = response.IsSuccessStatusCode ? [] : await response.Content.ReadAsByteArrayAsync(cancellation);
                var fields = SendGridStatus.Read(answer);
                var retryAfter = SendGridStatus.RetryAfter(response.StatusCode, response.Headers, clock.GetUtcNow());
                return (
                    SendGridStatus.Outcome(response.StatusCode, fields, messageId, retryAfter, SendGridStatus.IsDocument(answer)),
                    fields
                );
            }
        }
        finally
        {
            if (waits)
                slots.Release();
        }
    }

    // More deliveries than calls may be in flight; those with a text of their own wait here for a call. False: too long.
    private async Task<bool> TakeSlotAsync(CancellationToken cancellation)
    {
        try
        {
            await slots.WaitAsync(cancellation);
            return true;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }
}
