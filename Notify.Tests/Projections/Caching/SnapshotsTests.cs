namespace Notify.Tests.Projections.Caching;

using System.Diagnostics.Metrics;
using Marten;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.DependencyInjection;
using Notify.Delivery.EventStore;
using Notify.Delivery.Snapshots;
using Notify.Domain.Categories;
using Notify.Domain.Channels;
using Notify.Domain.Clients;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;
using Notify.Domain.Templates;
using Notify.Infrastructure.Json;
using Notify.Tests.Projections.Analytics;

/// <summary>
/// Several hosts' caches before one database: with any entries in them and in their shared level, they read current data.
/// </summary>
public sealed class SnapshotsTests(AnalyticsDatabase database) : IClassFixture<AnalyticsDatabase>, IAsyncDisposable
{
    private static readonly DateTimeOffset At = new(2026, 5, 4, 12, 0, 0, TimeSpan.Zero);
    private readonly List<ServiceProvider> hosts = [];
    private readonly Shelf shelf = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Unchanged_snapshot_is_reused_and_a_changed_one_is_read_again_by_every_host()
    {
        var (user, here, there) = (await NewUserAsync(), Host(), Host());
        var first = await ReadAsync(here, user);
        Assert.Same(first, await ReadAsync(here, user)); // decoded once

        for (var i = 0; i < 20; i++)
        {
            await database.AppendAsync(
                Recipient.KeyOf(user),
                i % 2 == 0 ? new OptedOut(Channel.Sms, null, "c", "api", At) : new OptedIn(Channel.Sms, null, "c", "api", At)
            );
            foreach (var host in new[] { here, there })
            {
                var read = (await ReadAsync(host, user))!;
                Assert.Equal((i % 2 == 1, i + 2), (read.Choices["sms"], read.Version));
            }
        }
    }

    [Fact]
    public async Task An_older_one_in_the_second_level_is_not_believed()
    {
        var user = await NewUserAsync();
        await ReadAsync(Host(), user);
        Assert.Single(shelf.Things);
        shelf.IsFull = true;
        await database.AppendAsync(Recipient.KeyOf(user), new OptedOut(Channel.Push, null, "c", "api", At));

        for (var i = 0; i < 3; i++)
            Assert.False((await ReadAsync(Host(), user))!.Choices["push"]); // hosts that know only what the shelf tells
    }

