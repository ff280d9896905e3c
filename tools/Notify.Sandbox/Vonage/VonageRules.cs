namespace Notify.Sandbox.Vonage;

using System.Buffers;
using System.Globalization;
using System.Text;
using Notify.Sandbox.Keys;
using Notify.Sandbox.Sms;

/// <summary>Rules for a request that Vonage accepts (SMS API 1.2).</summary>
public sealed class VonageRules(SandboxIdentity account)
{
    private const int MaximumText = 3_200;
    private const int MaximumCallback = 100;
    private const int MaximumReference = 100;
    private static readonly TimeSpan SignatureAge = TimeSpan.FromMinutes(5);
    private static readonly SearchValues<char> Digits = SearchValues.Create("0123456789");

    /// <summary>Why the message is refused; null when it is not.</summary>
    public VonageError? Check(VonageParameters given, DateTimeOffset now) =>
        CheckCaller(given, now) ?? CheckEnds(given) ?? CheckContent(given) ?? CheckOptions(given);

    /// <summary>Whether a question is the account's own: Basic, with key and secret.</summary>
    public bool IsAccount(string? authorization) =>
        authorization == $"Basic {Convert.ToBase64String(Encoding.UTF8.GetBytes($"{account.VonageApiKey}:{account.VonageApiSecret}"))}";

    private bool IsAccount(VonageParameters given) =>
        given["api_key"] == account.VonageApiKey && given["api_secret"] == account.VonageApiSecret;

    private VonageError? CheckCaller(VonageParameters given, DateTimeOffset now)
    {
        if (given["api_key"] is null)
            return VonageError.Missing("api_key");
        if (given["sig"] is { } signature)
            return given["api_secret"] is not null ? VonageError.SignedWithSecret
                : given["api_key"] != account.VonageApiKey ? VonageError.BadCredentials
                : IsSigned(given, signature, now) ? null
                : VonageError.BadSignature;
        return given["api_secret"] is null ? VonageError.Missing("api_secret")
            : IsAccount(given) ? null
            : VonageError.BadCredentials;
    }

    private bool IsSigned(VonageParameters given, string signature, DateTimeOffset now) =>
        long.TryParse(given["timestamp"], NumberStyles.None, CultureInfo.InvariantCulture, out var seconds)
        && Math.Abs(now.ToUnixTimeSeconds() - seconds) <= SignatureAge.TotalSeconds
        && VonageSignature
            .Of(given.All, account.VonageSignatureSecret, account.VonageSignatureMethod)
            .Equals(signature, StringComparison.OrdinalIgnoreCase);

    private VonageError? CheckEnds(VonageParameters given)
    {
        if (given["to"] is not { } to)
            return VonageError.Missing("to");
        if (given["from"] is not { } from)
            return VonageError.Missing("from");
        if (to.Length is < 7 or > 15 || to.AsSpan().ContainsAnyExcept(Digits))
            return new VonageError("3", "to address is not numeric");
        return IsOwnSender(from) ? null : VonageError.BadSender;
    }

    /// <summary>The account's number, or a name of up to 11 letters and digits, in which spaces do not count.</summary>
    private bool IsOwnSender(string from)
    {
        var name = from.Replace(" ", "", StringComparison.Ordinal);
        return name == account.VonageFrom
            || (name.Length is > 0 and <= 11 && name.All(char.IsAsciiLetterOrDigit) && name.AsSpan().ContainsAnyExcept(Digits));
    }

    private static VonageError? CheckContent(VonageParameters given)
    {
        switch (given["type"] ?? "text")
        {
            case "binary":
                return given["body"] is not { } body ? VonageError.Missing("body")
                    : given["udh"] is not { } header ? VonageError.Missing("udh")
                    : !IsHex(body) ? VonageError.Invalid("body")
                    : IsHex(header) ? null
                    : VonageError.Invalid("udh");
            case "text" or "unicode" when given["text"] is null:
                return VonageError.Missing("text");
            case "text" or "unicode" when given["text"]!.Length > MaximumText:
                return VonageError.TooLong;
            // Vonage would garble it; a sandbox had better say so.
            case "text" when !SmsSegments.IsBasic(given["text"]!):
                return VonageError.Invalid("type");
            case "text" or "unicode":
                return null;
            default:
                return VonageError.Invalid("type");
        }
    }

    private static VonageError? CheckOptions(VonageParameters given)
    {
        if (
            given["callback"] is { } callback
            && (
                callback.Length > MaximumCallback
                || !Uri.TryCreate(callback, UriKind.Absolute, out var url)
                || url.Scheme is not ("http" or "https")
            )
        )
            return VonageError.BadCallback;
        if (given["client-ref"] is { Length: > MaximumReference })
            return VonageError.Invalid("client-ref");
        if (given["status-report-req"] is not (null or "true" or "false" or "True" or "False" or "1" or "0"))
            return VonageError.Invalid("status-report-req");
        return CheckNumber(given, "ttl", 20_000, 604_800_000)
            ?? CheckNumber(given, "message-class", 0, 3)
            ?? CheckNumber(given, "protocol-id", 0, 255);
    }

    private static VonageError? CheckNumber(VonageParameters given, string name, int lowest, int highest) =>
        given[name] is not { } text
        || (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= lowest && number <= highest)
            ? null
            : VonageError.Invalid(name);

    private static bool IsHex(string text) => text.Length % 2 == 0 && text.All(char.IsAsciiHexDigit);
}
