namespace Notify.Tests.Domain;

using System.Globalization;
using NodaTime;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Domain.Recipients;
using static Notify.Tests.Domain.Some;

/// <summary>Quiet hours of a person in local time, with all changes of the local clock.</summary>
public sealed class QuietHoursTests
{
    [Theory]
    // An ordinary night, and its edges.
    [InlineData("Europe/Berlin", "22:00-08:00", "2026-01-10T21:30:00Z", "2026-01-11T07:00:00Z")]
    [InlineData("Europe/Berlin", "22:00-08:00", "2026-01-10T21:00:00Z", "2026-01-11T07:00:00Z")]
    [InlineData("Europe/Berlin", "22:00-08:00", "2026-01-10T20:59:59Z", null)]
    [InlineData("Europe/Berlin", "22:00-08:00", "2026-01-11T06:59:59Z", "2026-01-11T07:00:00Z")]
    [InlineData("Europe/Berlin", "22:00-08:00", "2026-01-11T07:00:00Z", null)]
    [InlineData("Asia/Seoul", "23:00-07:00", "2026-05-04T15:00:00Z", "2026-05-04T22:00:00Z")]
    [InlineData("Asia/Kolkata", "22:00-06:30", "2026-05-04T20:00:00Z", "2026-05-05T01:00:00Z")]
    // Within a day.
    [InlineData("Europe/Berlin", "09:00-17:00", "2026-07-01T08:00:00Z", "2026-07-01T15:00:00Z")]
    [InlineData("Europe/Berlin", "09:00-17:00", "2026-07-01T15:00:00Z", null)]
    [InlineData("UTC", "00:00-23:59", "2026-07-01T00:00:00Z", "2026-07-01T23:59:00Z")]
    [InlineData("UTC", "00:00-23:59", "2026-07-01T23:59:30Z", null)]
    // The night in which the clock is put forward is an hour shorter, that in which it is put back an hour longer.
    [InlineData("Europe/Berlin", "22:00-08:00", "2026-03-28T22:00:00Z", "2026-03-29T06:00:00Z")]
    [InlineData("Europe/Berlin", "22:00-08:00", "2026-10-24T21:00:00Z", "2026-10-25T07:00:00Z")]
    [InlineData("America/New_York", "22:00-08:00", "2026-03-08T04:00:00Z", "2026-03-08T12:00:00Z")]
    [InlineData("America/New_York", "22:00-08:00", "2026-11-01T03:00:00Z", "2026-11-01T13:00:00Z")]
    [InlineData("Australia/Lord_Howe", "22:00-08:00", "2026-10-03T12:00:00Z", "2026-10-03T21:00:00Z")]
    // Quiet hours that begin or end at a skipped local time begin or end when the clock is put forward.
    [InlineData("Europe/Berlin", "02:30-06:00", "2026-03-29T00:59:59Z", null)]
    [InlineData("Europe/Berlin", "02:30-06:00", "2026-03-29T01:00:00Z", "2026-03-29T04:00:00Z")]
    [InlineData("Europe/Berlin", "22:00-02:30", "2026-03-29T00:45:00Z", "2026-03-29T01:00:00Z")]
    [InlineData("Europe/Berlin", "22:00-02:30", "2026-03-29T01:00:00Z", null)]
    [InlineData("Europe/Berlin", "02:15-02:45", "2026-03-29T01:00:00Z", null)]
    [InlineData("America/Sao_Paulo", "22:00-00:30", "2018-11-04T02:30:00Z", "2018-11-04T03:00:00Z")]
    // Quiet hours that begin at a repeated local time begin at its first occurrence; those that end at one end at its second.
    [InlineData("Europe/Berlin", "22:00-02:30", "2026-10-25T00:35:00Z", "2026-10-25T01:30:00Z")]
    [InlineData("Europe/Berlin", "22:00-02:30", "2026-10-25T01:30:00Z", null)]
    [InlineData("Europe/Berlin", "02:30-06:00", "2026-10-25T00:29:59Z", null)]
    [InlineData("Europe/Berlin", "02:30-06:00", "2026-10-25T00:30:00Z", "2026-10-25T05:00:00Z")]
    [InlineData("Europe/Berlin", "02:30-06:00", "2026-10-25T01:10:00Z", "2026-10-25T05:00:00Z")]
    // One night runs into the next.
    [InlineData("Europe/Berlin", "02:30-02:15", "2026-10-25T00:00:00Z", "2026-10-26T01:15:00Z")]
    // A whole day is skipped.
    [InlineData("Pacific/Apia", "22:00-08:00", "2011-12-30T09:00:00Z", "2011-12-30T18:00:00Z")]
    public void Quiet_hours_end_by_the_clock_on_the_wall(string zone, string hours, string now, string? end)
    {
        var (from, to) = (hours.Split('-')[0], hours.Split('-')[1]);
        Assert.Equal(
            end is null ? null : At(end),
            new QuietHours(TimeOnly.Parse(from, CultureInfo.InvariantCulture), TimeOnly.Parse(to, CultureInfo.InvariantCulture)).EndAfter(
                At(now),
                DateTimeZoneProviders.Tzdb[zone]
            )
        );
    }

