namespace Notify.Tests.Domain;

using System.Text.Json;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;
using static Notify.Tests.Domain.Some;

public class DeliveryPlannerTests
{
    private static readonly NotificationContent Text = new("Shipped", "It comes tomorrow.");

    [Fact]
    public void Without_channels_everything_that_the_person_has_is_tried() =>
        Assert.Equal([(Lane.Apns, "d_1"), (Lane.Sms, null), (Lane.Email, null)], Tried(Plan(Recipient())));

    [Fact]
    public void A_template_is_tried_on_the_channels_that_it_serves()
    {
        var request = Requested() with { Template = new PinnedTemplate("t", 1, null, [Channel.Sms], []) };
        var plan = DeliveryPlanner.ForUser(Key, request, new NotificationContent(), Recipient(), ReachRules.None, AddressOf, Noon);
        Assert.Equal((Lane.Sms, 0), (Assert.Single(plan.Deliveries).Lane, plan.LeftOut.Count));

        plan = DeliveryPlanner.ForUser(
            Key,
            request with
            {
                Channels = [Channel.Email, Channel.Sms],
            },
            new NotificationContent(),
            Recipient(),
            ReachRules.None,
            AddressOf,
            Noon
        );
        Assert.Equal(Lane.Sms, Assert.Single(plan.Deliveries).Lane);
        Assert.Equal(
            (Channel.Email, Reasons.NoContent, "template"),
            (Assert.Single(plan.LeftOut).Channel, plan.LeftOut[0].Reason, plan.LeftOut[0].Rule)
        );

        plan = DeliveryPlanner.ForUnregistered(
            Key,
            request with
            {
                UserRef = null,
            },
            new NotificationContent(),
            Contacts(Lane.Sms, Lane.Email),
            ReachRules.None,
            Noon
        );
        Assert.Equal((Lane.Sms, 0), (Assert.Single(plan.Deliveries).Lane, plan.LeftOut.Count));
        plan = DeliveryPlanner.ForUnregistered(
            Key,
            request with
            {
                UserRef = null,
            },
            new NotificationContent(),
            Contacts(Lane.Email),
            ReachRules.None,
            Noon
        );
        Assert.Equal((0, Reasons.NoContent), (plan.Deliveries.Count, Assert.Single(plan.LeftOut).Reason));
    }

    [Fact]
    public void Every_device_is_a_delivery_of_its_own() =>
        Assert.Equal(
            ["d_1", "d_2", "d_3"],
            Plan(Recipient(iPhone("d_2"), iPhone("d_3")), channels: [Channel.Push]).Deliveries.Select(d => d.DeviceId)
        );

    [Fact]
    public void A_device_carries_its_own_sealed_token_and_an_sms_the_number_sealed_anew()
    {
        var plan = Plan(Recipient());
        Assert.Equal(Sealed("token"), plan.Deliveries[0].Address);
        Assert.Equal(Sealed("Sms"), plan.Deliveries[1].Address);
    }

    [Fact]
    public void The_same_input_gives_the_same_plan()
    {
        var (first, second) = (
            Plan(Recipient(), channels: [Channel.Push, Channel.Sms, Channel.Email]),
            Plan(Recipient(), channels: [Channel.Push, Channel.Sms, Channel.Email])
        );
        Assert.Equal(first.Deliveries, second.Deliveries);
        Assert.Equal(first.LeftOut, second.LeftOut);
    }

    [Fact]
    public void The_order_of_channels_changes_no_id() =>
        Assert.Equal(
            Plan(Recipient(), channels: [Channel.Push, Channel.Sms]).Deliveries.Select(d => d.Id).Order(),
            Plan(Recipient(), channels: [Channel.Sms, Channel.Push]).Deliveries.Select(d => d.Id).Order()
        );

