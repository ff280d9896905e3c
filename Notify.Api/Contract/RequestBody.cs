namespace Notify.Api.Contract;

using System.Buffers;
using System.Globalization;
using System.Text.Json;
using FluentValidation;
using Notify.Domain.Content;
using Notify.Infrastructure.Json;

/// <summary>Reads JSON bodies: bounded, strict, and with every fault named at once.</summary>
public static class RequestBody
{
    /// <summary>The largest body of a single request, in bytes.</summary>
    public const int MaxBytes = 256 * 1024;

    /// <summary>The largest body of a batch, in bytes.</summary>
    public const int MaxBatchBytes = 8 * 1024 * 1024;

    /// <summary>The bytes that an email's files may add to a single request: base64 of <see cref="AttachmentRules.MaxBytes"/>.</summary>
    public const int MaxAttachmentBytes = (AttachmentRules.MaxBytes / 3 * 4) + 1024;

    public const string UnsupportedDetail = "Send the body as JSON, with the header Content-Type: application/json.";

    /// <summary>Why a compressed body is refused (RFC 9110, section 15.5.16).</summary>
    public const string CompressedDetail = "Send the body as it is, without Content-Encoding.";

    public static readonly string TooLargeDetail =
        $"The body is too large: at most {MaxBytes / 1024} KiB for one request, its attachments aside "
        + $"({AttachmentRules.MaxBytes / 1024 / 1024} MiB before base64), and {MaxBatchBytes / 1024 / 1024} MiB for a batch. Send "
        + "less at a time.";

    private const int Step = 4096;

    private static readonly JsonDocumentOptions Strict = new() { MaxDepth = 32, AllowDuplicateProperties = false };

    /// <summary>Makes a 413 for a body that is too large.</summary>
    public static IResult TooLarge() => Problem.Of(StatusCodes.Status413PayloadTooLarge, "too_large", TooLargeDetail);

    /// <summary>Whether a body is encoded; names of encodings have no case (RFC 9110, section 8.4.1).</summary>
    public static bool IsCompressed(HttpRequest request) =>
        !request
            .Headers.ContentEncoding.ToString()
            .Split(',')
            .All(e => e.Trim() is "" || e.Trim().Equals("identity", StringComparison.OrdinalIgnoreCase));

    /// <summary>Reads and parses the body.</summary>
    /// <param name="maxBytes">How large it may be.</param>
    /// <param name="maxAside">How much larger, by parts that do not count.</param>
    /// <param name="aside">Bytes of those parts.</param>
    /// <returns>The document, to be disposed of, or the problem.</returns>
    public static async Task<(JsonDocument? Document, IResult? Problem)> ReadAsync(
        HttpRequest request,
        int maxBytes = MaxBytes,
        int maxAside = 0,
        Func<JsonElement, long>? aside = null
    )
    {
        var (document, problem, bytes) = await ReadAllAsync(request, maxBytes + maxAside);
        if (bytes <= maxBytes || (document is not null && bytes - aside!(document.RootElement) <= maxBytes))
            return (document, problem);
        document?.Dispose();
        return (null, TooLarge());
    }

    private static async Task<(JsonDocument? Document, IResult? Problem, long Bytes)> ReadAllAsync(HttpRequest request, int maxBytes)
    {
        if (!request.HasJsonContentType())
            return (null, Contract.Problem.Of(StatusCodes.Status415UnsupportedMediaType, "unsupported_media_type", UnsupportedDetail), 0);
        if (IsCompressed(request))
            return (null, Contract.Problem.Of(StatusCodes.Status415UnsupportedMediaType, "unsupported_media_type", CompressedDetail), 0);
        if (request.ContentLength > maxBytes)
            return (null, TooLarge(), 0);
        if (BodyLease.Of(request) is not { } lease)
            return (null, Contract.Problem.Busy(), 0);
        // With room for one more reading than there are bytes: a buffer that is full would be copied to one of twice its size.
        var body = new ArrayBufferWriter<byte>((int)Math.Clamp(request.ContentLength ?? 1024, 256, maxBytes) + Step);
        WriteDeadline.Pause(request.HttpContext); // a caller may send slowly
        while (true)
        {
            var read = await request.Body.ReadAsync(body.GetMemory(Step), request.HttpContext.RequestAborted);
            if (read == 0)
                break;
            body.Advance(read);
            if (body.WrittenCount > maxBytes)
                return (null, TooLarge(), 0);
            if (!lease.Covers(body.WrittenCount))
                return (null, Contract.Problem.Busy(), 0);
        }

        WriteDeadline.Restart(request.HttpContext);

        var (document, fault) = Parse(body.WrittenMemory, "The body");
        return (document, fault is null ? null : Malformed(fault), body.WrittenCount);
    }

    /// <summary>Parses a JSON object.</summary>
    /// <param name="what">The name of the text, to begin a sentence with.</param>
    /// <returns>The document, which the caller disposes, or its fault.</returns>
    /// <param name="isLine">Whether it is one line, so that a fault names the byte only.</param>
    public static (JsonDocument? Document, string? Fault) Parse(ReadOnlyMemory<byte> text, string what, bool isLine = false)
    {
        // The parser does not check strings; reading one that is no UTF-8 would throw.
        if (!System.Text.Unicode.Utf8.IsValid(text.Span))
            return (null, $"{what} is not UTF-8.");
        try
        {
            var document = JsonDocument.Parse(text, Strict);
            if (document.RootElement.ValueKind == JsonValueKind.Object)
                return (document, null);
            document.Dispose();
            return (null, $"{what} must be a JSON object.");
        }
        catch (InvalidOperationException)
        {
            return (null, $"{what} has a name with half a surrogate pair, which is not text.");
        }
        catch (JsonException e)
        {
            return (
                null,
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"{what} is not JSON as it should be ({(isLine ? "" : $"line {e.LineNumber + 1}, ")}byte {e.BytePositionInLine}): at most 32 levels deep, no name twice in an object, UTF-8."
                )
            );
        }
    }

    /// <summary>Reads a body as a request and validates it.</summary>
    public static async Task<(T? Value, IResult? Problem)> ReadAsync<T>(HttpRequest request, IValidator<T>? validator = null)
        where T : class
    {
        var (document, problem) = await ReadAsync(request);
        if (document is null)
            return (null, problem);
        using (document)
        {
            var errors = Bind(document.RootElement, validator, out var value);
            return errors is null ? (value, null) : (null, Contract.Problem.Invalid(errors));
        }
    }

    /// <summary>Binds an element to a request: its shape, then its validator.</summary>
    /// <returns>Every fault by field, or <c>null</c>.</returns>
    public static IDictionary<string, string[]>? Bind<T>(JsonElement element, IValidator<T>? validator, out T? value)
        where T : class
    {
        value = null;
        var faults = JsonShape.Check(element, typeof(T));
        if (faults.Count == 0)
        {
            value = element.Deserialize<T>(NotifyJson.Options)!;
            if (validator is null)
                return null;
            var result = validator.Validate(value);
            if (result.IsValid)
                return null;
            foreach (var failure in result.Errors)
                faults.Add((CamelCase(failure.PropertyName), failure.ErrorMessage));
            value = null;
        }

        return faults.ByField();
    }

    private static IResult Malformed(string detail) => Contract.Problem.Of(StatusCodes.Status400BadRequest, "malformed_json", detail);

    /// <summary>A path of properties as JSON names it.</summary>
    public static string CamelCase(string path) =>
        string.Join('.', path.Split('.').Select(p => p.Length == 0 ? p : char.ToLowerInvariant(p[0]) + p[1..]));
}
