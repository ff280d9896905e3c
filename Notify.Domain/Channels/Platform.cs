namespace Notify.Domain.Channels;

// All events of a registered user, in the stream u/{userRef}. Addresses and tokens are encrypted.

/// <summary>A device's platform; it decides which provider carries a push.</summary>
public enum Platform
{
    Ios,
    Android,
    Web,
}
