using System.Globalization;
using System.Security.Cryptography;
using Notify.Sandbox.Sms;

namespace Notify.Sandbox.Vonage;

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

    private DateTimeOffset ReceivedAt { get; }

    /// <summary>The parts of a request that is as it should be: one for each SMS that its text takes.</summary>
    public static IReadOnlyList<VonageMessage> PartsOf(VonageParameters given, DateTimeOffset receivedAt) =>
        [.. Enumerable.Range(0, SmsSegments.Count(given["text"]))
            .Select(_ => new VonageMessage(RandomNumberGenerator.GetHexString(16), given, receivedAt))];

    /// <summary>A message that was accepted before the server was started.</summary>
    public static VonageMessage Restored(string id, VonageParameters given, DateTimeOffset receivedAt) => new(id, given, receivedAt);

    /// <summary>Ends its way; what came first stays.</summary>
    public void End(string status, DateTimeOffset at) => _final = _final is [] ? [(status, at)] : _final;

    /// <summary>What the answer to the request says about it.</summary>
    public IReadOnlyDictionary<string, string> ToAnswer()
    {
        var part = new Dictionary<string, string>
        {
            ["to"] = To, ["message-id"] = Id, ["status"] = "0", ["remaining-balance"] = "3.14159265", ["message-price"] = Price, ["network"] = Network,
        };
        if (ClientRef is not null)
            part["client-ref"] = ClientRef;
        if (AccountRef is not null)
            part["account-ref"] = AccountRef;
        return part;
    }

    /// <summary>What the message search says about it.</summary>
    public IReadOnlyDictionary<string, string> ToItem()
    {
        var item = new Dictionary<string, string>
        {
            ["message-id"] = Id, ["account-id"] = ApiKey, ["network"] = Network, ["from"] = From, ["to"] = To, ["body"] = Text, ["price"] = Price,
            ["date-received"] = Time(ReceivedAt), ["type"] = "MT",
        };
        if (_final is [var (status, at)])
        {
            item["final-status"] = status;
            item["date-closed"] = Time(at);
            item["latency"] = ((int)(at - ReceivedAt).TotalMilliseconds).ToString(CultureInfo.InvariantCulture);
        }

        return item;
    }

    /// <summary>A delivery receipt, not signed yet.</summary>
    public Dictionary<string, string> ToReceipt(string status, string errorCode, DateTimeOffset now)
    {
        var receipt = new Dictionary<string, string>
        {
            ["msisdn"] = To, ["to"] = From, ["network-code"] = Network, ["messageId"] = Id, ["price"] = Price, ["status"] = status,
            ["scts"] = now.UtcDateTime.ToString("yyMMddHHmm", CultureInfo.InvariantCulture), ["err-code"] = errorCode, ["api-key"] = ApiKey,
            ["message-timestamp"] = now.UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ss.fffZ", CultureInfo.InvariantCulture),
        };
        if (ClientRef is not null)
            receipt["client-ref"] = ClientRef;
        return receipt;
    }

    /// <summary>Whether it came on this day, UTC.</summary>
    public bool CameOn(DateOnly day) => DateOnly.FromDateTime(ReceivedAt.UtcDateTime) == day;

    private static string Time(DateTimeOffset at) => at.UtcDateTime.ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture);
}
