namespace Notify.Delivery.Erasures;

using System.Text.Json;
using Microsoft.Extensions.Configuration;
using Notify.Delivery.Privacy;
using Notify.Infrastructure.Json;

/// <summary>A line of the erasure log: the erased subjects, without personal data.</summary>
/// <param name="Id">The ID of the erasure's stream.</param>
/// <param name="Users">The stream keys of registered users.</param>
/// <param name="Subjects">The subjects whose keys were destroyed.</param>
public sealed record ErasureEntry(string Id, DateTimeOffset At, IReadOnlyList<string> Users, IReadOnlyList<string> Subjects);

/// <summary>
/// A file outside the database to which every erasure is appended, one JSON object a line: erasures outlive the restore of a backup.
/// </summary>
/// <remarks>
/// <c>Notify:ErasureLog</c>; without it <c>erasures.log</c> in <c>Notify:KeyFolder</c>; without both there is none. Several hosts append
/// to the same file: each holds it alone for as long as it writes.
/// </remarks>
public sealed class ErasureLog(string? path, TimeProvider clock)
{
    private const string FileName = "erasures.log";
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    /// <summary>The file; <c>null</c>: none is configured.</summary>
    public string? Path => path;

    /// <summary>Reads the setting.</summary>
    public static ErasureLog Read(IConfiguration configuration, TimeProvider clock) =>
        new(
            configuration["Notify:ErasureLog"] is { Length: > 0 } file ? System.IO.Path.GetFullPath(file)
                : KeyFolder.PathOf(configuration) is { } folder ? System.IO.Path.Combine(folder, FileName)
                : null,
            clock
        );

    /// <summary>Appends an erasure; completes when it is on the disk.</summary>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public async Task AddAsync(ErasureEntry entry, CancellationToken cancellation)
    {
        if (path is null)
            return;
        var line = JsonSerializer.SerializeToUtf8Bytes(entry, NotifyJson.Options);
        var began = clock.GetTimestamp();
        while (true)
        {
            try
            {
                await using var file = new FileStream(path, Options());
                file.Seek(0, SeekOrigin.End);
                await file.WriteAsync(line.Append((byte)'\n').ToArray(), cancellation);
                file.Flush(flushToDisk: true);
                return;
            }
            catch (IOException e)
                when (e is not (FileNotFoundException or DirectoryNotFoundException) && clock.GetElapsedTime(began) < Patience)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(20), clock, cancellation); // another host is writing
            }
        }
    }

    /// <summary>Reads all lines; one that a crash cut short is skipped.</summary>
    public static async IAsyncEnumerable<ErasureEntry> ReadAllAsync(TextReader reader)
    {
        while (await reader.ReadLineAsync() is { } line)
        {
            if (Parse(line) is { } entry)
                yield return entry;
        }
    }

    /// <summary>A line as it stands in the file.</summary>
    public static string LineOf(ErasureEntry entry) => JsonSerializer.Serialize(entry, NotifyJson.Options);

    private static ErasureEntry? Parse(string line)
    {
        if (line.Length == 0)
            return null;
        try
        {
            return JsonSerializer.Deserialize<ErasureEntry>(line, NotifyJson.Options);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static FileStreamOptions Options()
    {
        var options = new FileStreamOptions
        {
            Mode = FileMode.OpenOrCreate,
            Access = FileAccess.Write,
            Share = FileShare.None,
            BufferSize = 0,
        };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        return options;
    }
}
