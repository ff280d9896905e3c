namespace Notify.Tests.Projections.Analytics;

using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Notify.Domain.Channels;
using Notify.Domain.Notifications;
using Notify.Domain.Privacy;
using Notify.Tests.Support;
using Npgsql;

/// <summary>Tables, comments and queries for analysts.</summary>
public sealed partial class AnalystTests(AnalyticsDatabase database) : IClassFixture<AnalyticsDatabase>
{
    private static readonly DateTimeOffset Now = TimeProvider.System.GetUtcNow();

    [Fact]
    public async Task Every_table_and_every_column_says_what_it_holds()
    {
        Assert.Equal(4, (await database.RowsAsync("select from pg_tables where schemaname = 'analytics'")).Count);
        Assert.Empty(
            await database.RowsAsync(
                """
                select c.relname, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum >= 0 and not a.attisdropped
                left join pg_description d on d.classoid = 'pg_class'::regclass and d.objoid = c.oid and d.objsubid = a.attnum
                where c.relnamespace = 'analytics'::regnamespace and c.relkind in ('r', 'v', 'm', 'p') and coalesce(d.description, '') = ''
                union all
                select c.relname, null from pg_class c where c.relnamespace = 'analytics'::regnamespace and c.relkind in ('r', 'v', 'm', 'p') and obj_description(c.oid, 'pg_class') is null
                """
            )
        );
    }

    [Fact]
    public async Task The_page_names_every_column()
    {
        var page = await PageAsync();
        Assert.All(
            await database.RowsAsync(
                "select attname from pg_attribute join pg_class c on c.oid = attrelid where relnamespace = "
                    + "'analytics'::regnamespace and relkind in ('r', 'v') and attnum > 0 and not attisdropped"
            ),
            row => Assert.Contains($"`{JsonNode.Parse(row)!["attname"]}`", page, StringComparison.Ordinal)
        );
    }

    [Fact]
    public async Task An_analyst_reads_these_tables_and_nothing_else_and_changes_nothing()
    {
        var name = $"analyst_{Guid.NewGuid():N}";
        await database.ExecuteAsync($"create role {name} login password 'of-a-test' in role notify_analyst");
        try
        {
            await using var analyst = NpgsqlDataSource.Create(
                new NpgsqlConnectionStringBuilder(database.Source.ConnectionString)
                {
                    Username = name,
                    Password = "of-a-test",
                    Pooling = false,
                }.ConnectionString
            );
            foreach (var table in new[] { "deliveries", "engagement", "daily", "broadcasts" })
            {
                await RunAsync(analyst, $"select count(*) from analytics.{table}");
                foreach (
                    var change in new[]
                    {
                        $"insert into analytics.{table} select * from analytics.{table}",
                        $"delete from analytics.{table}",
                        $"truncate analytics.{table}",
                        $"drop table analytics.{table}",
                    }
                )
                    Assert.Equal(
                        PostgresErrorCodes.InsufficientPrivilege,
                        (await Assert.ThrowsAsync<PostgresException>(() => RunAsync(analyst, change))).SqlState
                    );
            }

            foreach (var view in new[] { "hits", "daily_hits", "daily_engagement" })
                await RunAsync(analyst, $"select count(*) from analytics.{view}");
            foreach (
                var forbidden in new[]
                {
                    "delete from analytics.hits",
                    "update analytics.hits set people = 0",
                    "select from notify.tracked_hits",
                    "select from notify.tracked_links",
                    "select from notify.links",
                    "select from notify.payloads",
                    "select from events.mt_events",
                    "select from notify.event_ids",
                    "create table analytics.mine (a int)",
                    "create schema mine",
                    "select from queues.wolverine_queue_sms_normal",
                }
            )
                Assert.Equal(
                    PostgresErrorCodes.InsufficientPrivilege,
                    (await Assert.ThrowsAsync<PostgresException>(() => RunAsync(analyst, forbidden))).SqlState
                );

            Assert.Empty(
                await database.RowsAsync(
                    """
                    select c.oid::regclass as relation from pg_class c join pg_namespace n on n.oid = c.relnamespace
                    where c.relkind in ('r', 'v', 'm', 'p') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
                      and (has_table_privilege('notify_analyst', c.oid, 'insert, update, delete, truncate, references, trigger')
                           or (n.nspname <> 'analytics' and has_schema_privilege('notify_analyst', n.oid, 'usage') and has_table_privilege('notify_analyst', c.oid, 'select')))
                    """
                )
            );
        }
        finally
        {
            await database.ExecuteAsync($"drop role {name}");
        }
    }

