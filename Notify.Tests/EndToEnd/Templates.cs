namespace Notify.Tests.EndToEnd;

using System.Text.Json.Nodes;
using Notify.Tests.Support;

/// <summary>Notifications that templates say, from the definition to the provider.</summary>
public sealed class Templates : SystemTest
{
    private static readonly Dictionary<string, object> Params = new()
    {
        ["name"] = new { required = true, type = "string" },
        ["url"] = new { required = true, type = "url" },
        ["id"] = new { type = "string" },
    };

    private static object Shipped(string word = "way") =>
        new
        {
            category = "shipping",
            channels = new
            {
                email = new
                {
                    subject = "Hello {{ name }}",
                    html = $"<p>{{{{ name }}}} <a href=\"{{{{ url }}}}\">{word}</a> {{{{ id }}}}</p>",
                    text = "{{ name }} {{ url }} {{ id }}",
                },
                sms = new { text = $"{{{{ name }}}}: on its {word} {{{{ id }}}}" },
                push = new
                {
                    title = "On its " + word,
                    body = "{{ name }} {{ id }}",
                    url = "{{ url }}",
                },
            },
            locales = new Dictionary<string, object>
            {
                ["ko"] = new
                {
                    sms = new { text = $"{{{{ name }}}}님 {word} {{{{ id }}}}" },
                    email = new { subject = "안녕 {{ name }}", html = "<p>{{ name }}님 {{ id }}</p>" },
                },
            },
            @params = Params,
        };

