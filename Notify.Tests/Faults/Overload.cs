namespace Notify.Tests.Faults;

using System.Diagnostics;
using System.Globalization;
using Notify.Tests.Support;
using Npgsql;

/// <summary>A system whose acceptance is blocked or flooded: its tests run one after the other.</summary>
[CollectionDefinition(Name)]
[Trait("Category", "Apart")]
public sealed class OverloadCollection : ICollectionFixture<OverloadSystem>
{
    public const string Name = "Overload";
}

/// <summary>The system of <see cref="OverloadCollection"/>: few requests may wait, and few bytes.</summary>
public sealed class OverloadSystem : IAsyncLifetime
{
    /// <summary>Requests that may wait for their commit.</summary>
    public const int MaxWaiting = 200;

    /// <summary>Bytes of bodies that may be held at once.</summary>
    public const long MaxBytes = 32L * 1024 * 1024;

    public NotifySystem System { get; private set; } = null!;

    public async ValueTask InitializeAsync() =>
        System = await NotifySystem.StartAsync(
            "overload",
            new([NotifySystem.UsualAcceptTimeout])
            {
                ["Notify__Accept__MaxWaiting"] = $"{MaxWaiting}",
                ["Notify__Accept__MaxBytes"] = $"{MaxBytes}",
            },
            projections: false
        );

    public ValueTask DisposeAsync() => System?.DisposeAsync() ?? ValueTask.CompletedTask;
}

