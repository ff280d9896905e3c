namespace Notify.Domain.Notifications;

/// <summary>Why a delivery was skipped, deferred or failed: the normalised vocabulary of events, API and metrics.</summary>
public static class Reasons
{
    /// <summary>No user has the ID that the notification names.</summary>
    public const string UnknownUser = "UnknownUser";

    /// <summary>The user was erased.</summary>
    public const string Erased = "Erased";

    /// <summary>There is no address, number or device for the channel.</summary>
    public const string NoContact = "NoContact";

    /// <summary>The person opted out of the channel, or of the category on it.</summary>
    public const string OptedOut = "OptedOut";

    /// <summary>The person has got as many notifications of the category on the channel as its caps allow.</summary>
    public const string CapExceeded = "CapExceeded";

    /// <summary>The address must not be used: it bounced, complained or replied STOP.</summary>
    public const string SuppressedAddress = "SuppressedAddress";

    /// <summary>No provider carries this kind of delivery here.</summary>
    public const string NoProvider = "NoProvider";

    /// <summary>The device's app is none that the provider has settings for here; it is sent nothing by another app's.</summary>
    public const string AppNotConfigured = "AppNotConfigured";

    /// <summary>No call was made: the provider did not answer for the device's app lately, and others must not wait for it.</summary>
    public const string AppPaused = "AppPaused";

    /// <summary>The content has nothing that this channel can show.</summary>
    public const string NoContent = "NoContent";

    /// <summary>The template cannot be rendered with the request's parameters.</summary>
    public const string TemplateFailed = "TemplateFailed";

    /// <summary>The device was removed, or moved to another user, after planning.</summary>
    public const string DeviceRemoved = "DeviceRemoved";

    /// <summary>Another delivery of the notification goes to the same device, which is stored by another spelling of its token.</summary>
    public const string SameDevice = "SameDevice";

    /// <summary>It waits for its <c>sendAt</c>.</summary>
    public const string Scheduled = "Scheduled";

    /// <summary>The person is not to be disturbed now.</summary>
    public const string QuietHours = "QuietHours";

    /// <summary>It is tried again after back-off.</summary>
    public const string Retry = "Retry";

    /// <summary>The provider named the time to try again.</summary>
    public const string ProviderAskedToWait = "ProviderAskedToWait";

    /// <summary>The provider refuses our credentials or configuration; people must act, the delivery waits.</summary>
    public const string ChannelHalted = "ChannelHalted";

    /// <summary>A provider could not take it for now, and the next one of its route is tried at once.</summary>
    public const string FailedOver = "FailedOver";

    /// <summary>All attempts are used up.</summary>
    public const string AttemptsExhausted = "AttemptsExhausted";

    /// <summary>The token is dead.</summary>
    public const string Unregistered = "Unregistered";

    /// <summary>The provider calls the token, number or address wrong.</summary>
    public const string BadAddress = "BadAddress";

    /// <summary>The provider knows that the person does not want this.</summary>
    public const string OptedOutAtProvider = "OptedOutAtProvider";

    /// <summary>The message is larger than the channel allows.</summary>
    public const string TooLarge = "TooLarge";

    /// <summary>The provider refuses the message, and would again.</summary>
    public const string Rejected = "Rejected";

    /// <summary>Our account at the provider may not send to the country; an operator can enable it there.</summary>
    public const string CountryNotEnabled = "CountryNotEnabled";

    /// <summary>The provider did not answer in time.</summary>
    public const string TimedOut = "TimedOut";

    /// <summary>The connection broke after the request had left.</summary>
    public const string ConnectionLost = "ConnectionLost";

    /// <summary>The carrier, or the receiving mail server, did not bring it to the person; the address may still be good.</summary>
    public const string Undelivered = "Undelivered";

    /// <summary>The person replied STOP or an equivalent: the number is not used again until they reply START.</summary>
    public const string OptedOutByReply = "OptedOutByReply";

    /// <summary>The mailbox does not exist or takes no mail: never write to it again.</summary>
    public const string HardBounced = "HardBounced";

    /// <summary>The person called an earlier message unwanted: never write to them again.</summary>
    public const string Complained = "Complained";

    /// <summary>An answer says yes without the provider's own sign that it took the message; it may have.</summary>
    public const string UnreadableAnswer = "UnreadableAnswer";

    /// <summary>A gateway answered in the provider's place; the provider may have taken the request.</summary>
    public const string GatewayAnswered = "GatewayAnswered";

    /// <summary>The provider took some parts of the message and refused others. Events of earlier versions only.</summary>
    public const string PartlyAccepted = "PartlyAccepted";

    /// <summary>
    /// No call was made: at the last moment the host's lease, the expiry or a change since the last check forbade it. It is no
    /// attempt.
    /// </summary>
    public const string CallNotMade = "CallNotMade";

    /// <summary>The host that made the attempt ended before it had recorded an outcome.</summary>
    public const string HostLost = "HostLost";

    /// <summary>The outcome was still unknown at its deadline; nothing was repeated.</summary>
    public const string OutcomeNeverKnown = "OutcomeNeverKnown";

    /// <summary>The outcome was still unknown at its deadline, and the category says to send again, once.</summary>
    public const string ResentByPolicy = "ResentByPolicy";

    /// <summary>The provider has no record of the message, so it was never accepted.</summary>
    public const string NotAtProvider = "NotAtProvider";

    /// <summary>
    /// Work on it is set aside: another transaction has locked its notification for longer than a commit takes. Never in an event.
    /// </summary>
    public const string StreamLocked = "StreamLocked";

    /// <summary>Its processing is set aside: the host cannot read one of the events of its stream. Never in an event.</summary>
    public const string StreamUnreadable = "StreamUnreadable";

    /// <summary>It went back to its queue: the host that claimed it has not the master key that it needs. Never in an event.</summary>
    public const string KeyNotHeld = "KeyNotHeld";

    /// <summary>Its time had passed before the digest that it waited in was closed.</summary>
    public const string Expired = "Expired";

    /// <summary>The content cannot be read any more.</summary>
    public const string Unreadable = "Unreadable";
}
