namespace Notify.Sandbox.SendGrid;

using System.Text.Json;
using System.Text.RegularExpressions;

/// <summary>Judges addresses: <c>{ "email", "name" }</c>.</summary>
internal static partial class SendGridAddress
{
    /// <summary>The email of an address that is as it should be; else null, and the fault is added.</summary>
    public static string? Check(JsonElement address, string field, ICollection<SendGridError> errors)
    {
        if (address.ValueKind != JsonValueKind.Object)
        {
            errors.Add(new(field, "Invalid type. Expected: object."));
            return null;
        }

        foreach (var property in address.EnumerateObject().Where(p => p.Name is not ("email" or "name")))
            errors.Add(new($"{field}.{property.Name}", $"Additional property {property.Name} is not allowed"));
        if (
            address.TryGetProperty("name", out var name)
            && (name.ValueKind != JsonValueKind.String || name.GetString()!.AsSpan().IndexOfAny(";,\r\n") >= 0)
        )
            errors.Add(new($"{field}.name", "The name must be a string without comma, semicolon and line break."));
        if (address.TryGetProperty("email", out var email) && email.ValueKind == JsonValueKind.String && IsAddress(email.GetString()!))
            return email.GetString();

        errors.Add(new($"{field}.email", "Does not contain a valid address."));
        return null;
    }

    private static bool IsAddress(string text) => text.Length <= 254 && Address().IsMatch(text);

    // A dot-atom of at most 64 characters, and a domain of two labels or more.
    [GeneratedRegex(
        @"^(?=.{1,64}@)[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*@([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]*[a-z][a-z0-9-]*\z",
        RegexOptions.IgnoreCase | RegexOptions.ECMAScript
    )]
    private static partial Regex Address();
}
