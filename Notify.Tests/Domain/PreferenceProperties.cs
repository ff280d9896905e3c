namespace Notify.Tests.Domain;

using System.Collections.Immutable;
using FsCheck;
using FsCheck.Fluent;
using NodaTime;
using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Domain.Recipients;
using static Notify.Tests.Domain.Some;

/// <summary>For any order of what people say and what is laid down: nothing opted out is sent, nothing required is held back, nobody is
/// disturbed.</summary>
public sealed class PreferenceProperties
{
    // Its clock is never changed: a minute of the day is enough to tell.
    internal static readonly DateTimeZone Zone = DateTimeZoneProviders.Tzdb["Asia/Kolkata"];
    private static readonly Config Many = Config.QuickThrowOnFailure.WithMaxTest(500);

    // Said and laid down between the planning and the last check, and before.
    private sealed record Story(ImmutableList<object> Before, ImmutableList<object> Between, int MinutesLater);

    internal static Gen<object> Step =>
        Gen.OneOf(
            from channel in Channels
            from category in Gen.Elements(null, "shipping", "other")
            from kind in Gen.Choose(0, 2)
            select kind switch
            {
                0 => (object)new OptedIn(channel, category, "c", "api", Noon),
                1 => new OptedOut(channel, category, "c", "api", Noon),
                _ => new PreferenceWithdrawn(channel, category, "c", "api", Noon),
            },
            from at in Gen.Choose(0, 1439)
            from length in Gen.Choose(1, 1439)
            select (object)new QuietHoursSet(Minute(at), Minute((at + length) % 1440), "c", "api", Noon),
            Gen.Constant((object)new QuietHoursWithdrawn("c", "api", Noon)),
            from required in Gen.Elements(false, false, false, true)
            from channel in Channels
            from optIn in Gen.Elements(true, false)
            select (object)
                new CategoryDefined(
                    "shipping",
                    required,
                    new Dictionary<string, bool> { [Lanes.NameOf(channel)] = optIn },
                    UnknownOutcome.Hold,
                    "c",
                    Noon
                )
        );

    private static Gen<Channel> Channels => Gen.Elements(Channel.Push, Channel.Sms, Channel.Email);

    private static Arbitrary<Story> Stories =>
        Arb.From(
            from before in Gen.ListOf(Step)
            from between in Gen.ListOf(Step)
            from later in Gen.Choose(0, 3000)
            select new Story([.. before], [.. between], later)
        );

    [Fact]
    public void Nothing_opted_out_is_sent_and_nothing_required_is_left_out_in_any_order() =>
        Prop.ForAll(
                Stories,
                story =>
                {
                    var (then, now) = (After(story.Before), After(story.Before.AddRange(story.Between)));
                    var plan = DeliveryPlanner.ForUser(
                        Key,
                        Requested(),
                        new NotificationContent("a", "b"),
                        then.Recipient,
                        then.Rules,
                        AddressOf,
                        Noon
                    );
                    var notification = Notify.Domain.Notifications.Notification.Fold(Key, [Requested(), plan])!;
                    foreach (var channel in Enum.GetValues<Channel>())
                    {
                        var planned = plan.Deliveries.SingleOrDefault(d => Lanes.ChannelOf(d.Lane) == channel);
                        if (planned is not null != (then.IsRequired || then.Wants(channel)))
                            return false;
                        if (planned is null)
                            continue;
                        var ended = NotificationDecider.LastCheck(
                            notification,
                            notification.Deliveries[planned.Id],
                            now.Recipient,
                            now.Rules,
                            null,
                            Noon.AddMinutes(story.MinutesLater)
                        );
                        if (ended is null != (now.IsRequired || now.Wants(channel)))
                            return false;
                    }

                    return true;
                }
            )
            .Check(Many);

    [Fact]
    public void Nobody_is_disturbed_and_nothing_required_is_put_off_in_any_order() =>
        Prop.ForAll(
                Stories,
                story =>
                {
                    var now = After(story.Before.AddRange(story.Between));
                    var time = Noon.AddMinutes(story.MinutesLater);
                    var putOff = QuietHoursDecider.PutOff(Requested(), now.Recipient, now.Rules, () => Zone, time);
                    if (putOff is null != (now.IsRequired || !now.IsQuiet(time)))
                        return false;
                    // It is deferred to the first minute that is not quiet, and then sent.
                    if (putOff is not var (until, _))
                        return true;
                    var waited = time;
                    while (now.IsQuiet(waited))
                        waited = waited.AddMinutes(1);
                    return until == waited && QuietHoursDecider.PutOff(Requested(), now.Recipient, now.Rules, () => Zone, until) is null;
                }
            )
            .Check(Many);

    // The same rules in another form: the last choice counts, and one kind overrides another.
    internal sealed record Truth(Recipient Recipient, ReachRules Rules, IReadOnlyList<object> Said)
    {
        public bool IsRequired => Said.OfType<CategoryDefined>().LastOrDefault()?.Required == true;

        public bool Wants(Channel channel) => Last(channel, "shipping") ?? Last(channel, null) ?? Default(channel);

        public bool IsQuiet(DateTimeOffset time)
        {
            if (Said.LastOrDefault(s => s is QuietHoursSet or QuietHoursWithdrawn) is not QuietHoursSet quiet)
                return false;
            var clock = TimeOnly.FromDateTime(time.UtcDateTime.AddMinutes(330));
            return quiet.From < quiet.To ? clock >= quiet.From && clock < quiet.To : clock >= quiet.From || clock < quiet.To;
        }

        private bool? Last(Channel channel, string? category)
        {
            for (var i = Said.Count - 1; i >= 0; i--)
            {
                switch (Said[i])
                {
                    case OptedIn e when e.Channel == channel && e.Category == category:
                        return true;
                    case OptedOut e when e.Channel == channel && e.Category == category:
                        return false;
                    case PreferenceWithdrawn e when e.Channel == channel && e.Category == category:
                        return null;
                }
            }

            return null;
        }

        private bool Default(Channel channel) =>
            Said.OfType<CategoryDefined>().LastOrDefault()?.Defaults.TryGetValue(Lanes.NameOf(channel), out var optIn) != true || optIn;
    }

    internal static Truth After(ImmutableList<object> said)
    {
        var category = said.OfType<CategoryDefined>()
            .Aggregate((Category?)null, (c, e) => Notify.Domain.Categories.Category.Evolve(c, "k/shipping", e));
        return new Truth(Recipient(said), category is null ? ReachRules.None : Rules(null, category), said);
    }

    private static TimeOnly Minute(int minute) => new(minute / 60, minute % 60);
}
