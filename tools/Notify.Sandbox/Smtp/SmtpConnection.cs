namespace Notify.Sandbox.Smtp;

using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text;

/// <summary>A line of a dialogue.</summary>
/// <param name="Text">Without its end; bytes beyond ASCII as Latin-1.</param>
/// <param name="IsProper">Whether it ended with CRLF and was not too long.</param>
internal readonly record struct SmtpLine(string Text, bool IsProper);

/// <summary>The mail between <c>DATA</c> and the final dot.</summary>
/// <param name="Bytes">With the dots unstuffed.</param>
/// <param name="Fault">The enhanced code and text of a fault in its lines; null when there is none.</param>
internal readonly record struct SmtpData(byte[] Bytes, string? Fault);

/// <summary>One client's connection: lines in, lines out, TLS from <c>STARTTLS</c> on.</summary>
internal sealed class SmtpConnection(Socket socket) : IAsyncDisposable
{
    // RFC 5321 4.5.3.2.7 asks for five minutes at least.
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);
    private const int MaximumTextLine = 998; // RFC 5322 2.1.1, without CRLF

    private readonly byte[] _buffer = new byte[16 * 1024];
    private Stream _stream = new NetworkStream(socket, ownsSocket: true);
    private int _start,
        _end;

    /// <summary>Whether it is protected.</summary>
    public bool IsTls => _stream is SslStream;

    /// <summary>Sends a line.</summary>
    public ValueTask WriteAsync(string line, CancellationToken cancellation) =>
        _stream.WriteAsync(Encoding.ASCII.GetBytes(line + "\r\n"), cancellation);

    /// <summary>The next line; null when the client has gone.</summary>
    public async ValueTask<SmtpLine?> ReadLineAsync(int maximum, CancellationToken cancellation)
    {
        var line = new MemoryStream();
        while (await ReadThroughLineEndAsync(line, maximum + 1, cancellation) is { } isWhole)
        {
            if (!isWhole)
                continue;

            var bytes = line.ToArray().AsSpan();
            var isProper = bytes.EndsWith("\r\n"u8) && bytes.Length <= maximum;
            return new SmtpLine(Encoding.Latin1.GetString(bytes.TrimEnd("\r\n"u8)), isProper);
        }

        return null;
    }

    /// <summary>A mail up to its final dot; null when the client goes before it.</summary>
    public async ValueTask<SmtpData?> ReadDataAsync(int maximum, CancellationToken cancellation)
    {
        var (mail, line) = (new MemoryStream(), new MemoryStream());
        string? fault = null;
        while (await ReadThroughLineEndAsync(line, MaximumTextLine + 3, cancellation) is { } isWhole)
        {
            if (!isWhole)
                continue;

            var bytes = line.GetBuffer().AsMemory(0, (int)line.Length);
            if (bytes.Span.SequenceEqual(".\r\n"u8))
                return new SmtpData(mail.ToArray(), fault);
            if (bytes.Span.StartsWith("."u8))
                bytes = bytes[1..];

            fault ??= FaultOf(bytes.Span);
            if (mail.Length + bytes.Length > maximum)
                fault = "552 5.3.4 The message is too large";
            else
                mail.Write(bytes.Span);
            line.SetLength(0);
        }

        return null;
    }

    /// <summary>Begins TLS. Data that the client sent before it was permitted is discarded (RFC 3207 4.2).</summary>
    public async Task StartTlsAsync(X509Certificate2 certificate, CancellationToken cancellation)
    {
        _start = _end = 0;
        var tls = new SslStream(_stream);
        _stream = tls;
        await tls.AuthenticateAsServerAsync(new SslServerAuthenticationOptions { ServerCertificate = certificate }, cancellation);
    }

    /// <summary>Ends when the client has gone, or has sent more than it may without an answer.</summary>
    public async Task WaitUntilGoneAsync(CancellationToken cancellation)
    {
        try
        {
            while (_end < _buffer.Length && await FillAsync(Timeout.InfiniteTimeSpan, cancellation)) { }
        }
        catch (Exception error) when (error is IOException or OperationCanceledException or ObjectDisposedException)
        {
            // Gone.
        }
    }

    /// <summary>Breaks it off: a reset, and no farewell.</summary>
    public void Abort()
    {
        socket.LingerState = new LingerOption(true, 0);
        socket.Dispose();
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _stream.DisposeAsync();

    private static string? FaultOf(ReadOnlySpan<byte> line)
    {
        if (!line.EndsWith("\r\n"u8))
            return line.Length > MaximumTextLine ? "554 5.6.0 A line is longer than 998 characters" : "554 5.6.0 A line ends with LF alone";
        if (line.Length - 2 > MaximumTextLine)
            return "554 5.6.0 A line is longer than 998 characters";
        return line[..^2].Contains((byte)'\r') ? "554 5.6.0 A CR stands alone"
            : line.Contains((byte)0) ? "554 5.6.0 There is a NUL"
            : null;
    }

    /// <summary>Adds bytes to the line; true at its end, false when there is more of it, null at the end of all. Beyond the maximum nothing
    /// is kept.</summary>
    private async ValueTask<bool?> ReadThroughLineEndAsync(MemoryStream line, int maximum, CancellationToken cancellation)
    {
        if (_start == _end && !await FillAsync(Patience, cancellation))
            return null;

        var here = _buffer.AsSpan(_start, _end - _start);
        var end = here.IndexOf((byte)'\n');
        var part = end < 0 ? here : here[..(end + 1)];
        line.Write(part[..(int)Math.Clamp(maximum - line.Length, 0, part.Length)]);
        _start += part.Length;
        return end >= 0;
    }

    private async ValueTask<bool> FillAsync(TimeSpan patience, CancellationToken cancellation)
    {
        if (_start == _end)
            _start = _end = 0;
        using var late = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        late.CancelAfter(patience);
        var read = await _stream.ReadAsync(_buffer.AsMemory(_end), late.Token);
        _end += read;
        return read > 0;
    }
}
