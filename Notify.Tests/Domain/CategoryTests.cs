namespace Notify.Tests.Domain;

using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Planning;
using Notify.Domain.Recipients;
using static Notify.Tests.Domain.Some;

public class CategoryTests
{
    private static readonly Dictionary<string, bool> NoSms = new() { ["sms"] = false };

    [Fact]
    public void Each_definition_replaces_the_one_before_and_counts_as_a_version()
    {
        var first = Define(null, required: true, NoSms, UnknownOutcome.Resend)!;
        Assert.Equal((1, true, UnknownOutcome.Resend, "news"), (first.Version, first.Required, first.UnknownOutcome, first.Key));
        var second = Define(first, required: false, [], UnknownOutcome.Hold)!;
        Assert.Equal((2, false, UnknownOutcome.Hold, 0), (second.Version, second.Required, second.UnknownOutcome, second.Defaults.Count));
    }

    [Fact]
    public void The_same_again_changes_nothing_and_anything_else_does()
    {
        var defined = Define(null, required: true, NoSms, UnknownOutcome.Resend);
        Assert.Null(Define(defined, required: true, new() { ["sms"] = false }, UnknownOutcome.Resend));
        Assert.NotNull(Define(defined, required: false, NoSms, UnknownOutcome.Resend));
        Assert.NotNull(Define(defined, required: true, NoSms, UnknownOutcome.Hold));
        Assert.NotNull(Define(defined, required: true, new() { ["sms"] = true }, UnknownOutcome.Resend));
        Assert.NotNull(Define(defined, required: true, new() { ["email"] = false }, UnknownOutcome.Resend));
        Assert.NotNull(Define(defined, required: true, [], UnknownOutcome.Resend));
    }

    [Theory]
    [InlineData(false, true)]
    [InlineData(true, false)]
    public void Category_is_required_only_for_those_who_may_pass_opt_outs(bool optOutsHold, bool required)
    {
        var defined = Define(null, required: true, NoSms, UnknownOutcome.Resend)!;
        var rules = ReachRules.None with { Categories = new Dictionary<string, Category> { [defined.Id] = defined } };

        Assert.Equal(required, rules.Of(Requested(category: defined.Key) with { OptOutsHold = optOutsHold }).Required);
    }

    // For any order of choices, no opted-out delivery is sent and no required one is skipped.
    [Theory]
    [InlineData(11)]
    [InlineData(12)]
    [InlineData(13)]
    public void For_any_order_of_choices_the_last_word_of_the_closest_kind_counts(int seed)
    {
        var random = new Random(seed);
        for (var round = 0; round < 300; round++)
        {
            var (said, byCategory, byChannel) = (new List<object>(), (bool?)null, (bool?)null);
            for (var i = random.Next(0, 8); i > 0; i--)
            {
                bool? word = random.Next(3) switch
                {
                    0 => true,
                    1 => false,
                    _ => null,
                };
                var category = random.Next(3) switch
                {
                    0 => "shipping",
                    1 => "other",
                    _ => null,
                };
                if (category == "shipping")
                    byCategory = word;
                else if (category is null)
                    byChannel = word;
                said.Add(
                    word switch
                    {
                        true => new OptedIn(Channel.Sms, category, "u", "api", Noon),
                        false => new OptedOut(Channel.Sms, category, "u", "api", Noon),
                        null => new PreferenceWithdrawn(Channel.Sms, category, "u", "api", Noon),
                    }
                );
            }

            bool? byDefault = random.Next(3) switch
            {
                0 => true,
                1 => false,
                _ => null,
            };
            var required = random.Next(4) == 0;
            var category_ = Category(required: required, defaults: byDefault is { } d ? [("sms", d)] : []);
            var (mayReach, rule, passed) = category_.Reaches(Recipient(said), Channel.Sms);

            var wants = byCategory ?? byChannel ?? byDefault ?? true;
            Assert.Equal((wants || required, !wants && required), (mayReach, passed));
            Assert.Equal(passed, rule.StartsWith("category shipping is required", StringComparison.Ordinal));
            Assert.True(category_.Reaches(Recipient(said), Channel.Push).MayReach); // nobody spoke of it
        }
    }

    [Fact]
    public void Undefined_category_reaches_users_without_preferences_and_holds_unknown_outcomes()
    {
        var undefined = Notify.Domain.Categories.Category.Undefined("whatever");
        Assert.Equal((true, "default", false), undefined.Reaches(null, Channel.Sms));
        Assert.Equal((UnknownOutcome.Hold, 0), (undefined.UnknownOutcome, undefined.Version));
    }

    private static Category? Define(Category? current, bool required, Dictionary<string, bool> defaults, UnknownOutcome unknownOutcome) =>
        Notify.Domain.Categories.Category.Define(current, "news", required, defaults, unknownOutcome, "c_shop", Noon) is { } e
            ? Notify.Domain.Categories.Category.Evolve(current, Notify.Domain.Categories.Category.KeyOf("news"), e)
            : null;
}
