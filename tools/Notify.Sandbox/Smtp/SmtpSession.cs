namespace Notify.Sandbox.Smtp;

using System.Globalization;
using System.Security.Cryptography.X509Certificates;
using System.Text;

/// <summary>One client's dialogue (RFC 5321, with STARTTLS, AUTH, SIZE, 8BITMIME, PIPELINING and enhanced status codes).</summary>
internal sealed class SmtpSession(SmtpConnection connection, SmtpServer server, X509Certificate2 certificate)
{
    private const int MaximumCommand = 1_024; // RFC 5321 asks for 512, and what extensions add
    private const int MaximumAuth = 12_288; // RFC 4954, section 4
    private const int MaximumRecipients = 100;
    private const string BadSequence = "503 5.5.1 Bad sequence of commands";

    private string? _greeting;
    private bool _isAuthenticated;
    private SmtpMail? _mail;

    /// <summary>Talks until one of the two ends it.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        var isOpen = !server.IsRefusing;
        if (isOpen)
            await connection.WriteAsync("220 sandbox ESMTP", cancellation);
        while (isOpen && await connection.ReadLineAsync(MaximumAuth, cancellation) is { } line)
            isOpen = !server.IsRefusing && await TakeAsync(line, cancellation);
        if (!isOpen && server.IsRefusing)
            connection.Abort();
    }

    private async Task<bool> TakeAsync(SmtpLine line, CancellationToken cancellation)
    {
        var space = line.Text.IndexOf(' ', StringComparison.Ordinal);
        var (verb, rest) =
            space < 0 ? (line.Text.ToUpperInvariant(), "") : (line.Text[..space].ToUpperInvariant(), line.Text[(space + 1)..].Trim());
        if (!line.IsProper || (line.Text.Length > MaximumCommand && verb != "AUTH"))
            return await SayAsync("500 5.5.2 A command ends with CRLF and is not longer than a line", cancellation);

        switch (verb)
        {
            case "DATA" when _mail is { To.Count: > 0 }:
                return await TakeMailAsync(cancellation);
            case "STARTTLS" when !connection.IsTls && rest.Length == 0:
                await connection.WriteAsync("220 2.0.0 Go ahead", cancellation);
                await connection.StartTlsAsync(certificate, cancellation);
                (_greeting, _mail, _isAuthenticated) = (null, null, false);
                return true;
            case "AUTH":
                return await SayAsync(await AuthenticateAsync(rest, cancellation), cancellation);
            case "QUIT":
                await connection.WriteAsync("221 2.0.0 Bye", cancellation);
                return false;
            default:
                return await SayAsync(Answer(verb, rest), cancellation);
        }
    }

    private string Answer(string verb, string rest) =>
        verb switch
        {
            "EHLO" or "HELO" when rest.Length == 0 => "501 5.5.4 Say who you are",
            "EHLO" or "HELO" => Greet(verb, rest),
            "MAIL" => Begin(rest),
            "RCPT" => AddRecipient(rest),
            "DATA" => _mail is null ? BadSequence : "554 5.5.1 No valid recipients",
            "RSET" => Reset(),
            "NOOP" => "250 2.0.0 Well",
            "VRFY" => "252 2.1.5 Send, and you will see",
            "STARTTLS" => BadSequence,
            _ => "500 5.5.1 There is no such command",
        };

    private string Greet(string verb, string name)
    {
        (_greeting, _mail) = (name, null);
        return verb == "HELO"
            ? "250 sandbox"
            : string.Join("\r\n250-", "250-sandbox", "PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", $"SIZE {SmtpServer.MaximumMail}")
                + "\r\n250 "
                + (connection.IsTls ? "AUTH PLAIN LOGIN" : "STARTTLS");
    }

    private string Reset()
    {
        _mail = null;
        return "250 2.0.0 Forgotten";
    }

    private string Begin(string rest)
    {
        if (_greeting is null || _mail is not null)
            return BadSequence;
        if (!connection.IsTls)
            return "530 5.7.0 Say STARTTLS first";
        if (!_isAuthenticated)
            return "530 5.7.0 Authentication required";
        if (!TryPath(rest, "FROM:", out var address, out var parameters))
            return "501 5.5.4 Say MAIL FROM:<address>";

        var is8Bit = false;
        foreach (var parameter in parameters)
        {
            switch (parameter.ToUpperInvariant().Split('=', 2))
            {
                case ["BODY", "7BIT"]:
                    break;
                case ["BODY", "8BITMIME"]:
                    is8Bit = true;
                    break;
                case ["SIZE", var size] when long.TryParse(size, NumberStyles.None, CultureInfo.InvariantCulture, out var bytes):
                    if (bytes > SmtpServer.MaximumMail)
                        return "552 5.3.4 The message is too large";
                    break;
                default:
                    return "555 5.5.4 A parameter is not known";
            }
        }

        if (server.CheckSender(address) is { } refusal)
            return refusal;
        _mail = new SmtpMail(address, [], [], is8Bit, _greeting);
        return "250 2.1.0 Fine";
    }

    private string AddRecipient(string rest)
    {
        if (_mail is null)
            return BadSequence;
        if (!TryPath(rest, "TO:", out var address, out var parameters))
            return "501 5.5.4 Say RCPT TO:<address>";
        if (parameters.Length > 0)
            return "555 5.5.4 A parameter is not known";
        if (_mail.To.Count >= MaximumRecipients)
            return "452 4.5.3 Too many recipients";
        if (server.CheckRecipient(_mail, address) is { } refusal)
            return refusal;
        _mail = _mail with { To = [.. _mail.To, address] };
        return "250 2.1.5 Fine";
    }

    private async Task<bool> TakeMailAsync(CancellationToken cancellation)
    {
        await connection.WriteAsync("354 Go on, and end with a dot", cancellation);
        if (await connection.ReadDataAsync(SmtpServer.MaximumMail, cancellation) is not { } data)
            return false;

        var mail = _mail! with { Data = data.Bytes };
        _mail = null;
        if (await server.TakeAsync(mail, data.Fault, () => connection.WaitUntilGoneAsync(cancellation), cancellation) is { } reply)
            return await SayAsync(reply, cancellation);
        connection.Abort();
        return false;
    }

    private async Task<string> AuthenticateAsync(string rest, CancellationToken cancellation)
    {
        if (_greeting is null || _isAuthenticated || _mail is not null)
            return BadSequence;
        if (!connection.IsTls)
            return "538 5.7.11 Say STARTTLS first";

        var (user, password) = rest.Split(' ', 2) switch
        {
            [var name, var initial] when IsPlain(name) => ReadPlain(initial),
            [var name] when IsPlain(name) => ReadPlain(await AskAsync("", cancellation)),
            [var name] when name.Equals("LOGIN", StringComparison.OrdinalIgnoreCase) => (
                Decode(await AskAsync("Username:", cancellation)),
                Decode(await AskAsync("Password:", cancellation))
            ),
            [var name, var initial] when name.Equals("LOGIN", StringComparison.OrdinalIgnoreCase) => (
                Decode(initial),
                Decode(await AskAsync("Password:", cancellation))
            ),
            _ => ("", null),
        };
        if (user is "")
            return "504 5.5.4 There are PLAIN and LOGIN";
        if (user is null || password is null)
            return "501 5.5.2 That is no answer";
        _isAuthenticated = server.IsAccount(user, password);
        return _isAuthenticated ? "235 2.7.0 Welcome" : "535 5.7.8 Wrong user name or password";

        static bool IsPlain(string name) => name.Equals("PLAIN", StringComparison.OrdinalIgnoreCase);
    }

    private async Task<string?> AskAsync(string what, CancellationToken cancellation)
    {
        await connection.WriteAsync($"334 {Convert.ToBase64String(Encoding.ASCII.GetBytes(what))}", cancellation);
        return await connection.ReadLineAsync(MaximumAuth, cancellation) is { IsProper: true, Text: not "*" } line ? line.Text : null;
    }

    private static (string? User, string? Password) ReadPlain(string? answer) =>
        Decode(answer)?.Split('\0') is [_, { Length: > 0 } user, var password] ? (user, password) : (null, null);

    private static string? Decode(string? base64)
    {
        var bytes = new byte[MaximumAuth];
        return base64 is not null && Convert.TryFromBase64String(base64, bytes, out var length)
            ? Encoding.UTF8.GetString(bytes, 0, length)
            : null;
    }

    private static bool TryPath(string rest, string word, out string address, out string[] parameters)
    {
        (address, parameters) = ("", []);
        var end = rest.IndexOf('>', StringComparison.Ordinal);
        if (!rest.StartsWith(word + "<", StringComparison.OrdinalIgnoreCase) || end < 0)
            return false;

        address = rest[(word.Length + 1)..end];
        parameters = rest[(end + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return true;
    }

    private async Task<bool> SayAsync(string reply, CancellationToken cancellation)
    {
        await connection.WriteAsync(reply, cancellation);
        return true;
    }
}
