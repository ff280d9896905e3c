namespace Notify.Delivery.EventStore;

/// <summary>
/// The version of events and rows that hosts write and read. A host writes a new form only when every live host reads it, and
/// then raises the store's lowest reader, so that a host that cannot judge the new form neither starts nor goes on claiming.
/// </summary>
/// <remarks>
/// 1: payloads inside events. 2: payloads in <c>notify.payloads</c>. 3: personal data encrypted for their place, and hashes of client
/// secrets for their client and secret. 4: several keys of a subject (<c>rotate-data-keys</c>), and the apps of devices
/// (<c>DeviceApp</c>). 5: users known by references (<see cref="Domain.Recipients.UserRef"/>). 6: hashes under several peppers
/// (<see cref="Notify.Delivery.Privacy.PepperRing"/>). Hosts announce their version with their keys (<c>notify.host_keys.reader</c>); a host from before
/// announcements counts as 1. See docs/adr/0008-store-format.md.
/// </remarks>
public sealed class StoreFormat
{
    /// <summary>The newest form that this version reads and writes.</summary>
    public const int Reader = 6;

    private volatile int written = Reader,
        needed;
    private volatile bool mayHavePlainUsers;

    /// <summary>Whether payloads are written as rows; else inside events, as hosts of the former version read them.</summary>
    public bool WritesPayloadRows => written >= 2;

    /// <summary>Whether personal data are encrypted for their place, and secrets hashed for their client; else as before.</summary>
    public bool WritesPlaces => written >= 3;

    /// <summary>Whether keys of subjects may be replaced: every live host then erases all keys of a subject.</summary>
    public bool WritesKeyVersions => written >= 4;

    /// <summary>Whether a device's app is written; a host of the former version would send to it by another app's settings.</summary>
    public bool WritesApps => written >= 4;

    /// <summary>Whether users who are new are known by references; else by their IDs, as before.</summary>
    public bool WritesUserRefs => written >= UserRefs;

    /// <summary>Whether the store may have users who are known by their IDs, from before references.</summary>
    public bool MayHavePlainUsers => mayHavePlainUsers;

    /// <summary>The form from which on users are known by references.</summary>
    public const int UserRefs = 5;

    /// <summary>The form from which on the pepper may be replaced.</summary>
    public const int Peppers = 6;

    /// <summary>Whether hashes may be made under another pepper than the first: every live host looks up under all in use.</summary>
    public bool WritesPeppers => written >= Peppers;

    /// <summary>Whether the store contains forms that this host cannot read: it then claims and plans nothing.</summary>
    public bool IsOutdated => needed > Reader;

    /// <summary>Follows the hosts and the store.</summary>
    /// <param name="lowestLive">The lowest reader of all live hosts, this one among them.</param>
    /// <param name="minReader">The lowest reader that the store allows.</param>
    /// <param name="plainUsers">Whether the store may have users who are known by their IDs.</param>
    /// <returns>The lowest reader that the store must allow before this host writes; <c>null</c>: no other than now.</returns>
    public int? Follow(int lowestLive, int minReader, bool plainUsers = false)
    {
        (needed, mayHavePlainUsers) = (minReader, plainUsers);
        // Rows of a newer form are there already: the older form saves no host.
        var next = Math.Min(Reader, Math.Max(lowestLive, minReader));
        if (next > minReader)
            return next;
        written = next;
        return null;
    }

    /// <summary>The sentence about a store that a host cannot judge.</summary>
    public static string Fault(int minReader) =>
        $"the store holds events and rows that this version cannot judge (they need a reader of {minReader}, this one is {Reader}); "
        + "start hosts of the newest version instead";
}
