namespace Notify.Tests.Contract;

using System.Text.Json.Nodes;
using Microsoft.OpenApi;
using Notify.Tests.Support;

/// <summary>The API describes itself: all of it, in words, with examples that hold.</summary>
public sealed class Reference : SystemTest
{
    private static readonly string[] PagesOfTheReference = ["/docs", "/openapi"];

    [Fact]
    public async Task A_reader_of_OpenAPI_finds_no_fault_in_the_document()
    {
        using var text = new MemoryStream(System.Text.Encoding.UTF8.GetBytes((await Client.GetAsync("/openapi/v1.json")).Is(200).Text));
        var (document, diagnostic) = await OpenApiDocument.LoadAsync(
            text,
            "json",
            cancellationToken: TestContext.Current.CancellationToken
        );
        Assert.Empty(diagnostic!.Errors);
        Assert.Empty(diagnostic.Warnings);
        Assert.Equal("Notify", document!.Info.Title);
        Assert.Equal("basic", document.Components!.SecuritySchemes!["basic"].Scheme);
    }

    [Fact]
    public async Task Mapped_routes_equal_described_operations()
    {
        var environment = new Dictionary<string, string>(TestRun.Secrets) { ["ConnectionStrings__notify"] = Installation.ConnectionString };
        var (exitCode, output, _) = await HostProcess.RunAsync(
            "routes",
            Repository.Program("Notify.Api"),
            ["routes"],
            environment,
            TestRun.Log($"routes-{Guid.NewGuid():N}")
        );
        Assert.True(exitCode == 0, output);

        var mapped = output
            .Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Where(r => !PagesOfTheReference.Any(p => r.StartsWith($"GET {p}", StringComparison.Ordinal)));
        Assert.Equal(
            mapped.Order(StringComparer.Ordinal),
            (await OperationsAsync()).Select(o => $"{o.Method} {o.Path}").Order(StringComparer.Ordinal)
        );
    }

    [Fact]
    public async Task Every_operation_parameter_answer_and_field_is_described_with_an_example()
    {
        var document = await DocumentAsync();
        var missing = new List<string>();
        foreach (var operation in await OperationsAsync())
        {
            Need(operation.Json["summary"], $"{operation}: WithSummary");
            Need(operation.Json["description"], $"{operation}: WithDescription");
            Need(operation.Json["operationId"], $"{operation}: WithName");
            Need(operation.Json["tags"]?.AsArray().FirstOrDefault(), $"{operation}: WithTags");
            foreach (var parameter in operation.Json["parameters"]?.AsArray() ?? [])
            {
                Need(parameter!["description"], $"{operation}, parameter {parameter["name"]}: Query (or ApiReference.PathParameters)");
                Need(parameter["example"], $"{operation}, example of the parameter {parameter["name"]}");
            }

            if (operation.Json["requestBody"] is { } body)
                Need(body["content"]!.AsObject().First().Value!["examples"], $"{operation}, example of the body: Takes");
            else if (
                (operation.Method is "PUT" && operation.Id != "JoinTopic")
                || (operation.Method is "POST" && operation.Json["responses"]!["415"] is not null)
            )
                missing.Add($"{operation}, body: Takes");
            Assert.Contains(operation.Json["responses"]!.AsObject(), r => r.Key[0] is '2' or '3');
            foreach (var (status, answer) in operation.Json["responses"]!.AsObject())
            {
                Need(answer!["description"], $"{operation}, answer {status}");
                if (status is not ("204" or "302"))
                    Need(answer["content"]?.AsObject().FirstOrDefault().Value, $"{operation}, content of the answer {status}: Answers");
                foreach (var (type, content) in answer["content"]?.AsObject() ?? [])
                {
                    Need(content!["schema"], $"{operation}, schema of the answer {status} {type}");
                    Need(content["example"] ?? content["examples"], $"{operation}, example of the answer {status} {type}");
                }
            }

            if (!operation.Path.StartsWith("/v1/", StringComparison.Ordinal))
                continue;
            if (operation.Json["security"] is null)
                continue; // public by design
            Assert.Contains("Scope: `", operation.Json["description"]!.ToString(), StringComparison.Ordinal);
            Assert.All(new[] { "401", "403", "503" }, s => Assert.NotNull(operation.Json["responses"]![s]));
            Assert.NotNull(operation.Json["responses"]!["503"]!["headers"]!["Retry-After"]);
        }

        foreach (var (name, schema) in document["components"]!["schemas"]!.AsObject())
        {
            foreach (var (field, property) in schema!["properties"]?.AsObject() ?? [])
            {
                Need(property!["description"] ?? property["$ref"], $"{name}.{field}: a doc comment");
                Need(property["type"] ?? property["$ref"] ?? property["enum"], $"{name}.{field}: its type (SchemaNotes)");
            }
        }

        Assert.True(missing.Count == 0, $"not described: {string.Join("\n", missing)}");

        void Need(JsonNode? node, string what)
        {
            if (node is null || node.ToString().Length == 0)
                missing.Add(what);
        }
    }

