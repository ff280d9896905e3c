namespace Notify.Tests.Domain;

using Notify.Domain.Planning;
using static Notify.Tests.Domain.Some;

public class RetryScheduleTests
{
    private static readonly RetrySchedule Schedule = new()
    {
        BaseDelay = TimeSpan.FromSeconds(5),
        MaxDelay = TimeSpan.FromMinutes(15),
        MaxAttempts = 12,
    };

    [Theory]
    [InlineData(1, 5)]
    [InlineData(2, 10)]
    [InlineData(3, 20)]
    [InlineData(8, 640)]
    [InlineData(9, 900)]
    [InlineData(11, 900)]
    public void The_upper_bound_doubles_up_to_the_maximum(int attempt, double seconds) =>
        Assert.Equal(Noon.AddSeconds(seconds), Schedule.Next(attempt, null, Noon, 1));

    [Theory]
    [InlineData(0, 0)]
    [InlineData(0.25, 5)]
    [InlineData(0.5, 10)]
    [InlineData(0.75, 15)]
    public void The_jitter_is_full(double random, double seconds) =>
        Assert.Equal(Noon.AddSeconds(seconds), Schedule.Next(3, null, Noon, random));

    [Theory]
    [InlineData(0)]
    [InlineData(0.5)]
    [InlineData(0.999)]
    public void The_provider_s_word_is_a_lower_bound_and_the_jitter_comes_on_top(double random)
    {
        var next = Schedule.Next(1, TimeSpan.FromSeconds(60), Noon, random);
        Assert.InRange(next!.Value, Noon.AddSeconds(60), Noon.AddSeconds(65));
    }

    [Theory]
    [InlineData(11, true)]
    [InlineData(12, false)]
    [InlineData(13, false)]
    [InlineData(int.MaxValue, false)]
    public void After_the_last_attempt_there_is_no_next(int attempt, bool goesOn) =>
        Assert.Equal(goesOn, Schedule.Next(attempt, null, Noon, 0.5) is not null);

    [Fact]
    public void The_provider_s_word_does_not_lengthen_the_attempts() => Assert.Null(Schedule.Next(12, TimeSpan.FromSeconds(1), Noon, 0.5));

    [Fact]
    public void The_provider_s_word_is_heard_within_reason() =>
        Assert.InRange(Schedule.Next(1, DateTimeOffset.MaxValue - Noon, Noon, 0.999)!.Value, Noon, Noon.AddDays(7));

    [Fact]
    public void Very_many_attempts_do_not_overflow() =>
        Assert.Equal(Noon.AddMinutes(15), (Schedule with { MaxAttempts = int.MaxValue }).Next(int.MaxValue - 1, null, Noon, 1));
}
