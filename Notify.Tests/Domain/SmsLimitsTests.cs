namespace Notify.Tests.Domain;

using Notify.Domain.Content;

public class SmsLimitsTests
{
    // A tracked link has 44 characters.
    private static readonly SmsLimits Limits = new() { MaxSegments = 2, PublicUrl = "https://notify.example.co" };
    private static readonly TrackOptions Track = new() { Links = true };

    [Fact]
    public void A_tracked_link_has_the_public_address_and_19_characters() =>
        Assert.Equal(Limits.PublicUrl.Length + 19, Limits.AnyTrackedLink.Length);

    [Theory]
    [InlineData(150, "https://x.co/a", true, 2)] // 164 characters untracked, 195 tracked
    [InlineData(130, "https://x.co/a", true, 2)] // one segment untracked
    [InlineData(130, "https://x.co/a", false, 1)]
    [InlineData(100, "https://shop.example/a/very/long/address?that=goes&on=and-on-and-on-for-more-than-sixty-characters", true, 1)]
    [InlineData(30, "https://shop.example/주소", false, 1)]
    [InlineData(60, "https://shop.example/주소", false, 2)] // UCS-2 for its address alone
    [InlineData(60, "https://shop.example/주소", true, 1)]
    public void Segments_are_those_of_the_text_with_its_tracked_links(int text, string link, bool isTracked, int segments)
    {
        var sent = Limits.AsSent($"{new string('a', text)} {link}", isTracked ? Track : null);
        Assert.Equal(segments, SmsText.Segments(sent));
        Assert.Equal(isTracked, sent.EndsWith(Limits.AnyTrackedLink, StringComparison.Ordinal));
    }

    [Fact]
    public void Text_that_only_tracking_makes_too_long_is_sent_untracked()
    {
        var text = new string('a', 280) + " https://x.co/a"; // 295 characters; 325 would be three segments
        Assert.Equal(text, Limits.AsSent(text, Track));
        Assert.Null(Limits.Excess(text, Track));
    }

    [Fact]
    public void Text_that_fits_with_tracked_links_is_accepted_and_a_longer_one_is_rejected()
    {
        var text = new string('a', 240) + " https://shop.example/" + new string('b', 100);
        Assert.Equal(3, Limits.Excess(text));
        Assert.Null(Limits.Excess(text, Track));
        Assert.Equal(3, Limits.Excess(new string('a', 100) + text, Track));
    }

    [Fact]
    public void More_characters_than_providers_take_do_not_come_of_tracking()
    {
        var many = Limits with { MaxSegments = 255 };
        var text = string.Concat(Enumerable.Range(0, 90).Select(i => $"https://x.co/{i:00} ")); // 1,440 characters
        Assert.Equal(text, many.AsSent(text, Track));
        Assert.NotEqual(text[..480], many.AsSent(text[..480], Track)); // a third of them
    }
}