    [Fact]
    public async Task Every_example_is_as_its_schema_says()
    {
        var document = await DocumentAsync();
        var check = new SchemaCheck(document);
        var faults = new List<string>();
        foreach (var operation in await OperationsAsync())
        {
            var contents = new List<(string Where, JsonNode Content)>();
            if (operation.Json["requestBody"] is { } body)
                contents.AddRange(body["content"]!.AsObject().Select(c => ("request", c.Value!)));
            foreach (var (status, answer) in operation.Json["responses"]!.AsObject())
                contents.AddRange((answer!["content"]?.AsObject() ?? []).Select(c => (status, c.Value!)));
            foreach (var (where, content) in contents)
            {
                var examples = content["examples"]?.AsObject().Select(e => e.Value!["value"]) ?? [content["example"]];
                foreach (var example in examples)
                    faults.AddRange(check.Faults(example, content["schema"]!).Select(f => $"{operation} {where}: {f}"));
            }

            foreach (var parameter in operation.Json["parameters"]?.AsArray() ?? [])
                faults.AddRange(
                    check.Faults(parameter!["example"], parameter["schema"]!).Select(f => $"{operation} {parameter["name"]}: {f}")
                );
        }

        Assert.True(faults.Count == 0, string.Join("\n", faults));
    }

    [Fact]
    public async Task A_value_that_is_not_as_its_schema_says_is_found()
    {
        var check = new SchemaCheck(await DocumentAsync());
        var schema = JsonNode.Parse("""{ "$ref": "#/components/schemas/RequestNotification" }""")!;
        Assert.Empty(check.Faults(JsonNode.Parse("""{ "eventId": "e", "channels": ["sms"], "content": { "body": "x" } }"""), schema));
        foreach (
            var wrong in new[]
            {
                """{ "userId": "u" }""",
                """{ "eventId": 1 }""",
                """{ "eventId": "e", "channels": ["pigeon"] }""",
                """{ "eventId": "e", "sendAt": "soon" }""",
                """{ "eventId": "e", "colour": "red" }""",
                "[]",
            }
        )
            Assert.NotEmpty(check.Faults(JsonNode.Parse(wrong), schema));
    }

    [Fact]
    public async Task The_page_comes_from_this_host_alone()
    {
        var page = (await Client.GetAsync("/docs/")).Is(200);
        Assert.DoesNotContain("http://", page.Text, StringComparison.Ordinal);
        Assert.DoesNotContain("https://", page.Text, StringComparison.Ordinal);
        Assert.Contains("\"withDefaultFonts\":false", page.Text, StringComparison.Ordinal);
        Assert.Contains("\"telemetry\":false", page.Text, StringComparison.Ordinal);
        Assert.True((await Client.GetAsync("/docs/scalar.js")).Is(200).Text.Length > 100_000);
        (await Client.GetAsync("/docs/scalar.aspnetcore.js")).Is(200);
        (await Client.GetAsync("/docs/openapi/v1.json")).Is(404); // the page asks for it beside itself: at /openapi
    }

    /// <summary>The document.</summary>
    private async Task<JsonNode> DocumentAsync() => (await Client.GetAsync("/openapi/v1.json")).Is(200).Json;

    private async Task<IReadOnlyList<DescribedOperation>> OperationsAsync() => DescribedOperation.Of(await DocumentAsync());
}

/// <summary>An operation of the document.</summary>
public sealed record DescribedOperation(string Method, string Path, JsonNode Json)
{
    /// <summary>Every operation.</summary>
    public static IReadOnlyList<DescribedOperation> Of(JsonNode document) =>
        [
            .. document["paths"]!
                .AsObject()
                .SelectMany(p => p.Value!.AsObject().Select(o => new DescribedOperation(o.Key.ToUpperInvariant(), p.Key, o.Value!))),
        ];

    public string Id => Json["operationId"]!.ToString();

    /// <inheritdoc />
    public override string ToString() => $"{Method} {Path}";
}
