namespace Notify.Sandbox.Vonage;

using System.Globalization;
using System.Security.Cryptography;
using Notify.Sandbox.Sms;

/// <summary>One part of a message that Vonage has accepted; each part has an ID and receipts of its own.</summary>
public sealed class VonageMessage
{
    private const string Price = "0.03330000";
    private const string Network = "310260";
    private volatile (string Status, DateTimeOffset At)[] _final = [];

    private VonageMessage(string id, VonageParameters given, DateTimeOffset receivedAt)
    {
        Id = id;
        (To, From, ApiKey, ReceivedAt) = (given["to"]!, given["from"]!, given["api_key"]!, receivedAt);
        (Text, ClientRef, AccountRef, Callback) = (given["text"] ?? "", given["client-ref"], given["account-ref"], given["callback"]);
        WantsReceipts = given["status-report-req"] is not ("false" or "False" or "0");
    }

    /// <summary>16 hex digits.</summary>
    public string Id { get; }

    /// <summary>The recipient, without a plus.</summary>
    public string To { get; }

    /// <summary>The sender.</summary>
    public string From { get; }

    /// <summary>Whose message it is.</summary>
    public string ApiKey { get; }

    /// <summary>The whole message's text.</summary>
    public string Text { get; }

    /// <summary>The caller's own reference.</summary>
    public string? ClientRef { get; }

    /// <summary>Where receipts go, in place of the account's webhook.</summary>
    public string? Callback { get; }

    /// <summary>Whether receipts are wanted at all.</summary>
    public bool WantsReceipts { get; }

    private string? AccountRef { get; }

    /// <summary>When it came.</summary>
    public DateTimeOffset ReceivedAt { get; }

    /// <summary>The parts of a request that is as it should be: one for each SMS that its text takes.</summary>
    public static IReadOnlyList<VonageMessage> PartsOf(VonageParameters given, DateTimeOffset receivedAt) =>
        [
            .. Enumerable
                .Range(0, SmsSegments.Count(given["text"]))
                .Select(_ => new VonageMessage(RandomNumberGenerator.GetHexString(16), given, receivedAt)),
        ];

    /// <summary>A message that was accepted before the server was started.</summary>
    public static VonageMessage Restored(string id, VonageParameters given, DateTimeOffset receivedAt) => new(id, given, receivedAt);

    /// <summary>Sets its end; the first end remains.</summary>
    public void End(string status, DateTimeOffset at) => _final = _final is [] ? [(status, at)] : _final;

    /// <summary>Returns its fields in the answer to the request.</summary>
    public IReadOnlyDictionary<string, string> ToAnswer()
    {
        var part = new Dictionary<string, string>
        {
            ["to"] = To,
            ["message-id"] = Id,
            ["status"] = "0",
            ["remaining-balance"] = "3.14159265",
            ["message-price"] = Price,
            ["network"] = Network,
        };
        if (ClientRef is not null)
            part["client-ref"] = ClientRef;
        if (AccountRef is not null)
            part["account-ref"] = AccountRef;
        return part;
    }

    /// <summary>Returns its record in the Reports API (2.2): the accepted SMS, and its end as far as known.</summary>
    public IReadOnlyDictionary<string, string> ToRecord(bool withText)
    {
        var record = new Dictionary<string, string>
        {
            ["account_id"] = ApiKey,
            ["message_id"] = Id,
            ["client_ref"] = ClientRef ?? "",
            ["direction"] = "outbound",
            ["from"] = From,
            ["to"] = To,
            ["network"] = Network,
            ["date_received"] = Time(ReceivedAt),
            ["status"] = "accepted",
            ["currency"] = "EUR",
            ["total_price"] = Price,
        };
        if (withText)
            record["message_body"] = Text;
        if (_final is [var (status, at)])
        {
            record["status"] = status;
            record["date_finalized"] = Time(at);
            record["latency"] = ((int)(at - ReceivedAt).TotalMilliseconds).ToString(CultureInfo.InvariantCulture);
        }

        return record;
    }

    /// <summary>A delivery receipt, not signed yet.</summary>
    public Dictionary<string, string> ToReceipt(string status, string errorCode, DateTimeOffset now)
    {
        var receipt = new Dictionary<string, string>
        {
            ["msisdn"] = To,
            ["to"] = From,
            ["network-code"] = Network,
            ["messageId"] = Id,
            ["price"] = Price,
            ["status"] = status,
            ["scts"] = now.UtcDateTime.ToString("yyMMddHHmm", CultureInfo.InvariantCulture),
            ["err-code"] = errorCode,
            ["api-key"] = ApiKey,
            ["message-timestamp"] = now.UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ss.fffZ", CultureInfo.InvariantCulture),
        };
        if (ClientRef is not null)
            receipt["client-ref"] = ClientRef;
        return receipt;
    }

    private static string Time(DateTimeOffset at) => at.UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ss'+0000'", CultureInfo.InvariantCulture);
}
