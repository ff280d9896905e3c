namespace Notify.Domain.Privacy;

using System.Globalization;

/// <summary>The place of an encrypted value: its stream and its field there. A value opens at its own place alone.</summary>
/// <remarks>Both parts are authenticated with the ciphertext, and are stable: another name would make stored values unreadable.</remarks>
/// <param name="Stream">The stream key; for a receipt, which has no stream, <c>r/{provider}</c>.</param>
/// <param name="Field">The field, with the ID of the thing that has it where a stream has several.</param>
public readonly record struct SealedPlace(string Stream, string Field)
{
    /// <summary>The payload of a notification's or broadcast's request.</summary>
    public static SealedPlace OfPayload(string stream) => new(stream, "payload");

    /// <summary>The payload of a closed digest.</summary>
    public static SealedPlace OfDigest(string stream) => new(stream, "digest");

    /// <summary>The address of a delivery. A registered device's token stays at the user's place.</summary>
    /// <param name="subject">The subject of the notification's request.</param>
    /// <param name="deviceId">The registered device; <c>null</c>: a number, an address, or a token given with the request.</param>
    public static SealedPlace OfAddress(string stream, string subject, Guid deliveryId, string? deviceId) =>
        deviceId is null ? new(stream, string.Create(CultureInfo.InvariantCulture, $"address {deliveryId:N}")) : OfToken(subject, deviceId);

    /// <summary>The destination of a tracked link.</summary>
    /// <param name="number">The number of the link within the delivery.</param>
    public static SealedPlace OfLink(string stream, Guid deliveryId, int number) =>
        new(stream, string.Create(CultureInfo.InvariantCulture, $"link {deliveryId:N} {number}"));

    /// <summary>The contact details of a user.</summary>
    /// <param name="user">The user's stream key.</param>
    public static SealedPlace OfDetails(string user) => new(user, "details");

    /// <summary>The ID by which callers know a user.</summary>
    /// <param name="user">The user's stream key.</param>
    public static SealedPlace OfUserId(string user) => new(user, "user ID");

    /// <summary>The push token of a user's device.</summary>
    /// <param name="user">The user's stream key.</param>
    public static SealedPlace OfToken(string user, string deviceId) => new(user, $"token {deviceId}");

    /// <summary>The address of a suppression.</summary>
    /// <param name="suppression">The suppression's stream key.</param>
    public static SealedPlace OfSuppressed(string suppression) => new(suppression, "address");

    /// <summary>The raw text of a receipt.</summary>
    /// <param name="eventId">The provider's own ID of the receipt.</param>
    public static SealedPlace OfReceipt(string provider, string eventId) => new($"r/{provider}", eventId);
}
