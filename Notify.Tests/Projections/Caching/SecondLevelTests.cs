namespace Notify.Tests.Projections.Caching;

using System.Text;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;
using Notify.Delivery.Privacy;
using Notify.Delivery.Snapshots;
using Notify.Tests.Support;

/// <summary>The cache level over Redis: its entries are encrypted, and a slow Redis delays callers only up to a limit.</summary>
public sealed class SecondLevelTests
{
    private static readonly string OtherKey = Convert.ToBase64String([.. Enumerable.Range(0, 32).Select(i => (byte)i)]);

    private readonly FakeTimeProvider clock = new();
    private readonly Shelf shelf = new();
    private readonly Log log = new();
    private readonly SecondLevel second;

    public SecondLevelTests() => second = new SecondLevel(shelf, Ring(), clock, log);

    [Fact]
    public async Task Nothing_that_lies_in_it_can_be_read_there_names_included()
    {
        await SetAsync("u/kim@example.com", "kim says no to sms");

        var (name, value) = Assert.Single(shelf.Things);
        Assert.DoesNotContain("kim", name + Encoding.Latin1.GetString(value), StringComparison.Ordinal);
        Assert.Equal("kim says no to sms", await GetAsync("u/kim@example.com"));
    }

    [Fact]
    public async Task Changed_or_swapped_entry_is_not_returned()
    {
        await SetAsync("u/a", "of a");
        await SetAsync("u/b", "of b");
        var names = shelf.Things.Keys.ToArray();
        (shelf.Things[names[0]], shelf.Things[names[1]]) = (shelf.Things[names[1]], shelf.Things[names[0]]);
        Assert.Null(await GetAsync("u/a"));
        Assert.Null(await GetAsync("u/b"));

        await SetAsync("u/a", "of a");
        foreach (var name in names)
            shelf.Things[name][^1] ^= 1;
        Assert.Null(await GetAsync("u/a"));
        foreach (var name in names)
            shelf.Things[name] = [1, 2];
        Assert.Null(await GetAsync("u/a"));
        Assert.False(second.IsAway);
    }

    [Fact]
    public async Task Entry_of_another_master_key_is_not_returned()
    {
        await SetAsync("u/a", "of a");

        Assert.Null(await new SecondLevel(shelf, Ring("2"), clock, log).GetAsync("u/a", TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task One_that_fails_is_told_once_left_alone_for_a_while_and_then_used_again()
    {
        await SetAsync("u/a", "of a");
        shelf.Before = () => throw new IOException("gone");

        Assert.Null(await GetAsync("u/a"));
        Assert.True(second.IsAway);
        var asked = shelf.Asked;
        for (var i = 0; i < 50; i++)
        {
            Assert.Null(await GetAsync("u/a"));
            await SetAsync("u/a", "of a");
        }

        Assert.Equal(asked, shelf.Asked);
        for (var i = 0; i < 3; i++)
        {
            clock.Advance(SecondLevel.Pause);
            await Task.WhenAll(Enumerable.Range(0, 10).Select(_ => GetAsync("u/a")));
            Assert.Equal(++asked, shelf.Asked); // one tries
        }

        shelf.Before = () => Task.CompletedTask;
        clock.Advance(SecondLevel.Pause);
        Assert.Equal("of a", await GetAsync("u/a"));
        Assert.False(second.IsAway);
        Assert.Equal([LogLevel.Warning, LogLevel.Information], log.Lines.Select(l => l.Level));
        Assert.Contains("gone", log.Lines[0].Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task One_that_hangs_is_waited_for_no_longer_than_its_limit()
    {
        shelf.Before = () => Task.Delay(Timeout.Infinite, TestContext.Current.CancellationToken);
        var (reading, writing) = (GetAsync("u/a"), SetAsync("u/a", "of a"));

        clock.Advance(SecondLevel.Limit - TimeSpan.FromMilliseconds(1));
        Assert.False(reading.IsCompleted || writing.IsCompleted);
        clock.Advance(TimeSpan.FromMilliseconds(1));

        Assert.Null(await reading);
        await writing;
        Assert.True(second.IsAway);
        Assert.Null(await GetAsync("u/a")); // at once
        Assert.Contains("50 ms", Assert.Single(log.Lines).Text, StringComparison.Ordinal);
    }

    private static MasterKeyRing Ring(string current = "1") =>
        MasterKeyRing.Read(
            new ConfigurationBuilder()
                .AddInMemoryCollection(
                    TestRun
                        .Secrets.Append(new("Notify__MasterKeys__2", OtherKey))
                        .Append(new("Notify__MasterKey", current))
                        .Select(s => new KeyValuePair<string, string?>(s.Key.Replace("__", ":", StringComparison.Ordinal), s.Value))
                )
                .Build(),
            []
        )!;

    private async Task<string?> GetAsync(string key) =>
        await second.GetAsync(key, TestContext.Current.CancellationToken) is { } found ? Encoding.UTF8.GetString(found) : null;

    private Task SetAsync(string key, string value) =>
        second.SetAsync(key, Encoding.UTF8.GetBytes(value), new DistributedCacheEntryOptions(), TestContext.Current.CancellationToken);

    private sealed class Log : ILogger<SecondLevel>
    {
        public List<(LogLevel Level, string Text)> Lines { get; } = [];

        public bool IsEnabled(LogLevel logLevel) => true;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        void ILogger.Log<TState>(
            LogLevel logLevel,
            EventId eventId,
            TState state,
            Exception? exception,
            Func<TState, Exception?, string> formatter
        ) => Lines.Add((logLevel, formatter(state, exception)));
    }
}
