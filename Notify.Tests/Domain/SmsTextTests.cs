namespace Notify.Tests.Domain;

using Notify.Domain.Content;

public class SmsTextTests
{
    [Theory]
    [InlineData("", true)]
    [InlineData("Hello, 24 € off: [now]", true)]
    [InlineData("Gruß aus Ålesund, ¿qué?", true)]
    [InlineData("ç", false)]
    [InlineData("민수", false)]
    [InlineData("👋", false)]
    [InlineData("`", false)]
    [InlineData("’", false)]
    public void A_text_is_GSM_7_if_every_character_is(string text, bool expected) => Assert.Equal(expected, SmsText.IsGsm7(text));

    [Theory]
    [InlineData("a", 0, 1)]
    [InlineData("a", 160, 1)]
    [InlineData("a", 161, 2)]
    [InlineData("a", 306, 2)]
    [InlineData("a", 307, 3)]
    [InlineData("€", 80, 1)]
    [InlineData("€", 81, 2)]
    [InlineData("€", 152, 2)] // 76 a part: an escape is not parted from what it escapes
    [InlineData("€", 153, 3)]
    [InlineData("민", 70, 1)]
    [InlineData("민", 71, 2)]
    [InlineData("민", 134, 2)]
    [InlineData("민", 135, 3)]
    [InlineData("👋", 35, 1)]
    [InlineData("👋", 36, 2)]
    [InlineData("👋", 66, 2)] // 33 a part: a pair is not cut
    [InlineData("👋", 67, 3)]
    public void Parts_are_counted_as_they_are_cut(string character, int times, int parts) =>
        Assert.Equal(parts, SmsText.Segments(string.Concat(Enumerable.Repeat(character, times))));
}
