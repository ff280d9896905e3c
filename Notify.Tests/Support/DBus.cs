namespace Notify.Tests.Support;

using System.Buffers.Binary;
using System.Net.Sockets;
using System.Text;

/// <summary>One message of D-Bus, little-endian (D-Bus Specification 0.42, Message Format).</summary>
internal sealed record DBusMessage(byte Type, string? Member, string? Signature, DBusBody Body)
{
    public const byte Call = 1,
        Return = 2,
        Error = 3,
        Signal = 4;

    public uint Serial { get; init; }
    public string? Path { get; init; }
    public string? Interface { get; init; }
    public string? ErrorName { get; init; }
    public uint? ReplySerial { get; init; }
    public string? Destination { get; init; }
    public string? Sender { get; init; }

    /// <summary>Writes the message in its wire format.</summary>
    public byte[] Write(uint serial)
    {
        var fields = new DBusBody();
        Field(1, "o", Path);
        Field(2, "s", Interface);
        Field(3, "s", Member);
        Field(4, "s", ErrorName);
        if (ReplySerial is { } reply)
            fields.Align(8).Byte(5).Signature("u").Number(reply);
        Field(6, "s", Destination);
        Field(7, "s", Sender);
        if (Signature is not null)
            fields.Align(8).Byte(8).Signature("g").Signature(Signature);

        var body = Body.ToArray();
        var head = new DBusBody()
            .Byte((byte)'l')
            .Byte(Type)
            .Byte(0)
            .Byte(1)
            .Number((uint)body.Length)
            .Number(serial)
            .Number((uint)fields.Length);
        return [.. head.Bytes(fields.ToArray()).Align(8).ToArray(), .. body];

        void Field(byte code, string signature, string? value)
        {
            if (value is not null)
                fields.Align(8).Byte(code).Signature(signature).Text(value);
        }
    }

    /// <summary>Reads a message from its fixed head, its fields and its body.</summary>
    public static DBusMessage Read(byte[] head, byte[] fields, byte[] body)
    {
        var message = new DBusMessage(head[1], null, null, new DBusBody(body))
        {
            Serial = BinaryPrimitives.ReadUInt32LittleEndian(head.AsSpan(8)),
        };
        var reader = new DBusBody(fields);
        while (reader.HasMore)
        {
            reader.AlignReading(8);
            if (!reader.HasMore)
                break;
            var code = reader.ReadByte();
            message = (code, reader.ReadSignature()) switch
            {
                (3, _) => message with { Member = reader.ReadText() },
                (6, _) => message with { Destination = reader.ReadText() },
                (8, _) => message with { Signature = reader.ReadSignature() },
                (_, "u") => message with { ReplySerial = reader.ReadNumber() },
                _ => Skip(message, reader),
            };
        }

        return message;
    }

    private static DBusMessage Skip(DBusMessage message, DBusBody reader)
    {
        reader.ReadText();
        return message;
    }
}

/// <summary>Values in D-Bus' layout, written or read one after the other.</summary>
internal sealed class DBusBody(byte[]? read = null)
{
    private readonly List<byte> bytes = [.. read ?? []];
    private int at;

    public int Length => bytes.Count;

    public bool HasMore => at < bytes.Count;

    public byte[] ToArray() => [.. bytes];

    public DBusBody Byte(byte value)
    {
        bytes.Add(value);
        return this;
    }

    public DBusBody Bytes(byte[] values)
    {
        bytes.AddRange(values);
        return this;
    }

    public DBusBody Align(int to)
    {
        while (bytes.Count % to != 0)
            bytes.Add(0);
        return this;
    }

    public DBusBody Number(uint value)
    {
        Span<byte> four = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(four, value);
        Align(4);
        bytes.AddRange(four.ToArray());
        return this;
    }

    public DBusBody Text(string value) => Number((uint)Encoding.UTF8.GetByteCount(value)).Bytes([.. Encoding.UTF8.GetBytes(value), 0]);

    public DBusBody Signature(string value) => Byte((byte)value.Length).Bytes([.. Encoding.ASCII.GetBytes(value), 0]);

    public DBusBody Texts(params string[] values)
    {
        var items = new DBusBody();
        foreach (var value in values)
            items.Text(value);
        return Number((uint)items.Length).Bytes(items.ToArray());
    }

    public void AlignReading(int to) => at = (at + to - 1) / to * to;

    public byte ReadByte() => bytes[at++];

    public uint ReadNumber()
    {
        AlignReading(4);
        at += 4;
        return BinaryPrimitives.ReadUInt32LittleEndian([.. bytes[(at - 4)..at]]);
    }

    public string ReadText() => ReadString((int)ReadNumber());

    public string ReadSignature() => ReadString(ReadByte());

    private string ReadString(int length)
    {
        at += length + 1;
        return Encoding.UTF8.GetString([.. bytes[(at - length - 1)..(at - 1)]]);
    }
}

/// <summary>One program's connection to the bus.</summary>
internal sealed class DBusConnection(Socket socket, string name) : IDisposable
{
    private const int FixedHead = 16;
    private readonly NetworkStream stream = new(socket, ownsSocket: true);
    private readonly SemaphoreSlim writing = new(1);
    private uint lastSerial;

    /// <summary>How the bus calls it.</summary>
    public string Name => name;

    /// <summary>Accepts the client with any identity.</summary>
    public async Task AuthenticateAsync(CancellationToken cancellation)
    {
        var line = new StringBuilder();
        var one = new byte[1];
        while (true)
        {
            await stream.ReadExactlyAsync(one, cancellation);
            line.Append((char)one[0]);
            if (!line.ToString().EndsWith("\r\n", StringComparison.Ordinal))
                continue;
            var said = line.ToString().Trim('\0', '\r', '\n');
            line.Clear();
            if (said == "BEGIN")
                return;
            var answer =
                said.StartsWith("AUTH EXTERNAL", StringComparison.Ordinal) ? $"OK {Guid.NewGuid():N}\r\n"
                : said.StartsWith("AUTH", StringComparison.Ordinal) ? "REJECTED EXTERNAL\r\n"
                : "ERROR\r\n";
            await stream.WriteAsync(Encoding.ASCII.GetBytes(answer), cancellation);
        }
    }

    /// <summary>Its next message; <c>null</c> at the end.</summary>
    public async Task<DBusMessage?> ReadAsync(CancellationToken cancellation)
    {
        var head = new byte[FixedHead];
        if (await stream.ReadAtLeastAsync(head, FixedHead, throwOnEndOfStream: false, cancellation) < FixedHead)
            return null;
        var fields = new byte[(BinaryPrimitives.ReadUInt32LittleEndian(head.AsSpan(12)) + 7) / 8 * 8];
        await stream.ReadExactlyAsync(fields, cancellation);
        var body = new byte[BinaryPrimitives.ReadUInt32LittleEndian(head.AsSpan(4))];
        await stream.ReadExactlyAsync(body, cancellation);
        return DBusMessage.Read(head, fields[..(int)BinaryPrimitives.ReadUInt32LittleEndian(head.AsSpan(12))], body);
    }

    /// <summary>Sends it a message.</summary>
    public async Task SendAsync(DBusMessage message)
    {
        await writing.WaitAsync();
        try
        {
            await stream.WriteAsync(message.Write(++lastSerial));
        }
        finally
        {
            writing.Release();
        }
    }

    /// <inheritdoc />
    public void Dispose()
    {
        stream.Dispose();
        writing.Dispose();
    }
}
