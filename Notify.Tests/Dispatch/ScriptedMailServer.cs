namespace Notify.Tests.Dispatch;

using System.Net;
using System.Net.Sockets;
using System.Text;

/// <summary>A mail server's stand-in on a real socket: takes mail as RFC 5321 says, and at one command does what the test's script
/// says.</summary>
internal sealed class ScriptedMailServer : IAsyncDisposable
{
    /// <summary>Breaks the connection instead of answering.</summary>
    public const string Drop = "drop";

    /// <summary>Asks for the mail and breaks the connection in the midst of it.</summary>
    public const string CutData = "cut";

    /// <summary>Never answers.</summary>
    public const string Silence = "silence";

    private readonly TcpListener listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource stop = new();
    private readonly List<string> commands = [];
    private readonly List<string> mails = [];
    private readonly Func<string, string?> script;
    private readonly string[] extensions;
    private readonly Task accepting;
    private int connections;

    /// <summary>Starts to listen.</summary>
    /// <param name="script">For a command line (<c>.</c> ends a mail, <c>greeting</c> begins): the answer, <see cref="Drop"/>,
    /// <see cref="Silence"/>, or <c>null</c> for a good answer.</param>
    public ScriptedMailServer(Func<string, string?>? script = null, params string[] extensions)
    {
        (this.script, this.extensions) = (script ?? (_ => null), extensions);
        listener.Start();
        accepting = AcceptAsync();
    }

    public int Port => ((IPEndPoint)listener.LocalEndpoint).Port;

    /// <summary>Connections so far.</summary>
    public int Connections => connections;

    /// <summary>Every command line that came, in order.</summary>
    public IReadOnlyList<string> Commands
    {
        get
        {
            lock (commands)
                return [.. commands];
        }
    }

    /// <summary>Every mail that came whole, headers and body, dots unstuffed.</summary>
    public IReadOnlyList<string> Mails
    {
        get
        {
            lock (mails)
                return [.. mails];
        }
    }

    /// <summary>Breaks every connection that stands.</summary>
    public void HangUp() => hangUp.Cancel();

    private CancellationTokenSource hangUp = new();

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        listener.Stop();
        await accepting.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        stop.Dispose();
        hangUp.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (!stop.IsCancellationRequested)
        {
            var socket = await listener.AcceptSocketAsync(stop.Token);
            Interlocked.Increment(ref connections);
            if (hangUp.IsCancellationRequested)
                hangUp = new();
            _ = ServeAsync(socket, hangUp.Token);
        }
    }

    private async Task ServeAsync(Socket socket, CancellationToken hang)
    {
        using var both = CancellationTokenSource.CreateLinkedTokenSource(stop.Token, hang);
        await using var stream = new NetworkStream(socket, ownsSocket: true);
        using var reader = new StreamReader(stream, Encoding.UTF8);
        try
        {
            if (!await AnswerAsync("greeting", "220 test ESMTP"))
                return;
            while (await reader.ReadLineAsync(both.Token) is { } line)
            {
                lock (commands)
                    commands.Add(line);
                var verb = line.Split(' ', ':')[0].ToUpperInvariant();
                var good = verb switch
                {
                    "EHLO" => string.Join(
                        "\r\n",
                        extensions.Prepend("test").Select((e, i) => $"250{(i == extensions.Length ? ' ' : '-')}{e}")
                    ),
                    "DATA" => "354 go on",
                    "AUTH" => "235 2.7.0 welcome",
                    "QUIT" => "221 bye",
                    _ => "250 2.0.0 fine",
                };
                if (!await AnswerAsync(line, good))
                    return;
                if (verb == "QUIT" || script(line) == CutData)
                    return;
                if (verb != "DATA" || script(line) is not null)
                    continue;
                var mail = new StringBuilder();
                while (await reader.ReadLineAsync(both.Token) is { } text && text != ".")
                    mail.Append(text.StartsWith('.') ? text[1..] : text).Append("\r\n");
                lock (mails)
                    mails.Add(mail.ToString());
                if (!await AnswerAsync(".", "250 2.0.0 queued as A1"))
                    return;
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or SocketException)
        {
            // The client has gone, or the test has ended.
        }

        async Task<bool> AnswerAsync(string command, string good)
        {
            var answer = script(command) ?? good;
            if (answer == Silence)
                await Task.Delay(System.Threading.Timeout.Infinite, both.Token);
            if (answer == Drop)
            {
                socket.LingerState = new LingerOption(true, 0); // a reset, not a farewell
                return false;
            }

            if (answer == CutData)
                socket.LingerState = new LingerOption(true, 0);
            await stream.WriteAsync(Encoding.UTF8.GetBytes((answer == CutData ? good : answer) + "\r\n"), both.Token);
            if (answer == CutData)
                await reader.ReadLineAsync(both.Token);
            return true;
        }
    }
}
