namespace Notify.Dispatch.Providers.Sms;

using System.Text.RegularExpressions;
using PhoneNumbers;

/// <summary>Whom an SMS comes from, by the country that it goes to: countries differ in which senders they let through.</summary>
/// <remarks>Countries by ISO 3166 (<c>KR</c>), or by calling code (<c>82</c>, <c>+82</c>) for all that share it; the former comes
/// first.</remarks>
public sealed partial class SenderIds
{
    private readonly Dictionary<string, string> byCountry;
    private readonly Dictionary<int, string> byCode;
    private readonly string? usual;

    private SenderIds(string? usual, Dictionary<string, string> byCountry, Dictionary<int, string> byCode) =>
        (this.usual, this.byCountry, this.byCode) = (usual, byCountry, byCode);

    /// <summary>Reads the settings <c>From</c> and <c>Senders</c>; every fault is added to <paramref name="faults"/>.</summary>
    /// <param name="usual">The sender for all other countries.</param>
    /// <param name="services">Whether a messaging service (<c>MG…</c>) may be named.</param>
    public static SenderIds Read(
        string section,
        string? usual,
        IReadOnlyDictionary<string, string> senders,
        bool services,
        ICollection<string> faults
    )
    {
        if (!string.IsNullOrEmpty(usual) && !IsSender(usual, services))
            faults.Add($"{section}:From is \"{usual}\"; {Forms(services)}");
        var (countries, codes) = (new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase), new Dictionary<int, string>());
        foreach (var (place, sender) in senders)
        {
            if (!IsSender(sender, services))
                faults.Add($"{section}:Senders:{place} is \"{sender}\"; {Forms(services)}");
            if (Numbers.GetSupportedRegions().Contains(place.ToUpperInvariant()))
                countries[place] = sender;
            else if (
                Code().Match(place) is { Success: true } code
                && int.Parse(code.Groups[1].Value, System.Globalization.CultureInfo.InvariantCulture) is var number
                && Numbers.GetSupportedCallingCodes().Contains(number)
            )
                codes[number] = sender;
            else
                faults.Add($"{section}:Senders:{place} is no country; name it by ISO code such as KR, or by calling code such as 82");
        }

        return new SenderIds(string.IsNullOrEmpty(usual) ? null : usual, countries, codes);
    }

    /// <summary>The sender for a number in E.164; <c>null</c> where none is configured.</summary>
    public string? For(string number)
    {
        if (byCountry.Count + byCode.Count == 0)
            return usual;
        try
        {
            var parsed = Numbers.Parse(number, null);
            return Numbers.GetRegionCodeForNumber(parsed) is { } country && byCountry.TryGetValue(country, out var sender) ? sender
                : byCode.TryGetValue(parsed.CountryCode, out sender) ? sender
                : usual;
        }
        catch (NumberParseException)
        {
            return usual; // the provider will say what is wrong with it
        }
    }

    /// <summary>Whether a text is the ID of a messaging service.</summary>
    public static bool IsService(string sender) => Service().IsMatch(sender);

    private static PhoneNumberUtil Numbers => PhoneNumberUtil.GetInstance();

    private static bool IsSender(string text, bool services) =>
        Number().IsMatch(text) || Name().IsMatch(text) || (services && IsService(text));

    private static string Forms(bool services) =>
        $"give a number such as +15005550006, a short code of 3 to 8 digits, {(services ? "a messaging service (MG and 32 hexadecimal digits), " : "")}or a name of at most 11 letters, digits, blanks, + - _ & with a letter in it";

    [GeneratedRegex(@"^(\+?[1-9]\d{6,14}|\d{3,8})\z")]
    private static partial Regex Number();

    [GeneratedRegex(@"^(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9 +_&-]{0,10}(?<! )\z")]
    private static partial Regex Name();

    [GeneratedRegex(@"^MG[0-9a-fA-F]{32}\z")]
    private static partial Regex Service();

    [GeneratedRegex(@"^\+?([1-9]\d{0,2})\z")]
    private static partial Regex Code();
}
