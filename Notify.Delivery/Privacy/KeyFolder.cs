namespace Notify.Delivery.Privacy;

using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Configuration;

/// <summary>
/// A folder outside the database with one file for each master key, which all hosts share: <c>{id}.key</c>, base64 of 32 bytes. A key
/// that is destroyed there is gone, whatever the database, its write-ahead log and its backups still hold.
/// </summary>
/// <remarks>Setting: <c>Notify:KeyFolder</c>. Files appear complete: each is written beside its place and moved there.</remarks>
public sealed class KeyFolder(string path)
{
    private const string Extension = ".key";
    private const int TimeLength = 17,
        IdLength = 1 + TimeLength + 4;

    /// <summary>The folder.</summary>
    public string Path => path;

    /// <summary>The folder that is configured; <c>null</c>: none is.</summary>
    public static string? PathOf(IConfiguration configuration) =>
        configuration["Notify:KeyFolder"] is { Length: > 0 } folder ? System.IO.Path.GetFullPath(folder) : null;

    /// <summary>Reads all keys.</summary>
    /// <param name="faults">One line for each file that holds no key.</param>
    /// <exception cref="IOException">The folder cannot be read.</exception>
    public Dictionary<string, byte[]> Read(ICollection<string> faults)
    {
        var keys = new Dictionary<string, byte[]>(StringComparer.Ordinal);
        foreach (var file in Directory.EnumerateFiles(path, "*" + Extension))
        {
            var id = System.IO.Path.GetFileNameWithoutExtension(file);
            if (MasterKeyRing.DecodeKey(ReadText(file)) is { } key)
                keys[id] = key;
            else if (File.Exists(file))
                faults.Add($"{file} is not the base64 of 32 random bytes; put the file back from a copy, or remove it");
        }

        return keys;
    }

    /// <summary>Makes a key.</summary>
    /// <param name="now">Goes into the ID, so that a newer key has a later one.</param>
    /// <returns>The ID.</returns>
    /// <exception cref="IOException">The folder cannot be written.</exception>
    public string Add(DateTimeOffset now)
    {
        var id = IdAfter(HostKeyDecider.Newest(Read([]).Keys), now);
        var (file, draft) = (FileOf(id), System.IO.Path.Combine(path, $".{id}.new"));
        using (var stream = new FileStream(draft, Options(FileMode.CreateNew)))
        {
            stream.Write(Encoding.ASCII.GetBytes(Convert.ToBase64String(RandomNumberGenerator.GetBytes(32)) + "\n"));
            stream.Flush(flushToDisk: true);
        }

        File.Move(draft, file);
        return id;
    }

    /// <summary>The ID of a new key: of the time, and later than the newest one, also where the clock was set back.</summary>
    public static string IdAfter(string? newest, DateTimeOffset now)
    {
        var time = long.Parse(now.UtcDateTime.ToString("yyyyMMddHHmmssfff", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
        if (newest is { Length: IdLength } && long.TryParse(newest.AsSpan(1, TimeLength), CultureInfo.InvariantCulture, out var last))
            time = Math.Max(time, last + 1);
        return string.Create(CultureInfo.InvariantCulture, $"k{time}{RandomNumberGenerator.GetHexString(4, lowercase: true)}");
    }

    /// <summary>Whether a key has a file here.</summary>
    public bool Has(string id) => File.Exists(FileOf(id));

    /// <summary>Overwrites a key's file and deletes it. Nothing happens where there is none.</summary>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public void Destroy(string id)
    {
        var file = FileOf(id);
        if (!File.Exists(file))
            return;
        using (var stream = new FileStream(file, Options(FileMode.Open)))
        {
            stream.Write(new byte[stream.Length]);
            stream.Flush(flushToDisk: true);
        }

        File.Delete(file);
    }

    private static string? ReadText(string file)
    {
        try
        {
            return File.ReadAllText(file).Trim();
        }
        catch (FileNotFoundException)
        {
            return null; // destroyed meanwhile
        }
    }

    private static FileStreamOptions Options(FileMode mode)
    {
        var options = new FileStreamOptions
        {
            Mode = mode,
            Access = FileAccess.Write,
            Share = FileShare.None,
            BufferSize = 0,
        };
        if (mode == FileMode.CreateNew && !OperatingSystem.IsWindows())
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        return options;
    }

    private string FileOf(string id) => System.IO.Path.Combine(path, id + Extension);
}
