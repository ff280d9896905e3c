namespace Notify.Sandbox.Twilio;

using Notify.Sandbox.Sms;

/// <summary>How far a message has come.</summary>
public sealed record TwilioProgress(string Status, DateTimeOffset UpdatedAt, DateTimeOffset? SentAt, int? ErrorCode)
{
    /// <summary>Whether nothing comes after this.</summary>
    public bool IsFinal => Status is "delivered" or "undelivered" or "failed";
}

/// <summary>A message that Twilio has accepted.</summary>
public sealed class TwilioMessage(string sid, string accountSid, TwilioForm form, DateTimeOffset createdAt)
{
    private volatile TwilioProgress _progress = new("queued", createdAt, null, null);

    /// <summary><c>SM</c> (with media <c>MM</c>) and 32 hex digits.</summary>
    public string Sid { get; } = sid;

    /// <summary>Whose message it is.</summary>
    public string AccountSid { get; } = accountSid;

    /// <summary>The recipient, E.164.</summary>
    public string To { get; } = form.To ?? "";

    /// <summary>The sender; null when a messaging service is to choose one.</summary>
    public string? From { get; } = form.From;

    /// <summary>The messaging service, if one was named.</summary>
    public string? MessagingServiceSid { get; } = form.MessagingServiceSid;

    /// <summary>The text; empty for media or a template alone.</summary>
    public string Body { get; } = form.Body ?? "";

    /// <summary>How many media it carries.</summary>
    public int NumMedia { get; } = form.NumMedia;

    /// <summary>When it was accepted.</summary>
    public DateTimeOffset CreatedAt { get; } = createdAt;

    /// <summary>How far it has come.</summary>
    public TwilioProgress Progress => _progress;

    /// <summary>Moves on; a message that has come to its end stays there.</summary>
    public void Advance(string status, DateTimeOffset at, int? errorCode = null)
    {
        var before = _progress;
        if (!before.IsFinal)
            _progress = new TwilioProgress(status, at, before.SentAt ?? (status == "queued" ? null : at), errorCode);
    }

    /// <summary>The resource's path, which is its URI relative to the API.</summary>
    public string Uri => $"/2010-04-01/Accounts/{AccountSid}/Messages/{Sid}.json";

    /// <summary>The resource as Twilio shows it (<c>api.v2010.account.message</c>).</summary>
    public object ToResource()
    {
        var progress = _progress;
        return new
        {
            AccountSid,
            ApiVersion = "2010-04-01",
            Body,
            DateCreated = TwilioJson.Time(CreatedAt),
            DateSent = progress.SentAt is { } sentAt ? TwilioJson.Time(sentAt) : null,
            DateUpdated = TwilioJson.Time(progress.UpdatedAt),
            Direction = "outbound-api",
            progress.ErrorCode,
            ErrorMessage = progress.ErrorCode is null ? null : "Message was not delivered",
            From,
            NumMedia = Text(NumMedia),
            NumSegments = Text(SmsSegments.Count(Body)),
            Price = (string?)null,
            PriceUnit = (string?)null,
            MessagingServiceSid,
            Sid,
            progress.Status,
            SubresourceUris = new { Media = $"/2010-04-01/Accounts/{AccountSid}/Messages/{Sid}/Media.json" },
            To,
            Uri,
        };
    }

    private static string Text(int number) => number.ToString(System.Globalization.CultureInfo.InvariantCulture);
}
