namespace Notify.Tests.Audit;

using Notify.Projections.Replay;

/// <summary>Command-line arguments of <c>replay</c>.</summary>
public sealed class ReplayOptionsTests
{
    [Theory]
    [InlineData("order-1", null, null, false, false)]
    [InlineData("order-1 --as-of 3", 3L, null, false, false)]
    [InlineData("--ndjson order-1 --client c_1 --reveal --by auditor --reason complaint", null, "c_1", true, true)]
    [InlineData("-odd-id", null, null, false, false)]
    public void Valid_arguments_are_parsed(string words, long? version, string? client, bool ndjson, bool reveal)
    {
        var (options, fault) = ReplayOptions.Parse(words.Split(' '));
        Assert.Null(fault);
        Assert.Equal((version, client, ndjson, reveal), (options!.AsOfVersion, options.Client, options.NdJson, options.Reveal is not null));
    }

    [Theory]
    [InlineData("2026-12-01T09:00:00Z")]
    [InlineData("2026-12-01T18:00:00+09:00")]
    [InlineData("2026-12-01T09:00")]
    public void A_time_is_understood_in_UTC_unless_it_says_otherwise(string time) =>
        Assert.Equal(new DateTimeOffset(2026, 12, 1, 9, 0, 0, TimeSpan.Zero), ReplayOptions.Parse(["e", "--as-of", time]).Options!.AsOf);

    [Theory]
    [InlineData("", "which notification?")]
    [InlineData("e --as-of", "needs a value")]
    [InlineData("e --as-of soon", "--as-of is \"soon\"")]
    [InlineData("e --as-of 0", "--as-of is \"0\"")]
    [InlineData("e --as-of -1", "--as-of is \"-1\"")]
    [InlineData("e --backwards", "no option --backwards")]
    [InlineData("e f", "one event ID too many")]
    [InlineData("e --reveal", "say who you are and why")]
    [InlineData("e --reveal --by auditor", "say who you are and why")]
    [InlineData("e --reveal --by auditor --reason", "needs a value")]
    public void Invalid_arguments_are_reported(string words, string named)
    {
        var (options, fault) = ReplayOptions.Parse(words.Split(' ', StringSplitOptions.RemoveEmptyEntries));
        Assert.Null(options);
        Assert.Contains(named, fault, StringComparison.Ordinal);
    }
}