    [Fact]
    public void No_two_deliveries_share_an_id()
    {
        var plan = Plan(
            Recipient(iPhone("d_2"), new DeviceRegistered("d_3", Platform.Android, Sealed("t3"), "c", Noon)),
            channels: [Channel.Push, Channel.Sms, Channel.Email]
        );
        var ids = plan.Deliveries.Select(d => d.Id).Concat(plan.LeftOut.Select(l => l.Id)).ToList();
        Assert.Equal(ids.Count, ids.Distinct().Count());
    }

    [Fact]
    public void The_plan_names_the_version_of_the_recipient_it_was_made_upon() =>
        Assert.Equal(Recipient().Version, Plan(Recipient()).RecipientVersion);

    [Fact]
    public void Nobody_known_is_left_out_on_every_channel() =>
        Assert.Equal(
            [(Channel.Push, Reasons.UnknownUser), (Channel.Sms, Reasons.UnknownUser), (Channel.Email, Reasons.UnknownUser)],
            LeftOut(Plan(null))
        );

    [Fact]
    public void Nobody_known_is_left_out_on_the_channels_asked_for() =>
        Assert.Equal([(Channel.Sms, Reasons.UnknownUser)], LeftOut(Plan(null, channels: [Channel.Sms])));

    [Fact]
    public void An_erased_user_is_left_out() =>
        Assert.All(LeftOut(Plan(Recipient(new UserErased("c", Noon)))), l => Assert.Equal(Reasons.Erased, l.Reason));

    [Theory]
    [InlineData(null, "channel sms")]
    [InlineData("shipping", "category shipping on sms")]
    public void An_opt_out_leaves_out_and_says_by_which_rule(string? category, string rule)
    {
        var plan = Plan(Recipient(OptOut(Channel.Sms, category)), channels: [Channel.Sms, Channel.Push]);
        var left = Assert.Single(plan.LeftOut);
        Assert.Equal((Channel.Sms, Reasons.OptedOut, rule), (left.Channel, left.Reason, left.Rule));
        Assert.Single(plan.Deliveries);
    }

    [Fact]
    public void A_category_goes_over_its_channel() =>
        Assert.Equal(
            [(Lane.Sms, null)],
            Tried(
                Plan(Recipient(OptOut(Channel.Sms, null), new OptedIn(Channel.Sms, "shipping", "u", "api", Noon)), channels: [Channel.Sms])
            )
        );

    [Fact]
    public void Another_category_s_opt_out_does_not_matter() =>
        Assert.Equal([(Lane.Sms, null)], Tried(Plan(Recipient(OptOut(Channel.Sms, "marketing")), channels: [Channel.Sms])));

    [Fact]
    public void An_opt_out_of_push_leaves_out_every_device() =>
        Assert.Equal(
            [(Channel.Push, Reasons.OptedOut), (Channel.Push, Reasons.OptedOut)],
            LeftOut(Plan(Recipient(iPhone("d_2"), OptOut(Channel.Push, null)), channels: [Channel.Push]))
        );

    [Fact]
    public void Without_a_device_push_has_no_contact() =>
        Assert.Equal(
            [(Channel.Push, Reasons.NoContact)],
            LeftOut(Plan(Recipient(new DeviceRemoved("d_1", DeviceRemovalReasons.ByRequest, "c", Noon)), channels: [Channel.Push]))
        );

    [Fact]
    public void Without_a_number_sms_has_no_contact() =>
        Assert.Equal([(Channel.Sms, Reasons.NoContact)], LeftOut(Plan(Recipient(Details(phone: null)), channels: [Channel.Sms])));

    [Fact]
    public void A_suppressed_number_is_not_used() =>
        Assert.Equal(
            [(Channel.Sms, Reasons.SuppressedAddress)],
            LeftOut(Plan(Recipient(), channels: [Channel.Sms], rules: Rules([Suppression("phone-print")])))
        );

    [Fact]
    public void A_new_number_is_used_though_the_old_one_is_suppressed() =>
        Assert.Equal(
            [(Lane.Sms, null)],
            Tried(Plan(Recipient(Details(phone: "other-print")), channels: [Channel.Sms], rules: Rules([Suppression("phone-print")])))
        );