    [Fact]
    public async Task A_template_reaches_a_person_on_every_channel_in_their_language()
    {
        var (key, id, email) = (NewKey("every"), NewId("tpl"), Person.NewEmail());
        (await Client.PutAsync($"/v1/templates/{key}", Shipped())).Is(201);
        var person = await Installation.NewPersonAsync(email: email);
        (
            await Client.PutAsync(
                $"/v1/users/{person.Id}",
                new
                {
                    person.Phone,
                    person.Email,
                    locale = "ko-KR",
                }
            )
        ).Is(200);

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    template = new
                    {
                        key,
                        @params = new
                        {
                            name = "민<b>수",
                            url = "https://example.com/o/1",
                            id,
                        },
                    },
                }
            )
        ).Is(202);

        var state = await Client.BecomesAsync(id, "dispatched");
        Assert.Equal("shipping", state.Json["category"]!.ToString());
        Assert.Equal(
            (key, "1", "ko-KR"),
            (
                state.Json["template"]!["key"]!.ToString(),
                state.Json["template"]!["version"]!.ToString(),
                state.Json["template"]!["locale"]!.ToString()
            )
        );
        var sent = (await Sandbox.LedgerAsync(id)).ToDictionary(e => e.Provider, e => e.Text);
        Assert.Equal(["apns", "sendgrid", "twilio"], sent.Keys.Order());
        Assert.Equal($"민<b>수님 way {id}", sent["twilio"]);
        Assert.Equal($"안녕 민<b>수\n<p>민&lt;b&gt;수님 {id}</p>", sent["sendgrid"]);
        Assert.Contains("On its way", sent["apns"], StringComparison.Ordinal);
        var first = (await Client.EventsAsync(id))[0];
        Assert.Equal(key, first.Data["template"]!["key"]!.ToString());
        Assert.DoesNotContain("민", first.Data.ToJsonString(), StringComparison.Ordinal);
        await Eventually.Becomes(
            () =>
                Installation.ScalarAsync<long>(
                    "select count(*) from analytics.deliveries where event_id = $1 and template_key = $2 and template_version = 1",
                    id,
                    key
                ),
            n => n == 3,
            "analytics know the template"
        );
    }

    [Fact]
    public async Task Editing_a_template_or_its_layout_changes_nothing_that_was_accepted()
    {
        var (key, layout, id, late) = (NewKey("edit"), NewKey("frame"), NewId("before"), NewId("after"));
        (await Client.PutAsync($"/v1/layouts/{layout}", new { html = "<old>{{ content }}</old>", text = "old {{ content }}" })).Is(201);
        (await Client.PutAsync($"/v1/templates/{key}", Mail("one"))).Is(201);
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    to = new { email = Person.NewEmail() },
                    sendAt = TimeProvider.System.GetUtcNow().AddSeconds(2),
                    template = new { key, @params = new { id } },
                }
            )
        ).Is(202);

        (await Client.PutAsync($"/v1/layouts/{layout}", new { html = "<new>{{ content }}</new>", text = "new {{ content }}" })).Is(201);
        var two = (await Client.PutAsync($"/v1/templates/{key}", Mail("two"))).Is(201);
        Assert.Equal("2", two["version"]);
        (
            await Client.SendAsync(
                new
                {
                    eventId = late,
                    to = new { email = Person.NewEmail() },
                    template = new { key, @params = new { id = late } },
                }
            )
        ).Is(202);
        (await Client.DeleteAsync($"/v1/templates/{key}")).Is(204);

        await Client.BecomesAsync(id, "dispatched");
        await Client.BecomesAsync(late, "dispatched");
        Assert.Equal($"one {id}\nold one {id}\n<old><p>one {id}</p></old>", Assert.Single(await Sandbox.LedgerAsync(id)).Text);
        Assert.Equal($"two {late}\nnew two {late}\n<new><p>two {late}</p></new>", Assert.Single(await Sandbox.LedgerAsync(late)).Text);

        object Mail(string word) =>
            new
            {
                channels = new
                {
                    email = new
                    {
                        subject = $"{word} {{{{ id }}}}",
                        html = $"<p>{word} {{{{ id }}}}</p>",
                        text = $"{word} {{{{ id }}}}",
                    },
                },
                layout,
            };
    }

    [Fact]
    public async Task A_request_that_could_not_be_rendered_is_refused_with_every_fault_and_uses_up_no_ID()
    {
        var (key, id) = (NewKey("faults"), NewId("refused"));
        (await Client.PutAsync($"/v1/templates/{key}", Shipped())).Is(201);
        var to = new { phone = Person.NewPhone() };

        Assert.Equal(
            ["template.params.more", "template.params.name", "template.params.url"],
            await FaultsAsync(new { key, @params = new { more = 1 } })
        );
        Assert.Equal(
            ["template.params.name", "template.params.url"],
            await FaultsAsync(new { key, @params = new { name = 7, url = "javascript:alert(1)" } })
        );
        Assert.Equal(["template.key"], await FaultsAsync(new { key = NewKey("nowhere") }));
        Assert.Equal(
            ["template.key", "template.locale", "template.params"],
            await FaultsAsync(
                new
                {
                    key = "../x",
                    locale = "!",
                    @params = new[] { 1 },
                }
            )
        );
        Assert.Equal(["template.key"], await FaultsAsync(new { locale = "ko" }));
        Assert.Equal(
            ["template"],
            await FaultsAsync(new { key, @params = new { name = new string('x', 2000), url = "https://example.com" } })
        );
        var listing = NewKey("listing");
        (await Client.PutAsync($"/v1/templates/{listing}", new { channels = new { sms = new { text = "{{ items | map: 'sku' }}" } } })).Is(
            201
        );
        Assert.Equal(["template"], await FaultsAsync(new { key = listing, @params = new { items = new[] { 1, 2 } } }));
        (await Client.DeleteAsync($"/v1/templates/{key}")).Is(204);
        Assert.Equal(["template.key"], await FaultsAsync(new { key, @params = new { name = "x", url = "https://example.com" } }));
        Assert.Equal("2", (await Client.PutAsync($"/v1/templates/{key}", Shipped())).Is(201)["version"]);
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    to,
                    template = new { key, @params = new { name = "x", url = "https://example.com" } },
                }
            )
        ).Is(202);

        async Task<string[]> FaultsAsync(object template)
        {
            var reply = (
                await Client.SendAsync(
                    new
                    {
                        eventId = id,
                        to,
                        template,
                    }
                )
            ).IsProblem(400, "invalid_request");
            var item = (
                await Client.PostAsync(
                    "/v1/notifications/batch",
                    new
                    {
                        notifications = new object[]
                        {
                            new
                            {
                                eventId = id,
                                to,
                                template,
                            },
                        },
                    }
                )
            ).Is(200).Json["results"]![0]!;
            Assert.Equal("rejected", item["status"]!.ToString());
            Assert.Equal(reply.Json["errors"]!.AsObject().Select(e => e.Key), item["error"]!["errors"]!.AsObject().Select(e => e.Key));
            return [.. reply.Json["errors"]!.AsObject().Select(e => e.Key).Order(StringComparer.Ordinal)];
        }
    }

    [Fact]
    public async Task A_repeat_is_a_repeat_whatever_became_of_the_template()
    {
        var (key, id) = (NewKey("repeat"), NewId("repeat"));
        (await Client.PutAsync($"/v1/templates/{key}", new { channels = new { sms = new { text = "{{ a }}" } } })).Is(201);
        var request = new
        {
            eventId = id,
            to = new { phone = Person.NewPhone() },
            template = new { key, @params = new { a = id } },
        };
        (await Client.SendAsync(request)).Is(202);
        (await Client.PutAsync($"/v1/templates/{key}", new { channels = new { sms = new { text = "{{ a }} {{ b }}" } } })).Is(201);

        (await Client.SendAsync(request)).Is(200);
        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    to = new { phone = Person.NewPhone() },
                    template = new { key },
                }
            )
        ).IsProblem(409, "event_id_conflict");
        (await Client.DeleteAsync($"/v1/templates/{key}")).Is(204);
        (await Client.SendAsync(request)).Is(200);
    }

    [Fact]
    public async Task Versions_are_counted_listed_and_shown()
    {
        var key = NewKey("versions");
        var made = (await Client.PutAsync($"/v1/templates/{key}", Shipped())).Is(201);
        Assert.Equal($"/v1/templates/{key}", made.Headers.Location!.ToString());
        Assert.Equal("1", (await Client.PutAsync($"/v1/templates/{key}", Shipped())).Is(200)["version"]);
        await Task.WhenAll(Enumerable.Range(0, 4).Select(i => Client.PutAsync($"/v1/templates/{key}", Shipped($"way{i}"))));
        Assert.Equal("6", (await Client.PutAsync($"/v1/templates/{key}", Shipped("last"))).Is(201)["version"]);

        Assert.Equal(
            [6, 5, 4, 3, 2, 1],
            (await Client.GetAsync($"/v1/templates/{key}/versions")).Is(200).Json["versions"]!
                .AsArray()
                .Select(v => v!["version"]!.GetValue<int>())
        );
        Assert.Contains("last", (await Client.GetAsync($"/v1/templates/{key}")).Is(200).Text, StringComparison.Ordinal);
        Assert.Contains("on its way ", (await Client.GetAsync($"/v1/templates/{key}?version=1")).Is(200).Text, StringComparison.Ordinal);
        (await Client.GetAsync($"/v1/templates/{key}?version=7")).IsProblem(404, "not_found");
        (await Client.GetAsync($"/v1/templates/{NewKey("none")}")).IsProblem(404, "not_found");
        var listed = Assert.Single(
            (await Client.GetAsync("/v1/templates")).Is(200).Json["templates"]!.AsArray(),
            t => t!["key"]!.ToString() == key
        )!;
        Assert.Equal(["push", "sms", "email"], listed["channels"]!.AsArray().Select(c => c!.ToString()));
        using var sender = await Installation.NewClientAsync(["send"]);
        (await sender.PutAsync($"/v1/templates/{key}", Shipped())).IsProblem(403, "missing_scope");
    }

    [Theory]
    [InlineData("""{}""", "channels")]
    [InlineData("""{"channels":{}}""", "channels")]
    [InlineData("""{"channels":{"sms":{"text":"{{ a "}}}""", "channels.sms.text")]
    [InlineData("""{"channels":{"sms":{"text":"{{ a }}"}},"params":{"b":{}}}""", "channels.sms.text")]
    [InlineData("""{"channels":{"sms":{"text":"x"}},"params":{"1b":{},"c":{"type":"colour"}}}""", "params.c.type")]
    [InlineData("""{"channels":{"sms":{"text":"x"}},"params":{"1b":{}}}""", "params.1b")]
    [InlineData("""{"channels":{"fax":{"text":"x"}}}""", "channels.fax")]
    [InlineData("""{"channels":{"sms":{"text":"x"}},"locales":{"k_o":{"sms":{"text":"x"}}}}""", "locales.k_o")]
    [InlineData("""{"channels":{"sms":{"text":"x"}},"layout":"never-made"}""", "layout")]
    [InlineData(
        """{"channels":{"sms":{"text":"{% for i in (1..999) %}{% for j in (1..999) %}{% endfor %}{% endfor %}"}}}""",
        "channels.sms.text"
    )]
    [InlineData("""{"channels":{"email":{"subject":"x","html":"<script>{{ a }}</script>"}}}""", "channels.email.html")]
    public async Task A_template_with_a_fault_is_refused_with_its_field(string body, string field) =>
        Assert.Contains(
            (
                await Client.CallAsync(
                    HttpMethod.Put,
                    $"/v1/templates/{NewKey("bad")}",
                    new StringContent(body, System.Text.Encoding.UTF8, "application/json")
                )
            )
                .IsProblem(400, "invalid_request")
                .Json["errors"]!.AsObject(),
            e => e.Key == field
        );

    [Fact]
    public async Task A_circle_of_layouts_is_refused_and_named()
    {
        var (a, b) = (NewKey("a"), NewKey("b"));
        (await Client.PutAsync($"/v1/layouts/{a}", new { html = "{{ content }}" })).Is(201);
        (await Client.PutAsync($"/v1/layouts/{b}", new { html = "{{ content }}", layout = a })).Is(201);
        (await Client.PutAsync($"/v1/layouts/{b}", new { html = "{{ content }}", layout = a })).Is(200);

        Assert.Contains(
            $"{a} → {b} → {a}",
            (await Client.PutAsync($"/v1/layouts/{a}", new { html = "{{ content }}", layout = b })).IsProblem(400, "invalid_request").Json[
                "errors"
            ]!["layout"]!.ToJsonString(new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }),
            StringComparison.Ordinal
        );
        (await Client.PutAsync($"/v1/layouts/{a}", new { html = "{{ content }}", layout = a })).IsProblem(400, "invalid_request");
        (await Client.PutAsync($"/v1/layouts/{a}", new { html = "nothing" })).IsProblem(400, "invalid_request");
    }

    [Fact]
    public async Task A_preview_shows_what_each_channel_would_send()
    {
        var key = NewKey("preview");
        (await Client.PutAsync($"/v1/templates/{key}", Shipped())).Is(201);

        var preview = (
            await Client.PostAsync(
                $"/v1/templates/{key}/preview",
                new { locale = "ko-KR", @params = new { name = new string('가', 80), url = "https://example.com/?a=1&b=2" } }
            )
        )
            .Is(200)
            .Json;

        Assert.Equal(
            ("2", "UCS-2", "ko"),
            (preview["sms"]!["segments"]!.ToString(), preview["sms"]!["encoding"]!.ToString(), preview["sms"]!["locale"]!.ToString())
        );
        Assert.Equal(
            ("On its way", "https://example.com/?a=1&b=2"),
            (preview["push"]!["title"]!.ToString(), preview["push"]!["url"]!.ToString())
        );
        Assert.Null(preview["push"]!["locale"]);
        Assert.Contains(preview["warnings"]!.AsArray(), w => w!.ToString().StartsWith("push: there is no ko-KR", StringComparison.Ordinal));
        Assert.Contains(preview["warnings"]!.AsArray(), w => w!.ToString().StartsWith("sms: takes 2 segments", StringComparison.Ordinal));
        Assert.Equal(
            ["params.name", "params.url"],
            (await Client.PostAsync($"/v1/templates/{key}/preview", new { })).IsProblem(400, "invalid_request").Json["errors"]!
                .AsObject()
                .Select(e => e.Key)
        );
        (await Client.PostAsync($"/v1/templates/{NewKey("none")}/preview", new { })).IsProblem(404, "not_found");
    }

    [Fact]
    public async Task A_test_is_a_real_notification()
    {
        var (key, mark) = (NewKey("test"), NewId("mark"));
        (await Client.PutAsync($"/v1/templates/{key}", Shipped())).Is(201);

        var made = (
            await Client.PostAsync(
                $"/v1/templates/{key}/test",
                new
                {
                    to = new { phone = Person.NewPhone() },
                    locale = "ko",
                    @params = new { name = mark, url = "https://example.com" },
                }
            )
        ).Is(202);

        await Client.BecomesAsync(made["eventId"]!, "dispatched");
        Assert.StartsWith($"{mark}님 way", Assert.Single(await Sandbox.LedgerAsync(mark)).Text, StringComparison.Ordinal);
        Assert.Equal(
            ["params.name", "params.url", "userId"],
            (await Faults(new { })).Concat(await Faults(new { to = new { phone = Person.NewPhone() } })).Order(StringComparer.Ordinal)
        );
        using var author = await Installation.NewClientAsync(["templates"]);
        (await author.PostAsync($"/v1/templates/{key}/test", new { userId = "x" })).IsProblem(403, "missing_scope");

        async Task<IEnumerable<string>> Faults(object body) =>
            (await Client.PostAsync($"/v1/templates/{key}/test", body)).IsProblem(400, "invalid_request").Json["errors"]!
                .AsObject()
                .Select(e => e.Key);
    }

    [Fact]
    public async Task A_template_that_fails_in_the_person_s_own_language_fails_that_delivery_alone()
    {
        var (key, id) = (NewKey("late-fault"), NewId("late-fault"));
        (
            await Client.PutAsync(
                $"/v1/templates/{key}",
                new
                {
                    channels = new { sms = new { text = "{{ id }}" }, push = new { title = "{{ id }}" } },
                    locales = new { ko = new { sms = new { text = "{{ 1 | divided_by: zero }} {{ id }}" } } },
                    @params = new { id = new { required = true, type = "string" }, zero = new { type = "number" } },
                }
            )
        ).Is(201);
        var person = await Installation.NewPersonAsync();
        (await Client.PutAsync($"/v1/users/{person.Id}", new { person.Phone, locale = "ko" })).Is(200);

        (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    template = new { key, @params = new { id, zero = 0 } },
                }
            )
        ).Is(202);

        var state = await Client.BecomesAsync(id, "dispatched");
        Assert.Equal(
            ("failed", "TemplateFailed", "locales.ko.sms.text 1:3"),
            (state.On("sms").Status, state.On("sms").Reason, state.On("sms")["providerCode"])
        );
        Assert.Equal("apns", Assert.Single(await Sandbox.LedgerAsync(id)).Provider);
    }

    [Fact]
    public async Task Templates_go_into_files_and_come_back_from_them()
    {
        var (key, layout) = (NewKey("files"), NewKey("paper"));
        var folder = Path.Combine(Repository.Home, $"templates-{key}");
        (await Client.PutAsync($"/v1/layouts/{layout}", new { html = "<main>{{ content }}</main>\n", styles = "p {}" })).Is(201);
        var definition = JsonNode.Parse(System.Text.Json.JsonSerializer.Serialize(Shipped("file\n")))!;
        definition["layout"] = layout;
        (await Client.PutAsync($"/v1/templates/{key}", definition)).Is(201);

        Assert.Equal(0, (await RunAsync("pull", folder)).ExitCode);
        Assert.Equal("{{ name }}: on its file\n {{ id }}\n", File.ReadAllText(Path.Combine(folder, key, "sms.liquid")));
        Assert.True(File.Exists(Path.Combine(folder, key, "ko", "email.html")));
        foreach (var other in Directory.GetDirectories(folder).Where(d => Path.GetFileName(d) != key && Path.GetFileName(d) != "@layouts"))
            Directory.Delete(other, recursive: true); // of tests that run beside this one
        foreach (var other in Directory.GetDirectories(Path.Combine(folder, "@layouts")).Where(d => Path.GetFileName(d) != layout))
            Directory.Delete(other, recursive: true);
        var (code, said) = await RunAsync("push", folder);
        Assert.Equal((0, true), (code, said.Contains("0 changed, 2 as they were, 0 refused.", StringComparison.Ordinal)));

        File.WriteAllText(Path.Combine(folder, key, "sms.liquid"), "{{ name }} by file\r\n");
        (code, said) = await RunAsync("push", folder);
        Assert.Equal(
            (0, true, true),
            (
                code,
                said.Contains($"template {key}: version 2", StringComparison.Ordinal),
                said.Contains("1 changed, 1 as they were", StringComparison.Ordinal)
            )
        );
        Assert.Equal("{{ name }} by file", (await Client.GetAsync($"/v1/templates/{key}")).Json["channels"]!["sms"]!["text"]!.ToString());

        File.WriteAllText(Path.Combine(folder, key, "sms.liquid"), "{{ nmae }}\n");
        File.WriteAllText(Path.Combine(folder, "@layouts", layout, "layout.json"), "{ \"colour\": 1 }");
        (code, said) = await RunAsync("push", folder);
        Assert.Equal(1, code);
        Assert.Contains(
            $"the template {key} is refused: \n  channels.sms.text: line 1, column 4: the parameter nmae is not among params; "
                + "did you mean name?",
            said,
            StringComparison.Ordinal
        );
        Assert.Contains("colour is not known here", said, StringComparison.Ordinal);
        Assert.Equal(1, (await RunAsync("push", $"{folder}-nowhere")).ExitCode);
        Assert.Equal(2, (await RunAsync("fetch", folder)).ExitCode);

        // The files of an archived template are deleted, except files that others put there, and are not created again.
        File.WriteAllText(Path.Combine(folder, "@layouts", layout, "layout.json"), "{}");
        File.WriteAllText(Path.Combine(folder, key, "notes.md"), "mine");
        (await Client.DeleteAsync($"/v1/templates/{key}")).Is(204);
        (code, said) = await RunAsync("pull", folder);
        Assert.Equal(
            (0, true),
            (code, said.Contains($"template {key} is archived: its files are taken out of {folder}", StringComparison.Ordinal))
        );
        Assert.Equal([Path.Combine(folder, key, "notes.md")], Directory.GetFileSystemEntries(Path.Combine(folder, key)));
        foreach (var other in Directory.GetDirectories(folder).Where(d => Path.GetFileName(d) != key))
            Directory.Delete(other, recursive: true);
        (code, said) = await RunAsync("push", folder);
        Assert.Equal((0, true), (code, said.Contains("0 changed, 0 as they were, 0 refused.", StringComparison.Ordinal)));
        Assert.Equal("true", (await Client.GetAsync($"/v1/templates/{key}")).Is(200)["isArchived"]);
        Assert.DoesNotContain("is archived", (await RunAsync("pull", folder)).Output, StringComparison.Ordinal);
    }

    private async Task<(int ExitCode, string Output)> RunAsync(string command, string folder)
    {
        var environment = new Dictionary<string, string>
        {
            ["NOTIFY_API"] = Installation.ApiUrl.ToString(),
            ["NOTIFY_KEY"] = Installation.Client.Credentials,
        };
        var (code, output, _) = await HostProcess.RunAsync(
            "templates",
            Repository.Program("Notify.Api"),
            ["templates", command, folder],
            environment,
            TestRun.Log($"templates-{Guid.NewGuid():N}")
        );
        return (code, output);
    }

    private static string NewKey(string what) => $"{what}-{Guid.NewGuid():N}";
}
