namespace Notify.Tests.Projections;

using Microsoft.Extensions.Time.Testing;
using Notify.Delivery.Privacy;
using Notify.Delivery.Recipients;
using Notify.Domain.Channels;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;
using Notify.Tests.Projections.Analytics;
using Notify.Tests.Support;

/// <summary>Devices that an earlier version stored twice, by tokens that differ in letter case alone.</summary>
public sealed class DeviceSpellingsTests(AnalyticsDatabase database) : IClassFixture<AnalyticsDatabase>
{
    private static readonly DateTimeOffset At = new(2026, 5, 4, 12, 0, 0, TimeSpan.Zero);
    private readonly FakeTimeProvider clock = new(At.AddDays(30));

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Device_of_a_former_owner_goes_and_that_of_the_latest_stays()
    {
        var (former, owner, token) = (NewUser(), NewUser(), Person.NewToken());
        var old = await StoreAsync(former, token.ToUpperInvariant(), At);
        var current = await StoreAsync(owner, token, At.AddDays(1));

        Assert.Equal(1, await RunAsync());

        Assert.Equal([], await DevicesOfAsync(former));
        Assert.Equal([current], await DevicesOfAsync(owner));
        Assert.Empty(await database.RowsAsync($"select 1 from notify.devices where device_id = '{old}'"));
    }

    [Fact]
    public async Task Usual_spelling_gives_way_where_the_other_was_registered_last()
    {
        var (former, owner, token) = (NewUser(), NewUser(), Person.NewToken());
        await StoreAsync(former, token, At, lastRegistered: At.AddDays(1));
        var current = await StoreAsync(owner, token.ToUpperInvariant(), At, lastRegistered: At.AddDays(2));

        Assert.Equal(1, await RunAsync());

        Assert.Equal([], await DevicesOfAsync(former));
        Assert.Equal([current], await DevicesOfAsync(owner));
    }

    [Fact]
    public async Task Two_devices_of_one_user_become_one_and_other_tokens_stay()
    {
        var (user, token, other) = (NewUser(), Person.NewToken(), Person.NewToken());
        await StoreAsync(user, token.ToUpperInvariant(), At);
        var mixed = string.Concat(token.Select((c, i) => i % 2 == 0 ? char.ToUpperInvariant(c) : c));
        var (usual, alone) = (await StoreAsync(user, token, At.AddDays(2)), await StoreAsync(user, other.ToUpperInvariant(), At));
        await StoreAsync(user, mixed, At.AddDays(1));

        Assert.Equal(2, await RunAsync());

        Assert.Equal(new[] { usual, alone }.Order(), (await DevicesOfAsync(user)).Order());
    }

    [Fact]
    public async Task It_goes_on_where_it_was_broken_off_and_runs_once()
    {
        var (user, token) = (NewUser(), Person.NewToken());
        await StoreAsync(user, token.ToUpperInvariant(), At);
        await StoreAsync(user, token, At.AddDays(1));
        await database.ExecuteAsync("truncate notify.maintenance");
        await database.ExecuteAsync(
            $"insert into notify.maintenance (name, position) values ('{DeviceSpellings.Name}', '{Recipient.KeyOf(user)}')"
        );

        Assert.Equal(0, await Spellings().RunAsync(Cancellation));
        Assert.Equal(0, await Spellings().RunAsync(Cancellation)); // done

        Assert.Equal(2, (await DevicesOfAsync(user)).Count);
        Assert.Equal(1, await RunAsync());
    }

    private DeviceSpellings Spellings() =>
        new(database.Store, database.Source, new SubjectKeys(database.Ring, clock), database.Ring, clock);

    // Each test's own pass over all users.
    private async Task<int> RunAsync()
    {
        await database.ExecuteAsync("truncate notify.maintenance");
        return await Spellings().RunAsync(Cancellation);
    }

    private static string NewUser() => $"x-{Guid.NewGuid():N}";

    // As an earlier version did: under the ID that follows from the token as the app wrote it.
    private async Task<string> StoreAsync(string user, string token, DateTimeOffset at, DateTimeOffset? lastRegistered = null)
    {
        var (stream, id) = (Recipient.KeyOf(user), DeviceIds.Of(database.Ring, Platform.Ios, token));
        await using var connection = await database.Source.OpenConnectionAsync(Cancellation);
        var keys = await new SubjectKeys(database.Ring, clock).CurrentAsync(connection, [stream], Cancellation);
        await database.AppendAsync(
            stream,
            new DeviceRegistered(id, Platform.Ios, keys.Seal(stream, SealedPlace.OfToken(stream, id), token), "c", at)
        );
        await database.ExecuteAsync(
            $"insert into notify.devices (device_id, user_id, registered_at) values ('{id}', '{user}', '{lastRegistered ?? at:O}')"
        );
        return id;
    }

    private async Task<IReadOnlyList<string>> DevicesOfAsync(string user)
    {
        await using var session = database.Store.QuerySession();
        return [.. (await session.LoadAsync<Recipient>(Recipient.KeyOf(user), Cancellation))!.Devices.Select(d => d.Id)];
    }
}
