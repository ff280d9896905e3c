namespace Notify.Api.Access;

using Notify.Domain.Clients;

/// <summary>That an endpoint is open to client tokens that allow this.</summary>
/// <param name="Grant">One of <see cref="TokenGrants"/>.</param>
public sealed record TokenNote(string Grant);

/// <summary>The permissions of a client token, named as in the HTTP contract.</summary>
public static class TokenGrants
{
    public const string Devices = "devices";
    public const string Preferences = "preferences";
    public const string History = "history";
    public const string Ack = "ack";

    /// <summary>To send to oneself: <c>send:</c> and the category.</summary>
    public const string Send = "send:{category}";

    /// <summary>The prefix of a category.</summary>
    public const string SendPrefix = "send:";

    public const string Rule = "must be devices, preferences, history, ack, or send: and a category";

    /// <summary>Whether a text is a permission of a token.</summary>
    public static bool IsGrant(string text) =>
        text is Devices or Preferences or History or Ack
        || (text.StartsWith(SendPrefix, StringComparison.Ordinal) && Contract.Identifiers.IsKey(text[SendPrefix.Length..]));
}

/// <summary>The claims of a client token: client, user and permissions. None of it is stored.</summary>
/// <param name="Mode">The client's, when the token was made.</param>
/// <param name="Allow">As <see cref="TokenGrants"/> names it.</param>
/// <param name="UserRef">The user; their ID is not in the token, which anybody can read who sees it.</param>
public sealed record ClientToken(string ClientId, ClientMode Mode, string UserRef, IReadOnlyList<string> Allow)
{
    /// <summary>When it was made, in whole seconds.</summary>
    public DateTimeOffset MadeAt { get; init; }

    /// <summary>The secret by which its client asked for it; <c>null</c> in tokens of an earlier version.</summary>
    public string? SecretId { get; init; }

    /// <summary>How the event IDs of apps begin, so that none can take an ID that its service is going to use.</summary>
    public const string EventIdPrefix = "app:";

    /// <summary>Whether it allows something; to send: in any category.</summary>
    public bool Allows(string grant) =>
        grant == TokenGrants.Send ? Allow.Any(a => a.StartsWith(TokenGrants.SendPrefix, StringComparison.Ordinal)) : Allow.Contains(grant);
}
