namespace Notify.Dispatch.Providers;

using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

/// <summary>A provider's <c>TrustedCaPath</c>: a certificate authority to trust instead of the system's; development only.</summary>
public static class TrustedCa
{
    /// <summary>Checks that the file can be read; a fault is added to <paramref name="faults"/>.</summary>
    public static void Check(string section, string? path, ICollection<string> faults)
    {
        try
        {
            Load(path)?.Dispose();
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            faults.Add($"{section}:TrustedCaPath names {path}, which does not exist");
        }
        catch (Exception e) when (e is CryptographicException or IOException or UnauthorizedAccessException)
        {
            faults.Add($"{section}:TrustedCaPath names {path}, which cannot be read as a certificate in PEM ({e.Message.Split('\n')[0]})");
        }
    }

    /// <summary>The certificate; <c>null</c> without a path.</summary>
    public static X509Certificate2? Load(string? path) => path is null ? null : X509Certificate2.CreateFromPem(File.ReadAllText(path));
}
