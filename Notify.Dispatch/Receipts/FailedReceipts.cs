namespace Notify.Dispatch.Receipts;

using System.Net;
using System.Threading.RateLimiting;
using Notify.Infrastructure.Hosting;

/// <summary>Bounds posts of one address that are refused: past the limit its posts are refused unread, until time has passed.</summary>
/// <remarks>Setting: <c>Notify:FailedReceiptLimit</c>. A provider's posts fail by the thousand only where its key here is wrong.</remarks>
public sealed class FailedReceipts(AddressLimit limit) : IDisposable
{
    /// <summary>The setting's section.</summary>
    public const string Section = "Notify:FailedReceiptLimit";

    /// <summary>The limit where none is set.</summary>
    public static readonly AddressLimit Default = new() { PerSecond = 20, Burst = 500 };

    private readonly PartitionedRateLimiter<HttpContext> failures = PartitionedRateLimiter.Create<HttpContext, IPAddress>(
        limit.PartitionOf
    );

    /// <summary>Whether an address has had as many refusals as it may.</summary>
    public bool IsOver(HttpContext http)
    {
        using var lease = failures.AttemptAcquire(http, permitCount: 0);
        return !lease.IsAcquired;
    }

    /// <summary>Counts a refusal.</summary>
    public void Count(HttpContext http) => failures.AttemptAcquire(http).Dispose();

    /// <inheritdoc />
    public void Dispose() => failures.Dispose();
}