    [Fact]
    public void The_rule_names_the_suppression_s_reason_source_and_age() =>
        Assert.Equal(
            "suppression: OptedOutAtProvider, says twilio, since 2026-05-03 12:00:00Z",
            Assert.Single(Plan(Recipient(), channels: [Channel.Sms], rules: Rules([Suppression("phone-print")])).LeftOut).Rule
        );

    [Fact]
    public void An_email_s_suppression_does_not_matter_to_an_SMS() =>
        Assert.Equal(
            [(Lane.Sms, null)],
            Tried(Plan(Recipient(), channels: [Channel.Sms], rules: Rules([Suppression("phone-print", Channel.Email)])))
        );

    [Fact]
    public void Expired_suppression_does_not_apply() =>
        Assert.Equal(
            [(Lane.Sms, null)],
            Tried(Plan(Recipient(), channels: [Channel.Sms], rules: Rules([Suppression("phone-print", expiresAt: Noon)])))
        );

    [Fact]
    public void A_suppressed_number_is_not_used_for_the_unregistered_either() =>
        Assert.Equal(
            [(Channel.Sms, Reasons.SuppressedAddress)],
            LeftOut(
                DeliveryPlanner.ForUnregistered(
                    Key,
                    Requested(userId: null),
                    Text,
                    [new SealedContact(Lane.Sms, "sms", Sealed("x"), "print")],
                    Rules([Suppression("print")]),
                    Noon
                )
            )
        );

    [Theory]
    [InlineData(null, true, "default of category shipping on sms, version 3")]
    [InlineData("channel", false, null)]
    [InlineData("category", false, null)]
    public void A_category_s_default_holds_for_whoever_said_nothing(string? said, bool leftOut, string? rule)
    {
        var recipient = Recipient(said is null ? [] : [new OptedIn(Channel.Sms, said == "category" ? "shipping" : null, "u", "api", Noon)]);
        var plan = Plan(recipient, channels: [Channel.Sms], rules: Rules(null, Category(defaults: ("sms", false))));
        Assert.Equal(leftOut ? [(Channel.Sms, Reasons.OptedOut)] : [], LeftOut(plan));
        Assert.Equal((rule, 3), (plan.LeftOut.Select(l => l.Rule).SingleOrDefault(), plan.CategoryVersion));
    }

    [Fact]
    public void A_category_s_default_holds_for_the_unregistered() =>
        Assert.Equal(
            [(Channel.Sms, Reasons.OptedOut)],
            LeftOut(
                DeliveryPlanner.ForUnregistered(
                    Key,
                    Requested(userId: null),
                    Text,
                    Contacts(Lane.Sms),
                    Rules(null, Category(defaults: ("sms", false))),
                    Noon
                )
            )
        );

    [Fact]
    public void Required_category_overrides_every_opt_out_and_records_it()
    {
        var plan = Plan(
            Recipient(OptOut(Channel.Sms, "shipping"), OptOut(Channel.Push, null)),
            rules: Rules(null, Category(required: true, defaults: ("email", false)))
        );
        Assert.Equal([(Lane.Apns, "d_1"), (Lane.Sms, null), (Lane.Email, null)], Tried(plan));
        Assert.Equal(
            [
                "category shipping is required, version 3; passes channel push",
                "category shipping is required, version 3; passes category shipping on sms",
                "category shipping is required, version 3; passes default of category shipping on email, version 3",
            ],
            plan.Deliveries.Select(d => d.Rule)
        );
    }

    [Fact]
    public void Required_category_does_not_override_a_suppression() =>
        Assert.Equal(
            [(Channel.Sms, Reasons.SuppressedAddress)],
            LeftOut(Plan(Recipient(), channels: [Channel.Sms], rules: Rules([Suppression("phone-print")], Category(required: true))))
        );

