namespace Notify.Sandbox.Magic;

/// <summary>
/// Phone numbers with a fate, a thousand for each, by the digit after 555: <c>+1 500 555 1xxx</c> is delivered, 2 failed,
/// 3 bounced, 4 slow, 5 unknown.
/// </summary>
public static class MagicNumbers
{
    private const string Area = "1500555";
    private const int Length = 11;

    /// <summary>A number's fate, written with or without the plus; null for an ordinary one.</summary>
    public static Fate? FateOf(string number)
    {
        var digits = number.AsSpan().TrimStart('+');
        return digits.Length != Length || !digits.StartsWith(Area)
            ? null
            : digits[Area.Length] switch
            {
                '1' => Fate.Delivered,
                '2' => Fate.Failed,
                '3' => Fate.Bounced,
                '4' => Fate.Slow,
                '5' => Fate.Unknown,
                _ => null,
            };
    }
}
