namespace Notify.Tests.Domain;

using Notify.Domain.Channels;
using Notify.Domain.Recipients;
using static Notify.Tests.Domain.Some;

public class RecipientTests
{
    [Fact]
    public void Every_event_counts_as_a_version() => Assert.Equal(3, Recipient(new UserErased("c", Noon)).Version);

    [Fact]
    public void New_details_replace_old_ones()
    {
        var r = Recipient(new ContactDetailsGiven(Sealed("new"), false, true, null, "new-print", "c", Noon));
        Assert.Equal(
            (Sealed("new"), false, true, null, "new-print"),
            (r.Details, r.HasEmail, r.HasPhone, r.EmailFingerprint, r.PhoneFingerprint)
        );
    }

    [Fact]
    public void The_same_token_again_is_the_same_device_registered_later()
    {
        var r = Recipient(new DeviceRegistered("d_1", Platform.Ios, Sealed("again"), "c", Noon.AddDays(1)));
        Assert.Equal(new Device("d_1", Platform.Ios, Sealed("again"), Noon.AddDays(1)), Assert.Single(r.Devices));
    }

    [Fact]
    public void A_removed_device_is_gone_and_removing_it_twice_is_no_matter()
    {
        var removed = new DeviceRemoved("d_1", DeviceRemovalReasons.ByRequest, "c", Noon);
        Assert.Empty(Recipient(removed, removed).Devices);
    }

    [Theory]
    [InlineData("", true, "default")]
    [InlineData("-sms", false, "channel sms")]
    [InlineData("-sms/shipping", false, "category shipping on sms")]
    [InlineData("-sms +sms/shipping", true, "category shipping on sms")]
    [InlineData("+sms -sms/shipping", false, "category shipping on sms")]
    [InlineData("-sms/marketing", true, "default")]
    [InlineData("-push -email", true, "default")]
    [InlineData("-sms +sms", true, "channel sms")]
    [InlineData("-sms ~sms", true, "default")]
    [InlineData("-sms -sms/shipping ~sms/shipping", false, "channel sms")]
    public void A_category_goes_over_a_channel_over_the_default(string said, bool wants, string rule)
    {
        var r = Recipient(said.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(Said));
        Assert.Equal((wants, rule, false), Notify.Domain.Categories.Category.Undefined("shipping").Reaches(r, Channel.Sms));
    }

    [Fact]
    public void Erasing_leaves_nothing_but_the_fact()
    {
        var r = Recipient(new OptedOut(Channel.Sms, null, "u", "api", Noon), new UserErased("c", Noon));
        Assert.True(r.IsErased);
        Assert.Equal((null, false, false, null, null), (r.Details, r.HasEmail, r.HasPhone, r.EmailFingerprint, r.PhoneFingerprint));
        Assert.Empty(r.Devices);
        Assert.Empty(r.Choices);
    }

    [Fact]
    public void Registration_after_erasure_ends_it()
    {
        Assert.False(
            Recipient(new UserErased("c", Noon), new ContactDetailsGiven(Sealed("n"), true, false, "e", null, "c", Noon)).IsErased
        );
        Assert.False(Recipient(new UserErased("c", Noon), new DeviceRegistered("d_9", Platform.Ios, Sealed("t"), "c", Noon)).IsErased);
    }

    [Fact]
    public void Preference_after_erasure_ends_it_and_keeps_its_time()
    {
        foreach (
            var said in new object[]
            {
                new OptedOut(Channel.Sms, null, "c", "api", Noon.AddDays(1)),
                new OptedIn(Channel.Sms, "news", "c", "api", Noon.AddDays(1)),
                new QuietHoursSet(new(22, 0), new(8, 0), "c", "api", Noon.AddDays(1)),
            }
        )
        {
            var r = Recipient(new UserErased("c", Noon), said);
            Assert.Equal((false, Noon), (r.IsErased, r.ErasedAt));
        }

        Assert.True(Recipient(new UserErased("c", Noon), new PreferenceWithdrawn(Channel.Sms, null, "c", "api", Noon)).IsErased);
    }

    [Theory]
    [InlineData(Platform.Ios, Lane.Apns)]
    [InlineData(Platform.Android, Lane.Fcm)]
    [InlineData(Platform.Web, Lane.Webpush)]
    public void A_platform_decides_the_lane(Platform platform, Lane lane) => Assert.Equal(lane, Device.LaneOf(platform));

    private static object Said(string choice)
    {
        var parts = choice[1..].Split('/');
        var (channel, category) = (Enum.Parse<Channel>(parts[0], ignoreCase: true), parts.Length > 1 ? parts[1] : null);
        return choice[0] switch
        {
            '+' => new OptedIn(channel, category, "u", "api", Noon),
            '-' => new OptedOut(channel, category, "u", "api", Noon),
            _ => new PreferenceWithdrawn(channel, category, "u", "api", Noon),
        };
    }
}
