namespace Notify.Delivery.Erasures;

/// <summary>Everything by which a person is known here.</summary>
/// <param name="User">The stream key of the registered user; <c>null</c>: the person is not registered.</param>
/// <param name="UserId">The user's ID.</param>
/// <param name="Subjects">
/// The subjects of other keys: those of notifications and replies of somebody not registered, and of suppressions that clients gave.
/// </param>
/// <param name="Fingerprints">Keyed hashes of the addresses that are theirs alone.</param>
public sealed record PersonToErase(string? User, string? UserId, IReadOnlyList<string> Subjects, IReadOnlyList<string> Fingerprints);

/// <summary>The outcome of an erasure.</summary>
/// <param name="Users">Registered users that were erased.</param>
/// <param name="Keys">Keys that were destroyed.</param>
public sealed record ErasureResult(int Users, int Keys);
