namespace Notify.Tests.Domain;

using Microsoft.Extensions.Configuration;
using Notify.Api.Contract;
using Notify.Delivery.Privacy;
using Notify.Dispatch.Providers.Email;
using Notify.Dispatch.Providers.Sms;
using Notify.Domain.Content;
using Notify.Tests.Support;

/// <summary>
/// Unicode Technical Standard 46, its table of mappings and its conformance tests (IdnaTestV2.txt); RFC 5893 for right-to-left labels.
/// </summary>
public sealed class DomainNamesTests
{
    [Theory]
    [InlineData("MÜNCHEN.example", "xn--mnchen-3ya.example")]
    [InlineData("mu\u0308nchen.example", "xn--mnchen-3ya.example")]
    [InlineData("ｍüｎｃｈｅｎ．ｅｘａｍｐｌｅ", "xn--mnchen-3ya.example")]
    [InlineData("münchen。example", "xn--mnchen-3ya.example")]
    [InlineData("XN--MNCHEN-3YA.Example", "xn--mnchen-3ya.example")]
    [InlineData("Faß.de", "xn--fa-hia.de")]
    [InlineData("STRAẞE.de", "xn--strae-oqa.de")] // since Unicode 15.1
    [InlineData("نامه\u200Cای.example", "xn--mgba3gch31f060k.example")]
    [InlineData("βόλος.com", "xn--nxasmm1c.com")]
    [InlineData("ΒΌΛΟΣ.com", "xn--nxasmq6b.com")]
    [InlineData("Ａ.example", "a.example")]
    [InlineData("exam\u00ADple.com", "example.com")]
    [InlineData("\u1112\u1161\u11AB\u1100\u1173\u11AF.example", "xn--bj0bj06e.example")]
    [InlineData("한글.example", "xn--bj0bj06e.example")]
    [InlineData("א1.example", "xn--1-zhc.example")]
    [InlineData("مثال123.إختبار", "xn--123-nzet5me.xn--kgbechtv")]
    [InlineData("ﬁ.example", "fi.example")]
    [InlineData("example.com", "example.com")]
    public void A_name_has_one_form(string name, string ascii)
    {
        Assert.Equal(ascii, DomainNames.ToAscii(name));
        Assert.Equal(ascii, DomainNames.ToAscii(ascii));
    }

    [Theory]
    [InlineData("")]
    [InlineData("a..example")]
    [InlineData("-a.example")]
    [InlineData("a_b.example")]
    [InlineData("a b.example")]
    [InlineData("1א.example")]
    [InlineData("אa.example")]
    [InlineData("\u0301a.example")]
    [InlineData("xn--a.example")]
    [InlineData("ab--cd.example")] // CheckHyphens
    [InlineData("a\u200Db.example")]
    [InlineData("a\uFFFD.example")]
    public void Invalid_name_has_no_ASCII_form(string name) => Assert.Null(DomainNames.ToAscii(name));

    [Fact]
    public void A_name_has_a_length()
    {
        Assert.NotNull(DomainNames.ToAscii($"{new string('a', 63)}.example"));
        Assert.Null(DomainNames.ToAscii($"{new string('a', 64)}.example"));
        Assert.Null(DomainNames.ToAscii(string.Concat(Enumerable.Repeat("aaaaaaaaa.", 26))));
        Assert.Null(DomainNames.ToAscii(new string('ü', 100_000)));
    }

    /// <summary>Mail goes to the domain that browsers open, and the same address is one to suppress.</summary>
    [Theory]
    [InlineData("kim@MÜNCHEN.example", "kim@xn--mnchen-3ya.example")]
    [InlineData("kim@mu\u0308nchen.example", "kim@xn--mnchen-3ya.example")]
    [InlineData("kim@ｍüｎｃｈｅｎ.example", "kim@xn--mnchen-3ya.example")]
    [InlineData("Kim@مثال123.إختبار", "Kim@xn--123-nzet5me.xn--kgbechtv")]
    [InlineData("kim@STRAẞE.example", "kim@xn--strae-oqa.example")]
    [InlineData("kim@نامه\u200Cای.example", "kim@xn--mgba3gch31f060k.example")]
    [InlineData("kim@\u212Aelvin.example", "kim@kelvin.example")]
    public void An_address_leads_to_one_domain(string address, string sent)
    {
        Assert.True(ContactRules.IsEmail(address));
        Assert.Equal(sent, EmailAddresses.ToAscii(address));
        var ring = Ring();
        Assert.Equal(ring.Of(Notify.Domain.Channels.Channel.Email, sent), ring.Of(Notify.Domain.Channels.Channel.Email, address));
    }

    private static MasterKeyRing Ring() =>
        MasterKeyRing.Read(
            new ConfigurationBuilder()
                .AddInMemoryCollection(
                    new Dictionary<string, string?>
                    {
                        ["Notify:MasterKeys:1"] = TestRun.Secrets["Notify__MasterKeys__1"],
                        ["Notify:Pepper"] = TestRun.Secrets["Notify__Pepper"],
                    }
                )
                .Build(),
            []
        )!;

    [Fact]
    public void An_address_is_one_however_its_letters_are_composed()
    {
        var ring = Ring();
        Assert.Equal(ring.OfEmail("josé@example.com"), ring.OfEmail("jose\u0301@example.com"));
        Assert.NotEqual(ring.OfEmail("josé@example.com"), ring.OfEmail("jose@example.com"));
    }

    [Theory]
    [InlineData("https://MÜNCHEN.example/a", "https://xn--mnchen-3ya.example/a")]
    [InlineData("https://mu\u0308nchen.example/a", "https://xn--mnchen-3ya.example/a")]
    public void A_tracked_link_leads_to_the_same_domain(string link, string header) => Assert.Equal(header, LinkRewriter.ForHeader(link));

    /// <summary>A phone may send a letter and its mark apart.</summary>
    [Fact]
    public void A_stop_word_is_one_however_its_letters_are_composed() => Assert.NotNull(StopWords.Read("ARRE\u0302T").Suppress);
}