    [Fact]
    public void A_number_that_cannot_be_opened_is_left_out() =>
        Assert.Equal([(Channel.Sms, Reasons.Unreadable)], LeftOut(Plan(Recipient(), channels: [Channel.Sms], contact: _ => null)));

    [Fact]
    public void A_number_is_opened_only_where_it_is_tried()
    {
        var asked = new List<Channel>();
        Plan(
            Recipient(OptOut(Channel.Sms, null)),
            channels: [Channel.Push, Channel.Sms],
            contact: c =>
            {
                asked.Add(c);
                return Sealed("x");
            }
        );
        Assert.Empty(asked);
    }

    [Theory]
    [InlineData("{}", Channel.Push, Reasons.NoContent)]
    [InlineData("""{ "title": "t" }""", Channel.Push, null)]
    [InlineData("""{ "body": "b" }""", Channel.Push, null)]
    [InlineData("""{ "data": {} }""", Channel.Push, null)]
    [InlineData("""{ "html": "<p>" }""", Channel.Push, Reasons.NoContent)]
    [InlineData("""{ "title": "t" }""", Channel.Sms, Reasons.NoContent)]
    [InlineData("""{ "body": "" }""", Channel.Sms, Reasons.NoContent)]
    [InlineData("""{ "body": "b" }""", Channel.Sms, null)]
    [InlineData("""{ "title": "t" }""", Channel.Email, Reasons.NoContent)]
    [InlineData("""{ "title": "t", "body": "", "html": "" }""", Channel.Email, Reasons.NoContent)]
    [InlineData("""{ "body": "b" }""", Channel.Email, null)]
    [InlineData("""{ "html": "<p>" }""", Channel.Email, null)]
    public void A_channel_needs_content_that_it_can_show(string content, Channel channel, string? reason)
    {
        var plan = Plan(Recipient(), JsonSerializer.Deserialize<NotificationContent>(content, JsonSerializerOptions.Web)!, [channel]);
        Assert.Equal(reason is null ? [] : [(channel, reason)], LeftOut(plan));
    }

    [Theory]
    [InlineData("""{ "data": {} }""", false)]
    [InlineData("""{ "title": "t", "data": {} }""", true)]
    [InlineData("""{ "body": "b" }""", true)]
    public void Browser_gets_no_push_of_data_alone(string content, bool goes)
    {
        var recipient = Recipient(iPhone("d_web") with { Platform = Platform.Web });
        var plan = Plan(recipient, JsonSerializer.Deserialize<NotificationContent>(content, JsonSerializerOptions.Web)!, [Channel.Push]);
        Assert.Equal(goes ? 2 : 1, plan.Deliveries.Count);
        Assert.Equal(goes ? [] : ["web: data alone"], plan.LeftOut.Select(l => l.Rule));
    }

    [Theory]
    [InlineData("a", 306, 2, true)]
    [InlineData("a", 307, 2, false)]
    [InlineData("가", 134, 2, true)]
    [InlineData("가", 135, 2, false)]
    [InlineData("a", 1530, 10, true)]
    [InlineData("a", 1531, 10, false)]
    public void An_sms_of_too_many_segments_is_left_out_and_the_rule_says_how_many(string character, int length, int most, bool goes)
    {
        var text = new NotificationContent("t", string.Concat(Enumerable.Repeat(character, length)));
        var plan = DeliveryPlanner.ForUser(
            Key,
            Requested(),
            text,
            Recipient(),
            ReachRules.None,
            AddressOf,
            Noon,
            new SmsLimits { MaxSegments = most }
        );
        Assert.Equal(goes, plan.Deliveries.Any(d => d.Lane == Lane.Sms));
        Assert.Equal(goes ? [] : [(Channel.Sms, Reasons.TooLarge)], LeftOut(plan));
        Assert.All(plan.LeftOut, l => Assert.Equal($"sms: {SmsText.Segments(text.Body)} segments, at most {most}", l.Rule));
        Assert.Contains(plan.Deliveries, d => d.Lane == Lane.Email);
    }

