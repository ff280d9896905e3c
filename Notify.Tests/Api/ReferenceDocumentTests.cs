namespace Notify.Tests.Api;

using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.OpenApi;
using Notify.Api.Reference;

/// <summary>The OpenAPI document, built once for all callers.</summary>
public sealed class ReferenceDocumentTests
{
    [Fact]
    public async Task Document_is_built_once_and_answered_with_a_tag_that_names_it()
    {
        var builder = new Builder();
        using var document = new ReferenceDocument(builder);

        var all = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => Task.Run(() => AskAsync(document))));

        Assert.Equal(1, builder.Built);
        Assert.All(all, a => Assert.Equal((200, all[0].Tag), (a.Status, a.Tag)));
        Assert.Matches("^\"[0-9a-f]{32}\"$", all[0].Tag);
        Assert.True(all[0].Body.Length > 100_000);
        Assert.All(all, a => Assert.True(a.Body.LargestWrite <= 16 * 1024, $"{a.Body.LargestWrite} bytes at once"));
    }

    [Theory]
    [InlineData("{0}", 304)]
    [InlineData("W/{0}", 304)]
    [InlineData("\"other\", {0}", 304)]
    [InlineData("*", 304)]
    [InlineData("\"other\"", 200)]
    public async Task Caller_that_has_the_document_is_not_sent_it_again(string given, int status)
    {
        using var document = new ReferenceDocument(new Builder());
        var first = await AskAsync(document);

        var second = await AskAsync(document, string.Format(System.Globalization.CultureInfo.InvariantCulture, given, first.Tag));

        Assert.Equal((status, first.Tag), (second.Status, second.Tag));
        Assert.Equal(status == 304 ? 0 : first.Body.Length, second.Body.Length);
    }

    [Fact]
    public async Task Build_that_fails_is_tried_again()
    {
        var builder = new Builder { Fails = 1 };
        using var document = new ReferenceDocument(builder);
        await Assert.ThrowsAsync<InvalidOperationException>(() => AskAsync(document));
        Assert.Equal(200, (await AskAsync(document)).Status);
    }

    private static async Task<(int Status, string Tag, Written Body)> AskAsync(ReferenceDocument document, string? ifNoneMatch = null)
    {
        var body = new Written();
        var http = new DefaultHttpContext();
        http.Response.Body = body;
        if (ifNoneMatch is not null)
            http.Request.Headers.IfNoneMatch = ifNoneMatch;
        await document.AnswerAsync(http);
        return (http.Response.StatusCode, http.Response.Headers.ETag.ToString(), body);
    }

    private sealed class Builder : IOpenApiDocumentProvider
    {
        private int built;

        public int Fails { get; init; }

        public int Built => built;

        public Task<OpenApiDocument> GetOpenApiDocumentAsync(CancellationToken cancellationToken = default)
        {
            if (Interlocked.Increment(ref built) <= Fails)
                throw new InvalidOperationException("not now");
            var info = new OpenApiInfo
            {
                Title = "Notify",
                Version = "v1",
                Description = new string('x', 200_000),
            };
            return Task.FromResult(new OpenApiDocument { Info = info, Paths = new OpenApiPaths() });
        }
    }

    private sealed class Written : MemoryStream
    {
        public int LargestWrite { get; private set; }

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            LargestWrite = Math.Max(LargestWrite, buffer.Length);
            return base.WriteAsync(buffer, cancellationToken);
        }
    }
}
