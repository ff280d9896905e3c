namespace Notify.Domain.Recipients;

/// <summary>
/// The reference by which a user is known everywhere but at the HTTP edge: in streams, events, tables, messages, metrics and logs. The ID
/// that callers chose may be a name or a customer number; it is kept only encrypted under the user's key.
/// </summary>
/// <remarks>
/// <see cref="Mark"/> and the first 132 bits of a keyed hash of the ID in base64url. Users from before this form keep their ID as their
/// reference. See docs/adr/0010-user-references.md.
/// </remarks>
public static class UserRef
{
    /// <summary>The first character of a reference. No user ID may have it.</summary>
    public const char Mark = '*';

    /// <summary>The characters of a reference after its mark.</summary>
    public const int Length = 22;

    /// <summary>Whether a text is a reference, and not the ID of a user from before.</summary>
    public static bool Is(string text) => text.StartsWith(Mark);

    /// <summary>Whether a subject of a key is a user who is known by a reference.</summary>
    public static bool IsOfSubject(string subject) => subject.StartsWith(Recipient.KeyOf(Marked), StringComparison.Ordinal);

    private const string Marked = "*";
}
