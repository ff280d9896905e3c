namespace Notify.Api.Contract;

using System.Text.RegularExpressions;

/// <summary>Rules for identifiers.</summary>
public static partial class Identifiers
{
    public const string UserIdRule = "must be 1 to 128 of A-Z a-z 0-9 . _ ~ : @ + -; choose one that is not itself an address";
    public const string KeyRule = "must be 1 to 64 of a-z 0-9 . _ -";

    public const string TemplateKeyRule = "must be 1 to 64 of a-z 0-9 . _ - and begin with a letter or digit";

    /// <summary>Whether a text is the key of a template or layout: it can also be the name of a folder.</summary>
    public static bool IsTemplateKey(string? text) => IsKey(text) && char.IsAsciiLetterOrDigit(text![0]);

    /// <summary>Whether a text is an event ID.</summary>
    public static bool IsEventId(string? text) => text is not null && EventId().IsMatch(text);

    /// <summary>Whether a text is a user ID.</summary>
    public static bool IsUserId(string? text) => text is not null && UserId().IsMatch(text);

    /// <summary>Whether a text is the key of a category.</summary>
    public static bool IsKey(string? text) => text is not null && Key().IsMatch(text);

    [GeneratedRegex(@"^[A-Za-z0-9._~:\-]{1,128}\z")]
    private static partial Regex EventId();

    [GeneratedRegex(@"^[A-Za-z0-9._~:@+\-]{1,128}\z")]
    private static partial Regex UserId();

    [GeneratedRegex(@"^[a-z0-9._\-]{1,64}\z")]
    private static partial Regex Key();
}
