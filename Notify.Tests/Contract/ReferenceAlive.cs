namespace Notify.Tests.Contract;

using System.Text.Json.Nodes;
using Notify.Tests.EndToEnd;
using Notify.Tests.Support;

/// <summary>The reference is true: every operation is called with every example, and its answer is as documented.</summary>
public sealed class ReferenceAlive : SystemTest
{
    private NotifyClient caller = null!;

    /// <inheritdoc />
    public override async ValueTask InitializeAsync()
    {
        await base.InitializeAsync();
        caller = await Installation.NewClientAsync(["send", "recipients", "templates", "read", "audit", "operate", "admin"]);
        // The examples name these resources.
        await caller.PutAsync("/v1/layouts/letter", new { html = "<main>{{ content }}</main>" });
        foreach (var topic in new[] { "club-news", "no-offers" })
            await caller.PutAsync($"/v1/topics/{topic}", new { name = topic });
        await caller.PutAsync($"/v1/topics/club-news/subscribers/{(await Installation.NewPersonAsync()).Id}", new { });
        var parameters = new { name = new { required = true, type = "string" }, orderUrl = new { type = "url" } };
        await caller.PutAsync(
            "/v1/templates/order-shipped",
            new
            {
                channels = new
                {
                    email = new { subject = "{{ name }}", text = "x" },
                    sms = new { text = "{{ name }}" },
                    push = new { title = "{{ name }}" },
                },
                layout = "letter",
                @params = parameters,
            }
        );
    }

    /// <inheritdoc />
    public override ValueTask DisposeAsync()
    {
        caller.Dispose();
        GC.SuppressFinalize(this);
        return base.DisposeAsync();
    }

    /// <summary>
    /// The data that an operation needs before it can succeed. The result gives values for names in the path, and after <c>body.</c>
    /// for fields of the body.
    /// </summary>
    private Dictionary<string, Func<Task<Dictionary<string, string>>>> Preparations =>
        new()
        {
            ["CancelNotification"] = ScheduledAsync,
            ["RescheduleNotification"] = ScheduledAsync,
            ["GetNotification"] = ScheduledAsync,
            ["GetNotificationEvents"] = ScheduledAsync,
            ["GetNotificationReceipts"] = ScheduledAsync,
            ["AcknowledgeDelivery"] = PushedAsync,
            ["GetUser"] = UserAsync,
            ["GetPreferences"] = UserAsync,
            ["GetPreferencesHistory"] = UserAsync,
            ["EraseUser"] = UserAsync,
            ["RemoveDevice"] = UserAsync,
            ["GetCategory"] = CategoryAsync,
            ["JoinTopic"] = UserAsync,
            ["LeaveTopic"] = FollowerAsync,
            ["GetBroadcast"] = BroadcastAsync,
            ["PauseBroadcast"] = BroadcastAsync,
            ["ResumeBroadcast"] = BroadcastAsync,
            ["CancelBroadcast"] = BroadcastAsync,
            ["ListSuppressions"] = SuppressionAsync,
            ["LookUpSuppression"] = SuppressionAsync,
            ["LiftSuppression"] = SuppressionAsync,
            ["ArchiveTemplate"] = TemplateAsync,
            ["ChangeClientScopes"] = ClientAsync,
            ["RotateSecret"] = ClientAsync,
            ["RevokeSecret"] = ClientAsync,
            ["DisableClient"] = ClientAsync,
            ["ShowUnsubscribePage"] = EmailAsync,
            ["Unsubscribe"] = EmailAsync,
            ["FollowLink"] = LinkAsync,
        };

