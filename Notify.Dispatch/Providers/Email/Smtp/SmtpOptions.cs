namespace Notify.Dispatch.Providers.Email.Smtp;

using System.Net;

/// <summary>How a connection to a mail server is protected.</summary>
public enum SmtpSecurity
{
    /// <summary>Not at all; for a relay on the same machine.</summary>
    None,

    /// <summary>STARTTLS, and no mail without it (RFC 3207).</summary>
    StartTls,

    /// <summary>TLS from the first byte (RFC 8314).</summary>
    Tls,
}

/// <summary>Settings of a mail server: <c>Providers:Smtp</c>.</summary>
public sealed record SmtpOptions
{
    /// <summary>The server's name.</summary>
    public string Host { get; init; } = "";

    /// <summary>Its port: 587 for STARTTLS, 465 for TLS, 25 for neither, unless set.</summary>
    public int? Port { get; init; }

    /// <summary>How the connection is protected.</summary>
    public SmtpSecurity Security { get; init; } = SmtpSecurity.StartTls;

    /// <summary>The account, where the server wants one.</summary>
    public string? UserName { get; init; }

    /// <summary>Its password.</summary>
    public string? Password { get; init; }

    /// <summary>The sender: <c>address</c> or <c>Name &lt;address&gt;</c>.</summary>
    public string From { get; init; } = "";

    /// <summary>A certificate authority to trust, PEM; development only.</summary>
    public string? TrustedCaPath { get; init; }

    /// <summary>Connections, each with one mail under way.</summary>
    public int Concurrency { get; init; } = 10;

    /// <summary>How long one mail may take, connecting included.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>The port to connect to.</summary>
    public int EffectivePort =>
        Port
        ?? Security switch
        {
            SmtpSecurity.StartTls => 587,
            SmtpSecurity.Tls => 465,
            _ => 25,
        };

    /// <summary>Checks the settings and reads the sender; every fault is added to <paramref name="faults"/>.</summary>
    public EmailSender? LoadSender(string section, ICollection<string> faults)
    {
        if (Host.Length == 0)
            faults.Add($"{section}:Host is missing; it is the mail server's name");
        else if (Uri.CheckHostName(Host) == UriHostNameType.Unknown)
            faults.Add($"{section}:Host is \"{Host}\"; give a name such as smtp.example.com, without scheme and port");
        if (EffectivePort is < 1 or > 65535)
            faults.Add($"{section}:Port is {Port}; give one from 1 to 65535");
        if (!Enum.IsDefined(Security))
            faults.Add($"{section}:Security is \"{Security}\"; there are None, StartTls and Tls");
        if (UserName is not null && Password is null)
            faults.Add($"{section}:Password is missing, and UserName is set");
        if (UserName is null && Password is not null)
            faults.Add($"{section}:UserName is missing, and Password is set");
        if (Security == SmtpSecurity.None && Password is not null && !IsLoopback(Host))
            faults.Add(
                $"{section}:Security is None, and the password would go unencrypted; "
                    + "give StartTls or Tls, or take UserName and Password out"
            );
        if (Concurrency < 1)
            faults.Add($"{section}:Concurrency is {Concurrency}; give 1 or more");
        if (Timeout <= TimeSpan.Zero)
            faults.Add($"{section}:Timeout is {Timeout}; give a time above zero");
        TrustedCa.Check(section, TrustedCaPath, faults);
        if (From.Length == 0)
            faults.Add($"{section}:From is missing; give the sender's address, or Name <address>");
        else if (!EmailSender.TryParse(From, out var sender))
            faults.Add($"{section}:From is \"{From}\"; give an address such as news@example.com, or Name <address>");
        else
            return sender;
        return null;
    }

    private static bool IsLoopback(string host) =>
        IPAddress.TryParse(host, out var address)
            ? IPAddress.IsLoopback(address)
            : host.Equals("localhost", StringComparison.OrdinalIgnoreCase);
}