    [Fact]
    public void Delivery_in_quiet_hours_is_deferred_to_their_end_with_the_rule()
    {
        var (until, rule) = PutOff(Requested())!.Value;

        Assert.Equal(Noon.AddHours(1), until);
        Assert.Equal("quiet hours 11:00 to 13:00 in Etc/UTC, version 3", rule);
    }

    [Fact]
    public void Delivery_that_expires_in_quiet_hours_is_deferred_to_its_expiry() =>
        Assert.Equal(
            (Noon.AddMinutes(10), "quiet hours 11:00 to 13:00 in Etc/UTC, version 3; worth nothing before they end"),
            PutOff(Requested(expiresAt: Noon.AddMinutes(10)))
        );

    [Fact]
    public void Delivery_that_expires_after_quiet_hours_is_deferred_to_their_end() =>
        Assert.Equal(Noon.AddHours(1), PutOff(Requested(expiresAt: Noon.AddHours(2)))!.Value.Until);

    [Fact]
    public void A_required_category_passes() => Assert.Null(PutOff(Requested(), rules: Rules(null, Category(required: true))));

    [Fact]
    public void A_priority_does_not_pass() => Assert.NotNull(PutOff(Requested(priority: Priority.Critical)));

    [Fact]
    public void User_without_quiet_hours_or_erased_has_none()
    {
        Assert.Null(PutOff(Requested(), since: []));
        Assert.Null(PutOff(Requested(), since: [Quiet, new QuietHoursWithdrawn("c", "api", Noon)]));
        Assert.Null(PutOff(Requested(), since: [Quiet, new UserErased("c", Noon)]));
        Assert.Null(QuietHoursDecider.PutOff(Requested(), null, ReachRules.None, () => DateTimeZone.Utc, Noon));
    }

    [Fact]
    public void A_delivery_that_is_put_off_waits_with_its_attempts_kept()
    {
        var n = Notification(
            new DeliveryDeferred(Sms, Noon.AddSeconds(5), Reasons.Retry, 2, "twilio", "503", Noon),
            new DeliveryDeferred(Sms, Noon.AddHours(1), Reasons.QuietHours, 2, null, null, Noon, "rule")
        );

        var d = n.Deliveries[Sms];
        Assert.Equal((DeliveryStatus.Deferred, Reasons.QuietHours, 2, Noon.AddHours(1)), (d.Status, d.Reason, d.Attempts, d.DeferredUntil));
    }

    private static QuietHoursSet Quiet => new(new TimeOnly(11, 0), new TimeOnly(13, 0), "c", "api", Noon);

    private static DateTimeOffset At(string text) => DateTimeOffset.Parse(text, CultureInfo.InvariantCulture);

    private static (DateTimeOffset Until, string Rule)? PutOff(
        NotificationRequested request,
        ReachRules? rules = null,
        IEnumerable<object>? since = null
    ) =>
        QuietHoursDecider.PutOff(
            request,
            Recipient(since ?? [Quiet]),
            rules ?? ReachRules.None,
            () => DateTimeZoneProviders.Tzdb["Etc/UTC"],
            Noon
        );
}
