namespace Notify.Tests.EndToEnd;

using Notify.Tests.Support;
using Npgsql;

/// <summary>Later, moved, withdrawn, or too late.</summary>
public sealed class Scheduling : SystemTest
{
    private static DateTimeOffset In(double seconds) => TimeProvider.System.GetUtcNow().AddSeconds(seconds);

    [Fact]
    public async Task A_cancelled_notification_is_not_sent_when_its_time_comes()
    {
        var person = await Installation.NewPersonAsync();
        var (id, control, sendAt) = (NewId("cancelled"), NewId("control"), In(1.5));
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    sendAt,
                    content = new { body = id },
                }
            )
        ).Is(202);
        (
            await Client.SendAsync(
                new
                {
                    eventId = control,
                    userId = person.Id,
                    sendAt,
                    content = new { body = control },
                }
            )
        ).Is(202);

        Assert.Equal("cancelled", (await Client.CancelAsync(id)).Is(200)["status"]);

        Assert.Equal("cancelled", (await Client.StateAsync(id)).Status);
        await Client.BecomesAsync(control, "dispatched"); // the time has come
        await Eventually.Stays(() => Sandbox.CountAsync(id), (0, 0), TimeSpan.FromSeconds(0.7));
        Assert.Equal(["NotificationRequested", "NotificationCancelled"], await Client.EventTypesAsync(id));
        (await Client.CancelAsync(id)).Is(200); // said again, it is still so
        Assert.Equal(2, (await Client.EventsAsync(id)).Count);
    }

    [Fact]
    public async Task Unreadable_recipient_delays_only_its_own_delivery_until_fixed()
    {
        var (unreadable, person) = (await Installation.NewPersonAsync(devices: 0), await Installation.NewPersonAsync(devices: 0));
        var (stuck, id, sendAt) = (NewId("stuck"), NewId("beside"), In(600));
        (
            await Client.SendAsync(
                new
                {
                    eventId = stuck,
                    userId = unreadable.Id,
                    sendAt,
                    content = new { body = stuck },
                }
            )
        ).Is(202);
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    sendAt,
                    content = new { body = id },
                }
            )
        ).Is(202);
        var before = await Installation.ScalarAsync<string>("select data::text from events.mt_doc_recipient where id = $1", unreadable.Key);
        await RewriteAsync("""{ "devices": 5 }""");
        foreach (var due in new[] { stuck, id })
            (await Client.PostAsync($"/v1/notifications/{due}/reschedule", new { sendAt = In(0.5) })).Is(200);

        await Client.BecomesAsync(id, "dispatched");
        await Eventually.Holds(
            () =>
                Installation.ScalarAsync<bool>(
                    "select due_at > now() + interval '1 minute' from notify.open_deliveries where notification = $1",
                    $"n/{Client.AppKey}:{stuck}"
                ),
            "the other waits aside"
        );
        Assert.Equal("scheduled", (await Client.StateAsync(stuck)).Status);
        await RewriteAsync(before);
        await Installation.ScalarAsync<int>(
            "update notify.open_deliveries set due_at = now() where notification = $1 returning 1",
            $"n/{Client.AppKey}:{stuck}"
        );

        await Client.BecomesAsync(stuck, "dispatched");
        Assert.Equal((1, 1), await Sandbox.CountAsync(stuck));

        Task RewriteAsync(string json) =>
            Installation.ScalarAsync<int>(
                "update events.mt_doc_recipient set data = $2::jsonb where id = $1 returning 1",
                unreadable.Key,
                json
            );
    }

    [Fact]
    public async Task A_time_may_be_written_with_any_offset()
    {
        var (id, bulk, far, later) = (
            NewId("offset"),
            NewId("offsets"),
            In(3600).ToOffset(TimeSpan.FromHours(9)),
            In(7200).ToOffset(TimeSpan.FromHours(-3.5))
        );
        object Request(string eventId) =>
            new
            {
                eventId,
                to = new { phone = Person.NewPhone() },
                sendAt = far,
                expiresAt = later,
                content = new { body = id },
            };

        (await Client.SendAsync(Request(id))).Is(202);

        Assert.Equal(("scheduled", far), (await SentAtAsync()));
        (await Client.PostAsync($"/v1/notifications/{id}/reschedule", new { sendAt = later.AddMinutes(-1) })).Is(200);
        Assert.Equal(("scheduled", later.AddMinutes(-1)), (await SentAtAsync()));
        var batch = (
            await Client.PostAsync(
                "/v1/notifications/batch",
                new { notifications = Enumerable.Range(0, 5).Select(i => Request($"{bulk}-{i}")) }
            )
        ).Is(200);
        Assert.All(batch.Json["results"]!.AsArray(), r => Assert.Equal("accepted", r!["status"]!.ToString()));
        (await Client.PutAsync($"/v1/topics/{id}", new { name = "nobody's" })).Is(200);
        (
            await Client.PostAsync(
                "/v1/broadcasts",
                new
                {
                    broadcastId = id,
                    topic = id,
                    content = new { body = id },
                    sendAt = far,
                    expiresAt = later,
                }
            )
        ).Is(202);
        (await Client.PostAsync($"/v1/broadcasts/{id}/cancel", new { })).Is(200);

        async Task<(string, DateTimeOffset)> SentAtAsync()
        {
            var state = await Client.StateAsync(id);
            return (state.Status, state.Json["sendAt"]!.GetValue<DateTimeOffset>());
        }
    }

    [Fact]
    public async Task Dispatched_notification_cannot_be_cancelled()
    {
        var person = await Installation.NewPersonAsync();
        var id = NewId("too-late");
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    content = new { body = id },
                }
            )
        ).Is(202);
        await Client.BecomesAsync(id, "dispatched");

        (await Client.CancelAsync(id)).IsProblem(409, "already_dispatched");

        Assert.Equal("dispatched", (await Client.StateAsync(id)).Status);
        Assert.DoesNotContain("NotificationCancelled", await Client.EventTypesAsync(id));
    }

    [Fact]
    public async Task Missing_notification_cannot_be_cancelled() => (await Client.CancelAsync(NewId("never"))).IsProblem(404, "not_found");

    [Fact]
    public async Task Another_client_cannot_cancel_it()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var id = NewId("mine");
        using var other = await Installation.NewClientAsync(["send", "read"]);
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    sendAt = In(60),
                    content = new { body = id },
                }
            )
        ).Is(202);

        (await other.CancelAsync(id)).IsProblem(404, "not_found");

        Assert.Equal("scheduled", (await Client.StateAsync(id)).Status);
        (await Client.CancelAsync(id)).Is(200);
    }

    [Fact]
    public async Task A_rescheduled_notification_comes_at_its_new_time()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var (sooner, later) = (NewId("sooner"), NewId("later"));
        (
            await Client.SendAsync(
                new
                {
                    eventId = sooner,
                    userId = person.Id,
                    sendAt = In(3600),
                    content = new { body = sooner },
                }
            )
        ).Is(202);
        (
            await Client.SendAsync(
                new
                {
                    eventId = later,
                    userId = person.Id,
                    sendAt = In(1.5),
                    content = new { body = later },
                }
            )
        ).Is(202);

        var soon = In(1);
        (await Client.PostAsync($"/v1/notifications/{sooner}/reschedule", new { sendAt = soon })).Is(200);
        (await Client.PostAsync($"/v1/notifications/{later}/reschedule", new { sendAt = In(3600) })).Is(200);

        await Client.BecomesAsync(sooner, "dispatched");
        Assert.True(Assert.Single(await Sandbox.LedgerAsync(sooner)).ReceivedAt >= soon);
        await Eventually.Stays(() => Sandbox.CountAsync(later), (0, 0), TimeSpan.FromSeconds(1.5));
        Assert.Equal("scheduled", (await Client.StateAsync(later)).Status);
        Assert.Equal(["NotificationRequested", "NotificationRescheduled"], await Client.EventTypesAsync(later));
        (await Client.PostAsync($"/v1/notifications/{sooner}/reschedule", new { sendAt = In(5) })).IsProblem(409, "already_due");
        (await Client.CancelAsync(later)).Is(200);
        (await Client.PostAsync($"/v1/notifications/{later}/reschedule", new { sendAt = In(5) })).IsProblem(409, "already_due");
    }

    [Fact]
    public async Task Notification_expired_at_its_request_is_not_sent()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var id = NewId("expired");

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    expiresAt = In(-1),
                    content = new { body = id },
                }
            )
        ).Is(202);

        Assert.Equal("expired", (await Client.StateAsync(id)).Status);
        await Eventually.Stays(() => Sandbox.CountAsync(id), (0, 0), TimeSpan.FromSeconds(0.5));
        Assert.Equal(["NotificationRequested", "NotificationExpired"], await Client.EventTypesAsync(id));
    }

    [Fact]
    public async Task An_expiry_goes_along_to_APNs()
    {
        var person = await Installation.NewPersonAsync(phone: false);
        var (id, expiresAt) = (NewId("expiry"), In(600));

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    expiresAt,
                    content = new { title = id },
                }
            )
        ).Is(202);

        await Client.BecomesAsync(id, "dispatched");
        Assert.Equal($"{expiresAt.ToUnixTimeSeconds()}", Assert.Single(await Sandbox.LedgerAsync(id)).Header("apns-expiration"));
    }

    [Fact]
    public async Task A_sendAt_after_expiresAt_is_a_fault()
    {
        var reply = await Client.SendAsync(
            new
            {
                eventId = NewId("x"),
                userId = "u",
                sendAt = In(60),
                expiresAt = In(30),
                content = new { body = "x" },
            }
        );

        Assert.NotNull(reply.IsProblem(400, "invalid_request").Json["errors"]!["expiresAt"]);
    }

    [Fact]
    public async Task Notification_due_in_a_fraction_of_a_second_is_never_early()
    {
        var person = await Installation.NewPersonAsync(phone: false);
        var (mark, start) = (NewId("exact"), In(2));
        var times = Enumerable.Range(0, 20).ToDictionary(i => $"{mark}-{i:D2}", i => start.AddMilliseconds(i * 37.25));
        await ScheduleAsync(person, times);

        foreach (var id in times.Keys)
            await Client.BecomesAsync(id, "dispatched");

        foreach (var (id, sendAt) in times)
        {
            var sent = Assert.Single(await Sandbox.LedgerAsync(id));
            Assert.True(sent.ReceivedAt >= sendAt, $"{id} was sent {(sendAt - sent.ReceivedAt).TotalMilliseconds} ms early");
        }
    }

    [Fact]
    public async Task A_time_that_has_passed_means_at_once_and_one_in_thousands_of_years_can_still_be_withdrawn()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var (past, far, moved) = (NewId("past"), NewId("far"), NewId("moved"));
        (
            await Client.SendAsync(
                new
                {
                    eventId = past,
                    userId = person.Id,
                    sendAt = In(-86_400),
                    content = new { body = past },
                }
            )
        ).Is(202);
        (
            await Client.SendAsync(
                new
                {
                    eventId = far,
                    userId = person.Id,
                    sendAt = DateTimeOffset.MaxValue,
                    content = new { body = far },
                }
            )
        ).Is(202);
        (
            await Client.SendAsync(
                new
                {
                    eventId = moved,
                    userId = person.Id,
                    sendAt = In(3600),
                    content = new { body = moved },
                }
            )
        ).Is(202);

        (await Client.PostAsync($"/v1/notifications/{moved}/reschedule", new { sendAt = In(-60) })).Is(200);

        await Client.BecomesAsync(past, "dispatched");
        await Client.BecomesAsync(moved, "dispatched");
        Assert.Equal("scheduled", (await Client.StateAsync(far)).Status);
        Assert.Equal("cancelled", (await Client.CancelAsync(far)).Is(200)["status"]);
    }

    [Fact]
    public async Task It_is_not_moved_to_where_it_would_be_worth_nothing()
    {
        var person = await Installation.NewPersonAsync(devices: 0);
        var (id, expiresAt) = (NewId("worthless"), In(7200));
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    sendAt = In(3600),
                    expiresAt,
                    content = new { body = id },
                }
            )
        ).Is(202);

        var reply = await Client.PostAsync($"/v1/notifications/{id}/reschedule", new { sendAt = expiresAt });

        Assert.NotNull(reply.IsProblem(400, "invalid_request").Json["errors"]!["sendAt"]);
        (await Client.PostAsync($"/v1/notifications/{id}/reschedule", new { sendAt = expiresAt.AddMilliseconds(-1) })).Is(200);
        Assert.Equal(["NotificationRequested", "NotificationRescheduled"], await Client.EventTypesAsync(id));
        (await Client.CancelAsync(id)).Is(200);
    }

    [Fact]
    public async Task Fifty_withdrawn_and_fifty_moved_at_the_moment_when_they_fall_due_end_exactly_one_way_each()
    {
        var person = await Installation.NewPersonAsync(phone: false);
        var (mark, sendAt) = (NewId("race"), In(2.5));
        var ids = Enumerable.Range(0, 100).Select(i => $"{mark}-{i:D3}").ToList();
        await ScheduleAsync(person, ids.ToDictionary(id => id, _ => sendAt));

        // From just before the time to just after what it takes to send them.
        var answers = await Task.WhenAll(
            ids.Select(
                async (id, i) =>
                {
                    var wait = sendAt.AddMilliseconds((i / 2 * 12) - 150) - TimeProvider.System.GetUtcNow();
                    if (wait > TimeSpan.Zero)
                        await Task.Delay(wait);
                    return i % 2 == 0
                        ? await Client.CancelAsync(id)
                        : await Client.PostAsync($"/v1/notifications/{id}/reschedule", new { sendAt = In(3600) });
                }
            )
        );

        TestContext.Current.TestOutputHelper?.WriteLine(
            string.Join(
                ", ",
                answers.Select((a, i) => (i % 2 == 0 ? "cancel " : "move ") + a.Status).CountBy(a => a).Select(a => $"{a.Value} {a.Key}")
            )
        );
        for (var i = 0; i < ids.Count; i++)
        {
            if (answers[i].Status == 200)
                continue;
            answers[i].IsProblem(409, i % 2 == 0 ? "already_dispatched" : "already_due");
            await Client.BecomesAsync(ids[i], "dispatched");
        }

        await Eventually.Stays(
            () => Sandbox.CountAsync(mark),
            (answers.Count(a => a.Status == 409), answers.Count(a => a.Status == 409)),
            TimeSpan.FromSeconds(0.7)
        );
        var sent = (await Sandbox.LedgerAsync(mark))
            .CountBy(e => ids.Single(id => e.Text!.Contains(id, StringComparison.Ordinal)))
            .ToDictionary();
        for (var i = 0; i < ids.Count; i++)
        {
            Assert.Equal(answers[i].Status == 409 ? 1 : 0, sent.GetValueOrDefault(ids[i]));
            if (answers[i].Status == 200)
                Assert.Equal(i % 2 == 0 ? "cancelled" : "scheduled", (await Client.StateAsync(ids[i])).Status);
            if (i % 2 == 1 && answers[i].Status == 200)
                (await Client.CancelAsync(ids[i])).Is(200);
        }

        await Installation.VerifyAsync();
    }

    [Fact]
    public async Task A_cancel_that_waited_for_the_planning_stops_what_was_planned()
    {
        var person = await Installation.NewPersonAsync(phone: false);
        var id = NewId("planned");
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    sendAt = In(3600),
                    content = new { title = id },
                }
            )
        ).Is(202);
        await using var connection = await Installation.Database.OpenConnectionAsync(TestContext.Current.CancellationToken);
        await using var planning = await connection.BeginTransactionAsync(TestContext.Current.CancellationToken);

        // As planning does it: the notification's row goes, its deliveries' rows come, and who cancels waits for both.
        Assert.Equal(
            1,
            await ExecuteAsync(
                """
                with gone as (delete from notify.open_deliveries where notification like '%' || $1 returning *)
                insert into notify.open_deliveries (delivery_id, notification, queue, state, enqueued_at, due_at)
                select gen_random_uuid(), notification, queue, 2, enqueued_at, due_at from gone
                """
            )
        );
        var cancelling = Client.CancelAsync(id);
        await Eventually.Holds(
            async () =>
                await Installation.ScalarAsync<long>(
                    "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%state in (0, 2, 5)%'"
                ) > 0,
            "the cancel waits"
        );
        await planning.CommitAsync(TestContext.Current.CancellationToken);

        (await cancelling).Is(200);
        Assert.Equal(
            0,
            await Installation.ScalarAsync<long>("select count(*) from notify.open_deliveries where notification like '%' || $1", id)
        );

        async Task<int> ExecuteAsync(string sql)
        {
            await using var command = new NpgsqlCommand(sql, connection);
            command.Parameters.Add(new NpgsqlParameter { Value = id });
            return await command.ExecuteNonQueryAsync(TestContext.Current.CancellationToken);
        }
    }

    [Fact]
    public async Task An_opt_out_between_the_request_and_its_time_is_respected()
    {
        var person = await Installation.NewPersonAsync();
        var id = NewId("changed-mind");
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    sendAt = In(1),
                    content = new { body = id },
                }
            )
        ).Is(202);

        (await Client.PutAsync($"/v1/users/{person.Id}/preferences", new { channels = new { sms = new { optIn = false } } })).Is(200);

        var state = await Client.BecomesAsync(id, "dispatched");
        Assert.Equal("OptedOut", state.On("sms").Reason);
        Assert.Equal("apns", Assert.Single(await Sandbox.LedgerAsync(id)).Provider);
    }

    [Fact]
    public async Task Mails_with_large_files_that_are_due_at_once_are_planned_some_at_a_time()
    {
        var (person, mark) = (await Installation.NewPersonAsync(devices: 0, phone: false, email: Person.NewEmail()), NewId("heavy"));
        // No provider need carry them.
        (await Client.PutAsync($"/v1/users/{person.Id}/preferences", new { channels = new { email = new { optIn = false } } })).Is(200);
        var file = Convert.ToBase64String(new byte[5 * 1024 * 1024]);
        await using var connection = await Installation.Database.OpenConnectionAsync(TestContext.Current.CancellationToken);
        await using var holding = await connection.BeginTransactionAsync(TestContext.Current.CancellationToken);
        var due = In(0);
        for (var i = 0; i < 6; i++)
        {
            due = In(5);
            var attachments = new[]
            {
                new
                {
                    filename = "a.bin",
                    contentType = "application/octet-stream",
                    content = file,
                },
            };
            (
                await Client.SendAsync(
                    new
                    {
                        eventId = $"{mark}-{i}",
                        userId = person.Id,
                        channels = new[] { "email" },
                        sendAt = due,
                        content = new
                        {
                            title = mark,
                            body = mark,
                            attachments,
                        },
                    }
                )
            ).Is(202);
            // Locked, so that none is processed before all are due.
            await using var hold = new NpgsqlCommand(
                "select count(*) from (select 1 from notify.open_deliveries where notification = $1 for update) held",
                connection
            );
            hold.Parameters.Add(new NpgsqlParameter { Value = $"n/{Client.AppKey}:{mark}-{i}" });
            Assert.Equal(1L, await hold.ExecuteScalarAsync(TestContext.Current.CancellationToken));
        }

        await Eventually.Holds(() => Task.FromResult(TimeProvider.System.GetUtcNow() > due), "all are due");
        await holding.CommitAsync(TestContext.Current.CancellationToken);

        for (var i = 0; i < 6; i++)
            Assert.Equal("OptedOut", (await Client.BecomesAsync($"{mark}-{i}", "suppressed")).On("email").Reason);
        Assert.InRange(
            await Installation.ScalarAsync<long>(
                "select count(distinct data ->> 'at') from events.mt_events where type = 'DeliveriesPlanned' and stream_id "
                    + "like '%:' || $1 || '-%'",
                mark
            ),
            2,
            6
        );
    }

    private async Task ScheduleAsync(Person person, Dictionary<string, DateTimeOffset> times)
    {
        var reply = (
            await Client.PostAsync(
                "/v1/notifications/batch",
                new
                {
                    notifications = times.Select(t => new
                    {
                        eventId = t.Key,
                        userId = person.Id,
                        sendAt = t.Value,
                        content = new { title = t.Key },
                    }),
                }
            )
        ).Is(200);
        Assert.All(reply.Json["results"]!.AsArray(), r => Assert.Equal("accepted", r!["status"]!.ToString()));
    }
}
