namespace Notify.Sandbox.Twilio;

using System.Text;
using Microsoft.AspNetCore.WebUtilities;

/// <summary>The parameters of <c>POST …/Messages.json</c> that the sandbox reads; null where not given.</summary>
public sealed record TwilioForm
{
    /// <summary>The recipient, E.164.</summary>
    public string? To { get; private set; }

    /// <summary>The sender: a number of the account's or an alphanumeric name.</summary>
    public string? From { get; private set; }

    /// <summary><c>MG</c> and 32 hex digits, instead of <see cref="From"/>.</summary>
    public string? MessagingServiceSid { get; private set; }

    /// <summary>The text.</summary>
    public string? Body { get; private set; }

    /// <summary>A content template, instead of <see cref="Body"/>.</summary>
    public string? ContentSid { get; private set; }

    /// <summary>Where receipts go.</summary>
    public string? StatusCallback { get; private set; }

    /// <summary>How many media URLs there are.</summary>
    public int NumMedia { get; private set; }

    /// <summary>Reads a form body; of a repeated parameter the last counts, and an empty one as not given.</summary>
    public static TwilioForm Parse(ReadOnlySpan<byte> body)
    {
        var form = new TwilioForm();
        foreach (var pair in new QueryStringEnumerable(Encoding.UTF8.GetString(body)))
        {
            var value = pair.DecodeValue().ToString();
            if (value.Length > 0)
                form.Set(pair.DecodeName().Span, value);
        }

        return form;
    }

    private void Set(ReadOnlySpan<char> name, string value)
    {
        switch (name)
        {
            case "To":
                To = value;
                break;
            case "From":
                From = value;
                break;
            case "MessagingServiceSid":
                MessagingServiceSid = value;
                break;
            case "Body":
                Body = value;
                break;
            case "ContentSid":
                ContentSid = value;
                break;
            case "StatusCallback":
                StatusCallback = value;
                break;
            case "MediaUrl":
                NumMedia++;
                break;
        }
    }
}
