namespace Notify.Api.Notifications;

using Notify.Api.Access;

/// <summary>Rules for requests of apps, which send with a client token.</summary>
public static class AppRequests
{
    /// <summary>Checks that the app may send a request: an app sends to its own user only, in permitted categories.</summary>
    /// <param name="userRef">The user of the request; <c>null</c>: a person who is not registered.</param>
    /// <returns>The fault and its fix; <c>null</c>: it may.</returns>
    public static string? HindranceToSend(this ClientToken token, RequestNotification request, string? userRef)
    {
        if (userRef != token.UserRef)
            return "With this client token an app may send to its own user only: give the userId that the token was "
                + "made for, and no other recipient.";
        if (!request.EventId!.StartsWith(ClientToken.EventIdPrefix, StringComparison.Ordinal))
            return $"With a client token an event ID begins with {ClientToken.EventIdPrefix}, so that it takes none of the service's own. "
                + "Put that before it.";
        if (request.Category is null)
            return "With a client token a request names its category. Name one that the token allows.";
        return token.Allow.Contains(TokenGrants.SendPrefix + request.Category)
            ? null
            : $"This client token lacks \"{TokenGrants.SendPrefix}{request.Category}\". Let your service make one that allows it.";
    }
}
