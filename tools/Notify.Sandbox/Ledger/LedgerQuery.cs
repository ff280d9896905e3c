namespace Notify.Sandbox.Ledger;

using System.IO.Pipelines;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

/// <summary>Which entries to read: those after a sequence, of one provider, containing a text; null asks for any.</summary>
public sealed record LedgerQuery(string? Provider, TextQuery? Text, long After, int Limit)
{
    private static readonly JsonWriterOptions Json = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Writes <c>{ "entries": […] }</c>, oldest first.</summary>
    public async Task WriteAsync(RequestLedger ledger, PipeWriter output, CancellationToken cancellation)
    {
        await using var writer = new Utf8JsonWriter(output, Json);
        writer.WriteStartObject();
        writer.WriteStartArray("entries");

        var left = Limit;
        foreach (var slice in ledger.Snapshot())
        {
            if (left == 0)
                break;
            left -= WriteSlice(writer, ledger, slice, left);
            await writer.FlushAsync(cancellation);
            await output.FlushAsync(cancellation);
        }

        writer.WriteEndArray();
        writer.WriteEndObject();
    }

    private int WriteSlice(Utf8JsonWriter writer, RequestLedger ledger, LedgerSegment.Slice slice, int limit)
    {
        var written = 0;
        var from = (int)Math.Clamp(After - slice.FirstSequence + 1, 0, slice.Count);
        for (var i = from; i < slice.Count && written < limit; i++)
        {
            var record = new LedgerRecord(slice[i]);
            var dialect = ledger.Dialect(record.Provider);
            if ((Provider is not null && Provider != dialect.Name) || (Text is not null && !dialect.Mentions(record.Body, Text)))
                continue;

            var path = Encoding.UTF8.GetString(record.Path);
            var (to, text) = dialect.Read(path, record.Body);
            writer.WriteStartObject();
            writer.WriteNumber("sequence", slice.FirstSequence + i);
            writer.WriteString("provider", dialect.Name);
            writer.WriteString("receivedAt", record.ReceivedAt);
            writer.WriteString("to", to);
            writer.WriteString("text", text);
            if (record.MessageId.IsEmpty)
                writer.WriteNull("providerMessageId");
            else
                writer.WriteString("providerMessageId", record.MessageId);
            writer.WriteString("outcome", record.Outcome);
            WriteRequest(writer, record, path);
            writer.WriteEndObject();
            written++;
        }

        return written;
    }

    private static void WriteRequest(Utf8JsonWriter writer, LedgerRecord record, string path)
    {
        writer.WriteStartObject("request");
        writer.WriteString("method", record.Method);
        writer.WriteString("path", path);
        writer.WriteStartObject("headers");
        var headers = record.GetHeaders();
        while (headers.MoveNext(out var name, out var value))
            writer.WriteString(Encoding.UTF8.GetString(name).ToLowerInvariant(), value);
        writer.WriteEndObject();
        writer.WriteString("body", Encoding.UTF8.GetString(record.Body));
        writer.WriteEndObject();
    }
}
