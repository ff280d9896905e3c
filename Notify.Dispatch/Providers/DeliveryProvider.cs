namespace Notify.Dispatch.Providers;

using Notify.Delivery.Monitoring;
using Notify.Domain.Channels;
using Notify.Domain.Content;

/// <summary>One delivery as a provider needs it, opened for the moment of the call; it is never logged or stored.</summary>
/// <param name="DeliveryId">Names it at the provider, and makes repeats replace each other.</param>
/// <param name="Address">Token, number or address.</param>
/// <param name="Unsubscribe">Where the recipient of an email says that they want no more; <c>null</c> where none is due.</param>
/// <param name="HasOneClick">Whether a mail program may unsubscribe by itself at that address.</param>
/// <param name="FromName">The sender's name of an email; <c>null</c>: that of the provider's settings.</param>
/// <param name="ReplyTo">The address that answers to an email go to; <c>null</c>: to the sender's address.</param>
/// <param name="Links">Addresses in the content that are this delivery's own, since what follows them is noticed.</param>
/// <param name="App">The app that a device names; <c>null</c>: none.</param>
public sealed record OutboundMessage(
    Guid DeliveryId,
    string Address,
    NotificationContent Content,
    Priority Priority,
    DateTimeOffset? ExpiresAt,
    Uri? Unsubscribe = null,
    IReadOnlyList<string>? Links = null,
    bool HasOneClick = true,
    string? FromName = null,
    string? ReplyTo = null,
    DeviceApp? App = null
)
{
    /// <summary>Hides what is personal.</summary>
    public override string ToString() => $"delivery {DeliveryId}";
}

/// <summary>A provider: the seam at which Notify ends and someone else's service begins.</summary>
public interface IDeliveryProvider
{
    /// <summary>The provider's name, as in configuration, events and metrics.</summary>
    string Name { get; }

    /// <summary>The lane that it carries.</summary>
    Lane Lane { get; }

    /// <summary>Calls that may be under way at once.</summary>
    int Concurrency { get; }

    /// <summary>Deliveries that may be under way at once: more than calls where one call carries many.</summary>
    int InFlight => Concurrency;

    /// <summary>How long all requests for one delivery may take together, such as a second one with new credentials or the pages of an
    /// inquiry.</summary>
    TimeSpan TotalTimeout => TimeSpan.FromSeconds(30);

    /// <summary>How fast it may be sent to, where the settings do not say.</summary>
    Pace Pace => new();

    /// <summary>The apps that it has settings for, the default one first; <c>null</c>: devices of all apps are the same to it.</summary>
    IReadOnlyList<CarriedApp>? Apps => null;

    /// <summary>Whether an answer only asks us to go slower: the provider is then left alone for as long, and has not failed.</summary>
    bool IsThrottle(AttemptOutcome.Retry answer) => answer.Code?.EndsWith("429", StringComparison.Ordinal) == true;

    /// <summary>Sends one message. Always returns an outcome; throws only for bugs.</summary>
    Task<AttemptOutcome> SendAsync(OutboundMessage message, CancellationToken cancellation);
}

/// <summary>A provider that can be asked what became of a call whose answer was lost.</summary>
public interface IAnswersInquiries
{
    /// <summary>Finds the message among those that the provider accepted since the attempt.</summary>
    /// <returns>The provider's answer; <c>null</c>: it cannot be asked now.</returns>
    Task<InquiryAnswer?> AskAsync(OutboundMessage message, DateTimeOffset attemptedAt, CancellationToken cancellation);
}

/// <summary>A provider's answer to an inquiry.</summary>
/// <param name="MessageIds">The messages that are the one in question, or another delivery's with the same text; the oldest first.</param>
/// <param name="Unclear">The messages that may be it. One that belongs to no other delivery keeps it from being repeated.</param>
/// <param name="IsComplete">
/// Whether the provider surely has no other message that it may be. Only then does an answer without it lead to a repeat.
/// </param>
public sealed record InquiryAnswer(IReadOnlyList<string> MessageIds, IReadOnlyList<string> Unclear, bool IsComplete);

/// <summary>A provider that takes many deliveries in one call.</summary>
public interface ISendsMany
{
    /// <summary>The most deliveries in one call.</summary>
    int MostTogether { get; }

    /// <summary>Returns the part of a message that must be equal for messages in one call; <c>null</c>: it is sent alone.</summary>
    object? SharedBy(OutboundMessage message);

    /// <summary>Sends 2 to <see cref="MostTogether"/> messages in one call.</summary>
    /// <returns>The outcome of each, in order. It throws only for bugs.</returns>
    Task<IReadOnlyList<AttemptOutcome>> SendManyAsync(IReadOnlyList<OutboundMessage> messages, CancellationToken cancellation);
}
