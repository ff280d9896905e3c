namespace Notify.Tests.Dispatch;

using System.Buffers.Binary;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;

/// <summary>An HTTP/2 server of frames alone, to do what a well-behaved library does not: limit streams, say GOAWAY amid calls, hang
/// up.</summary>
internal sealed class RawHttp2Server : IAsyncDisposable
{
    private const byte Data = 0,
        Headers = 1,
        Settings = 4,
        Ping = 6,
        GoAway = 7;
    private readonly TcpListener listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource stop = new();
    private readonly Func<Connection, Task> onRequest;
    private readonly int? firstStreams;
    private readonly Task accepting;
    private int connections;

    /// <summary>Starts to listen.</summary>
    /// <param name="onRequest">Called when a request is complete; <see cref="Connection.Requests"/> names it last.</param>
    /// <param name="firstStreams">How many streams a connection may have at first.</param>
    public RawHttp2Server(Func<Connection, Task> onRequest, int? firstStreams = null)
    {
        (this.onRequest, this.firstStreams) = (onRequest, firstStreams);
        listener.Start();
        accepting = AcceptAsync();
    }

    public Uri Url => new($"https://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}");

    /// <summary>Connections so far.</summary>
    public int Connections => connections;

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        listener.Stop();
        await accepting.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (!stop.IsCancellationRequested)
        {
            var socket = await listener.AcceptSocketAsync(stop.Token);
            _ = ServeAsync(socket, Interlocked.Increment(ref connections));
        }
    }

    private async Task ServeAsync(Socket socket, int number)
    {
        await using var stream = new SslStream(new NetworkStream(socket, ownsSocket: true));
        try
        {
            await stream.AuthenticateAsServerAsync(
                new SslServerAuthenticationOptions
                {
                    ServerCertificate = ScriptedServer.Certificate.Server,
                    ApplicationProtocols = [SslApplicationProtocol.Http2],
                },
                stop.Token
            );
            var connection = new Connection(stream, number);
            await stream.ReadExactlyAsync(new byte[24], stop.Token); // the preface
            await connection.SettingsAsync(firstStreams);
            var header = new byte[9];
            while (true)
            {
                await stream.ReadExactlyAsync(header, stop.Token);
                var payload = new byte[(header[0] << 16) | (header[1] << 8) | header[2]];
                await stream.ReadExactlyAsync(payload, stop.Token);
                var (type, ended) = (header[3], (header[4] & 1) != 0);
                if (type == Settings && !ended)
                    await connection.WriteAsync(Settings, 1, 0, []);
                else if (type == Ping && !ended)
                    await connection.WriteAsync(Ping, 1, 0, payload);
                else if (type is Data or Headers && ended)
                {
                    connection.Requests.Add(BinaryPrimitives.ReadInt32BigEndian(header.AsSpan(5)));
                    await onRequest(connection);
                }
            }
        }
        catch (Exception e)
            when (e is IOException or OperationCanceledException or SocketException or AuthenticationException or ObjectDisposedException)
        {
            hangUps.Release(); // the client has gone, or the test has ended
        }
    }

    private readonly SemaphoreSlim hangUps = new(0);

    /// <summary>Waits until a client has noticed the end of a connection, and closed it.</summary>
    public Task ClosedAsync() => hangUps.WaitAsync(TimeSpan.FromSeconds(20), stop.Token);

    /// <summary>One connection; its requests by stream, in order.</summary>
    public sealed class Connection(SslStream stream, int number)
    {
        private readonly SemaphoreSlim writing = new(1);

        /// <summary>Which connection, from 1.</summary>
        public int Number => number;

        /// <summary>The streams whose requests have come whole.</summary>
        public List<int> Requests { get; } = [];

        /// <summary>Says how many streams there may be.</summary>
        public Task SettingsAsync(int? streams)
        {
            var setting = new byte[6];
            BinaryPrimitives.WriteInt16BigEndian(setting, 3);
            BinaryPrimitives.WriteInt32BigEndian(setting.AsSpan(2), streams ?? 1000);
            return WriteAsync(Settings, 0, 0, setting);
        }

        /// <summary>Answers 200, without a body.</summary>
        // END_STREAM, END_HEADERS; :status 200 of the static table.
        public Task AnswerAsync(int id) => WriteAsync(Headers, 0b101, id, [0x88]);

        /// <summary>Sends GOAWAY: no stream after this one was processed, and none is accepted any more.</summary>
        public Task GoAwayAsync(int last)
        {
            var payload = new byte[8];
            BinaryPrimitives.WriteInt32BigEndian(payload, last);
            return WriteAsync(GoAway, 0, 0, payload);
        }

        /// <summary>Ends the connection.</summary>
        public Task ShutdownAsync() => stream.ShutdownAsync();

        public async Task WriteAsync(byte type, byte flags, int id, byte[] payload)
        {
            var frame = new byte[9 + payload.Length];
            (frame[0], frame[1], frame[2], frame[3], frame[4]) = (
                (byte)(payload.Length >> 16),
                (byte)(payload.Length >> 8),
                (byte)payload.Length,
                type,
                flags
            );
            BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(5), id);
            payload.CopyTo(frame, 9);
            await writing.WaitAsync();
            try
            {
                await stream.WriteAsync(frame);
            }
            finally
            {
                writing.Release();
            }
        }
    }
}
