namespace Notify.Infrastructure.Telemetry;

using System.Buffers;
using System.Diagnostics;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Console;
using Notify.Infrastructure.Json;

/// <summary>
/// One JSON object a line: timestamp, level, host, category, message, the message's values by name, traceId and spanId where
/// there is a trace, exception. No scopes: a request's path may name a person.
/// </summary>
public sealed class JsonLogFormatter(string host, TimeProvider clock) : ConsoleFormatter(FormatterName)
{
    public const string FormatterName = "notify-json";

    /// <inheritdoc />
    public override void Write<TState>(in LogEntry<TState> logEntry, IExternalScopeProvider? scopeProvider, TextWriter textWriter)
    {
        var message = logEntry.Formatter(logEntry.State, logEntry.Exception);
        textWriter.WriteLine(
            Line(
                host,
                clock.GetUtcNow(),
                logEntry.LogLevel,
                logEntry.Category,
                message,
                logEntry.State as IReadOnlyList<KeyValuePair<string, object?>>,
                logEntry.Exception
            )
        );
    }

    /// <summary>A line.</summary>
    public static string Line(
        string host,
        DateTimeOffset at,
        LogLevel level,
        string category,
        string message,
        IReadOnlyList<KeyValuePair<string, object?>>? values = null,
        Exception? exception = null
    )
    {
        var buffer = new ArrayBufferWriter<byte>(512);
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Encoder = NotifyJson.Options.Encoder }))
        {
            json.WriteStartObject();
            json.WriteString("timestamp", at.UtcDateTime);
            json.WriteString("level", level.ToString().ToLowerInvariant());
            json.WriteString("host", host);
            json.WriteString("category", category);
            json.WriteString("message", message);
            if (Activity.Current is { } activity)
            {
                json.WriteString("traceId", activity.TraceId.ToHexString());
                json.WriteString("spanId", activity.SpanId.ToHexString());
            }

            var named = values?.Where(v => v.Key != "{OriginalFormat}").ToList() ?? [];
            if (named.Count > 0)
            {
                json.WriteStartObject("values");
                foreach (var (name, value) in named.DistinctBy(v => v.Key))
                    json.WriteString(name, Convert.ToString(value, System.Globalization.CultureInfo.InvariantCulture));
                json.WriteEndObject();
            }

            if (exception is not null)
                json.WriteString("exception", exception.ToString());
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }
}
