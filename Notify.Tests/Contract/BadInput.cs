namespace Notify.Tests.Contract;

using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;
using Notify.Tests.Support;

/// <summary>Every invalid request is answered with a problem document that names the fault, and nothing is stored.</summary>
public sealed class BadInput : SystemTest
{
    private const string Path = "/v1/notifications";

    [Theory]
    [InlineData("")]
    [InlineData("   ")]
    [InlineData("{")]
    [InlineData("{]")]
    [InlineData("{\"eventId\":}")]
    [InlineData("{\"eventId\":\"x\"}}")]
    [InlineData("{'eventId':'x'}")]
    [InlineData("{\"eventId\":\"x\",}")]
    [InlineData("{\"eventId\":\"x\" // comment\n}")]
    [InlineData("{\"eventId\":NaN}")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("\"text\"")]
    [InlineData("42")]
    [InlineData("{\"eventId\":\"a\",\"eventId\":\"b\"}")]
    [InlineData("{\"eventId\":\"a\",\"content\":{\"body\":\"1\",\"body\":\"2\"}}")]
    [InlineData("{\"eventId\":\"a\",\"content\":{\"data\":{\"k\":1,\"\\u006b\":2}}}")]
    public async Task Malformed_JSON(string body) => (await Client.PostRawAsync(Path, body)).IsProblem(400, "malformed_json");

    [Fact]
    public async Task Bytes_that_are_no_UTF8()
    {
        var body = new ByteArrayContent([.. "{\"eventId\":\""u8, 0xC3, 0x28, 0xFF, .. "\"}"u8])
        {
            Headers = { ContentType = new MediaTypeHeaderValue("application/json") },
        };

        (await Client.CallAsync(HttpMethod.Post, Path, body)).IsProblem(400, "malformed_json");
    }

    [Fact]
    public async Task A_thousand_levels_of_nesting()
    {
        foreach (var (open, close) in new[] { ("[", "]"), ("{\"a\":", "}") })
        {
            var nested = string.Concat(Enumerable.Repeat(open, 1000)) + "1" + string.Concat(Enumerable.Repeat(close, 1000));
            (
                await Client.PostRawAsync(
                    Path,
                    """{"eventId":"x","userId":"u","content":{"data":NESTED}}""".Replace("NESTED", nested, StringComparison.Ordinal)
                )
            ).IsProblem(400, "malformed_json");
        }
    }

    [Fact]
    public async Task Every_fault_is_named_at_once()
    {
        var shape = (
            await Client.PostRawAsync(
                Path,
                """
                {"eventId":7,"userId":["u"],"channels":"sms","priority":"urgent","category":{},"content":{"title":1,"colour":"red"},"sendAt":"tomorrow","expiresAt":5,"metadata":{},"mystery":null,"to":{"fax":"1"}}
                """
            )
        ).IsProblem(400, "invalid_request");
        Assert.Equal(
            [
                "category",
                "channels",
                "content.colour",
                "content.title",
                "eventId",
                "expiresAt",
                "mystery",
                "priority",
                "sendAt",
                "to.fax",
                "userId",
            ],
            shape.Json["errors"]!.AsObject().Select(e => e.Key).Order(StringComparer.Ordinal)
        );

        var rules = (
            await Client.PostRawAsync(
                Path,
                """
                {"eventId":"","userId":"no blanks please","to":{"phone":"123","email":"nobody","device":{"platform":"ios","token":"zz"}},"channels":[],"category":"UPPER","template":{"key":"x"},"content":{"url":"ftp://x"},"metadata":7}
                """
            )
        ).IsProblem(400, "invalid_request");
        Assert.Equal(
            [
                "category",
                "channels",
                "content",
                "content.url",
                "eventId",
                "metadata",
                "template",
                "to",
                "to.device.token",
                "to.email",
                "to.phone",
                "userId",
            ],
            rules.Json["errors"]!.AsObject().Select(e => e.Key).Order(StringComparer.Ordinal)
        );
        Assert.All(rules.Json["errors"]!.AsObject(), e => Assert.NotEmpty(e.Value!.AsArray()));
    }

