namespace Notify.Api.Recipients;

using System.Buffers;
using System.Globalization;
using System.IO.Compression;
using System.IO.Pipelines;
using System.Net;
using System.Net.Http.Headers;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Notify.Delivery.Hosting;
using Notify.Infrastructure.Json;

/// <summary>
/// <c>import FILE</c>: registers the users of an NDJSON file (<c>-</c>: standard input), gzipped or not, with a running Notify, showing how
/// far it is and what
/// is wrong with each line that is refused. Settings as those of <see cref="Templates.TemplatesCommand"/>; the scope is recipients.
/// </summary>
public static class ImportCommand
{
    private const string Name = "notify";
    private const int LinesAtOnce = 1000,
        BytesAtOnce = 4 * 1024 * 1024,
        Tries = 15,
        Interrupted = 130;

    /// <summary>Runs the command.</summary>
    /// <param name="args">The arguments after <c>import</c>.</param>
    /// <returns>The exit code: 0 all lines imported, 1 some or all rejected, 2 wrong arguments, 130 interrupted.</returns>
    public static async Task<int> RunAsync(string[] args)
    {
        if (args is not [{ Length: > 0 } path])
        {
            Console.Error.WriteLine($"{Name}: import FILE registers the users of a file, one JSON object a line; - is standard input");
            return 2;
        }

        using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false })
        {
            BaseAddress = new Uri(Environment.GetEnvironmentVariable("NOTIFY_API") is { Length: > 0 } url ? url : "http://127.0.0.1:5080"),
            Timeout = TimeSpan.FromSeconds(60),
        };
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue(
            "Basic",
            Convert.ToBase64String(Encoding.UTF8.GetBytes(Environment.GetEnvironmentVariable("NOTIFY_KEY") ?? ""))
        );
        // The first signal lets the running requests end; the second one stops at once.
        using var stop = new CancellationTokenSource();
        using var interrupted = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
        using var ended = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
        try
        {
            if (Directory.Exists(path))
                return NotifyHost.Fail(Name, $"{path} is a folder; give a file with one JSON object a line");
            // Not disposed: the source may be a pipe in which a read still waits, and the process ends now.
            return await ImportAsync(http, path == "-" ? Console.OpenStandardInput() : File.OpenRead(path), stop.Token);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            return NotifyHost.Fail(Name, $"{(path == "-" ? "standard input" : path)} cannot be read: {e.Message}");
        }

        void Stop(PosixSignalContext signal)
        {
            signal.Cancel = !stop.IsCancellationRequested;
            stop.Cancel();
        }
    }

    private static async Task<int> ImportAsync(HttpClient http, Stream file, CancellationToken stop)
    {
        var (imported, unchanged, failed, lines) = (0L, 0L, 0L, 0L);
        var (progress, batch) = (ImportProgress.OfConsole(), new Batch());
        double? length = file.CanSeek ? Math.Max(1, file.Length) : null; // a pipe tells no length
        try
        {
            await foreach (var (number, line) in ImportLines.ReadAsync(await UncompressedAsync(file, stop), ImportUsers.MaxLine, stop))
            {
                if (line is null)
                {
                    failed++;
                    progress.Say($"line {number} {ImportUsers.TooLong}");
                }

                batch.Add(line ?? []); // a line that is left out stays as an empty one, so that the numbers hold
                if (batch.Lines < LinesAtOnce && batch.Bytes < BytesAtOnce)
                    continue;
                if (await SendAsync() is { } fault)
                    return Stopped(fault, 1);
                if (stop.IsCancellationRequested)
                    return Stopped("interrupted", Interrupted);
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            return Stopped("interrupted", Interrupted);
        }

        if (batch.Lines > 0 && await SendAsync() is { } last)
            return Stopped(last, 1);
        progress.Clear();
        if (lines == 0)
            progress.Say("there is no line in it");
        Console.WriteLine(
            string.Create(CultureInfo.InvariantCulture, $"{imported:N0} imported, {unchanged:N0} as they were, {failed:N0} refused.")
        );
        return failed == 0 ? 0 : 1;

        async Task<string?> SendAsync()
        {
            var (summary, fault) = await PostAsync(http, batch.Take(out var count), stop);
            if (summary is null)
                return fault;
            foreach (var error in summary.Errors)
                progress.Say(
                    string.Create(
                        CultureInfo.InvariantCulture,
                        $"line {lines + error.Line}: {(error.Field is null ? "" : error.Field + ": ")}{error.Message}"
                    )
                );
            if (summary.ErrorsLeftOut > 0)
                progress.Say(
                    string.Create(CultureInfo.InvariantCulture, $"and {summary.ErrorsLeftOut} more faults up to line {lines + count}")
                );
            (imported, unchanged, failed, lines) = (
                imported + summary.Imported,
                unchanged + summary.Unchanged,
                failed + summary.Failed,
                lines + count
            );
            progress.Show(length is { } all ? Math.Min(1, file.Position / all) : null, lines, failed);
            return null;
        }

        int Stopped(string fault, int code)
        {
            progress.Say(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"stopped after line {lines}: {fault}. Import the same again to go on: what is there already is not done twice"
                )
            );
            return code;
        }
    }

    // A pipe cannot be rewound: its first bytes are examined without being consumed.
    private static async Task<PipeReader> UncompressedAsync(Stream file, CancellationToken stop)
    {
        var reader = PipeReader.Create(file);
        var start = (await reader.ReadAtLeastAsync(2, stop).AsTask().WaitAsync(stop)).Buffer;
        var isGzip = start.Length >= 2 && start.Slice(0, 2).ToArray() is [0x1F, 0x8B];
        reader.AdvanceTo(start.Start);
        return isGzip ? PipeReader.Create(new GZipStream(reader.AsStream(), CompressionMode.Decompress)) : reader;
    }

    // Again while Notify is away for a moment: a line that was taken already changes nothing.
    private static async Task<(ImportSummary? Summary, string? Fault)> PostAsync(HttpClient http, byte[] lines, CancellationToken stop)
    {
        for (var attempt = 1; ; attempt++)
        {
            string fault;
            try
            {
                using var content = new ByteArrayContent(lines)
                {
                    Headers = { ContentType = new MediaTypeHeaderValue("application/x-ndjson") },
                };
                using var response = await http.PostAsync(new Uri("/v1/users/import", UriKind.Relative), content);
                var text = await response.Content.ReadAsStringAsync();
                if (response.IsSuccessStatusCode)
                    return (JsonSerializer.Deserialize<ImportSummary>(text, NotifyJson.Options), null);
                fault = Told(text, response);
                if (response.StatusCode is not (HttpStatusCode.ServiceUnavailable or HttpStatusCode.TooManyRequests))
                    return (null, fault);
            }
            catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
            {
                fault = $"Notify does not answer at {http.BaseAddress}";
            }

            if (attempt == Tries || stop.IsCancellationRequested)
                return (null, fault);
            await Task.WhenAny(Task.Delay(TimeSpan.FromSeconds(Math.Min(attempt, 3)), stop));
        }
    }

    private static string Told(string text, HttpResponseMessage response)
    {
        try
        {
            using var problem = JsonDocument.Parse(text);
            return problem.RootElement.GetProperty("detail").GetString()!.TrimEnd('.');
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            return $"{(int)response.StatusCode} from {response.RequestMessage!.RequestUri}; is this Notify's Api?";
        }
    }

    private sealed class Batch
    {
        private readonly MemoryStream stream = new();

        public int Lines { get; private set; }

        public long Bytes => stream.Length;

        public void Add(byte[] line)
        {
            stream.Write(line);
            stream.WriteByte((byte)'\n');
            Lines++;
        }

        public byte[] Take(out int lines)
        {
            lines = Lines;
            var taken = stream.ToArray();
            stream.SetLength(0);
            Lines = 0;
            return taken;
        }
    }
}
