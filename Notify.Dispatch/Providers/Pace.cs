namespace Notify.Dispatch.Providers;

using Notify.Infrastructure.Hosting;

/// <summary>How fast a provider may be sent to, per Dispatch host: <c>RatePerSecond</c> and <c>RampUp</c> of its section.</summary>
public sealed record Pace
{
    /// <summary>Deliveries a second; <c>null</c>: any number.</summary>
    public double? RatePerSecond { get; init; }

    /// <summary>How long the rate takes to grow from a tenth of it, at first and after as long a pause; zero: at once.</summary>
    public TimeSpan? RampUp { get; init; }

    /// <summary>Fills in settings that are absent here from another section.</summary>
    public Pace Or(Pace other) => new() { RatePerSecond = RatePerSecond ?? other.RatePerSecond, RampUp = RampUp ?? other.RampUp };

    /// <summary>Reads the settings; every fault is added to <paramref name="faults"/>.</summary>
    public static Pace Read(IConfigurationSection settings, ICollection<string> faults)
    {
        var read = settings.Read<Pace>(faults);
        if (read.RatePerSecond is { } rate && !(rate > 0 && rate <= 1_000_000))
            faults.Add($"{settings.Path}:RatePerSecond is {rate}; give a number above 0, or leave it out for any number");
        if (read.RampUp is { } ramp && (ramp < TimeSpan.Zero || ramp > TimeSpan.FromDays(1)))
            faults.Add($"{settings.Path}:RampUp is {ramp}; give a time from 00:00:00 to a day");
        return read;
    }
}

/// <summary>
/// Counts what a provider's rate leaves room for: tokens that grow with time up to a fifth of a second's, one at least. What
/// is taken beyond them is owed, and waited for by who comes next. Not safe for threads: its owner locks.
/// </summary>
public sealed class Pacer(double perSecond, TimeSpan rampUp, DateTimeOffset start)
{
    private const double FirstShare = 0.1;
    private double tokens = 1;
    private DateTimeOffset counted = start,
        used = start,
        rampedFrom = start;

    /// <summary>The most tokens there can be now.</summary>
    public double Burst(DateTimeOffset now) => Math.Max(1, Rate(now) / 5);

    /// <summary>Tokens there are; below zero: owed.</summary>
    public double Tokens(DateTimeOffset now)
    {
        if (rampUp > TimeSpan.Zero && now - used >= rampUp)
            rampedFrom = used = now; // cold again
        if (now > counted)
        {
            tokens = Math.Min(Burst(now), tokens + (Rate(now) * (now - counted).TotalSeconds));
            counted = now;
        }

        return tokens;
    }

    /// <summary>Takes one, owed or not.</summary>
    public void Take(DateTimeOffset now)
    {
        Tokens(now);
        (tokens, used) = (tokens - 1, now);
    }

    /// <summary>The clock was set back by so much.</summary>
    public void SetBack(TimeSpan by) => (counted, used, rampedFrom) = (counted - by, used - by, rampedFrom - by);

    /// <summary>How fast tokens grow now, a second.</summary>
    public double Rate(DateTimeOffset now) =>
        rampUp <= TimeSpan.Zero ? perSecond : perSecond * (FirstShare + ((1 - FirstShare) * Math.Clamp((now - rampedFrom) / rampUp, 0, 1)));
}
