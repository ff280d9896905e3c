namespace Notify.Sandbox.Ledger;

using System.Buffers.Binary;
using System.Globalization;
using System.Text.Json;

/// <summary>The first line of a ledger file.</summary>
/// <param name="Providers">Names in the order by which the file's entries number them.</param>
/// <param name="Counts">The counts of each provider before the file's first entry.</param>
internal sealed record LedgerFileHeader(string[] Providers, LedgerCounts[] Counts);

/// <summary>One segment of the ledger as it was found on disk.</summary>
/// <param name="FirstSequence">The sequence of the first entry.</param>
/// <param name="Entries">The packed entries, oldest first.</param>
internal sealed record LedgerFile(long FirstSequence, LedgerFileHeader Header, IReadOnlyList<byte[]> Entries);

/// <summary>The ledger on disk: a folder with one file for each segment, so that entries outlive the server.</summary>
/// <remarks>
/// A file is named after the sequence of its first entry, and begins with a line of JSON, <see cref="LedgerFileHeader"/>. Entries
/// follow, each behind its length (4 bytes, little-endian). An entry is written before its request is answered, so that a killed
/// server loses none that it answered; nothing waits for the disk itself. A file that ends within an entry is cut before it.
/// Written under the ledger's lock.
/// </remarks>
public sealed class LedgerFiles : IDisposable
{
    private const string Suffix = ".ledger";
    private const int LengthBytes = 4;

    private readonly string _folder;
    private readonly FileStream _owner;
    private FileStream? _last;

    private LedgerFiles(string folder, FileStream owner) => (_folder, _owner) = (folder, owner);

    /// <summary>Opens the folder, and makes it where there is none. A folder belongs to one server at a time.</summary>
    public static (LedgerFiles? Files, string? Problem) Open(string folder)
    {
        try
        {
            Directory.CreateDirectory(folder);
            var owner = new FileStream(Path.Combine(folder, "owner"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            return (new LedgerFiles(folder, owner), null);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            var problem = $"Sandbox:LedgerPath names {folder}, which cannot be used: {error.Message}";
            return (null, $"{problem} Name a folder that no other sandbox uses.");
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _last?.Dispose();
        _owner.Dispose();
    }

    /// <summary>Reads the files, oldest first; the last stays open for what comes.</summary>
    internal IEnumerable<LedgerFile> Read()
    {
        foreach (var path in Paths())
        {
            var (file, length) = Read(path);
            if (file is null)
            {
                File.Delete(path);
                continue;
            }

            _last?.Dispose();
            _last = new FileStream(path, FileMode.Open, FileAccess.Write, FileShare.Read, bufferSize: 0);
            _last.SetLength(length);
            _last.Position = length;
            yield return file;
        }
    }

    /// <summary>Begins a file.</summary>
    internal void Begin(long firstSequence, LedgerFileHeader header)
    {
        _last?.Dispose();
        _last = new FileStream(PathOf(firstSequence), FileMode.Create, FileAccess.Write, FileShare.Read, bufferSize: 0);
        _last.Write([.. JsonSerializer.SerializeToUtf8Bytes(header), (byte)'\n']);
    }

    /// <summary>Writes an entry behind those of the last file.</summary>
    internal void Append(ReadOnlySpan<byte> entry)
    {
        var before = _last!.Position;
        try
        {
            Span<byte> length = stackalloc byte[LengthBytes];
            BinaryPrimitives.WriteInt32LittleEndian(length, entry.Length);
            _last.Write(length);
            _last.Write(entry);
        }
        catch (IOException)
        {
            _last.SetLength(before);
            _last.Position = before;
            throw;
        }
    }

    /// <summary>Deletes the file that begins with a sequence.</summary>
    /// <param name="isLast">Whether it is the last one, to which nothing is written any more.</param>
    internal void Drop(long firstSequence, bool isLast = false)
    {
        if (isLast)
        {
            _last?.Dispose();
            _last = null;
        }

        File.Delete(PathOf(firstSequence));
    }

    /// <summary>Deletes all files.</summary>
    internal void Clear()
    {
        _last?.Dispose();
        _last = null;
        foreach (var path in Paths())
            File.Delete(path);
    }

    // Null: the server was killed within the first line.
    private static (LedgerFile? File, long Length) Read(string path)
    {
        ReadOnlySpan<byte> bytes = File.ReadAllBytes(path);
        var end = bytes.IndexOf((byte)'\n') + 1;
        if (end == 0)
            return (null, 0);

        var header = JsonSerializer.Deserialize<LedgerFileHeader>(bytes[..(end - 1)])!;
        var entries = new List<byte[]>();
        while (
            end + LengthBytes <= bytes.Length
            && BinaryPrimitives.ReadInt32LittleEndian(bytes[end..]) is var length
            && length > 0
            && end + LengthBytes + length <= bytes.Length
        )
        {
            entries.Add(bytes.Slice(end + LengthBytes, length).ToArray());
            end += LengthBytes + length;
        }

        var first = long.Parse(Path.GetFileNameWithoutExtension(path), CultureInfo.InvariantCulture);
        return (new LedgerFile(first, header, entries), end);
    }

    private string[] Paths()
    {
        var paths = Directory.GetFiles(_folder, "*" + Suffix);
        Array.Sort(paths, StringComparer.Ordinal);
        return paths;
    }

    private string PathOf(long firstSequence) =>
        Path.Combine(_folder, firstSequence.ToString("D19", CultureInfo.InvariantCulture) + Suffix);
}