    [Fact]
    public void Channels_that_nobody_named_are_not_complained_of_when_another_works()
    {
        var plan = Plan(Recipient(Details(phone: null, email: null)));
        Assert.Equal([(Lane.Apns, "d_1")], Tried(plan));
        Assert.Empty(plan.LeftOut);
    }

    [Fact]
    public void An_opt_out_is_told_even_of_a_channel_that_nobody_named() =>
        Assert.Equal([(Channel.Sms, Reasons.OptedOut)], LeftOut(Plan(Recipient(Details(email: null), OptOut(Channel.Sms, null)))));

    [Fact]
    public void When_nothing_works_every_reason_is_told() =>
        Assert.Equal(
            [(Channel.Push, Reasons.NoContact), (Channel.Sms, Reasons.NoContact), (Channel.Email, Reasons.NoContact)],
            LeftOut(Plan(Recipient(Details(phone: null, email: null), new DeviceRemoved("d_1", DeviceRemovalReasons.ByRequest, "c", Noon))))
        );

    [Fact]
    public void The_unregistered_are_tried_on_what_was_given() =>
        Assert.Equal(
            [Lane.Apns, Lane.Sms],
            DeliveryPlanner
                .ForUnregistered(Key, Requested(userId: null), Text, Contacts(Lane.Apns, Lane.Sms), ReachRules.None, Noon)
                .Deliveries.Select(d => d.Lane)
        );

    [Fact]
    public void The_unregistered_are_tried_on_the_channels_asked_for_alone()
    {
        var plan = DeliveryPlanner.ForUnregistered(
            Key,
            Requested(userId: null, channels: [Channel.Sms]),
            Text,
            Contacts(Lane.Apns, Lane.Sms),
            ReachRules.None,
            Noon
        );
        Assert.Equal([Lane.Sms], plan.Deliveries.Select(d => d.Lane));
        Assert.Empty(plan.LeftOut);
    }

    [Fact]
    public void A_channel_asked_for_without_a_contact_is_left_out() =>
        Assert.Equal(
            [(Channel.Email, Reasons.NoContact)],
            LeftOut(
                DeliveryPlanner.ForUnregistered(
                    Key,
                    Requested(userId: null, channels: [Channel.Sms, Channel.Email]),
                    Text,
                    Contacts(Lane.Sms),
                    ReachRules.None,
                    Noon
                )
            )
        );

    private static DeliveriesPlanned Plan(
        Recipient? recipient,
        NotificationContent? content = null,
        IReadOnlyList<Channel>? channels = null,
        Func<Channel, Sealed?>? contact = null,
        ReachRules? rules = null
    ) =>
        DeliveryPlanner.ForUser(
            Key,
            Requested(channels: channels),
            content ?? Text,
            recipient,
            rules ?? ReachRules.None,
            (c, id) => contact is null ? AddressOf(c, id) : contact(c),
            Noon
        );

    private static IEnumerable<(Lane, string?)> Tried(DeliveriesPlanned plan) => plan.Deliveries.Select(d => (d.Lane, d.DeviceId));

    private static IEnumerable<(Channel Channel, string Reason)> LeftOut(DeliveriesPlanned plan) =>
        plan.LeftOut.Select(l => (l.Channel, l.Reason));

    private static SealedContact[] Contacts(params Lane[] lanes) =>
        [.. lanes.Select(l => new SealedContact(l, DeliveryPlanner.ContactOf(Lanes.ChannelOf(l)), Sealed($"{l}")))];

    private static DeviceRegistered iPhone(string id) => new(id, Platform.Ios, Sealed(id), "c", Noon);

    private static OptedOut OptOut(Channel channel, string? category) => new(channel, category, "u", "api", Noon);

    private static ContactDetailsGiven Details(string? email = "email-print", string? phone = "phone-print") =>
        new(Sealed("details"), email is not null, phone is not null, email, phone, "c", Noon);
}
