namespace Notify.Tests.Api;

using System.Text;
using Microsoft.AspNetCore.Http;
using Notify.Api.Contract;

public class RequestBodyTests
{
    [Theory]
    [InlineData("{}")]
    [InlineData("""{ "a": [ { "b": null } ], "한": "👋" }""")]
    public async Task A_json_object_is_read(string body)
    {
        var (document, problem) = await RequestBody.ReadAsync(Request(body));
        using (document)
            Assert.Null(problem);
    }

    [Theory]
    [InlineData("")]
    [InlineData(" ")]
    [InlineData("not json")]
    [InlineData("{")]
    [InlineData("{} {}")]
    [InlineData("{ \"a\": 1, }")]
    [InlineData("{ \"a\": 1 /* why */ }")]
    [InlineData("{ \"a\": NaN }")]
    [InlineData("{ 'a': 1 }")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("\"text\"")]
    [InlineData("{ \"a\": 1, \"a\": 2 }")]
    [InlineData("{ \"a\": 1, \"\\u0061\": 2 }")]
    [InlineData("{ \"\\ud800\": 1, \"\\ud800\": 2 }")]
    public async Task Anything_else_is_malformed(string body) => Assert.Equal((400, true), await ProblemAsync(Request(body)));

    /// <summary>RFC 9110, section 15.5.16: 415 also where the content is encoded as the server does not take it.</summary>
    [Theory]
    [InlineData("gzip", 415)]
    [InlineData("br", 415)]
    [InlineData("GZIP", 415)]
    [InlineData("identity, gzip", 415)]
    [InlineData("Identity", null)]
    [InlineData("identity", null)]
    [InlineData("", null)]
    public async Task A_compressed_body_is_of_no_supported_type(string encoding, int? status)
    {
        var request = Request("{}");
        request.Headers.ContentEncoding = encoding;
        if (status is { } refused)
            Assert.Equal(refused, (await ProblemAsync(request)).Item1);
        else
            Assert.Null((await RequestBody.ReadAsync(request)).Problem);
    }

    [Theory]
    [InlineData(31, false)]
    [InlineData(32, true)]
    [InlineData(1000, true)]
    [InlineData(100_000, true)]
    public async Task A_body_has_up_to_32_levels(int lists, bool refused)
    {
        var body = $"{{\"a\":{new string('[', lists)}{new string(']', lists)}}}";
        if (refused)
            Assert.Equal((400, true), await ProblemAsync(Request(body)));
        else
            Assert.Null((await RequestBody.ReadAsync(Request(body))).Problem);
    }

    [Fact]
    public async Task Body_that_is_not_utf8_is_malformed() =>
        Assert.Equal((400, true), await ProblemAsync(Request([.. "{\"a\":\""u8, 0xFF, 0xFE, .. "\"}"u8])));

    [Theory]
    [InlineData(0, 6_000_000, null)]
    [InlineData(RequestBody.MaxBytes, 0, 413)]
    [InlineData(RequestBody.MaxBytes, 6_000_000, 413)]
    [InlineData(0, RequestBody.MaxAttachmentBytes + RequestBody.MaxBytes, 413)]
    public async Task Files_do_not_count_towards_a_request_s_size_and_nothing_else_hides_behind_them(int text, int file, int? status)
    {
        var body =
            $"{{\"content\":{{\"body\":\"{new string('x', text)}\",\"attachments\":[{{\"content\":\"{new string('A', file)}\"}}]}}}}";
        var (document, problem) = await RequestBody.ReadAsync(
            Request(body),
            RequestBody.MaxBytes,
            RequestBody.MaxAttachmentBytes,
            Notify.Api.Notifications.RequestedAttachmentValidator.BytesOf
        );
        document?.Dispose();
        Assert.Equal(status is null, problem is null);
    }

    [Theory]
    [InlineData(0, false)]
    [InlineData(1, true)]
    public async Task A_body_is_not_endless(int more, bool refused)
    {
        var body = "{\"a\":\"" + new string('x', RequestBody.MaxBytes - 8 + more) + "\"}";
        Assert.Equal(refused, (await RequestBody.ReadAsync(Request(body))).Problem is not null);
        var unannounced = Request(body);
        unannounced.ContentLength = null;
        Assert.Equal(refused, (await RequestBody.ReadAsync(unannounced)).Problem is not null);
    }

    [Fact]
    public async Task Too_large_is_413() =>
        Assert.Equal((413, true), await ProblemAsync(Request(new string(' ', RequestBody.MaxBytes + 1))));

    [Theory]
    [InlineData("application/json", false)]
    [InlineData("application/json; charset=utf-8", false)]
    [InlineData("application/merge-patch+json", false)]
    [InlineData("text/plain", true)]
    [InlineData("application/x-www-form-urlencoded", true)]
    [InlineData(null, true)]
    public async Task A_body_is_called_json(string? type, bool refused)
    {
        var request = Request("{}");
        request.ContentType = type;
        Assert.Equal(refused, (await RequestBody.ReadAsync(request)).Problem is not null);
    }

    private static async Task<(int Status, bool IsProblem)> ProblemAsync(HttpRequest request)
    {
        var (document, problem) = await RequestBody.ReadAsync(request);
        Assert.Null(document);
        await problem!.ExecuteAsync(request.HttpContext);
        return (
            request.HttpContext.Response.StatusCode,
            request.HttpContext.Response.ContentType!.StartsWith("application/problem+json", StringComparison.Ordinal)
        );
    }

    private static HttpRequest Request(string body) => Request(Encoding.UTF8.GetBytes(body));

    private static HttpRequest Request(byte[] body)
    {
        var request = new DefaultHttpContext().Request;
        (request.ContentType, request.ContentLength, request.Body) = ("application/json", body.Length, new MemoryStream(body));
        return request;
    }
}
