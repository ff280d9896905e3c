namespace Notify.Tests.Domain;

using System.Collections.Immutable;
using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Domain.Planning;
using Notify.Domain.Recipients;
using static Notify.Tests.Domain.Some;

/// <summary>A word that was said at an address holds for people who are not registered, in its category alone.</summary>
public class AddressWordsTests
{
    private const string Print = "print-1";

    private static readonly NotificationRequested Bare = Requested(userId: null, channels: [Channel.Email]);

    [Theory]
    [InlineData("shipping", true)]
    [InlineData("receipts", false)]
    public void Category_that_was_opted_out_of_at_an_address_is_left_out_and_no_other(string category, bool leftOut)
    {
        var plan = DeliveryPlanner.ForUnregistered(
            "n/c_shop:1",
            Bare with
            {
                Category = category,
            },
            new NotificationContent("a", "b"),
            [Mail],
            Rules(required: false),
            Noon
        );
        Assert.Equal(leftOut ? [Reasons.OptedOut] : [], plan.LeftOut.Select(l => l.Reason));
        Assert.Equal(leftOut ? 0 : 1, plan.Deliveries.Count);
    }

    [Fact]
    public void Required_category_passes_what_was_said_at_an_address()
    {
        var plan = DeliveryPlanner.ForUnregistered(
            "n/c_shop:1",
            Bare,
            new NotificationContent("a", "b"),
            [Mail],
            Rules(required: true),
            Noon
        );
        Assert.Single(plan.Deliveries);
    }

    [Fact]
    public void Registered_user_goes_by_their_own_word_whatever_was_said_at_their_address() =>
        Assert.True(
            Rules(required: false)
                .Reaches(Requested(), Notify.Domain.Recipients.Recipient.Unregistered("u/u-1"), Channel.Email, Print)
                .MayReach
        );

    [Theory]
    [InlineData("email/shipping", false, false)]
    [InlineData("email", false, false)]
    [InlineData("sms/shipping", false, true)]
    [InlineData("email/shipping", true, true)]
    public void Word_of_a_user_holds_at_their_bare_address(string choice, bool said, bool reached)
    {
        var words = new AddressWords(
            new Dictionary<string, AddressChoices>(),
            [new ChoicesAtAddress(Channel.Email, Print, new Dictionary<string, bool> { [choice] = said })]
        );
        var rules = ReachRules.None with { Said = words };
        Assert.Equal(reached, rules.Reaches(Bare, null, Channel.Email, Print).MayReach);
        Assert.True(rules.Reaches(Bare, null, Channel.Email, "print-2").MayReach);
    }

    [Fact]
    public void Delivery_that_waits_is_held_back_by_what_is_said_meanwhile()
    {
        var plan = DeliveryPlanner.ForUnregistered("n/c_shop:1", Bare, new NotificationContent("a", "b"), [Mail], ReachRules.None, Noon);
        var notification = Notify.Domain.Notifications.Notification.Fold("n/c_shop:1", [Bare, plan])!;
        var delivery = notification.Deliveries.Values.Single();

        var instead = NotificationDecider.LastCheck(notification, delivery, null, Rules(required: false), Print, Noon);

        Assert.Equal(Reasons.OptedOut, Assert.IsType<DeliverySuppressed>(instead).Reason);
    }

    private static SealedContact Mail => new(Lane.Email, "email", Sealed("address"), Print);

    private static ReachRules Rules(bool required)
    {
        var key = AddressChoices.KeyOf(Channel.Email, Print);
        var there = AddressChoices.Evolve(null, key, new AddressOptedOut(Channel.Email, Print, "shipping", "recipient", "oneClick", Noon))!;
        var category = Notify.Domain.Categories.Category.Undefined("shipping") with { Required = required, Version = 1 };
        return new ReachRules(
            new Dictionary<string, Category> { [category.Id] = category },
            ReachRules.None.Suppressions,
            new AddressWords(ImmutableDictionary<string, AddressChoices>.Empty.Add(key, there), [])
        );
    }
}
