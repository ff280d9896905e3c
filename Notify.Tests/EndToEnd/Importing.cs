namespace Notify.Tests.EndToEnd;

using System.Diagnostics;
using System.Globalization;
using System.IO.Compression;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Notify.Delivery.EventStore;
using Notify.Tests.Support;

/// <summary>Many users at a time, line by line.</summary>
public sealed class Importing : SystemTest
{
    [Fact]
    public async Task Every_good_line_is_a_user_and_every_bad_one_is_told_with_its_number_and_field()
    {
        var (first, second) = (NewId("imported"), NewId("imported"));
        var (phone, token) = (Person.NewPhone(), Person.NewToken());

        var reply = await ImportAsync(
            Line(
                new
                {
                    userId = first,
                    phone,
                    email = Person.NewEmail(),
                    locale = "ko-KR",
                    timeZone = "Asia/Seoul",
                    devices = new[] { new { platform = "ios", token } },
                }
            ),
            Line(
                new
                {
                    userId = NewId("bad"),
                    email = "nobody",
                    phone = "12",
                    locale = "!",
                    timeZone = "Mars/Base",
                    devices = new[] { new { platform = "ios", token = "x" } },
                }
            ),
            "",
            "{ nothing",
            "[]",
            Line(new { email = Person.NewEmail() }),
            Line(new { userId = NewId("bad"), colour = "red" }),
            $"{{\"userId\":\"{new string('x', 70_000)}\"}}",
            Line(new { userId = second, phone = Person.NewPhone() })
        );

        Assert.Equal(("2", "0", "6"), (reply["imported"], reply["unchanged"], reply["failed"]));
        Assert.Equal(
            ["2 devices[0].token", "2 email", "2 locale", "2 phone", "2 timeZone", "4 ", "5 ", "6 userId", "7 colour", "8 "],
            reply.Json["errors"]!.AsArray().Select(e => $"{e!["line"]} {e["field"]}").Order(StringComparer.Ordinal)
        );
        Assert.All(reply.Json["errors"]!.AsArray(), e => Assert.NotEmpty(e!["message"]!.ToString()));
        var user = (await Client.GetAsync($"/v1/users/{first}")).Is(200).Json;
        Assert.Equal((phone, "ko-KR", "Asia/Seoul"), (user["phone"]!.ToString(), user["locale"]!.ToString(), user["timeZone"]!.ToString()));
        var id = NewId("reached");
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = first,
                    channels = new[] { "push", "sms" },
                    content = new { title = id, body = id },
                }
            )
        ).Is(202);
        await Client.BecomesAsync(id, "dispatched");
        Assert.Equal([token, phone], (await Sandbox.LedgerAsync(id)).OrderBy(e => e.Provider).Select(e => e.To));
    }

    [Fact]
    public async Task The_same_import_again_changes_nothing_and_stores_nothing()
    {
        var lines = Enumerable
            .Range(0, 1200)
            .Select(i =>
                Line(
                    new
                    {
                        userId = NewId($"again-{i}"),
                        phone = Person.NewPhone(),
                        devices = new[] { new { platform = "ios", token = Person.NewToken() } },
                    }
                )
            )
            .ToArray();
        Assert.Equal(("1200", "0", "0"), Counts(await ImportAsync(lines)));
        var keys = lines.Select(l => UserRefs.KeyOf(JsonNode.Parse(l)!["userId"]!.ToString())).ToArray();
        Assert.Equal(2400, await EventsAsync());

        Assert.Equal(("0", "1200", "0"), Counts(await ImportAsync(lines)));
        Assert.Equal(
            ("1", "1199", "0"),
            Counts(
                await ImportAsync([.. lines[1..], lines[0].Replace("\"phone\"", "\"locale\":\"ko\",\"phone\"", StringComparison.Ordinal)])
            )
        );

        Assert.Equal(2401, await EventsAsync());

        Task<long> EventsAsync() =>
            Installation.ScalarAsync<long>($"select count(*) from {EventSchema.Name}.mt_events where stream_id = any($1)", (object)keys);
    }

    [Fact]
    public async Task A_token_in_two_lines_is_the_later_user_s_and_leaves_whoever_had_it()
    {
        var before = await Installation.NewPersonAsync(phone: false);
        var (first, last) = (NewId("first"), NewId("last"));
        var devices = new[] { new { platform = "ios", token = before.Tokens[0] } };

        Assert.Equal(
            ("3", "0", "0"),
            Counts(
                await ImportAsync(
                    Line(new { userId = first, devices }),
                    Line(new { userId = last, devices }),
                    Line(new { userId = first, locale = "ko" })
                )
            )
        );

        var counts = await Task.WhenAll(new[] { before.Id, first, last }.Select(DevicesAsync));
        Assert.Equal([0, 0, 1], counts);
        Assert.Equal(
            UserRefs.Of(last),
            await Installation.ScalarAsync<string>("select user_id from notify.devices where device_id = $1", before.DeviceIds[0])
        );

        async Task<int> DevicesAsync(string user) => (await Client.GetAsync($"/v1/users/{user}")).Is(200).Json["devices"]!.AsArray().Count;
    }

    [Fact]
    public async Task Imports_that_race_for_the_same_users_and_tokens_leave_each_with_one_owner()
    {
        var (users, tokens) = (
            Enumerable.Range(0, 40).Select(i => NewId($"race-{i}")).ToArray(),
            Enumerable.Range(0, 40).Select(_ => Person.NewToken()).ToArray()
        );

        var replies = await Task.WhenAll(
            Enumerable
                .Range(0, 4)
                .Select(n =>
                    ImportAsync([
                        .. users.Select(
                            (u, i) =>
                                Line(new { userId = u, devices = new[] { new { platform = "ios", token = tokens[(i * 7 + n) % 40] } } })
                        ),
                    ])
                )
        );

        Assert.All(replies, r => Assert.Equal("0", r["failed"]));
        var owned = await Installation.ScalarAsync<long>(
            "select count(*) from notify.devices where user_id = any($1)",
            (object)users.Select(UserRefs.Of).ToArray()
        );
        var held = 0;
        foreach (var user in users)
            held += (await Client.GetAsync($"/v1/users/{user}")).Is(200).Json["devices"]!.AsArray().Count;
        Assert.Equal((40L, 40), (owned, held));
    }

    [Fact]
    public async Task The_command_tells_each_refused_line_by_its_place_in_the_file_and_fails()
    {
        var file = Path.GetTempFileName();
        var lines = Enumerable
            .Range(0, 1500)
            .Select(i => Line(new { userId = NewId($"file-{i}"), phone = i == 1400 ? "none" : Person.NewPhone() }))
            .ToArray();
        await File.WriteAllTextAsync(
            file,
            string.Join("\r\n", lines),
            new UTF8Encoding(encoderShouldEmitUTF8Identifier: true),
            TestContext.Current.CancellationToken
        ); // as Windows writes it
        try
        {
            var (code, output) = await RunAsync(file);
            Assert.Equal(1, code);
            Assert.Contains("line 1401: phone: must be a phone number", output, StringComparison.Ordinal);
            Assert.Contains("1,499 imported, 0 as they were, 1 refused.", output, StringComparison.Ordinal);

            await using (var gzip = new GZipStream(File.Create(file), CompressionLevel.Fastest))
                await gzip.WriteAsync(
                    Encoding.UTF8.GetBytes(string.Join('\n', lines.Where((_, i) => i != 1400))),
                    TestContext.Current.CancellationToken
                );
            var (again, said) = await RunAsync(file);
            Assert.Equal((0, true), (again, said.Contains("0 imported, 1,499 as they were, 0 refused.", StringComparison.Ordinal)));
            foreach (var (none, why) in new[] { (file + ".absent", "Could not find file"), (Path.GetTempPath(), "is a folder") })
            {
                var (refused, told) = await RunAsync(none);
                Assert.True(refused == 1 && told.Contains(why, StringComparison.Ordinal), told);
            }
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Fact]
    public async Task The_command_reads_from_a_pipe_gzipped_or_not_and_from_standard_input()
    {
        var file = Path.GetTempFileName();
        await File.WriteAllLinesAsync(
            file,
            Enumerable.Range(0, 1100).Select(i => Line(new { userId = NewId($"pipe-{i}"), locale = "ko" })),
            TestContext.Current.CancellationToken
        );
        try
        {
            foreach (
                var (shell, expected) in new[]
                {
                    ("""dotnet "$0" import <(gzip -c "$1")""", "1,100 imported, 0 as they were, 0 refused."),
                    ("""cat "$1" | dotnet "$0" import -""", "0 imported, 1,100 as they were, 0 refused."),
                    ("""dotnet "$0" import - < "$1" """, "0 imported, 1,100 as they were, 0 refused."),
                }
            )
            {
                var (code, output) = await InShellAsync(shell, Repository.Program("Notify.Api"), file);
                Assert.True(code == 0 && output.Contains(expected, StringComparison.Ordinal), output);
            }
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Fact]
    public async Task An_import_from_a_pipe_that_nobody_closes_can_be_interrupted()
    {
        var mark = NewId("piped");
        using var import = await StartAsync("dotnet", Repository.Program("Notify.Api"), "import", "-");
        var (output, errors) = (
            import.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken),
            import.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken)
        );
        await import.StandardInput.WriteLineAsync(
            string.Join('\n', Enumerable.Range(1, 1000).Select(i => Line(new { userId = $"{mark}-{i}" })))
        );
        await import.StandardInput.FlushAsync(TestContext.Current.CancellationToken);
        await Eventually.Becomes(
            async () => (await Client.GetAsync($"/v1/users/{mark}-1000")).Status,
            status => status == 200,
            "the first thousand are there"
        );

        using var kill = Process.Start("kill", ["-TERM", import.Id.ToString(CultureInfo.InvariantCulture)]);

        await EndAsync(import);
        Assert.True(
            import.ExitCode == 130
                && (await errors).Contains(
                    "stopped after line 1000: interrupted. Import the same again to go on",
                    StringComparison.Ordinal
                ),
            $"{import.ExitCode} {await output} {await errors}"
        );
    }

    [Fact]
    public async Task A_user_keeps_at_most_100_devices_also_when_they_are_brought_in_parts()
    {
        var (user, tokens) = (NewId("many"), Enumerable.Range(0, 150).Select(_ => Person.NewToken()).ToArray());
        var lines = tokens
            .Chunk(50)
            .Select(part => Line(new { userId = user, devices = part.Select(token => new { platform = "ios", token }) }))
            .ToArray();

        Assert.Equal(("3", "0", "0"), Counts(await ImportAsync(lines)));

        var kept = (await Client.GetAsync($"/v1/users/{user}")).Is(200).Json["devices"]!
            .AsArray()
            .Select(d => d!["deviceId"]!.ToString())
            .ToHashSet();
        var registered = await Installation.ScalarAsync<string>(
            "select string_agg(data ->> 'deviceId', ' ' order by version) from events.mt_events "
                + "where stream_id = $1 and type = 'DeviceRegistered'",
            UserRefs.KeyOf(user)
        );
        Assert.Equal(registered.Split(' ')[50..].Order(), kept.Order()); // whose came first have left
        Assert.Equal(
            ("50", "TooMany"),
            (
                await Installation.ScalarAsync<string>(
                    "select count(*) || '' from events.mt_events where stream_id = $1 and type = 'DeviceRemoved'",
                    UserRefs.KeyOf(user)
                ),
                await Installation.ScalarAsync<string>(
                    "select max(data ->> 'reason') from events.mt_events where stream_id = $1 and type = 'DeviceRemoved'",
                    UserRefs.KeyOf(user)
                )
            )
        );
        // Brought once more, in one import with what is known, the last hundred change nothing.
        Assert.Equal(("0", "2", "0"), Counts(await ImportAsync(lines[1..])));
    }

    [Fact]
    public async Task A_browser_whose_keys_have_changed_is_news()
    {
        var (user, endpoint, p256dh) = (
            NewId("browser"),
            $"https://push.example.com/{Guid.NewGuid():N}",
            Convert.ToBase64String(new byte[65]).TrimEnd('=')
        );
        string Browser(byte key) =>
            Line(
                new
                {
                    userId = user,
                    devices = new[]
                    {
                        new
                        {
                            platform = "web",
                            subscription = new
                            {
                                endpoint,
                                keys = new
                                {
                                    p256dh,
                                    auth = System.Buffers.Text.Base64Url.EncodeToString(Enumerable.Repeat(key, 16).ToArray()),
                                },
                            },
                        },
                    },
                }
            );

        Assert.Equal(("1", "0", "0"), Counts(await ImportAsync(Browser(1))));
        Assert.Equal(("0", "1", "0"), Counts(await ImportAsync(Browser(1))));
        Assert.Equal(("1", "1", "0"), Counts(await ImportAsync(Browser(2), Browser(2))));
        Assert.Equal(("2", "0", "0"), Counts(await ImportAsync(Browser(3), Browser(2))));

        Assert.Single((await Client.GetAsync($"/v1/users/{user}")).Is(200).Json["devices"]!.AsArray());
        Assert.Equal(
            4,
            await Installation.ScalarAsync<long>(
                "select count(*) from events.mt_events where stream_id = $1 and type = 'DeviceRegistered'",
                UserRefs.KeyOf(user)
            )
        );
    }

    [Fact]
    public async Task Invalid_import_is_rejected()
    {
        (await Client.CallAsync(HttpMethod.Post, "/v1/users/import", new StringContent("userId=1", Encoding.UTF8, "text/csv"))).IsProblem(
            415,
            "unsupported_media_type"
        );
        var compressed = new StringContent("{}", Encoding.UTF8, "application/x-ndjson");
        compressed.Headers.ContentEncoding.Add("gzip");
        (await Client.CallAsync(HttpMethod.Post, "/v1/users/import", compressed)).IsProblem(415, "unsupported_media_type");
        using var sender = await Installation.NewClientAsync(["send"]);
        (
            await sender.CallAsync(HttpMethod.Post, "/v1/users/import", new StringContent("{}", Encoding.UTF8, "application/x-ndjson"))
        ).IsProblem(403, "missing_scope");
        Assert.Equal(("0", "0", "0"), Counts(await ImportAsync()));
    }

    private async Task<Dictionary<string, string>> EnvironmentAsync()
    {
        var made = (
            await Client.PostAsync(
                "/v1/clients",
                new
                {
                    name = "a test's",
                    mode = "live",
                    scopes = new[] { "recipients" },
                }
            )
        ).Is(201);
        return new() { ["NOTIFY_API"] = Installation.ApiUrl.ToString(), ["NOTIFY_KEY"] = $"{made["appKey"]}:{made["appSecret"]}" };
    }

    private async Task<Process> StartAsync(string program, params string[] arguments)
    {
        var info = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var (key, value) in await EnvironmentAsync())
            info.Environment[key] = value;
        return Process.Start(info)!;
    }

    private static async Task EndAsync(Process process)
    {
        using var within = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        within.CancelAfter(TimeSpan.FromSeconds(60));
        try
        {
            await process.WaitForExitAsync(within.Token);
        }
        finally
        {
            if (!process.HasExited)
                process.Kill(entireProcessTree: true);
        }
    }

    private async Task<(int Code, string Output)> InShellAsync(string script, params string[] arguments)
    {
        using var process = await StartAsync("bash", ["-c", script, .. arguments]);
        var (output, errors) = (
            process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken),
            process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken)
        );
        await EndAsync(process);
        return (process.ExitCode, $"{await output}\n{await errors}");
    }

    private async Task<(int Code, string Output)> RunAsync(string file)
    {
        var environment = await EnvironmentAsync();
        var (code, output, errors) = await HostProcess.RunAsync(
            "import",
            Repository.Program("Notify.Api"),
            ["import", file],
            environment,
            TestRun.Log($"import-{Guid.NewGuid():N}")
        );
        return (code, $"{output}\n{string.Join('\n', errors)}");
    }

    private static (string?, string?, string?) Counts(Reply reply) => (reply["imported"], reply["unchanged"], reply["failed"]);

    private static string Line(object user) => JsonSerializer.Serialize(user);

    private async Task<Reply> ImportAsync(params string[] lines) =>
        (
            await Client.CallAsync(
                HttpMethod.Post,
                "/v1/users/import",
                new StringContent(string.Join('\n', lines), Encoding.UTF8, "application/x-ndjson")
            )
        ).Is(200);
}