    [Fact]
    public async Task Every_operation_answers_every_example_as_documented()
    {
        var document = (await Client.GetAsync("/openapi/v1.json")).Is(200).Json;
        var check = new SchemaCheck(document);
        var faults = new List<string>();
        foreach (var operation in DescribedOperation.Of(document))
        {
            var bodies =
                operation
                    .Json["requestBody"]
                    ?["content"]!.AsObject().First().Value!["examples"]!.AsObject()
                    .Select(e => (JsonNode?)e.Value!["value"])
                ?? [null];
            foreach (var body in bodies)
            {
                var known = Preparations.TryGetValue(operation.Id, out var prepare) ? await prepare() : [];
                var sent = body?.DeepClone();
                foreach (var (name, value) in known.Where(k => k.Key.StartsWith("body.", StringComparison.Ordinal)))
                    sent![name[5..]] = value;
                var reply = await caller.CallAsync(new HttpMethod(operation.Method), PathOf(operation, known), sent);
                var wanted = operation.Json["responses"]!.AsObject().Select(r => r.Key).Where(s => s[0] is '2' or '3').ToList();
                if (!wanted.Contains($"{reply.Status}"))
                {
                    faults.Add($"{operation} {body?.ToJsonString()}: {reply}");
                    continue;
                }

                var answer = operation.Json["responses"]![$"{reply.Status}"]!;
                if (reply.Text.Length > 0 && answer["content"]?["application/json"]?["schema"] is { } schema)
                    faults.AddRange(check.Faults(reply.Json, schema).Select(f => $"{operation}: its answer is not as documented: {f}"));
                foreach (var (header, _) in answer["headers"]?.AsObject() ?? [])
                {
                    if (!reply.Headers.TryGetValues(header, out _))
                        faults.Add($"{operation}: its answer {reply.Status} lacks the header {header}");
                }
            }
        }

        Assert.True(faults.Count == 0, string.Join("\n", faults));
    }

    [Fact]
    public async Task A_first_request_and_its_repeat_and_its_contradiction_answer_as_documented()
    {
        var document = (await Client.GetAsync("/openapi/v1.json")).Is(200).Json;
        foreach (
            var (_, example) in document["paths"]!["/v1/notifications"]!["post"]!["requestBody"]!["content"]!["application/json"]![
                "examples"
            ]!.AsObject()
        )
        {
            var request = example!["value"]!;
            Assert.NotNull((await caller.PostRawAsync("/v1/notifications", request.ToJsonString())).Is(202).Headers.Location);
            (await caller.PostRawAsync("/v1/notifications", request.ToJsonString())).Is(200);
            request["category"] = "another";
            (await caller.PostRawAsync("/v1/notifications", request.ToJsonString())).IsProblem(409, "event_id_conflict");
        }
    }

    [Fact]
    public async Task Problems_are_as_documented()
    {
        var document = (await Client.GetAsync("/openapi/v1.json")).Is(200).Json;
        var check = new SchemaCheck(document);
        var schema = JsonNode.Parse("""{ "$ref": "#/components/schemas/ProblemDocument" }""")!;
        using var nobody = new NotifyClient(Installation.ApiUrl, null, null);
        using var reader = await Installation.NewClientAsync(["read"]);
        foreach (
            var (reply, status) in new[]
            {
                (await Client.PostAsync("/v1/notifications", new { colour = "red" }), 400),
                (await nobody.GetAsync("/v1/queues"), 401),
                (await reader.GetAsync("/v1/queues"), 403),
                (await Client.GetAsync("/v1/notifications/never-asked-for"), 404),
                (await Client.PostRawAsync("/v1/notifications", $"\"{new string('x', 300_000)}\""), 413),
                (await Client.CallAsync(HttpMethod.Post, "/v1/notifications", new StringContent("eventId=1")), 415),
            }
        )
        {
            Assert.Empty(check.Faults(reply.Is(status).Json, schema));
            Assert.Equal("application/problem+json", reply.ContentType);
        }
    }

    private static string PathOf(DescribedOperation operation, Dictionary<string, string> known)
    {
        var path = operation.Path;
        foreach (var parameter in operation.Json["parameters"]?.AsArray() ?? [])
        {
            if (parameter!["in"]!.ToString() != "path")
                continue;
            var name = parameter["name"]!.ToString();
            path = path.Replace(
                $"{{{name}}}",
                Uri.EscapeDataString(known.GetValueOrDefault(name) ?? parameter["example"]!.ToString()),
                StringComparison.Ordinal
            );
        }

        return path;
    }

