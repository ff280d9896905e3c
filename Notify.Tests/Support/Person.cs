namespace Notify.Tests.Support;

/// <summary>A user as a test made them.</summary>
public sealed record Person(string Id, string? Phone, List<string> Tokens, List<string> DeviceIds)
{
    private static readonly System.Collections.Concurrent.ConcurrentBag<string> Made = [];
    private static int lastPhone = Random.Shared.Next(10_000_000, 50_000_000);

    /// <summary>The reference by which the database knows them.</summary>
    public string Ref => UserRefs.Of(Id);

    /// <summary>Their stream key.</summary>
    public string Key => UserRefs.KeyOf(Id);

    /// <summary>Their email address, if they gave one.</summary>
    public string? Email { get; init; }

    /// <summary>Every token that was made in this run.</summary>
    public static IReadOnlyCollection<string> EveryToken => Made;

    /// <summary>An email address that no other test has.</summary>
    /// <param name="fate">Its first word, by which the sandbox knows what becomes of it.</param>
    public static string NewEmail(string fate = "kim") => $"{fate}.{Guid.NewGuid():N}@mail.example";

    /// <summary>A phone number that no other test has.</summary>
    public static string NewPhone() => $"+8210{Interlocked.Increment(ref lastPhone)}";

    /// <summary>An FCM token that no other test has.</summary>
    /// <param name="fate">How it begins, by which the sandbox knows what becomes of it.</param>
    public static string NewAndroidToken(string fate = "android") => NewToken($"{fate}:");

    /// <summary>An APNs token that no other test has.</summary>
    /// <param name="fate">Its first four digits, by which the sandbox knows what becomes of it.</param>
    public static string NewToken(string fate = "a0a0")
    {
        var token = fate + Convert.ToHexStringLower(System.Security.Cryptography.RandomNumberGenerator.GetBytes(30));
        Made.Add(token);
        return token;
    }
}
