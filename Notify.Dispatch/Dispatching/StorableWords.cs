namespace Notify.Dispatch.Dispatching;

using System.Security.Cryptography;
using System.Text;
using Notify.Dispatch.Providers;

/// <summary>Sanitizes a provider's texts for storage: an external answer must not prevent the writing of an outcome. Pure.</summary>
public static class StorableWords
{
    private const int Longest = 200;

    /// <summary>The outcome with an ID and a code of printable ASCII, at most 200 characters: another ID is replaced by its hash, another
    /// code left away.</summary>
    public static AttemptOutcome Of(AttemptOutcome outcome) =>
        outcome switch
        {
            AttemptOutcome.Accepted { MessageId: { } id } a when !IsPlain(id) => a with
            {
                MessageId = $"sha256:{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(id)))}",
            },
            AttemptOutcome.Retry { Code: { } code } r when !IsPlain(code) => r with { Code = null },
            AttemptOutcome.Rejected { Code: { } code } r when !IsPlain(code) => r with { Code = null },
            AttemptOutcome.Halted h when !IsPlain(h.Code) => h with { Code = "unreadable" },
            _ => outcome,
        };

    private static bool IsPlain(string text) => text.Length is > 0 and <= Longest && text.All(c => c is >= ' ' and <= '~');
}