    private async Task<Dictionary<string, string>> ScheduledAsync()
    {
        var id = NewId("described");
        (
            await caller.SendAsync(
                new
                {
                    eventId = id,
                    to = new { phone = "+12025550123" },
                    content = new { body = "x" },
                    sendAt = "2126-12-01T09:00:00Z",
                }
            )
        ).Is(202);
        return new() { ["eventId"] = id };
    }

    private async Task<Dictionary<string, string>> LinkAsync()
    {
        var id = NewId("described");
        (
            await caller.SendAsync(
                new
                {
                    eventId = id,
                    to = new { phone = Person.NewPhone() },
                    content = new { body = $"{id} https://example.com/orders", track = new { links = true } },
                }
            )
        ).Is(202);
        await caller.BecomesAsync(id, "dispatched");
        var text = Assert.Single(await Sandbox.LedgerAsync(id)).Text!;
        return new() { ["token"] = text[(text.IndexOf("/t/", StringComparison.Ordinal) + 3)..] };
    }

    private async Task<Dictionary<string, string>> EmailAsync()
    {
        var id = NewId("described");
        (
            await caller.SendAsync(
                new
                {
                    eventId = id,
                    to = new { email = Person.NewEmail() },
                    content = new { title = id, body = "x" },
                }
            )
        ).Is(202);
        await caller.BecomesAsync(id, "dispatched");
        return new() { ["token"] = Unsubscribing.TokenIn(Assert.Single(await Sandbox.LedgerAsync(id))) };
    }

    private async Task<Dictionary<string, string>> PushedAsync()
    {
        var (id, person) = (NewId("described"), await Installation.NewPersonAsync(phone: false));
        (
            await caller.SendAsync(
                new
                {
                    eventId = id,
                    userId = person.Id,
                    content = new { title = "x", body = "x" },
                }
            )
        ).Is(202);
        return new() { ["eventId"] = id, ["body.deliveryId"] = (await caller.BecomesAsync(id, "dispatched")).On("push").Id };
    }

    private async Task<Dictionary<string, string>> UserAsync()
    {
        var person = await Installation.NewPersonAsync();
        (await Client.PutAsync($"/v1/users/{person.Id}/preferences", new { channels = new { sms = new { optIn = false } } })).Is(200);
        return new() { ["userId"] = person.Id, ["deviceId"] = person.DeviceIds[0] };
    }

    private async Task<Dictionary<string, string>> CategoryAsync()
    {
        (await Client.PutAsync("/v1/categories/described", new { defaults = new { sms = false } })).Is(200);
        return new() { ["category"] = "described" };
    }

    private async Task<Dictionary<string, string>> FollowerAsync()
    {
        var known = await UserAsync();
        (await caller.PutAsync($"/v1/topics/club-news/subscribers/{known["userId"]}", new { })).Is(204);
        return known;
    }

    private async Task<Dictionary<string, string>> BroadcastAsync()
    {
        var id = NewId("described");
        (
            await caller.PostAsync(
                "/v1/broadcasts",
                new
                {
                    broadcastId = id,
                    all = true,
                    content = new { body = "x" },
                    sendAt = "2126-12-01T09:00:00Z",
                }
            )
        ).Is(202);
        return new() { ["broadcastId"] = id };
    }

    private async Task<Dictionary<string, string>> SuppressionAsync() =>
        new()
        {
            ["suppressionId"] = (
                await Client.PostAsync(
                    "/v1/suppressions",
                    new
                    {
                        channel = "sms",
                        address = Person.NewPhone(),
                        reason = "ByRequest",
                    }
                )
            ).Is(201)["id"]!,
        };

    private async Task<Dictionary<string, string>> TemplateAsync()
    {
        var key = NewId("described");
        (await Client.PutAsync($"/v1/templates/{key}", new { channels = new { sms = new { text = "x" } } })).Is(201);
        return new() { ["templateKey"] = key };
    }

    private async Task<Dictionary<string, string>> ClientAsync()
    {
        var made = (await Client.PostAsync("/v1/clients", new { name = "described", scopes = new[] { "read" } })).Is(201);
        var secret = (await Client.PostAsync($"/v1/clients/{made["clientId"]}/secrets", new { })).Is(201)["secretId"]!;
        return new() { ["clientId"] = made["clientId"]!, ["secretId"] = secret };
    }
}
