namespace Notify.Tests.Projections.Erasures;

using Marten;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Notify.Delivery;
using Notify.Delivery.Erasures;
using Notify.Delivery.Planning;
using Notify.Delivery.Privacy;
using Notify.Domain.Channels;
using Notify.Domain.Content;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Domain.Recipients;
using Notify.Projections;
using Notify.Tests.Support;
using Npgsql;

/// <summary>The files of a PostgreSQL cluster of its own, write-ahead log included, after an erasure and a rotation.</summary>
public sealed class ErasedFilesTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("notify-keys-").FullName;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public async Task Erased_person_can_be_read_from_no_file_after_the_rotation()
    {
        var place = Path.Combine(Repository.Home, $"pg-erased-{Guid.NewGuid():N}");
        await using var cluster = await PostgresCluster.StartAsync(place);
        await cluster.CreateDatabaseAsync("erased");
        await TestRun.MigrateAsync(cluster.ConnectionString("erased") + ";Pooling=false");
        new KeyFolder(folder).Add(TimeProvider.System.GetUtcNow().AddDays(-1));
        var configuration = new ConfigurationBuilder()
            .AddInMemoryCollection(
                new Dictionary<string, string?> { ["Notify:KeyFolder"] = folder, ["Notify:Pepper"] = TestRun.Secrets["Notify__Pepper"] }
            )
            .Build();
        var ring = MasterKeyRing.Read(configuration, [])!;
        var (phone, email, words) = (Person.NewPhone(), Person.NewEmail(), $"Zwieback{Guid.NewGuid():N}");
        List<(string Subject, byte[] Wrapped, string Master)> rows;
        List<byte[]> raw;

        await using (var services = Services(cluster.ConnectionString("erased"), ring))
        {
            var (source, store) = (services.GetRequiredService<NpgsqlDataSource>(), services.GetRequiredService<IDocumentStore>());
            var keys = new SubjectKeys(ring, TimeProvider.System);
            var hosts = new HostKeys(
                source,
                ring,
                new HostName("notify-api"),
                configuration,
                TimeProvider.System,
                NullLogger<HostKeys>.Instance
            );
            Assert.Null(await hosts.JoinAsync(Cancellation));
            await KeepAsync(store, keys, ring, phone, email, words);
            rows = await RowsAsync(source);
            raw = [.. rows.Select(r => ring.Unwrap(r.Wrapped, r.Master, r.Subject)!.Value.Bytes)];
            Assert.Equal(2, rows.Count);

            // When the person is erased,
            var log = new ErasureLog(Path.Combine(folder, "erasures.log"), TimeProvider.System);
            var eraser = new PersonEraser(store, log, TimeProvider.System);
            await using (var session = store.QuerySession())
            await using (var connection = await source.OpenConnectionAsync(Cancellation))
            {
                var person = await new PersonFinder(keys, ring).OfAddressAsync(session, connection, Channel.Sms, phone, Cancellation);
                Assert.Equal(new ErasureResult(1, 2), await eraser.EraseAsync(person!, "phone", "c_shop", Cancellation));
            }

            // the former rows could still be unwrapped until the wrapping key is rotated,
            Assert.All(rows, r => Assert.NotNull(MasterKeyRing.Read(configuration, [])!.Unwrap(r.Wrapped, r.Master, r.Subject)));
            var rotation = new KeyRotation(
                source,
                store,
                ring,
                keys,
                hosts,
                new HostName("notify-api"),
                new KeyRotationSettings(TimeSpan.FromDays(30), TimeSpan.Zero),
                TimeProvider.System
            );
            Assert.Equal(
                0,
                await new RotateKeysCommand(source, rotation, ring, keys, hosts, TimeProvider.System, TextWriter.Null).RunAsync(
                    Cancellation
                )
            );
            await using var checkpoint = source.CreateCommand("checkpoint");
            await checkpoint.ExecuteNonQueryAsync(Cancellation);
        }

        // then no file has their words or their keys, and no key that exists unwraps the former rows, which the files do have.
        await cluster.StopAsync();
        byte[][] secrets = [.. new[] { phone[1..], email, words }.Select(System.Text.Encoding.UTF8.GetBytes), .. raw];
        var found = Search(place, [.. secrets, .. rows.Select(r => r.Wrapped)]);
        Assert.All(secrets, s => Assert.Empty(found[s]));
        Assert.All(rows, r => Assert.NotEmpty(found[r.Wrapped]));
        var left = MasterKeyRing.Read(configuration, [])!;
        Assert.All(rows, r => Assert.All(left.Ids, id => Assert.Null(left.Unwrap(r.Wrapped, id, r.Subject))));
    }

    // A registered user, and what was sent to the number without naming the user.
    private static async Task KeepAsync(
        IDocumentStore store,
        SubjectKeys keys,
        MasterKeyRing ring,
        string phone,
        string email,
        string words
    )
    {
        var user = Recipient.KeyOf("u-1");
        var unregistered = NotificationPlanning.SubjectOf(new UnregisteredRecipient(email, phone, null), ring);
        await using var session = store.LightweightSession();
        await session.BeginTransactionAsync(Cancellation);
        var sealing = await keys.CurrentAsync(session.Connection!, [user, unregistered], Cancellation);
        session.Events.Append(
            user,
            new ContactDetailsGiven(
                sealing.SealJson(user, SealedPlace.OfDetails(user), new ContactDetails(email, phone)),
                true,
                true,
                ring.OfEmail(email),
                ring.OfPhone(phone),
                "c_shop",
                TimeProvider.System.GetUtcNow()
            )
        );
        session.Events.Append(
            "n/c:1",
            Domain.Some.Requested() with
            {
                Payload = sealing.SealJson(
                    unregistered,
                    SealedPlace.OfPayload("n/c:1"),
                    new NotificationPayload(new NotificationContent(Body: words))
                ),
            }
        );
        await session.SaveChangesAsync(Cancellation);
    }

    private static ServiceProvider Services(string connection, MasterKeyRing ring)
    {
        var services = new ServiceCollection().AddSingleton(ring).AddLogging(l => l.SetMinimumLevel(LogLevel.None));
        services.AddNotifyStore(connection, mayCreate: false, readModels: ReadModels.Configure);
        return services.BuildServiceProvider();
    }

    private static async Task<List<(string Subject, byte[] Wrapped, string Master)>> RowsAsync(NpgsqlDataSource source)
    {
        await using var command = source.CreateCommand("select subject, wrapped, master_key from notify.subject_keys");
        await using var reader = await command.ExecuteReaderAsync(Cancellation);
        var rows = new List<(string, byte[], string)>();
        while (await reader.ReadAsync(Cancellation))
            rows.Add((reader.GetString(0), reader.GetFieldValue<byte[]>(1), reader.GetString(2)));
        return rows;
    }

    private static Dictionary<byte[], List<string>> Search(string place, byte[][] wanted)
    {
        var found = wanted.ToDictionary(w => w, _ => new List<string>());
        foreach (var file in Directory.EnumerateFiles(place, "*", SearchOption.AllDirectories))
        {
            var bytes = File.ReadAllBytes(file);
            foreach (var w in wanted.Where(w => bytes.AsSpan().IndexOf(w) >= 0))
                found[w].Add(file);
        }

        return found;
    }
}