/// <summary>Requests that cannot be committed now are answered, and harm no other request.</summary>
[Collection(OverloadCollection.Name)]
[Trait("Category", "Faults")]
public sealed class Overload(OverloadSystem system) : SystemTest
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    /// <inheritdoc />
    public override ValueTask InitializeAsync()
    {
        Installation = system.System;
        return ValueTask.CompletedTask;
    }

    [Fact]
    public async Task Look_that_cannot_be_recorded_shows_nothing()
    {
        var id = NewId("looked-at");
        (await Client.SendAsync(Sms(id))).Is(202);
        using var auditor = await Installation.NewClientAsync(["read", "audit"]);
        var path = $"/v1/notifications/{id}?client={Client.AppKey}";
        await using var blocker = await Installation.Database.OpenConnectionAsync(Stop);
        await using (var transaction = await blocker.BeginTransactionAsync(Stop))
        {
            await ExecuteAsync(blocker, "lock table events.mt_doc_access in share mode");

            var refused = await auditor.GetAsync(path);

            refused.IsProblem(503, "busy");
            Assert.DoesNotContain(id, refused.Text, StringComparison.Ordinal);
            (await Client.GetAsync($"/v1/notifications/{id}")).Is(200); // its own, which leaves no record
            await transaction.RollbackAsync(Stop);
        }

        await Eventually.Becomes(() => auditor.GetAsync(path), r => r.Status == 200, "it is shown when it can be recorded");
    }

    [Fact]
    public async Task Locked_event_ID_delays_only_its_own_request()
    {
        var id = NewId("locked");
        await using var blocker = await Installation.Database.OpenConnectionAsync(Stop);
        await using var transaction = await blocker.BeginTransactionAsync(Stop);
        await ExecuteAsync(
            blocker,
            "insert into notify.event_ids (key, request_hash) values ($1, 'of a transaction that stays open')",
            $"n/{Client.AppKey}:{id}"
        );

        var blocked = Timed(Client.SendAsync(Sms(id)));
        for (var round = 0; round < 3; round++)
        {
            // A machine that is busy may answer one with 503 busy; sent again, each is accepted while the lock is held.
            var others = await Task.WhenAll(
                Enumerable
                    .Range(0, 20)
                    .Select(i =>
                        Timed(Eventually.Becomes(() => Client.SendAsync(Sms($"{id}-{round}-{i}")), IsAccepted, "accepted beside the lock"))
                    )
            );
            Write($"20 critical requests beside the locked event ID: {Describe(others)}");
        }

        var refused = await blocked;
        Write($"the request of the locked event ID: {Describe([refused])}");
        IsBusy(refused.Reply);
        await transaction.RollbackAsync(Stop);
        Assert.True(IsAccepted(await Client.SendAsync(Sms(id))));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Locked_or_damaged_delivery_keeps_no_other_waiting(bool isScheduled)
    {
        var mark = NewId("beside");
        var sendAt = isScheduled ? TimeProvider.System.GetUtcNow().AddSeconds(2) : (DateTimeOffset?)null;
        var (locked, held, damaged) = ($"{mark}-locked", $"{mark}-held", $"{mark}-damaged");
        var person = await Installation.NewPersonAsync(devices: 0);
        await Installation.StopDispatchAsync();
        foreach (var id in new[] { locked, held })
            (
                await Client.SendAsync(
                    new
                    {
                        eventId = id,
                        to = new { phone = Person.NewPhone() },
                        sendAt,
                        content = new { body = id },
                    }
                )
            ).Is(202);
        (
            await Client.SendAsync(
                new
                {
                    eventId = damaged,
                    userId = person.Id,
                    sendAt,
                    content = new { body = damaged },
                }
            )
        ).Is(202);
        var others = Enumerable.Range(0, 20).Select(i => $"{mark}-{i}").ToList();
        foreach (var id in others)
            (
                await Client.SendAsync(
                    new
                    {
                        eventId = id,
                        to = new { phone = Person.NewPhone() },
                        sendAt,
                        content = new { body = id },
                    }
                )
            ).Is(202);
        var before = await Installation.ScalarAsync<string>("select data::text from events.mt_doc_recipient where id = $1", person.Key);
        await RewriteAsync("""{ "devices": 5 }""");
        await using (var blocker = await Installation.Database.OpenConnectionAsync(Stop))
        {
            await using var transaction = await blocker.BeginTransactionAsync(Stop);
            await ExecuteAsync(blocker, "select 1 from events.mt_streams where id = $1 for update", $"n/{Client.AppKey}:{locked}");
            await ExecuteAsync(
                blocker,
                "select 1 from notify.open_deliveries where notification = $1 for update",
                $"n/{Client.AppKey}:{held}"
            );

            var watch = Stopwatch.StartNew();
            await Installation.StartDispatchAsync();
            foreach (var id in others)
                await Client.BecomesAsync(id, "dispatched");
            Write(
                $"20 went {watch.Elapsed.TotalSeconds:0.0} s after Dispatch was started, beside a locked stream, a locked row "
                    + "and a damaged user."
            );
            Assert.Equal((20, 20), await Sandbox.CountAsync(mark));
            await transaction.RollbackAsync(Stop);
        }

        await RewriteAsync(before);
        await Installation.ScalarAsync<long>(
            "with due as (update notify.open_deliveries set due_at = now() where notification = $1 and due_at is not null "
                + "returning 1) select count(*) from due",
            $"n/{Client.AppKey}:{damaged}"
        );
        foreach (var id in new[] { locked, held, damaged })
            await Client.BecomesAsync(id, "dispatched");
        Assert.Equal((23, 23), await Sandbox.CountAsync(mark));
        await Installation.VerifyAsync();

        Task RewriteAsync(string json) =>
            Installation.ScalarAsync<int>(
                "update events.mt_doc_recipient set data = $2::jsonb where id = $1 returning 1",
                person.Key,
                json
            );
    }

    [Fact]
    public async Task Stalled_commit_is_answered_with_503_and_nothing_accepted_is_lost()
    {
        var mark = NewId("stalled");
        var ids = Enumerable.Range(0, 3 * OverloadSystem.MaxWaiting).Select(i => $"{mark}-{i}").ToList();
        (await Client.SendAsync(Sms($"{mark}-before"))).Is(202);
        await using var blocker = await Installation.Database.OpenConnectionAsync(Stop);
        await using (var transaction = await blocker.BeginTransactionAsync(Stop))
        {
            await ExecuteAsync(blocker, "lock table notify.event_ids in access exclusive mode");
            var waiting = Task.WhenAll(ids.Select(id => Timed(Client.SendAsync(Sms(id)))));
            using var api = new NotifyClient(Installation.ApiUrl, null, null);
            var unready = Eventually.Becomes(
                () => api.GetAsync("/health/ready"),
                r => r["status"] != "Healthy",
                "ready tells of the stall"
            );
            var replies = await waiting;
            Write($"{ids.Count} requests during the stall: {Describe(replies)}");
            Assert.All(replies, r => IsBusy(r.Reply));
            Assert.Contains("acceptance", (await unready).Text, StringComparison.Ordinal);
            await transaction.RollbackAsync(Stop);
        }

        foreach (var some in ids.Chunk(20))
            await Task.WhenAll(
                some.Select(id =>
                    Eventually.Becomes(() => Client.SendAsync(Sms(id)), IsAccepted, $"{id} is accepted when it is sent again")
                )
            );
        Assert.Equal(
            1 + ids.Count,
            await Installation.ScalarAsync<long>(
                "select count(*) from events.mt_events where stream_id like '%:' || $1 || '-%' and type = 'NotificationRequested'",
                mark
            )
        );
        using var after = new NotifyClient(Installation.ApiUrl, null, null);
        await Eventually.Becomes(() => after.GetAsync("/health/ready"), r => r["status"] == "Healthy", "the host is ready again");
    }

    [Fact]
    public async Task Mails_with_large_files_are_refused_where_they_exceed_the_bytes_that_may_be_held()
    {
        var mark = NewId("files");
        var file = Convert.ToBase64String(new byte[4_500_000]);
        var before = Memory();
        var replies = await Task.WhenAll(Enumerable.Range(0, 30).Select(i => Timed(Client.SendAsync(Mail($"{mark}-{i}", file)))));
        Write($"30 mails with 4.5 MB files: {Describe(replies)}; Api went from {before.Now} to at most {Memory().Peak} MB");
        Assert.Contains(replies, r => r.Reply.Status == 503);
        Assert.All(replies.Where(r => r.Reply.Status != 202), r => IsBusy(r.Reply));
        Assert.InRange(Memory().Peak, 0, 900);

        foreach (var i in Enumerable.Range(0, 5))
            await Eventually.Becomes(
                () => Client.SendAsync(Mail($"{mark}-{i}", file)),
                IsAccepted,
                $"mail {i} is accepted when it is sent again"
            );
        Assert.Equal(
            5,
            await Installation.ScalarAsync<long>(
                "select count(*) from events.mt_events where stream_id ~ ($1 || '-[0-4]$') and type = 'NotificationRequested'",
                mark
            )
        );
    }

    private static void IsBusy(Reply reply)
    {
        reply.IsProblem(503, "busy");
        Assert.InRange(reply.Headers.RetryAfter!.Delta!.Value, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(10));
    }

    private static bool IsAccepted(Reply reply) => reply.Status is 200 or 202;

    private static object Sms(string id) =>
        new
        {
            eventId = id,
            to = new { phone = "+12025550155" },
            channels = new[] { "sms" },
            priority = "critical",
            content = new { body = id },
        };

    private static object Mail(string id, string file) =>
        new
        {
            eventId = id,
            to = new { email = "minsu@example.com" },
            channels = new[] { "email" },
            content = new
            {
                title = id,
                body = id,
                attachments = new[]
                {
                    new
                    {
                        filename = "file.bin",
                        contentType = "application/octet-stream",
                        content = file,
                    },
                },
            },
        };

    private static async Task<(Reply Reply, TimeSpan Took)> Timed(Task<Reply> request)
    {
        var watch = Stopwatch.StartNew();
        return (await request, watch.Elapsed);
    }

    private static string Describe(IReadOnlyCollection<(Reply Reply, TimeSpan Took)> replies) =>
        string.Join(
            ", ",
            from r in replies
            group r.Took.TotalSeconds by $"{r.Reply.Status} {(r.Reply.Status == 202 ? "" : r.Reply["code"])}" into kind
            select string.Create(
                CultureInfo.InvariantCulture,
                $"{kind.Count()} × {kind.Key} after {kind.Min():0.00} to {kind.Max():0.00} s"
            )
        );

    private (long Now, long Peak) Memory()
    {
        var status = File.ReadAllLines($"/proc/{Installation.Api.Id}/status");
        return (Of("VmRSS:"), Of("VmHWM:"));

        long Of(string field)
        {
            var line = status.Single(l => l.StartsWith(field, StringComparison.Ordinal))[field.Length..];
            return long.Parse(line.Replace("kB", "", StringComparison.Ordinal), CultureInfo.InvariantCulture) / 1024;
        }
    }

    private static async Task ExecuteAsync(NpgsqlConnection connection, string sql, params object[] parameters)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        foreach (var p in parameters)
            command.Parameters.Add(new NpgsqlParameter { Value = p });
        await command.ExecuteNonQueryAsync(Stop);
    }

    private static void Write(string line) => TestContext.Current.TestOutputHelper?.WriteLine(line);
}
