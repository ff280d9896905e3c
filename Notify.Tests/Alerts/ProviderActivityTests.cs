namespace Notify.Tests.Alerts;

using System.Diagnostics;
using Microsoft.Extensions.Logging.Abstractions;
using Notify.Delivery.Monitoring;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Routing;
using Notify.Tests.Projections;

public sealed class ProviderActivityTests(EmptyDatabase database) : IClassFixture<EmptyDatabase>
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Every_call_of_many_threads_and_hosts_is_counted_and_costs_no_more_than_a_look_up()
    {
        const int Threads = 4,
            Each = 100_000;
        CarriedApp[] apps =
        [
            new("default", "com.example.app", PushEnvironment.Production),
            new("dev", "com.example.app", PushEnvironment.Sandbox),
        ];
        using ProviderActivity first = Host(),
            second = Host();
        second.Carries([new("twilio", Lane.Sms, 2, 30), new("apns", Lane.Apns, 1, IsSandbox: true, Apps: apps)]);
        var queue = new DeliveryQueue(Lane.Sms, Priority.Normal);
        var watch = Stopwatch.StartNew();
        await Task.WhenAll(
            Enumerable
                .Range(0, Threads)
                .Select(_ =>
                    Task.Run(() =>
                    {
                        for (var i = 0; i < Each; i++)
                            first.Count("twilio", queue, CallOutcome.Answered, "", null, TimeSpan.FromMilliseconds(40));
                    })
                )
        );
        var perCall = watch.Elapsed / (Threads * Each);
        TestContext.Current.TestOutputHelper!.WriteLine($"{perCall.TotalNanoseconds:0} ns a call");
        for (var i = 0; i < 100_000; i++)
            second.Count("twilio", queue, CallOutcome.Failed, Reasons.Retry, "503", TimeSpan.FromSeconds(20));
        second.Count("twilio", queue, CallOutcome.DeadLettered, Reasons.AttemptsExhausted, "a code that is <no> code", null);

        await first.WriteAsync(Cancellation);
        await second.WriteAsync(Cancellation);
        await second.WriteAsync(Cancellation); // written again, counted once

        var health = (await new ProviderHealthReader(database.Source, TimeProvider.System).ReadAsync(Cancellation)).ToDictionary(h =>
            h.Provider
        );
        Assert.Equal(
            (Health.Idle, CircuitState.Closed, 1, null, null),
            (health["apns"].Health, health["apns"].Circuit, health["apns"].Position, health["apns"].Weight, health["apns"].ErrorRate)
        );
        Assert.Equal((true, false), (health["apns"].Sandbox, health["twilio"].Sandbox));
        Assert.Equal(apps, health["apns"].Apps);
        Assert.Null(health["twilio"].Apps);
        var twilio = health["twilio"];
        Assert.Equal(
            (Health.Healthy, "sms", 2, 30d, "503"),
            (twilio.Health, twilio.Lane, twilio.Position, twilio.Weight, twilio.LastErrorCode)
        );
        Assert.Equal((500_000 / 5.0, 0.2), (twilio.CallsPerMinute, twilio.ErrorRate));
        Assert.InRange(twilio.LatencyP50Ms!.Value, 35, 50);
        Assert.Equal(10_000, twilio.LatencyP95Ms);
        Assert.True(perCall < TimeSpan.FromMicroseconds(20), $"{perCall.TotalMicroseconds} µs a call");
        await using var code = database.Source.CreateCommand(
            "select count(*) from notify.provider_calls where outcome = 4 and code is null"
        );
        Assert.Equal(1L, await code.ExecuteScalarAsync(Cancellation));
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(5, 0)]
    [InlineData(5.1, 1)]
    [InlineData(40, 4)]
    [InlineData(10_000, 18)]
    [InlineData(60_000, 19)]
    public void A_duration_has_a_class(double ms, int expected) =>
        Assert.Equal(expected, LatencyClasses.ClassOf(TimeSpan.FromMilliseconds(ms)));

    [Fact]
    public void A_percentile_lies_in_the_class_where_it_must()
    {
        Assert.Null(LatencyClasses.Percentile([], 0.5));
        Assert.Equal(2.5, LatencyClasses.Percentile([10], 0.5));
        Assert.Equal(10, LatencyClasses.Percentile([50, 50], 1));
        Assert.InRange(LatencyClasses.Percentile([90, 0, 0, 10], 0.95)!.Value, 20, 35);
    }

    private ProviderActivity Host() => new(database.Source, new AlertRules(), TimeProvider.System, NullLogger<ProviderActivity>.Instance);
}
