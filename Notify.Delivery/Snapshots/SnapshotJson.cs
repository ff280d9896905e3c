namespace Notify.Delivery.Snapshots;

using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using Microsoft.Extensions.Caching.Hybrid;
using Notify.Infrastructure.Json;

/// <summary>Writes what is kept as all of Notify writes JSON.</summary>
internal sealed class SnapshotJson : IHybridCacheSerializerFactory
{
    /// <inheritdoc />
    public bool TryCreateSerializer<T>([NotNullWhen(true)] out IHybridCacheSerializer<T>? serializer)
    {
        serializer = new Of<T>();
        return true;
    }

    private sealed class Of<T> : IHybridCacheSerializer<T>
    {
        public T Deserialize(ReadOnlySequence<byte> source)
        {
            var reader = new Utf8JsonReader(source);
            return JsonSerializer.Deserialize<T>(ref reader, NotifyJson.Options)!;
        }

        public void Serialize(T value, IBufferWriter<byte> target)
        {
            using var writer = new Utf8JsonWriter(
                target,
                new JsonWriterOptions { Encoder = NotifyJson.Options.Encoder, SkipValidation = true }
            );
            JsonSerializer.Serialize(writer, value, NotifyJson.Options);
        }
    }
}
