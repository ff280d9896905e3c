namespace Notify.Tests.Projections.Verification;

using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Notify.Delivery.Monitoring;
using Notify.Domain.Notifications;
using Notify.Projections.Verification;
using Notify.Tests.Domain;
using Notify.Tests.Projections.Analytics;

public sealed class VerificationServiceTests(AnalyticsDatabase database) : IClassFixture<AnalyticsDatabase>
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Service_verifies_what_is_new_once_an_interval_and_alerts_until_a_fault_is_repaired()
    {
        var clock = new FakeTimeProvider(TimeProvider.System.GetUtcNow());
        var builder = new StoreBuilder(database);
        var (first, second) = (Service(clock), Service(clock));
        for (var i = 0; i < 3; i++)
            await builder.AcceptAsync(builder.New($"old-{i}"), new NotificationCancelled([], "c_shop", Some.Noon));

        var both = await Task.WhenAll(first.VerifyAsync(Cancellation), second.VerifyAsync(Cancellation));
        Assert.Equal((3, 0), (Assert.Single(both, r => r is not null)!.Counts.Notifications, both.Max(r => r?.Counts.Faults)));
        Assert.Null(await first.VerifyAsync(Cancellation)); // its hour is not over
        clock.Advance(TimeSpan.FromMinutes(61));
        Assert.NotNull(await second.VerifyAsync(Cancellation));
        Assert.False(await IsBadAsync(clock));

        var lost = builder.New("lost");
        await builder.AcceptAsync(lost);
        for (var run = 0; run < 4; run++)
        {
            clock.Advance(TimeSpan.FromMinutes(61));
            var result = (await first.VerifyAsync(Cancellation))!;
            Assert.Equal((VerificationFaultKind.NotPlanned, lost.Key), (Assert.Single(result.Faults).Kind, result.Faults[0].Stream));
            Assert.True(result.Counts.Notifications <= (run == 0 ? 4 : 1), $"run {run} checked {result.Counts.Notifications}");
            Assert.True(await IsBadAsync(clock));
        }

        await database.AppendAsync(lost.Key, new NotificationCancelled([], "c_shop", Some.Noon));
        clock.Advance(TimeSpan.FromMinutes(61));
        Assert.Empty((await first.VerifyAsync(Cancellation))!.Faults);
        Assert.False(await IsBadAsync(clock));

        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        var runs = await VerificationTable.ListAsync(connection, null, 100, Cancellation);
        Assert.Equal(7, runs.Count);
        Assert.All(runs, r => Assert.True(r is { IsAutomatic: true, Position: not null, EndedAt: not null }));
        Assert.Equal(lost.Key, Assert.Single(runs[1].Faults).Stream);
    }

    [Fact]
    public async Task Run_whose_host_has_failed_is_replaced()
    {
        var own = new AnalyticsDatabase();
        await own.InitializeAsync();
        await using var _ = own;
        var now = TimeProvider.System.GetUtcNow();
        Assert.NotNull(await VerificationTable.BeginAsync(own.Source, isAutomatic: true, 0, now.AddMinutes(-4), Cancellation));
        Assert.Null(await VerificationTable.BeginAsync(own.Source, isAutomatic: true, 0, now, Cancellation));
        Assert.NotNull(await VerificationTable.BeginAsync(own.Source, isAutomatic: false, 0, now, Cancellation)); // by hand it runs beside
        Assert.NotNull(await VerificationTable.BeginAsync(own.Source, isAutomatic: true, 0, now.AddMinutes(2), Cancellation));
    }

    [Theory]
    [InlineData("--since needs a value; usage: verify", "--since")]
    [InlineData("--since is \"yesterday\"; give an event sequence", "--since", "yesterday")]
    [InlineData("\"--all\" is not known; usage: verify", "--all")]
    public void Wrong_words_are_refused(string fault, params string[] words) =>
        Assert.StartsWith(fault, VerifyCommand.Parse(words).Fault, StringComparison.Ordinal);

    [Fact]
    public void Since_is_a_sequence_or_a_time()
    {
        Assert.Equal(new VerifyCommand.Options(120), VerifyCommand.Parse(["--since", "120"]).Options);
        Assert.Equal(new VerifyCommand.Options(null, Some.Noon), VerifyCommand.Parse(["--since", "2026-05-04T12:00:00Z"]).Options);
    }

    private VerificationService Service(TimeProvider clock) =>
        new(
            new StoreBuilder(database).Verifier(),
            database.Source,
            new ConfigurationBuilder().Build(),
            clock,
            NullLogger<VerificationService>.Instance
        );

    private async Task<bool?> IsBadAsync(TimeProvider clock)
    {
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        return (await new StandingFaults(database.Store).ReadAsync(connection, new AlertRules(), clock.GetUtcNow(), Cancellation))
            .Single(f => f.Kind == TroubleKind.VerificationFailed)
            .IsBad;
    }
}
