namespace Notify.Domain.Recipients;

using Notify.Domain.Channels;
using Notify.Domain.Privacy;

// All events of a registered user, in the stream u/{userRef}. Addresses and tokens are encrypted.

/// <summary>A user's contact details, encrypted under the user's key.</summary>
/// <param name="Phone">E.164.</param>
/// <param name="Locale">BCP 47.</param>
/// <param name="TimeZone">IANA name.</param>
public sealed record ContactDetails(string? Email, string? Phone, string? Locale = null, string? TimeZone = null);

/// <summary>The user's contact details were set; the first such event registers the user.</summary>
/// <param name="HasEmail">Whether the encrypted details contain an email address.</param>
/// <param name="HasPhone">Whether they contain a phone number.</param>
/// <param name="PhoneFingerprint">Keyed hash of the number, to find out whether it is the same one again.</param>
public sealed record ContactDetailsGiven(
    Sealed Details,
    bool HasEmail,
    bool HasPhone,
    string? EmailFingerprint,
    string? PhoneFingerprint,
    string By,
    DateTimeOffset At
);

/// <summary>The user can be reached on this device.</summary>
/// <param name="DeviceId">Follows from the token, so that the same token is the same device.</param>
/// <param name="App">The app that the token belongs to; <c>null</c>: the device names none.</param>
public sealed record DeviceRegistered(
    string DeviceId,
    Platform Platform,
    Sealed Token,
    string By,
    DateTimeOffset At,
    DeviceApp? App = null
);

/// <summary>The user cannot be reached on this device any more.</summary>
/// <param name="Reason">One of <see cref="DeviceRemovalReasons"/>.</param>
public sealed record DeviceRemoved(string DeviceId, string Reason, string By, DateTimeOffset At);

/// <summary>Why a device was removed.</summary>
public static class DeviceRemovalReasons
{
    public const string ByRequest = "ByRequest";
    public const string MovedToAnotherUser = "MovedToAnotherUser";

    /// <summary>The same token was registered again in its usual spelling, under the ID that follows from that.</summary>
    public const string OtherSpelling = "OtherSpelling";

    /// <summary>The user had as many devices as are kept; this one was registered longest ago, and made room for another.</summary>
    public const string TooMany = "TooMany";

    /// <summary>The provider reported the token invalid after it was registered.</summary>
    public const string Unregistered = "Unregistered";
}

/// <summary>The user agreed to be reached on a channel, or about a category on it.</summary>
/// <param name="Category"><c>null</c>: the channel as a whole.</param>
/// <param name="By">A client, or <c>recipient</c>: the person themselves.</param>
/// <param name="Through">Where it was said: <c>api</c>, <c>app:{clientId}</c> (the app of a client, by a client token), a page.</param>
public sealed record OptedIn(Channel Channel, string? Category, string By, string Through, DateTimeOffset At);

/// <summary>The user does not want to be reached on a channel, or about a category on it.</summary>
public sealed record OptedOut(Channel Channel, string? Category, string By, string Through, DateTimeOffset At);

/// <summary>The user withdrew a preference for a channel or category: the defaults apply again.</summary>
public sealed record PreferenceWithdrawn(Channel Channel, string? Category, string By, string Through, DateTimeOffset At);

/// <summary>The user is not to be disturbed at these hours of the day, in their own time zone; in place of those before.</summary>
/// <param name="From">From this time on.</param>
/// <param name="To">Until this time, of the next day where it is not later.</param>
/// <param name="Through">Where it was said.</param>
public sealed record QuietHoursSet(TimeOnly From, TimeOnly To, string By, string Through, DateTimeOffset At);

/// <summary>The user may be disturbed at any hour again.</summary>
public sealed record QuietHoursWithdrawn(string By, string Through, DateTimeOffset At);

/// <summary>The user's key was erased; data encrypted under it can never be read again.</summary>
public sealed record UserErased(string By, DateTimeOffset At);
