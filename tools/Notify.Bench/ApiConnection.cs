namespace Notify.Bench;

using System.Buffers.Text;
using System.Net.Sockets;
using System.Text;

/// <summary>One keep-alive connection to the API. Bare sockets: the load generator shares the machine with what it measures.</summary>
internal sealed class ApiConnection : IDisposable
{
    private readonly Socket socket = new(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
    private readonly Uri api;
    private readonly byte[] head;
    private byte[] buffer = new byte[16 * 1024];

    private ApiConnection(Uri api, string path, string authorization)
    {
        this.api = api;
        head = Encoding.ASCII.GetBytes(
            $"POST {path} HTTP/1.1\r\nHost: {api.Authority}\r\nAuthorization: {authorization}\r\nContent-Type: "
                + "application/json\r\nContent-Length: "
        );
    }

    /// <summary>Connects; every request goes to the same path.</summary>
    public static async Task<ApiConnection> OpenAsync(Uri api, string path, string authorization)
    {
        var connection = new ApiConnection(api, path, authorization);
        try
        {
            await connection.socket.ConnectAsync(api.Host, api.Port);
            return connection;
        }
        catch (SocketException e)
        {
            connection.Dispose();
            throw new BenchException($"{api} does not answer ({e.Message})");
        }
    }

    /// <summary>Posts a body and reads the whole answer.</summary>
    /// <returns>The status, and how many notifications the answer calls accepted.</returns>
    public async ValueTask<(int Status, int Accepted)> PostAsync(ReadOnlyMemory<byte> body)
    {
        if (buffer.Length < head.Length + body.Length + 32)
            buffer = new byte[head.Length + body.Length + 32];
        head.CopyTo(buffer, 0);
        Utf8Formatter.TryFormat(body.Length, buffer.AsSpan(head.Length), out var digits);
        var length = head.Length + digits;
        "\r\n\r\n"u8.CopyTo(buffer.AsSpan(length));
        body.Span.CopyTo(buffer.AsSpan(length + 4));
        length += 4 + body.Length;
        for (var sent = 0; sent < length; )
            sent += await socket.SendAsync(buffer.AsMemory(sent, length - sent));

        var received = 0;
        while (!IsWhole(buffer.AsSpan(0, received)))
        {
            if (received == buffer.Length)
                Array.Resize(ref buffer, buffer.Length * 2);
            var read = await socket.ReceiveAsync(buffer.AsMemory(received));
            if (read == 0)
                throw new BenchException($"{api} closed a connection before it had answered");
            received += read;
        }

        var answer = buffer.AsSpan(0, received);
        Utf8Parser.TryParse(answer[9..], out int status, out _);
        return (status, answer.Count("\"status\":\"accepted\""u8));
    }

    /// <inheritdoc />
    public void Dispose() => socket.Dispose();

    private static bool IsWhole(ReadOnlySpan<byte> answer)
    {
        var end = answer.IndexOf("\r\n\r\n"u8);
        if (end < 0)
            return false;
        var at = answer[..end].IndexOf("\r\nContent-Length: "u8);
        if (at < 0)
            return answer.EndsWith("\r\n0\r\n\r\n"u8); // chunked
        Utf8Parser.TryParse(answer[(at + 18)..end], out int length, out _);
        return answer.Length == end + 4 + length;
    }
}