    [Theory]
    [InlineData("""{"userId":"u","content":{"body":"x"}}""", "eventId")]
    [InlineData("""{"eventId":null,"userId":"u","content":{"body":"x"}}""", "eventId")]
    [InlineData("""{"eventId":"a b","userId":"u","content":{"body":"x"}}""", "eventId")]
    [InlineData("""{"eventId":"a/b","userId":"u","content":{"body":"x"}}""", "eventId")]
    [InlineData("""{"eventId":"é","userId":"u","content":{"body":"x"}}""", "eventId")]
    [InlineData("""{"eventId":"a\n","userId":"u","content":{"body":"x"}}""", "eventId")]
    [InlineData("""{"eventId":"a","content":{"body":"x"}}""", "userId")]
    [InlineData("""{"eventId":"a","userId":"u"}""", "content")]
    [InlineData("""{"eventId":"a","userId":"u","content":{}}""", "content")]
    [InlineData("""{"eventId":"a","userId":"u","content":{"body":""}}""", "content")]
    [InlineData("""{"eventId":"a","userId":"u","content":{"body":"nul \u0000 here"}}""", "content.body")]
    [InlineData("""{"eventId":"a","userId":"u","content":{"body":"half \ud83d pair"}}""", "content.body")]
    [InlineData("""{"eventId":"a","userId":"u","content":{"body":"x","data":{"deep":["\u0000"]}}}""", "content.data.deep")]
    [InlineData("""{"eventId":"a","userId":"u","content":{"body":"x","data":[]}}""", "content.data")]
    [InlineData("""{"eventId":"a","userId":"u","content":{"body":"x"},"channels":["sms","sms"]}""", "channels")]
    [InlineData("""{"eventId":"a","userId":"u","content":{"body":"x"},"channels":["sms",null]}""", "channels[1]")]
    [InlineData("""{"eventId":"a","userId":"u","content":{"body":"x"},"channels":["Sms"]}""", "channels[0]")]
    [InlineData("""{"eventId":"a","userId":"u","content":{"body":"x"},"EventID":"b"}""", "EventID")]
    [InlineData("""{"eventId":"a","to":{},"content":{"body":"x"}}""", "to")]
    [InlineData("""{"eventId":"a","to":{"device":{"platform":"symbian","token":"x"}},"content":{"body":"x"}}""", "to.device.platform")]
    [InlineData("""{"eventId":"a","to":{"device":{"token":"x"}},"content":{"body":"x"}}""", "to.device.platform")]
    [InlineData("""{"eventId":"a","userId":"u","content":{"body":"x"},"sendAt":"2026-13-01T00:00:00Z"}""", "sendAt")]
    public async Task One_fault_is_named_by_its_field(string body, string field)
    {
        var errors = (await Client.PostRawAsync(Path, body)).IsProblem(400, "invalid_request").Json["errors"]!.AsObject();

        Assert.Contains(errors, e => e.Key == field || e.Key.StartsWith($"{field}[", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(1, 202)]
    [InlineData(128, 202)]
    [InlineData(129, 400)]
    public async Task An_event_ID_has_1_to_128_characters(int length, int status)
    {
        using var client = await Installation.NewClientAsync(["send"]);
        (
            await client.SendAsync(
                new
                {
                    eventId = new string('x', length),
                    userId = "nobody",
                    content = new { body = "x" },
                }
            )
        ).Is(status);
    }

    [Fact]
    public async Task An_event_ID_may_have_every_allowed_character_and_is_found_again()
    {
        var id = $"A-z.0_9~:{Guid.NewGuid():N}";
        var reply = (
            await Client.SendAsync(
                new
                {
                    eventId = id,
                    userId = "nobody",
                    content = new { body = "x" },
                }
            )
        ).Is(202);

        Assert.Equal(id, (await Client.GetAsync(reply.Headers.Location!.ToString())).Is(200)["eventId"]);
        Assert.Equal(2, (await Client.EventsAsync(id)).Count);
    }

    [Theory]
    [InlineData(300 * 1024, Path)]
    [InlineData(10 * 1024 * 1024, Path)]
    [InlineData(10 * 1024 * 1024, "/v1/notifications/batch")]
    [InlineData(10 * 1024 * 1024, "/v1/users/u/devices")]
    public async Task A_body_too_large(int bytes, string path)
    {
        foreach (var chunked in new[] { false, true })
        {
            var content = new StringContent(
                $"{{\"eventId\":\"x\",\"userId\":\"u\",\"content\":{{\"body\":\"{new string('x', bytes)}\"}}}}",
                Encoding.UTF8,
                "application/json"
            );
            (
                await Client.CallAsync(HttpMethod.Post, path, content, r => r.Headers.TransferEncodingChunked = chunked ? true : null)
            ).IsProblem(413, "too_large");
        }
    }

    [Theory]
    [InlineData("text/plain")]
    [InlineData("application/xml")]
    [InlineData("application/x-www-form-urlencoded")]
    [InlineData(null)]
    public async Task A_body_of_another_type(string? type)
    {
        var body = new ByteArrayContent("{}"u8.ToArray());
        if (type is not null)
            body.Headers.ContentType = new MediaTypeHeaderValue(type);

        (await Client.CallAsync(HttpMethod.Post, Path, body)).IsProblem(415, "unsupported_media_type");
    }

    [Theory]
    [InlineData("GET", "/", 404, "no_such_path")]
    [InlineData("GET", "/v1/nothing", 404, "no_such_path")]
    [InlineData("GET", "/v2/notifications", 404, "no_such_path")]
    [InlineData("DELETE", "/v1/notifications", 405, "method_not_allowed")]
    [InlineData("PATCH", "/v1/users/u", 405, "method_not_allowed")]
    [InlineData("GET", "/v1/notifications/unheard-of", 404, "not_found")]
    [InlineData("GET", "/v1/notifications/unheard-of/events", 404, "not_found")]
    [InlineData("GET", "/v1/users/unheard-of", 404, "not_found")]
    [InlineData("GET", "/v1/users/unheard-of/preferences", 404, "not_found")]
    [InlineData("DELETE", "/v1/users/unheard-of", 404, "not_found")]
    [InlineData("DELETE", "/v1/users/unheard-of/devices/d", 404, "not_found")]
    [InlineData("DELETE", "/v1/clients/unheard-of", 404, "not_found")]
    public async Task Missing_path_method_or_resource_is_reported(string method, string path, int status, string code) =>
        (await Client.CallAsync(new HttpMethod(method), path)).IsProblem(status, code);

    [Theory]
    [InlineData("/v1/notifications?userId=a%00b", "userId")]
    [InlineData("/v1/notifications?category=%00", "category")]
    [InlineData("/v1/notifications?client=a%00b", "client")]
    [InlineData("/v1/notifications/x?client=a%00b", "client")]
    [InlineData("/v1/dead-letters?reason=%00", "reason")]
    [InlineData("/v1/dead-letters?limit=0", "limit")]
    public async Task Nonsense_in_a_query_is_named(string path, string field) =>
        Assert.NotNull((await Client.GetAsync(path)).IsProblem(400, "invalid_request").Json["errors"]![field]);

    [Fact]
    public async Task A_query_value_of_another_type() => (await Client.GetAsync("/v1/dead-letters?limit=x")).IsProblem(400, "bad_request");

    [Theory]
    [InlineData("GET", "/v1/notifications/%00")]
    [InlineData("GET", "/v1/users/a%00b")]
    [InlineData("POST", "/v1/notifications/a%00b/cancel")]
    public async Task A_NUL_in_a_path_is_the_caller_s_fault(string method, string path) =>
        (await Client.CallAsync(new HttpMethod(method), path)).Is(400); // said by the server itself, before there is a request

    [Theory]
    [InlineData("""{"ids":["x"],"reason":"r"}""", "ids")]
    [InlineData("""{"ids":[],"reason":"r"}""", "ids")]
    [InlineData("""{"reason":"r"}""", "ids")]
    [InlineData("""{"ids":["00000000-0000-0000-0000-000000000000"]}""", "reason")]
    [InlineData("""{"query":{"colour":"x"},"reason":"r"}""", "query.colour")]
    public async Task A_replay_of_another_shape(string body, string field) =>
        Assert.NotNull(
            (await Client.PostRawAsync("/v1/dead-letters/replay", body)).IsProblem(400, "invalid_request").Json["errors"]![field]
        );

    [Theory]
    [InlineData("""{"channels":{"pigeon":{"optIn":true}}}""", "channels.pigeon")]
    [InlineData("""{"channels":{"sms":{}}}""", "channels.sms.optIn")]
    [InlineData("""{"categories":{"UPPER":{"sms":{"optIn":true}}}}""", "categories.UPPER")]
    [InlineData("""{"channels":{"sms":{"optIn":"no"}}}""", "channels.sms.optIn")]
    public async Task Preferences_of_another_shape(string body, string field)
    {
        var errors = (
            await Client.CallAsync(HttpMethod.Put, "/v1/users/u/preferences", new StringContent(body, Encoding.UTF8, "application/json"))
        )
            .IsProblem(400, "invalid_request")
            .Json["errors"]!;
        Assert.NotNull(errors[field]);
    }

    [Fact]
    public async Task Preferences_about_more_categories_than_anybody_has()
    {
        var user = NewId("many");
        object About(int categories) =>
            new { categories = Enumerable.Range(0, categories).ToDictionary(i => $"k{i}", _ => new { sms = new { optIn = false } }) };
        Assert.NotNull(
            (await Client.PutAsync($"/v1/users/{user}/preferences", About(201))).IsProblem(400, "invalid_request").Json["errors"]![
                "categories"
            ]
        );
        (await Client.PutAsync($"/v1/users/{user}/preferences", About(200))).Is(200);
    }

    [Fact]
    public async Task A_trace_ID_of_the_caller_s_is_the_one_in_the_problem()
    {
        var reply = await Client.CallAsync(
            HttpMethod.Post,
            Path,
            new { },
            r => r.Headers.Add("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        );

        Assert.Equal("4bf92f3577b34da6a3ce929d0e0e4736", reply.IsProblem(400, "invalid_request")["traceId"]);
    }

    [Fact]
    public async Task OpenAPI_tells_what_there_is()
    {
        using var nobody = new NotifyClient(Installation.ApiUrl, null, null);
        var paths = (await nobody.GetAsync("/openapi/v1.json")).Is(200).Json["paths"]!.AsObject();

        foreach (
            var path in new[]
            {
                "/v1/notifications",
                "/v1/notifications/batch",
                "/v1/notifications/{eventId}/cancel",
                "/v1/users/{userId}/devices",
                "/v1/queues",
                "/v1/dead-letters/replay",
            }
        )
            Assert.Contains(paths, p => p.Key == path);
    }
}
