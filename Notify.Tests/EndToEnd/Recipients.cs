namespace Notify.Tests.EndToEnd;

using Microsoft.Extensions.Configuration;
using Notify.Tests.Support;

/// <summary>Whom a notification reaches, and whom not, and why.</summary>
public sealed class Recipients : SystemTest
{
    [Fact]
    public async Task An_unknown_user_s_notification_is_accepted_and_ends_suppressed_with_the_reason()
    {
        var id = NewId("nobody");

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = $"ghost-{id}",
                    channels = new[] { "sms" },
                    content = new { body = id },
                }
            )
        ).Is(202);

        var state = await Client.BecomesAsync(id, "suppressed");
        Assert.Equal("UnknownUser", state.On("sms").Reason);
        var planned = Assert.Single(await Client.EventsAsync(id), e => e.Type == "DeliveriesPlanned");
        Assert.Empty(planned.Data["deliveries"]!.AsArray());
        Assert.Equal("UnknownUser", Assert.Single(planned.Data["leftOut"]!.AsArray())!["reason"]!.ToString());
        Assert.Equal((0, 0), await Sandbox.CountAsync(id));
    }

    [Theory]
    [InlineData("push", "NoContact")]
    [InlineData("sms", "NoContact")]
    [InlineData("email", "NoContact")]
    [InlineData(null, "NoContact")]
    public async Task A_user_who_cannot_be_reached_ends_suppressed_with_the_reason(string? channel, string reason)
    {
        var person = await Installation.NewPersonAsync(devices: 0, phone: false);
        var id = NewId("unreachable");

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    channels = channel is null ? null : new[] { channel },
                    content = new { title = "t", body = id },
                }
            )
        ).Is(202);

        var state = await Client.BecomesAsync(id, "suppressed");
        Assert.NotEmpty(state.Deliveries);
        Assert.All(state.Deliveries, d => Assert.Equal(("suppressed", reason), (d.Status, d.Reason)));
        Assert.Equal((0, 0), await Sandbox.CountAsync(id));
    }

    [Fact]
    public async Task Every_device_gets_it_once()
    {
        var person = await Installation.NewPersonAsync(devices: 5, phone: false);
        var id = NewId("devices");

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    content = new { title = id },
                }
            )
        ).Is(202);

        var state = await Client.BecomesAsync(id, "dispatched");
        Assert.Equal(person.DeviceIds.Order(), state.Deliveries.Select(d => d["deviceId"]!).Order());
        var entries = await Sandbox.LedgerAsync(id);
        Assert.Equal(person.Tokens.Order(), entries.Select(e => e.To).Order());
        Assert.Equal(5, entries.Select(e => e.Header("apns-collapse-id")).Distinct().Count());
    }

    [Fact]
    public async Task Device_names_its_app_and_is_sent_nothing_by_another_s_settings()
    {
        var (id, topic) = (NewId("apps"), (await TestRun.Accounts).GetProperty("apnsTopic").GetString()!);
        await Client.PutAsync($"/v1/users/{id}", new { });

        var other = await RegisterAsync(
            new
            {
                platform = "ios",
                token = Person.NewToken(),
                app = "com.example.other",
            }
        );
        Assert.Contains("com.example.other is no app", other.Is(400).Json["errors"]!["app"]!.ToJsonString(), StringComparison.Ordinal);
        (
            await RegisterAsync(
                new
                {
                    platform = "android",
                    token = Person.NewAndroidToken(),
                    app = topic,
                }
            )
        ).Is(400);
        var token = Person.NewToken();
        (await RegisterAsync(new { platform = "ios", token })).Is(201);
        (
            await RegisterAsync(
                new
                {
                    platform = "ios",
                    token,
                    app = topic,
                    environment = "production",
                }
            )
        ).Is(201);
        (await RegisterAsync(new { platform = "ios", token })).Is(201);
        var device = Assert.Single((await Client.GetAsync($"/v1/users/{id}")).Is(200).Json["devices"]!.AsArray())!;
        Assert.Equal((topic, "production"), (device["app"]!.ToString(), device["environment"]!.ToString()));

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = id,
                    channels = new[] { "push" },
                    content = new { body = id },
                }
            )
        ).Is(202);
        await Client.BecomesAsync(id, "dispatched");
        Assert.Equal(topic, Assert.Single(await Sandbox.LedgerAsync(id)).Header("apns-topic"));
        var unregistered = NewId("other-app");
        var to = new
        {
            device = new
            {
                platform = "ios",
                token = Person.NewToken(),
                app = "com.example.other",
            },
        };
        (
            await Client.SendAsync(
                new
                {
                    eventId = unregistered,
                    to,
                    content = new { body = unregistered },
                }
            )
        ).Is(202);
        await Eventually.Holds(
            async () => (await Client.StateAsync(unregistered)) is { Deliveries.Count: 1 } s && s.On("push").Reason == "AppNotConfigured",
            "the delivery waits"
        );
        await Client.CancelAsync(unregistered);
        Assert.Equal((0, 0), await Sandbox.CountAsync(unregistered));

        Task<Reply> RegisterAsync(object body) => Client.PostAsync($"/v1/users/{id}/devices", body);
    }

    [Fact]
    public async Task An_opt_out_of_a_channel_is_respected_and_told()
    {
        var person = await Installation.NewPersonAsync();
        (await Client.PutAsync($"/v1/users/{person.Id}/preferences", new { channels = new { sms = new { optIn = false } } })).Is(200);
        var id = NewId("optout");

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

        var state = await Client.BecomesAsync(id, "dispatched");
        Assert.Equal(("suppressed", "OptedOut"), (state.On("sms").Status, state.On("sms").Reason));
        Assert.Equal("dispatched", state.On("push").Status);
        Assert.Equal("apns", Assert.Single(await Sandbox.LedgerAsync(id)).Provider);
        var leftOut = Assert.Single((await Client.EventsAsync(id))[1].Data["leftOut"]!.AsArray())!;
        Assert.Equal("channel sms", leftOut["rule"]!.ToString());
    }

    [Fact]
    public async Task A_choice_about_a_category_stands_over_the_one_about_the_channel()
    {
        var person = await Installation.NewPersonAsync();
        (
            await Client.PutAsync(
                $"/v1/users/{person.Id}/preferences",
                new
                {
                    channels = new { sms = new { optIn = false } },
                    categories = new { marketing = new { push = new { optIn = false } }, security = new { sms = new { optIn = true } } },
                }
            )
        ).Is(200);
        async Task<string[]> Reached(string category)
        {
            var id = NewId(category);
            (
                await Client.SendAsync(
                    new
                    {
                        eventId = id,
                        userId = person.Id,
                        category,
                        content = new { body = id },
                    }
                )
            ).Is(202);
            await Eventually.Becomes(() => Client.StateAsync(id), s => s.Status is "dispatched" or "suppressed", "it ends");
            return [.. (await Sandbox.LedgerAsync(id)).Select(e => e.Provider).Order()];
        }

        Assert.Equal(["apns"], await Reached("shipping"));
        Assert.Empty(await Reached("marketing"));
        Assert.Equal(["apns", "twilio"], await Reached("security"));

        // Saying nothing again lets the defaults hold again.
        (await Client.PutAsync($"/v1/users/{person.Id}/preferences", new { })).Is(200);
        Assert.Equal(["apns", "twilio"], await Reached("marketing"));
        var history = (await Client.GetAsync($"/v1/users/{person.Id}/preferences/history")).Is(200).Json["changes"]!.AsArray();
        Assert.Equal(
            ["OptedIn", "OptedOut", "OptedOut", "PreferenceWithdrawn", "PreferenceWithdrawn", "PreferenceWithdrawn"],
            history.Select(c => c!["type"]!.ToString()).Order()
        );
        Assert.All(history, c => Assert.Equal(Client.AppKey, c!["data"]!["by"]!.ToString()));
    }

    [Fact]
    public async Task Someone_unregistered_is_reached_by_phone_and_device()
    {
        var (id, phone, token) = (NewId("to"), Person.NewPhone(), Person.NewToken());
        var written = $"{phone[..3]} {phone[3..5]}-{phone[5..9]}-{phone[9..]}"; // +82 10-1234-5678

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    to = new { phone = written, device = new { platform = "ios", token } },
                    content = new { title = "hello", body = id },
                }
            )
        ).Is(202);

        var state = await Client.BecomesAsync(id, "dispatched");
        Assert.Equal(2, state.Deliveries.Count);
        Assert.Equal([token, phone], (await Sandbox.LedgerAsync(id)).OrderBy(e => e.Provider).Select(e => e.To));
    }

    [Fact]
    public async Task A_token_moves_to_its_latest_user()
    {
        var before = await Installation.NewPersonAsync(phone: false);
        var after = await Installation.NewPersonAsync(devices: 0, phone: false);

        var deviceId = await Installation.AddDeviceAsync(after, before.Tokens[0]);

        Assert.Equal(before.DeviceIds[0], deviceId);
        var (old, now) = (NewId("old"), NewId("now"));
        (
            await Client.SendAsync(
                new
                {
                    eventId = old,
                    userId = before.Id,
                    content = new { title = old },
                }
            )
        ).Is(202);
        (
            await Client.SendAsync(
                new
                {
                    eventId = now,
                    userId = after.Id,
                    content = new { title = now },
                }
            )
        ).Is(202);
        await Client.BecomesAsync(old, "suppressed");
        await Client.BecomesAsync(now, "dispatched");
        Assert.Empty(await Sandbox.LedgerAsync(old));
        Assert.Equal(before.Tokens[0], Assert.Single(await Sandbox.LedgerAsync(now)).To);
        Assert.Empty((await Client.GetAsync($"/v1/users/{before.Id}")).Is(200).Json["devices"]!.AsArray());
    }

    [Fact]
    public async Task Users_who_race_for_a_token_leave_it_with_one()
    {
        var token = Person.NewToken();
        var people = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Installation.NewPersonAsync(devices: 0, phone: false)));

        await Task.WhenAll(
            people
                .Concat(people)
                .Select(async p => (await Client.PostAsync($"/v1/users/{p.Id}/devices", new { platform = "ios", token })).Is(201))
        );

        var owners = new List<Person>();
        foreach (var p in people)
        {
            if ((await Client.GetAsync($"/v1/users/{p.Id}")).Is(200).Json["devices"]!.AsArray().Count > 0)
                owners.Add(p);
        }

        Assert.Single(owners);
    }

    [Fact]
    public async Task Tokens_that_are_registered_imported_removed_and_erased_all_at_once_belong_to_one_user_each_and_nobody_is_refused()
    {
        var (mark, tokens) = (NewId("crowded"), Enumerable.Range(0, 4).Select(_ => Person.NewToken()).ToArray());
        var users = Enumerable.Range(0, 4).Select(i => $"{mark}-{i}").ToArray();
        var statuses = new System.Collections.Concurrent.ConcurrentBag<int>();
        await Parallel.ForEachAsync(
            Enumerable.Range(0, 240),
            new ParallelOptions { MaxDegreeOfParallelism = 12, CancellationToken = TestContext.Current.CancellationToken },
            async (i, _) =>
            {
                var random = new Random(i);
                var (user, token) = (users[random.Next(4)], tokens[random.Next(4)]);
                var reply = (i % 4) switch
                {
                    0 => await Client.PostAsync($"/v1/users/{user}/devices", new { platform = "ios", token }),
                    1 => await Client.GetAsync($"/v1/users/{user}") is { Status: 200 } now
                    && now.Json["devices"]!.AsArray() is { Count: > 0 } devices
                        ? await Client.DeleteAsync($"/v1/users/{user}/devices/{devices[0]!["deviceId"]}")
                        : await Client.PutAsync($"/v1/users/{user}", new { locale = random.Next(2) == 0 ? "ko" : "en" }),
                    2 => await Client.CallAsync(
                        HttpMethod.Post,
                        "/v1/users/import",
                        new StringContent(
                            string.Join(
                                '\n',
                                Enumerable
                                    .Range(0, 6)
                                    .Select(_ =>
                                        $$"""{"userId":"{{users[random.Next(4)]}}","devices":[{"platform":"ios","token":"{{tokens[random.Next(4)]}}"}]}"""
                                    )
                            ),
                            System.Text.Encoding.UTF8,
                            "application/x-ndjson"
                        )
                    ),
                    _ => random.Next(3) == 0
                        ? await Client.DeleteAsync($"/v1/users/{user}")
                        : await Client.PutAsync(
                            $"/v1/users/{user}/preferences",
                            new { channels = new { sms = new { optIn = random.Next(2) == 0 } } }
                        ),
                };
                statuses.Add(reply.Status);
            }
        );

        Assert.DoesNotContain(statuses, s => s >= 500);
        var owned = new List<string>();
        foreach (var user in users)
        {
            var reply = await Client.GetAsync($"/v1/users/{user}");
            if (reply.Status == 200)
                owned.AddRange(reply.Json["devices"]!.AsArray().Select(d => $"{d!["deviceId"]} {UserRefs.Of(user)}"));
        }

        Assert.Equal(owned.Count, owned.DistinctBy(o => o.Split(' ')[0]).Count());
        // A row may outlive its device; but each device that somebody has is theirs by its row, too.
        var rows = await Installation.ScalarAsync<string>(
            "select coalesce(string_agg(device_id || ' ' || user_id, ','), '') from notify.devices where user_id = any($1)",
            (object)users.Select(UserRefs.Of).ToArray()
        );
        Assert.All(owned, o => Assert.Contains(o, rows.Split(',')));
    }

    [Fact]
    public async Task Fifty_registrations_that_race_leave_the_token_with_one_of_two_and_the_other_s_stream_says_that_it_left()
    {
        var token = Person.NewToken();
        Person[] people =
        [
            await Installation.NewPersonAsync(devices: 0, phone: false),
            await Installation.NewPersonAsync(devices: 0, phone: false),
        ];

        await Task.WhenAll(
            Enumerable
                .Range(0, 50)
                .Select(async i =>
                    (await Client.PostAsync($"/v1/users/{people[i % 2].Id}/devices", new { platform = "ios", token })).Is(201)
                )
        );

        var deviceId = await Installation.ScalarAsync<string>(
            "select device_id from notify.devices where user_id = any($1)",
            (object)people.Select(p => p.Ref).ToArray()
        );
        var owner = await Installation.ScalarAsync<string>("select user_id from notify.devices where device_id = $1", deviceId);
        var (has, had) = people[0].Ref == owner ? (people[0], people[1]) : (people[1], people[0]);
        Assert.Single((await Client.GetAsync($"/v1/users/{has.Id}")).Is(200).Json["devices"]!.AsArray());
        Assert.Empty((await Client.GetAsync($"/v1/users/{had.Id}")).Is(200).Json["devices"]!.AsArray());
        // Each stream has registrations, maybe several, and a removal; the present holder registered last.
        Assert.Matches("^((DeviceRegistered )+DeviceRemoved )*DeviceRegistered( DeviceRegistered)*$", await TypesAsync(has));
        Assert.Matches("^((DeviceRegistered )+DeviceRemoved ?)*$", await TypesAsync(had));

        var id = NewId("raced");
        foreach (var (person, n) in new[] { (has, 0), (had, 1) })
            (
                await Client.SendAsync(
                    new
                    {
                        eventId = $"{id}-{n}",
                        userId = person.Id,
                        content = new { title = id },
                    }
                )
            ).Is(202);
        await Client.BecomesAsync($"{id}-0", "dispatched");
        await Client.BecomesAsync($"{id}-1", "suppressed");
        Assert.Equal(token, Assert.Single(await Sandbox.LedgerAsync(id)).To);

        Task<string> TypesAsync(Person person) =>
            Installation.ScalarAsync<string>(
                "select coalesce(string_agg(type, ' ' order by version), '') from events.mt_events "
                    + "where stream_id = $1 and type like 'Device%'",
                person.Key
            );
    }

    [Fact]
    public async Task Contact_details_are_given_whole_and_each_fault_names_its_field()
    {
        var (userId, other, phone) = ($"u-{NewId("whole")}", $"u-{NewId("other")}", Person.NewPhone());
        var path = $"/v1/users/{userId}";
        (
            await Client.PutAsync(
                path,
                new
                {
                    email = "a@mail.example",
                    phone,
                    locale = "ko",
                    timeZone = "Asia/Seoul",
                }
            )
        ).Is(200);
        object[] wrong =
        [
            new { phone = "010-1234-5678" },
            new { phone = "" },
            new { email = "" },
            new { locale = "" },
            new { locale = "ko_KR" },
            new { locale = new string('a', 3) + string.Concat(Enumerable.Repeat("-abcd", 50)) },
            new { timeZone = "asia/seoul" },
            new { timeZone = "" },
            new { phone = 12 },
        ];
        foreach (var body in wrong)
        {
            var field = Assert.Single(body.GetType().GetProperties()).Name;
            var reply = (await Client.PutAsync(path, body)).IsProblem(400, "invalid_request");
            Assert.Equal([field], reply.Json["errors"]!.AsObject().Select(e => e.Key));
        }

        Assert.Equal(phone, (await Client.GetAsync(path)).Is(200)["phone"]); // nothing of what was refused
        (await Client.PutAsync($"/v1/users/{other}", new { phone })).Is(200); // a family may share a telephone

        var absent = (
            await Client.CallAsync(
                HttpMethod.Put,
                path,
                new StringContent("{\"email\":\"b@mail.example\",\"locale\":null}", System.Text.Encoding.UTF8, "application/json")
            )
        ).Is(200);
        Assert.Equal(("b@mail.example", null, null, null), (absent["email"], absent["phone"], absent["locale"], absent["timeZone"]));
        var id = NewId("gone");
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId,
                    channels = new[] { "sms" },
                    content = new { body = id },
                }
            )
        ).Is(202);
        Assert.Equal("NoContact", (await Client.BecomesAsync(id, "suppressed")).On("sms").Reason);
    }

    [Fact]
    public async Task The_same_token_again_is_the_same_device()
    {
        var person = await Installation.NewPersonAsync(phone: false);

        Assert.Equal(person.DeviceIds[0], await Installation.AddDeviceAsync(person, person.Tokens[0]));
        // Hexadecimal digits.
        Assert.Equal(person.DeviceIds[0], await Installation.AddDeviceAsync(person, person.Tokens[0].ToUpperInvariant()));

        var id = NewId("same");
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    content = new { title = id },
                }
            )
        ).Is(202);
        await Client.BecomesAsync(id, "dispatched");
        Assert.Single(await Sandbox.LedgerAsync(id));
        Assert.Single((await Client.GetAsync($"/v1/users/{person.Id}")).Json["devices"]!.AsArray());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Device_stored_by_a_token_in_capitals_goes_when_the_token_is_registered_again(bool byImport)
    {
        var (former, owner) = (
            await Installation.NewPersonAsync(phone: false),
            await Installation.NewPersonAsync(devices: 0, phone: false)
        );
        var (token, deviceId) = (former.Tokens[0], former.DeviceIds[0]);
        var stored = "d_" + UserRefs.Ring.Fingerprint("device", $"Ios\n{token.ToUpperInvariant()}")[..22];
        // As an earlier version stored it: under the ID that follows from the token as the app wrote it.
        Assert.Equal(
            3,
            await Installation.ScalarAsync<long>(
                """
                with device as (update notify.devices set device_id = $2 where device_id = $1 returning 1),
                registered as (update events.mt_events set data = replace(data::text, $1, $2)::jsonb
                    where stream_id = $3 and type = 'DeviceRegistered' returning 1),
                document as (update events.mt_doc_recipient set data = replace(data::text, $1, $2)::jsonb where id = $3 returning 1)
                select (select count(*) from device) + (select count(*) from registered) + (select count(*) from document)
                """,
                deviceId,
                stored,
                former.Key
            )
        );

        var device = new { platform = "ios", token };
        if (byImport)
        {
            var line = System.Text.Json.JsonSerializer.Serialize(new { userId = owner.Id, devices = new[] { device } });
            var body = new StringContent(line, System.Text.Encoding.UTF8, "application/x-ndjson");
            (await Client.CallAsync(HttpMethod.Post, "/v1/users/import", body)).Is(200);
        }
        else
        {
            (await Client.PostAsync($"/v1/users/{owner.Id}/devices", device)).Is(201);
        }

        Assert.Empty((await Client.GetAsync($"/v1/users/{former.Id}")).Is(200).Json["devices"]!.AsArray());
        var devices = (await Client.GetAsync($"/v1/users/{owner.Id}")).Is(200).Json["devices"]!.AsArray();
        Assert.Equal(deviceId, $"{Assert.Single(devices)!["deviceId"]}");
        var id = NewId("capitals");
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = former.Id,
                    channels = new[] { "push" },
                    content = new { title = id },
                }
            )
        ).Is(202);
        await Client.BecomesAsync(id, "suppressed");
    }

    [Fact]
    public async Task The_device_registered_longest_ago_makes_room_for_the_hundred_and_first()
    {
        var person = await Installation.NewPersonAsync(devices: 1, phone: false);
        var lines = Enumerable
            .Range(0, 3)
            .Select(_ => new
            {
                userId = person.Id,
                devices = Enumerable.Range(0, 33).Select(_ => new { platform = "ios", token = Person.NewToken() }),
            });
        var import = new StringContent(
            string.Join('\n', lines.Select(l => System.Text.Json.JsonSerializer.Serialize(l))),
            System.Text.Encoding.UTF8,
            "application/x-ndjson"
        );
        Assert.Equal("3", (await Client.CallAsync(HttpMethod.Post, "/v1/users/import", import)).Is(200)["imported"]);
        async Task<HashSet<string>> DevicesAsync() =>
            [
                .. (await Client.GetAsync($"/v1/users/{person.Id}")).Is(200).Json["devices"]!
                    .AsArray()
                    .Select(d => d!["deviceId"]!.ToString()),
            ];
        var before = await DevicesAsync();
        Assert.Equal(100, before.Count);

        await Installation.AddDeviceAsync(person, person.Tokens[0]); // again: it is the latest now, and nothing has to go
        Assert.Equal(before, await DevicesAsync());
        var added = await Installation.AddDeviceAsync(person, Person.NewToken());

        var after = await DevicesAsync();
        Assert.Equal((100, true, true), (after.Count, after.Contains(added), after.Contains(person.DeviceIds[0])));
        Assert.Equal(
            "TooMany",
            await Installation.ScalarAsync<string>(
                "select data ->> 'reason' from events.mt_events where stream_id = $1 and type = 'DeviceRemoved'",
                person.Key
            )
        );
    }

    [Fact]
    public async Task Registered_at_every_start_a_device_is_one_event_as_long_as_nothing_is_new()
    {
        var person = await Installation.NewPersonAsync(devices: 0, phone: false);
        var (endpoint, token) = ($"https://push.example.com/{Guid.NewGuid():N}", Person.NewToken());
        object Browser(string auth) =>
            new { platform = "web", subscription = new { endpoint, keys = new { p256dh = new string('A', 87), auth } } };
        async Task<DateTimeOffset> RegisterAsync(object device)
        {
            var id = (await Client.PostAsync($"/v1/users/{person.Id}/devices", device)).Is(201)["deviceId"];
            return Assert.Single(
                (await Client.GetAsync($"/v1/users/{person.Id}")).Is(200).Json["devices"]!.AsArray(),
                d => d!["deviceId"]!.ToString() == id
            )!["registeredAt"]!.GetValue<DateTimeOffset>();
        }

        var (first, again) = (await RegisterAsync(new { platform = "ios", token }), await RegisterAsync(new { platform = "ios", token }));
        Assert.True(again > first); // it is known, though it is no event
        foreach (var auth in new[] { "A", "A", "Q", "Q", "A" })
            await RegisterAsync(Browser(auth.PadRight(22, 'A')));
        Assert.Equal(1 + 3, await RegisteredAsync());

        // The next day it is one again, and so it is after it was somebody else's, or was removed.
        var ios = await Installation.ScalarAsync<string>(
            "select data -> 'devices' -> 0 ->> 'id' from events.mt_doc_recipient where id = $1",
            person.Key
        );
        await Installation.ScalarAsync<object?>(
            """
            update events.mt_doc_recipient set data = jsonb_set(data, '{devices,0,registeredAt}', to_jsonb(now() - interval '25 hours'))
            where id = $1
            """,
            person.Key
        );
        await RegisterAsync(new { platform = "ios", token });
        Assert.Equal(5, await RegisteredAsync());
        var other = await Installation.NewPersonAsync(devices: 0, phone: false);
        await Installation.AddDeviceAsync(other, token);
        await RegisterAsync(new { platform = "ios", token });
        (await Client.DeleteAsync($"/v1/users/{person.Id}/devices/{ios}")).Is(204);
        await RegisterAsync(new { platform = "ios", token });
        Assert.Equal(7, await RegisteredAsync());

        Task<long> RegisteredAsync() =>
            Installation.ScalarAsync<long>(
                "select count(*) from events.mt_events where stream_id = $1 and type = 'DeviceRegistered'",
                person.Key
            );
    }

    [Fact]
    public async Task Empty_preferences_create_the_user_as_the_answer_says()
    {
        var path = $"/v1/users/{NewId("silent")}/preferences";
        (await Client.GetAsync(path)).IsProblem(404, "not_found");
        (await Client.GetAsync($"{path}/history")).IsProblem(404, "not_found");

        var put = (await Client.PutAsync(path, new { })).Is(200);

        var got = (await Client.GetAsync(path)).Is(200);
        Assert.Equal((put.Text, put.Headers.ETag), (got.Text, got.Headers.ETag));
        Assert.Empty((await Client.GetAsync($"{path}/history")).Is(200).Json["changes"]!.AsArray());
        (await Client.PutAsync(path, new { })).Is(200);
        (await Client.DeleteAsync(path[..^"/preferences".Length])).Is(204);
        (await Client.GetAsync(path)).IsProblem(404, "not_found");
        (await Client.PutAsync(path, new { })).Is(200);
        (await Client.GetAsync(path)).Is(200);
        Assert.Equal(
            3,
            await Installation.ScalarAsync<long>(
                "select count(*) from events.mt_events where stream_id = $1",
                UserRefs.KeyOf(path.Split('/')[3])
            )
        );
    }

    [Fact]
    public async Task A_removed_device_gets_nothing_more()
    {
        var person = await Installation.NewPersonAsync(devices: 2, phone: false);

        (await Client.DeleteAsync($"/v1/users/{person.Id}/devices/{person.DeviceIds[0]}")).Is(204);

        var id = NewId("removed");
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    content = new { title = id },
                }
            )
        ).Is(202);
        await Client.BecomesAsync(id, "dispatched");
        Assert.Equal(person.Tokens[1], Assert.Single(await Sandbox.LedgerAsync(id)).To);
        (await Client.DeleteAsync($"/v1/users/{person.Id}/devices/{person.DeviceIds[0]}")).IsProblem(404, "not_found");
    }

    [Fact]
    public async Task Contact_details_are_kept_in_one_form_and_shown_to_whoever_may_see_them()
    {
        var userId = $"u-{NewId("details")}";
        var phone = Person.NewPhone();

        (
            await Client.PutAsync(
                $"/v1/users/{userId}",
                new
                {
                    email = "Minsu@Example.com",
                    phone = $" {phone[..3]} ({phone[3..5]}) {phone[5..]}",
                    locale = "ko-KR",
                    timeZone = "Asia/Seoul",
                }
            )
        ).Is(200);

        var shown = (await Client.GetAsync($"/v1/users/{userId}")).Is(200);
        Assert.Equal(
            ("Minsu@Example.com", phone, "ko-KR", "Asia/Seoul"),
            (shown["email"], shown["phone"], shown["locale"], shown["timeZone"])
        );
        var reply = (
            await Client.PutAsync(
                $"/v1/users/{userId}",
                new
                {
                    email = "no address",
                    phone = "12345",
                    locale = "?",
                    timeZone = "Mars/Olympus",
                }
            )
        ).IsProblem(400, "invalid_request");
        Assert.Equal(["email", "locale", "phone", "timeZone"], reply.Json["errors"]!.AsObject().Select(e => e.Key).Order());
    }
}
