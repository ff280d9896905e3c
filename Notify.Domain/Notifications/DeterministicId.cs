namespace Notify.Domain.Notifications;

using System.Security.Cryptography;
using System.Text;

/// <summary>
/// Identifiers that follow from what they name, so that planning the same thing twice names it the same:
/// UUID version 8 over SHA-256 (RFC 9562, section 5.8).
/// </summary>
public static class DeterministicId
{
    /// <summary>The ID of the delivery of a notification to one contact point.</summary>
    /// <param name="notificationKey">The notification's stream key.</param>
    /// <param name="contact">The name of the contact point within the notification: a device ID, <c>sms</c>, <c>email</c>.</param>
    public static Guid OfDelivery(string notificationKey, string contact) => Of($"{notificationKey}\n{contact}");

    /// <summary>The ID under which a notification waits for its planning; no delivery ever has it.</summary>
    public static Guid OfPlanning(string notificationKey) => Of($"{notificationKey}\nplanning\n");

    /// <summary>The ID of an alert that began with a subject at a time.</summary>
    public static Guid OfTrouble(string subject, DateTimeOffset openedAt) => Of($"{subject}\ntrouble\n{openedAt.UtcTicks}");

    private static Guid Of(string name)
    {
        Span<byte> hash = stackalloc byte[32];
        SHA256.HashData(Encoding.UTF8.GetBytes(name), hash);
        var bytes = hash[..16];
        bytes[6] = (byte)((bytes[6] & 0x0F) | 0x80);
        bytes[8] = (byte)((bytes[8] & 0x3F) | 0x80);
        return new Guid(bytes, bigEndian: true);
    }
}