    [Fact]
    public async Task The_ten_questions_of_the_page_are_answered_and_rightly()
    {
        await SeedAsync();
        var questions = Question()
            .Matches((await PageAsync()).Split("## Ten questions")[1])
            .Select(m => m.Groups[1].Value.Trim().TrimEnd(';'))
            .ToList();
        Assert.Equal(10, questions.Count);
        var answers = new List<List<JsonNode>>();
        await using var connection = await database.Source.OpenConnectionAsync(TestContext.Current.CancellationToken);
        await using (var role = new NpgsqlCommand("set role notify_analyst", connection))
            await role.ExecuteNonQueryAsync(TestContext.Current.CancellationToken);
        foreach (var question in questions)
        {
            await using var command = new NpgsqlCommand($"select to_jsonb(q)::text from ({question}) q", connection);
            await using var reader = await command.ExecuteReaderAsync(TestContext.Current.CancellationToken);
            var rows = new List<JsonNode>();
            while (await reader.ReadAsync(TestContext.Current.CancellationToken))
                rows.Add(JsonNode.Parse(reader.GetString(0))!);
            Assert.NotEmpty(rows);
            answers.Add(rows);
        }

        Assert.Equal(("8", "6"), (Sum(answers[0], "requested", "push"), Sum(answers[0], "dispatched", "push")));
        Assert.Equal(
            ("6", "50.0", "14.3"),
            (
                answers[1][0]["dispatched"]!.ToString(),
                answers[1][0]["delivered_percent"]!.ToString(),
                answers[1][0]["failed_percent"]!.ToString()
            )
        );
        Assert.InRange(answers[2].Single(r => $"{r["channel"]}" == "push")["p50"]!.GetValue<double>(), 3000 * 0.968, 3000 * 1.032);
        Assert.Equal(("6", "3500"), (answers[3].Single()["dispatched"]!.ToString(), answers[3].Single()["p50"]!.ToString()));
        Assert.Equal(
            [("failed", "Unregistered", "1"), ("suppressed", "OptedOut", "1")],
            answers[4].Select(r => ($"{r["status"]}", $"{r["reason"]}", $"{r["deliveries"]}"))
        );
        Assert.Equal([("news", "33.3"), ("orders", "0.0")], answers[5].Select(r => ($"{r["category"]}", $"{r["opened_percent"]}")));
        Assert.Equal(
            ("push", "1", "60"),
            (
                $"{answers[6].Single()["channel"]}",
                $"{answers[6].Single()["opens"]}",
                $"{(int)answers[6].Single()["median_seconds"]!.GetValue<double>()}"
            )
        );
        Assert.Equal(
            [("c_one", "2", "4"), ("c_two", "1", "2")],
            answers[7].Select(r => ($"{r["client_id"]}", $"{r["people"]}", $"{r["deliveries"]}"))
        );
        Assert.Equal(["3", "3"], answers[8].Select(r => $"{r["deliveries"]}"));
        Assert.Equal(6, answers[9].Sum(r => r["dispatched"]!.GetValue<int>()));

        string Sum(List<JsonNode> rows, string column, string channel) =>
            $"{rows.Where(r => $"{r["channel"]}" == channel).Sum(r => r[column]!.GetValue<long>())}";
    }

    // Eight pushes of two clients to two people: six dispatched after 1 to 6 s, three of these delivered, one of these opened a
    // minute after its dispatch, one failed, one skipped.
    private async Task SeedAsync()
    {
        await database.StartDaemonAsync();
        for (var i = 1; i <= 8; i++)
        {
            var (client, eventId) = (i is 3 or 6 or 7 ? "c_two" : "c_one", $"seed-{i}");
            var user = client == "c_two" || i == 1 ? "u-1" : "u-2";
            var key = NotificationKey.Of(client, eventId);
            var id = DeterministicId.OfDelivery(key, "d");
            var events = new List<object> { AnyHistory.Requested(client, eventId, user, Now, i <= 3 ? "news" : "orders") };
            events.Add(
                i == 8
                    ? new DeliveriesPlanned([], [new LeftOutDelivery(id, Channel.Push, "d", Reasons.OptedOut, "rule")], 1, Now)
                    : new DeliveriesPlanned([new PlannedDelivery(id, Lane.Apns, "d", new Sealed("7.t"))], [], 1, Now)
            );
            if (i <= 6)
                events.Add(new NotificationDispatched(id, 1, "apns", $"m-{i}", 20, null, Now.AddSeconds(i)));
            if (i <= 3)
                events.Add(new NotificationDelivered(id, "receipt", Now.AddSeconds(i + 1)));
            if (i == 1)
                events.Add(new NotificationOpened(id, "app", Now.AddSeconds(61)));
            if (i == 7)
                events.Add(new NotificationFailed(id, 1, Reasons.Unregistered, "apns", "410", Now.AddSeconds(1)));
            await database.AppendAsync(key, [.. events]);
        }

        await database.CaughtUpAsync();
    }

    private static Task<string> PageAsync() => File.ReadAllTextAsync(Path.Combine(Repository.Root, "docs", "analytics.md"));

    private static async Task RunAsync(NpgsqlDataSource source, string sql)
    {
        await using var command = source.CreateCommand(sql);
        await command.ExecuteNonQueryAsync(TestContext.Current.CancellationToken);
    }

    [GeneratedRegex(@"```sql\n(.*?)```", RegexOptions.Singleline)]
    private static partial Regex Question();
}
