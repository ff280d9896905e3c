namespace Notify.Tests.Telemetry;

using System.Collections.Concurrent;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

/// <summary>A span as it came over OTLP.</summary>
public sealed record CollectedSpan(string TraceId, string SpanId, string ParentId, string Name, IReadOnlyList<string> LinkedTraces);

/// <summary>Takes traces over OTLP/HTTP (opentelemetry-proto, ExportTraceServiceRequest), as a collector would.</summary>
public sealed class TraceCollector : IAsyncDisposable
{
    private readonly WebApplication app;

    private TraceCollector(WebApplication app) => this.app = app;

    /// <summary>The spans so far.</summary>
    public ConcurrentQueue<CollectedSpan> Spans { get; } = new();

    /// <summary>All that was sent, as Latin-1 text, to search in.</summary>
    public ConcurrentQueue<string> Raw { get; } = new();

    /// <summary>Where to send to.</summary>
    public string Address => app.Urls.Single();

    /// <summary>Starts on a free port.</summary>
    public static async Task<TraceCollector> StartAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var collector = new TraceCollector(builder.Build());
        collector.app.MapPost(
            "/v1/{signal}",
            async (string signal, HttpRequest request) =>
            {
                using var body = new MemoryStream();
                await request.Body.CopyToAsync(body);
                collector.Raw.Enqueue(Encoding.Latin1.GetString(body.ToArray()));
                if (signal == "traces")
                    collector.Read(body.ToArray());
                return Results.Bytes([], "application/x-protobuf");
            }
        );
        await collector.app.StartAsync();
        return collector;
    }

    /// <inheritdoc />
    public ValueTask DisposeAsync() => app.DisposeAsync();

    // resource_spans = 1, scope_spans = 2, spans = 2; a span's trace_id = 1, span_id = 2, parent_span_id = 4, name = 5, links = 13.
    private void Read(byte[] request)
    {
        foreach (var resource in Fields(request, 1))
        {
            foreach (var scope in Fields(resource, 2))
            {
                foreach (var span in Fields(scope, 2))
                {
                    Spans.Enqueue(
                        new CollectedSpan(
                            Hex(span, 1),
                            Hex(span, 2),
                            Hex(span, 4),
                            Encoding.UTF8.GetString(Fields(span, 5).FirstOrDefault() ?? []),
                            [.. Fields(span, 13).Select(l => Hex(l, 1))]
                        )
                    );
                }
            }
        }
    }

    private static string Hex(byte[] message, int field) => Convert.ToHexStringLower(Fields(message, field).FirstOrDefault() ?? []);

    private static IEnumerable<byte[]> Fields(byte[] message, int wanted)
    {
        var at = 0;
        while (at < message.Length)
        {
            var tag = Varint(message, ref at);
            switch (tag & 7)
            {
                case 0:
                    Varint(message, ref at);
                    break;
                case 1:
                    at += 8;
                    break;
                case 5:
                    at += 4;
                    break;
                default:
                    var length = (int)Varint(message, ref at);
                    if ((int)(tag >> 3) == wanted)
                        yield return message[at..(at + length)];
                    at += length;
                    break;
            }
        }
    }

    private static ulong Varint(byte[] message, ref int at)
    {
        ulong value = 0;
        for (var shift = 0; ; shift += 7)
        {
            var b = message[at++];
            value |= (ulong)(b & 0x7F) << shift;
            if (b < 0x80)
                return value;
        }
    }
}
