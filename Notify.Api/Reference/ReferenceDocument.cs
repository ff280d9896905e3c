namespace Notify.Api.Reference;

using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.OpenApi;

/// <summary>The OpenAPI document, built once and kept as bytes.</summary>
/// <remarks>
/// It changes with the version alone, so that an <c>ETag</c> names it. Needs no database. Written in small pieces: a caller that does
/// not read holds no more than one connection's buffer.
/// </remarks>
/// <param name="provider">Builds the document.</param>
public sealed class ReferenceDocument([FromKeyedServices(ReferenceDocument.Name)] IOpenApiDocumentProvider provider) : IDisposable
{
    /// <summary>The document's name.</summary>
    public const string Name = "v1";

    /// <summary>The path at which the document is served.</summary>
    public const string Path = $"/openapi/{Name}.json";

    private const int Piece = 16 * 1024;

    private readonly SemaphoreSlim building = new(1, 1);
    private volatile Built? built;

    /// <summary>Answers with the document, or with 304 where the caller has it.</summary>
    public async Task AnswerAsync(HttpContext http)
    {
        var (bytes, tag) = built ?? await BuildAsync(http.RequestAborted);
        var headers = http.Response.Headers;
        (headers.ETag, headers.CacheControl) = (tag, "no-cache");
        if (http.Request.Headers.IfNoneMatch.Any(t => t is not null && t.Split(',', StringSplitOptions.TrimEntries).Any(Names)))
        {
            http.Response.StatusCode = StatusCodes.Status304NotModified;
            return;
        }

        (http.Response.ContentType, http.Response.ContentLength) = ("application/json; charset=utf-8", bytes.Length);
        for (var at = 0; at < bytes.Length; at += Piece)
            await http.Response.Body.WriteAsync(bytes.AsMemory(at, Math.Min(Piece, bytes.Length - at)), http.RequestAborted);

        // RFC 9110, section 13.1.2: compared weakly.
        bool Names(string given) => given == "*" || given == tag || given == $"W/{tag}";
    }

    /// <inheritdoc />
    public void Dispose() => building.Dispose();

    private async Task<Built> BuildAsync(CancellationToken cancellation)
    {
        await building.WaitAsync(cancellation);
        try
        {
            if (built is { } done)
                return done;
            var document = await provider.GetOpenApiDocumentAsync(cancellation);
            var bytes = Encoding.UTF8.GetBytes(await document.SerializeAsJsonAsync(OpenApiSpecVersion.OpenApi3_1, cancellation));
            return built = new Built(bytes, $"\"{Convert.ToHexStringLower(SHA256.HashData(bytes).AsSpan(0, 16))}\"");
        }
        finally
        {
            building.Release();
        }
    }

    private sealed record Built(byte[] Bytes, string Tag);
}
