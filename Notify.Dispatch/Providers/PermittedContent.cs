namespace Notify.Dispatch.Providers;

using System.Net;

/// <summary>Has every request of a call checked by its permit as it leaves. Every client of <see cref="ProviderCall"/> has it.</summary>
/// <remarks>
/// The check is made when the body is written: by then the connection is established, and over HTTP/2 the request has its stream. A
/// provider acts on no request whose body has not come whole. The time that remains is from there to the network card: the
/// body's last 64 KiB in the connection's own buffers and the kernel's, and over HTTP/2 the data that wait for the peer's window.
/// </remarks>
/// <param name="timeout">How long one request may take.</param>
internal sealed class PermitHandler(HttpMessageHandler inner, TimeSpan timeout) : DelegatingHandler(inner)
{
    /// <inheritdoc />
    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        if (SendPermit.Current is { } permit)
        {
            if (request.Content is null)
                await permit.CheckAsync(timeout, cancellationToken);
            else
                request.Content = new PermittedContent(request.Content, permit, timeout);
        }

        return await base.SendAsync(request, cancellationToken);
    }
}

/// <summary>A request's body that leaves only with its permit.</summary>
internal sealed class PermittedContent : HttpContent
{
    private readonly HttpContent content;
    private readonly SendPermit permit;
    private readonly TimeSpan timeout;

    /// <summary>Takes over the content and its headers.</summary>
    public PermittedContent(HttpContent content, SendPermit permit, TimeSpan timeout)
    {
        (this.content, this.permit, this.timeout) = (content, permit, timeout);
        foreach (var (name, values) in content.Headers.NonValidated)
            Headers.TryAddWithoutValidation(name, values);
    }

    /// <summary>Whether the body may have begun to leave. A request whose body has not is none that a provider could act on.</summary>
    public bool HasLeft { get; private set; }

    /// <inheritdoc />
    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        await permit.CheckAsync(timeout, cancellationToken);
        HasLeft = true;
        await content.CopyToAsync(new PermittedStream(stream, permit), context, cancellationToken);
    }

    /// <inheritdoc />
    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) =>
        SerializeToStreamAsync(stream, context, CancellationToken.None);

    /// <inheritdoc />
    protected override bool TryComputeLength(out long length)
    {
        length = content.Headers.ContentLength ?? -1;
        return length >= 0;
    }

    /// <inheritdoc />
    protected override void Dispose(bool disposing)
    {
        if (disposing)
            content.Dispose();
        base.Dispose(disposing);
    }
}

/// <summary>Writes in pieces and checks the lease before each: a body of megabytes may still be leaving when the lease ends.</summary>
public sealed class PermittedStream(Stream inner, SendPermit permit) : Stream
{
    private const int Piece = 64 * 1024;

    /// <inheritdoc />
    public override bool CanRead => false;

    /// <inheritdoc />
    public override bool CanSeek => false;

    /// <inheritdoc />
    public override bool CanWrite => true;

    /// <inheritdoc />
    public override long Length => throw new NotSupportedException();

    /// <inheritdoc />
    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <inheritdoc />
    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        for (var rest = buffer; rest.Length > 0; rest = rest[Math.Min(Piece, rest.Length)..])
        {
            permit.CheckLease();
            await inner.WriteAsync(rest[..Math.Min(Piece, rest.Length)], cancellationToken);
        }
    }

    /// <inheritdoc />
    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    /// <inheritdoc />
    public override Task FlushAsync(CancellationToken cancellationToken) => inner.FlushAsync(cancellationToken);

    /// <inheritdoc />
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    /// <inheritdoc />
    public override void Flush() => inner.Flush();

    /// <inheritdoc />
    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    /// <inheritdoc />
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    /// <inheritdoc />
    public override void SetLength(long value) => throw new NotSupportedException();
}
