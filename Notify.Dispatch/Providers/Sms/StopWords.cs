namespace Notify.Dispatch.Providers.Sms;

using Notify.Domain.Content;
using Notify.Domain.Notifications;

/// <summary>Reads opt-outs and opt-ins in replies to an SMS. The reply must be the word alone: «please don't stop» is no STOP.</summary>
/// <remarks>CTIA, Messaging principles and best practices; Twilio: Support for opt-out keywords; the carriers' words in other
/// languages.</remarks>
public static class StopWords
{
    private static readonly HashSet<string> Stop = new(StringComparer.OrdinalIgnoreCase)
    {
        "STOP",
        "STOPALL",
        "UNSUBSCRIBE",
        "CANCEL",
        "END",
        "QUIT",
        "REVOKE",
        "OPTOUT",
        "ARRET",
        "ARRÊT",
        "ALTO",
        "BAJA",
        "PARAR",
        "SAIR",
        "STOPP",
        "TD",
        "수신거부",
        "거부",
        "退订",
        "退訂",
        "停止",
        "配信停止",
    };

    private static readonly HashSet<string> Start = new(StringComparer.OrdinalIgnoreCase) { "START", "UNSTOP" };

    /// <summary>The reason to suppress the number for, or the one to lift it for; both <c>null</c> where the reply asks for
    /// neither.</summary>
    /// <param name="isYesStart">Whether <c>YES</c> means <c>START</c>, as at Twilio, which sends again to a number that wrote it.</param>
    /// <param name="optOutType">The provider's own reading, where it reports one: <c>STOP</c>, <c>START</c> or <c>HELP</c>.</param>
    public static (string? Suppress, string? Lift) Read(string? text, string? optOutType = null, bool isYesStart = false)
    {
        // «Stop.», «STOP ALL» and «opt-out» count too.
        var word = string.Concat(DomainNames.Composed(text ?? "").Where(char.IsLetter));
        var isOneOrTwo = (text ?? "").Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Length <= 2;
        if (optOutType == "STOP" || (isOneOrTwo && Stop.Contains(word)))
            return (Reasons.OptedOutByReply, null);
        return
            optOutType == "START"
            || (isOneOrTwo && (Start.Contains(word) || (isYesStart && word.Equals("YES", StringComparison.OrdinalIgnoreCase))))
            ? (null, Reasons.OptedOutByReply)
            : (null, null);
    }
}
