namespace Notify.Domain.Categories;

/// <summary>The treatment of an SMS or email with an unknown outcome at its deadline. The names are stored: permanently stable.</summary>
public enum UnknownOutcome
{
    /// <summary>The delivery fails and is not repeated. For messages that must not arrive twice.</summary>
    Hold,

    /// <summary>The message is sent once more, and may arrive twice. For messages that must arrive, such as one-time codes.</summary>
    Resend,
}

/// <summary>A kind of notification was given these rules, in place of those before; in the stream <c>k/{key}</c>.</summary>
/// <param name="Required">Whether it passes opt-outs; never a suppression.</param>
/// <param name="Defaults">By channel: whether people who said nothing are reached; a channel that is absent: yes.</param>
/// <param name="Caps">How many of them a person may get, at most one cap per channel and period; <c>null</c>: any number.</param>
/// <param name="Digest">How they are collected into one; <c>null</c>: each is sent by itself.</param>
/// <param name="Email">How its emails name their sender; <c>null</c>: as the provider's settings do.</param>
public sealed record CategoryDefined(
    string Key,
    bool Required,
    IReadOnlyDictionary<string, bool> Defaults,
    UnknownOutcome UnknownOutcome,
    string By,
    DateTimeOffset At,
    IReadOnlyList<Cap>? Caps = null,
    DigestRule? Digest = null,
    CategorySender? Email = null
);

/// <summary>How a category's emails name their sender; their address stays the provider's, by which mail is signed.</summary>
/// <param name="FromName">The name that mail programs show; <c>null</c>: that of the provider's settings.</param>
/// <param name="ReplyTo">The address that answers go to; <c>null</c>: the sender's.</param>
public sealed record CategorySender(string? FromName, string? ReplyTo);
