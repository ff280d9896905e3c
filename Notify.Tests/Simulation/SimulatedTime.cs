namespace Notify.Tests.Simulation;

using System.Buffers.Binary;

/// <summary>The only source of chance in a simulation: the same seed gives the same numbers on every machine (SplitMix64).</summary>
internal sealed class SeededRandom(ulong seed)
{
    private ulong state = seed;

    /// <summary>The next 64 bits.</summary>
    public ulong Bits()
    {
        var z = state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    /// <summary>Uniform in [0, 1).</summary>
    public double Double() => (Bits() >> 11) * (1.0 / (1UL << 53));

    /// <summary>Uniform from 0 to <paramref name="count"/> - 1.</summary>
    public int Below(int count) => (int)(Bits() % (ulong)count);

    /// <summary>True with this probability.</summary>
    public bool Chance(double probability) => Double() < probability;

    /// <summary>One of several.</summary>
    public T Of<T>(IReadOnlyList<T> list) => list[Below(list.Count)];

    /// <summary>A time between two, in seconds, to the millisecond.</summary>
    public TimeSpan Seconds(double from, double to) => TimeSpan.FromMilliseconds(Math.Round((from + ((to - from) * Double())) * 1000));

    /// <summary>An ID.</summary>
    public Guid Id()
    {
        Span<byte> bytes = stackalloc byte[16];
        BinaryPrimitives.WriteUInt64BigEndian(bytes, Bits());
        BinaryPrimitives.WriteUInt64BigEndian(bytes[8..], Bits());
        return new Guid(bytes, bigEndian: true);
    }
}

/// <summary>Simulated time: steps run one after the other, in the order of their times, and time passes only between them.</summary>
internal sealed class SimulatedTime
{
    /// <summary>The time at which every simulation begins: shortly before a full hour, so that the windows of caps change.</summary>
    public static readonly DateTimeOffset Start = new(2026, 5, 4, 11, 57, 0, TimeSpan.Zero);

    private readonly PriorityQueue<Action, (long At, long Order)> steps = new();
    private long order;

    /// <summary>Time since the start.</summary>
    public TimeSpan Now { get; private set; }

    /// <summary>Steps that have run.</summary>
    public int Steps { get; private set; }

    /// <summary>Plans a step.</summary>
    public void In(TimeSpan delay, Action step) =>
        steps.Enqueue(step, ((Now + (delay > TimeSpan.Zero ? delay : TimeSpan.Zero)).Ticks, order++));

    /// <summary>Runs the next step.</summary>
    /// <returns>Whether there was one.</returns>
    public bool Next()
    {
        if (!steps.TryDequeue(out var step, out var at))
            return false;
        Now = TimeSpan.FromTicks(at.At);
        Steps++;
        step();
        return true;
    }
}

/// <summary>A machine's clock. Its timestamps go on at the same pace on every machine; its time of day may be wrong.</summary>
internal sealed class SimulatedClock(SimulatedTime time) : TimeProvider
{
    /// <summary>How far its time of day is ahead of the right one.</summary>
    public TimeSpan Ahead { get; set; }

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override long GetTimestamp() => time.Now.Ticks;

    public override DateTimeOffset GetUtcNow() => SimulatedTime.Start + time.Now + Ahead;
}
