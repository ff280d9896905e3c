namespace Notify.Domain.Privacy;

// Everything that operators do to data keys and peppers, in the streams i/data-keys and i/peppers of the installation.

/// <summary>An operator began to replace data keys: the keys of subjects, under which personal data are encrypted.</summary>
/// <param name="By">A name, as the person gave it.</param>
/// <param name="MadeBefore">Keys that are older than this are replaced.</param>
/// <param name="Subjects">The subjects whose keys are replaced; <c>null</c>: all.</param>
public sealed record DataKeyRotationStarted(string By, DateTimeOffset MadeBefore, IReadOnlyList<string>? Subjects, DateTimeOffset At);

/// <summary>Data keys were replaced. They still decrypt; new values are encrypted under the new keys.</summary>
/// <param name="Count">All keys that were replaced since the rotation started, by however many runs.</param>
public sealed record DataKeysRotated(string By, long Count, DateTimeOffset At);

/// <summary>The last rotation of data keys, folded from its stream.</summary>
/// <param name="Started">Its beginning.</param>
/// <param name="HasEnded">Whether all keys were replaced; if not, the next run goes on with it.</param>
public sealed record DataKeyRotation(DataKeyRotationStarted Started, bool HasEnded)
{
    /// <summary>The key of the stream.</summary>
    public const string Key = "i/data-keys";

    /// <summary>Folds one event into the last rotation.</summary>
    public static DataKeyRotation? Evolve(DataKeyRotation? state, object @event) =>
        @event switch
        {
            DataKeyRotationStarted e => new DataKeyRotation(e, HasEnded: false),
            DataKeysRotated => state is null ? null : state with { HasEnded = true },
            _ => state,
        };

    /// <summary>Whether a run that is asked for the same goes on with this rotation.</summary>
    public bool IsContinuedBy(IReadOnlyCollection<string>? subjects) =>
        !HasEnded
        && (Started.Subjects, subjects) switch
        {
            (null, null) => true,
            ({ } mine, { } wanted) => mine.ToHashSet(StringComparer.Ordinal).SetEquals(wanted),
            _ => false,
        };
}

/// <summary>An operator carried over to the current pepper everything that is known by hashes under former ones, as far as
/// possible.</summary>
/// <param name="By">A name, as the person gave it.</param>
/// <param name="Pepper">The ID of the current pepper.</param>
/// <param name="Carried">Things that are known by a former hash and found by the current one, counted by kind, by all runs.</param>
/// <param name="Left">Things that are found by a former pepper alone, counted by kind.</param>
public sealed record PepperCarriedOver(
    string By,
    string Pepper,
    IReadOnlyDictionary<string, long> Carried,
    IReadOnlyDictionary<string, long> Left,
    DateTimeOffset At
)
{
    /// <summary>The key of the stream.</summary>
    public const string Key = "i/peppers";
}

/// <summary>A former pepper is no longer in use: things that it alone finds are found no more.</summary>
/// <param name="By">A name, as the person gave it.</param>
/// <param name="Pepper">The ID of the former pepper.</param>
/// <param name="Lost">Things that were found by it alone, counted by kind.</param>
public sealed record PepperDropped(string By, string Pepper, IReadOnlyDictionary<string, long> Lost, DateTimeOffset At);