    [Fact]
    public async Task A_new_host_takes_over_what_another_has_kept()
    {
        var (user, outcomes) = (await NewUserAsync(), new List<string>());
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, l) =>
            {
                if (instrument.Name == "notify_cache_reads")
                    l.EnableMeasurementEvents(instrument);
            },
        };
        listener.SetMeasurementEventCallback<long>(
            (_, count, tags, _) =>
            {
                if (tags[0].Value is "recipient")
                    outcomes.AddRange(Enumerable.Repeat((string)tags[1].Value!, (int)count));
            }
        );
        listener.Start();

        await ReadAsync(Host(), user);
        var fresh = Host();
        var taken = await ReadAsync(fresh, user);
        Assert.Same(taken, await ReadAsync(fresh, user));
        shelf.Things.Clear();
        await ReadAsync(Host(), user);

        Assert.Equal(["missed", "kept", "kept", "missed"], outcomes);
    }

    [Fact]
    public async Task Missing_user_is_found_as_soon_as_registered()
    {
        var (user, host) = ($"late-{Guid.NewGuid():N}", Host());
        var asked = shelf.Asked;
        for (var i = 0; i < 3; i++)
            Assert.Null(await ReadAsync(host, user));
        Assert.InRange(shelf.Asked - asked, 1, 2); // the user and the category: each once, and no more

        await NewUserAsync(user);

        Assert.Single((await ReadAsync(host, user))!.Devices);
    }

    [Fact]
    public async Task Deleted_or_erased_user_is_not_cached()
    {
        var (gone, erased, host) = (await NewUserAsync(), await NewUserAsync(), Host());
        await ReadAsync(host, gone, erased);

        await database.ExecuteAsync($"delete from {EventSchema.Name}.mt_doc_recipient where id = '{Recipient.KeyOf(gone)}'");
        await database.AppendAsync(Recipient.KeyOf(erased), new UserErased("c", At));

        var read = (await host.OfAsync(await OpenAsync(), Requests(gone, erased), Cancellation)).Recipients;
        Assert.Equal(Recipient.KeyOf(erased), Assert.Single(read).Key);
        Assert.True(read[Recipient.KeyOf(erased)].IsErased);
        Assert.Null(read[Recipient.KeyOf(erased)].Details);
    }

    [Fact]
    public async Task A_change_by_hand_counts_too()
    {
        var (user, host) = (await NewUserAsync(), Host());
        await ReadAsync(host, user);

        await database.ExecuteAsync(
            $$"""update {{EventSchema.Name}}.mt_doc_recipient set data = jsonb_set(data, '{choices}', '{"email": false}') where id = '{{Recipient.KeyOf(user)}}'"""
        );

        Assert.False((await ReadAsync(host, user))!.Choices["email"]);
    }

    [Fact]
    public async Task Rolled_back_write_leaves_no_snapshot()
    {
        var (user, host, other) = (await NewUserAsync(), Host(), Host());
        await using (var session = database.Store.LightweightSession())
        {
            await session.BeginTransactionAsync(Cancellation);
            foreach (var optIn in new[] { false, true })
            {
                await using var write = new Npgsql.NpgsqlCommand(
                    $$"""update {{EventSchema.Name}}.mt_doc_recipient set data = jsonb_set(data, '{choices}', '{"sms": {{(optIn ? "true" : "false")}}}') where id = $1""",
                    session.Connection
                )
                {
                    Parameters = { new() { Value = Recipient.KeyOf(user) } },
                };
                await write.ExecuteNonQueryAsync(Cancellation);
                // One row version's mark for two contents: the transaction sees the later one.
                Assert.Equal(
                    optIn,
                    (await host.OfAsync(session.Connection!, Requests(user), Cancellation)).Recipients[Recipient.KeyOf(user)].Choices["sms"]
                );
            }
        }

        Assert.Empty((await ReadAsync(host, user))!.Choices);
        Assert.Empty((await ReadAsync(other, user))!.Choices);
    }

    [Fact]
    public async Task Snapshots_equal_the_stored_documents_with_every_cache_level_or_none()
    {
        var (user, key) = (await NewUserAsync(), $"x{Guid.NewGuid():N}");
        await database.AppendAsync(
            Recipient.KeyOf(user),
            new OptedOut(Channel.Sms, "news", "c", "api", At),
            new QuietHoursSet(new TimeOnly(22, 0), new TimeOnly(7, 30), "c", "api", At)
        );
        await database.AppendAsync(
            Category.KeyOf(key),
            new CategoryDefined(
                key,
                true,
                new Dictionary<string, bool> { ["sms"] = false },
                UnknownOutcome.Resend,
                "c",
                At,
                [new Cap(Channel.Sms, 3, CapPeriod.Day, CapExceeding.Defer)]
            )
        );
        var definition = new TemplateDefinition(
            "news",
            new ChannelTemplates(Sms: new SmsTemplate("hello {{ name }}")),
            new Dictionary<string, ChannelTemplates> { ["ko"] = new(Push: new PushTemplate("a", "b")) },
            "frame",
            new Dictionary<string, ParameterRule> { ["name"] = new(true, ParameterType.String) }
        );
        await database.AppendAsync(Template.KeyOf(key), new TemplateDefined(key, 1, definition, "c", At));
        await using var session = database.Store.QuerySession();
        var expected = NotifyJsonOf(
            (await session.LoadManyAsync<Recipient>(Cancellation, Recipient.KeyOf(user))).Single(),
            await session.LoadAsync<Category>(Category.KeyOf(key), Cancellation),
            await session.LoadAsync<Template>(Template.KeyOf(key), Cancellation)
        );
        var (here, there) = (Host(), Host());

        foreach (var host in new[] { here, here, there, there, Host(new CacheSettings { Megabytes = 0 }) })
        {
            await using var connection = await OpenAsync();
            var (recipients, categories) = await host.OfAsync(connection, [Request(user) with { Category = key }], Cancellation);
            var templates = await host.TemplatesAsync(connection, [key, "no-such"], Cancellation);
            Assert.Equal(expected, NotifyJsonOf(recipients.Values.Single(), categories.Values.Single(), templates.Values.Single()));
        }
    }

    [Fact]
    public async Task Layouts_come_with_all_that_stand_around_them_now()
    {
        var (a, b, c) = ($"a{Guid.NewGuid():N}", $"b{Guid.NewGuid():N}", $"c{Guid.NewGuid():N}");
        await DefineAsync(c, 1, null);
        await DefineAsync(b, 1, null);
        await DefineAsync(a, 1, b);
        var host = Host();
        Assert.Equal([a, b], (await AroundAsync(host, a)).Order());

        await DefineAsync(b, 2, c);
        Assert.Equal([a, b, c], (await AroundAsync(host, a)).Order());
        await DefineAsync(a, 2, c);
        Assert.Superset(new HashSet<string> { a, c }, (await AroundAsync(host, a)).ToHashSet());
        Assert.Empty(await AroundAsync(host, "no-such-layout"));

        Task DefineAsync(string key, int version, string? outer) =>
            database.AppendAsync(
                Layout.KeyOf(key),
                new LayoutDefined(key, version, new LayoutDefinition("{{ content }}", Layout: outer), "c", At)
            );
        async Task<IEnumerable<string>> AroundAsync(Snapshots snapshots, string key)
        {
            await using var connection = await OpenAsync();
            return (await snapshots.LayoutsAsync(connection, [key], Cancellation)).Keys;
        }
    }

    [Fact]
    public async Task Hosts_that_read_while_others_write_never_go_back_in_time()
    {
        var user = await NewUserAsync();
        var readers = Enumerable.Range(0, 4).Select(_ => Host()).ToList();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
        long written = 1;
        var reading = readers
            .Select(host =>
                Task.Run(
                    async () =>
                    {
                        while (!stop.IsCancellationRequested)
                        {
                            var least = Volatile.Read(ref written); // committed before the reading began
                            Assert.InRange((await ReadAsync(host, user))!.Version, least, long.MaxValue);
                        }
                    },
                    Cancellation
                )
            )
            .ToList();

        for (var i = 0; i < 200; i++)
        {
            await database.AppendAsync(Recipient.KeyOf(user), new OptedOut(Channel.Sms, null, "c", "api", At));
            Volatile.Write(ref written, i + 2);
        }

        await stop.CancelAsync();
        await Task.WhenAll(reading);
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        foreach (var host in hosts)
            await host.DisposeAsync();
    }

    private static string NotifyJsonOf(params object?[] documents) =>
        string.Join('\n', documents.Select(d => System.Text.Json.JsonSerializer.Serialize(d, NotifyJson.Options)));

    private static NotificationRequested Request(string user) =>
        new("c", "e", user, Recipient.KeyOf(user), ClientMode.Live, "news", Priority.Normal, null, Sealed.None, null, null, "", null, At);

    private static List<NotificationRequested> Requests(params string[] users) => [.. users.Select(Request)];

    private async Task<string> NewUserAsync(string? id = null)
    {
        id ??= $"x-{Guid.NewGuid():N}";
        await database.AppendAsync(Recipient.KeyOf(id), new DeviceRegistered($"d-{id}", Platform.Ios, new Sealed("1.x"), "c", At));
        return id;
    }

    private async Task<Recipient?> ReadAsync(Snapshots host, params string[] users)
    {
        await using var connection = await OpenAsync();
        return (await host.OfAsync(connection, Requests(users), Cancellation)).Recipients.GetValueOrDefault(Recipient.KeyOf(users[0]));
    }

    private async Task<Npgsql.NpgsqlConnection> OpenAsync() => await database.Source.OpenConnectionAsync(Cancellation);

    private Snapshots Host(CacheSettings? settings = null)
    {
        var host = new ServiceCollection()
            .AddSingleton(database.Store)
            .AddSingleton<IDistributedCache>(shelf)
            .AddSnapshots(settings ?? new CacheSettings())
            .BuildServiceProvider();
        hosts.Add(host);
        return host.GetRequiredService<Snapshots>();
    }
}
